"""Products with quantised matrices on an NVIDIA GPU, without dequantising them in memory first.

``quantize`` describes the formats; this is the same arithmetic in two kernels (``quantized.cu``), compiled by
NVRTC when they are first needed. Where they can't be used, PyTorch dequantises.
"""

from __future__ import annotations

import ctypes
import logging
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nvrtc import Kernel, cubin, missing
from .quantize import GROUP, Quantized, quantize

log = logging.getLogger(__name__)

MOST_ROWS = 8  # of a product that reads the quantised matrix itself; more are faster with it dequantised
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_THREADS, _OUTPUTS = 256, 16  # of a thread block; outputs of a thread block of a product
_BLOCKS = 8  # of a multiprocessor, for ``dequantize``


class _Arguments(ctypes.Structure):
    """``Arguments`` in quantized.cu."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "scale", "zero", "x", "y")),
        *((name, ctypes.c_int) for name in ("N", "K", "rows")),
    ]


class QuantizedKernels:
    """The kernels for one kind of matrix (int8 in groups, or int4) and one dtype, on one device.

    Raises RuntimeError if they can't be compiled.
    """

    def __init__(self, device: torch.device, kind: str, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        major, minor = torch.cuda.get_device_capability(device)
        source = Path(__file__).with_name("quantized.cu").read_text(encoding="utf-8")
        macros = (("INT4", int(kind == "int4")), ("DTYPE", _DTYPES.index(dtype)))
        binary, _ = cubin(source, f"{major}{minor}", macros)
        torch.cuda.synchronize(device)  # makes PyTorch's context this thread's, into which they are loaded
        with torch.cuda.device(device):
            self._dequantize = Kernel(binary, "dequantize", threads=_THREADS)
            self._products = {
                rows: Kernel(binary, f"product{rows}", threads=_THREADS) for rows in (1, 2, 4, MOST_ROWS)
            }
        self._blocks = _BLOCKS * torch.cuda.get_device_properties(device).multi_processor_count

    def dequantize(self, matrix: Quantized) -> Tensor:
        """The matrix [N, K], the same numbers as ``Quantized.dequantize`` gives."""
        n, k = len(matrix.scale), matrix.scale.shape[1] * GROUP
        y = torch.empty(n, k, dtype=self.dtype, device=self.device)
        self._launch(self._dequantize, self._blocks, matrix, y, y, n, k, 0)
        return y

    def linear(self, x: Tensor, matrix: Quantized) -> Tensor:
        """``x`` [..., K] times the transposed matrix [N, K]."""
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) > MOST_ROWS:
            return F.linear(x, self.dequantize(matrix))
        rows = rows.contiguous()
        n, k = len(matrix.scale), rows.shape[1]
        y = torch.empty(len(rows), n, dtype=self.dtype, device=self.device)
        kernel = next(kernel for most, kernel in self._products.items() if most >= len(rows))
        self._launch(kernel, -(-n // _OUTPUTS), matrix, rows, y, n, k, len(rows))
        return y.view(*x.shape[:-1], n)

    def _launch(
        self, kernel: Kernel, blocks: int, matrix: Quantized, x: Tensor, y: Tensor, n: int, k: int, rows: int
    ) -> None:
        zero = 0 if matrix.zero is None else matrix.zero.data_ptr()
        pointers = (matrix.weight.data_ptr(), matrix.scale.data_ptr(), zero, x.data_ptr(), y.data_ptr())
        with torch.cuda.device(self.device):
            stream = torch.cuda.current_stream(self.device).cuda_stream
            kernel(_Arguments(*pointers, n, k, rows), blocks, stream)


def linear(x: Tensor, matrix: Quantized) -> Tensor | None:
    """``x`` [..., K] times the transposed matrix [N, K] by these kernels; None where they can't be used."""
    fits = (
        x.device.type == "cuda"
        and not torch.version.hip
        and x.dtype in _DTYPES
        and x.numel() > 0
        and matrix.kind in ("int8", "int4")
        and x.shape[-1] % GROUP == 0
        and matrix.weight.is_contiguous()
    )
    kernels = _kernels(x.device, matrix.kind, x.dtype) if fits else None
    return kernels.linear(x, matrix) if kernels else None


@lru_cache
def _kernels(device: torch.device, kind: str, dtype: torch.dtype) -> QuantizedKernels | None:
    """The kernels, if they compile and give the right numbers on this GPU."""
    try:
        if reason := missing():
            raise RuntimeError(reason)
        kernels = QuantizedKernels(device, kind, dtype)
        if not _right(kernels, kind):
            raise RuntimeError("they gave wrong numbers")
    except Exception as e:  # NVRTC, the driver, a launch that is refused: PyTorch serves all the same
        log.warning("Miso: the kernels for %s are not used on this GPU (%s); it is slower.", kind, e)
        return None
    return kernels


def _right(kernels: QuantizedKernels, kind: str) -> bool:
    """Whether a small product and the dequantised matrix are right."""
    generator = torch.Generator().manual_seed(0)
    weight, x = (torch.randn(n, 2 * GROUP, generator=generator) for n in (_OUTPUTS + 3, 3))
    matrix = quantize(weight, kind).to(kernels.device)
    whole = matrix.dequantize(kernels.dtype)
    x = x.to(kernels.device, kernels.dtype)
    want, got = x.float() @ matrix.dequantize().T, kernels.linear(x, matrix).float()
    near = (got - want).norm() < 0.01 * want.norm()
    return bool(near) and kernels.dequantize(matrix).equal(whole)
