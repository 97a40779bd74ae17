"""Products with quantised matrices on a GPU."""

import logging

import pytest
import torch
import torch.nn.functional as F

from miso.checkpoints import quantized_kernels
from miso.checkpoints.quantize import quantize
from miso.checkpoints.quantized_kernels import QuantizedKernels, linear

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_the_kernels_compute_what_pytorch_does(kind, dtype):
    torch.manual_seed(0)
    kernels = QuantizedKernels(torch.device("cuda"), kind, dtype)
    for n, k in ((1, 64), (17, 192), (67, 1024), (2051, 4096)):
        matrix = quantize(torch.randn(n, k).cuda(), kind)
        assert kernels.dequantize(matrix).equal(matrix.dequantize(dtype))
        for shape in ((1,), (2,), (1, 3), (8,), (9,), (2, 40)):
            x = torch.randn(*shape, k, device="cuda", dtype=dtype)
            got, want = linear(x, matrix), F.linear(x.double(), matrix.dequantize().double())
            assert got.dtype == dtype and got.shape == want.shape
            assert (got - want).norm() < (3 * torch.finfo(dtype).eps + 1e-6) * want.norm(), (n, k, shape)


@pytest.mark.gpu
def test_rows_of_a_product_do_not_depend_on_their_number():
    matrix, x = quantize(torch.randn(200, 512).cuda(), "int8"), torch.randn(8, 512, device="cuda")
    whole = linear(x, matrix)
    assert all(linear(x[i : i + 1], matrix).equal(whole[i : i + 1]) for i in range(8))


@pytest.mark.gpu
def test_wrong_numbers_are_noticed(monkeypatch, caplog):
    """By a small product, before anything is computed with the kernels."""
    monkeypatch.setattr(QuantizedKernels, "_launch", lambda *_: None)
    assert quantized_kernels._kernels.__wrapped__(torch.device("cuda"), "int8", torch.bfloat16) is None
    assert "they gave wrong numbers" in caplog.text


def test_pytorch_serves_where_nothing_can_be_compiled(monkeypatch, caplog):
    monkeypatch.setattr(quantized_kernels, "missing", lambda: "NVRTC was not found")
    with caplog.at_level(logging.WARNING):
        assert quantized_kernels._kernels.__wrapped__(torch.device("cuda"), "int4", torch.float16) is None
    assert "NVRTC was not found" in caplog.text
    assert linear(torch.randn(1, 64), quantize(torch.randn(3, 64), "int8")) is None  # on the CPU
