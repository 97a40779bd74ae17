"""Codecs as ONNX files, which the vocoder backend ``onnx`` and other runtimes open."""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from ..errors import MisoError, missing_package
from ..files import replacing
from ..progress import Progress
from ..vocoders import load_vocoder
from ..vocoders.backends.onnx import FORMAT, NEXT
from ..vocoders.mimi import Mimi, load_mimi
from ..vocoders.mimi.step import DecodeStep, state_shapes

PRECISIONS = "fp32", "int8"
_INSTALL = "pip install onnx onnxruntime (with onnxruntime-gpu, only onnx)"
_STEPS = 4  # of progress: read, trace, write, try
_OPSET = 17  # of ONNX, 2022: the oldest that has all that the graph needs
_FRAMES = 12  # frames to compare


def export_codec(
    codec: str | os.PathLike,
    output: str | os.PathLike,
    precision: str = "fp32",
    progress: Progress | None = None,
) -> float:
    """Write the decoder of a Mimi file as ONNX, and try it; returns its agreement with ours, an SNR in dB.

    ``int8``: the weights of matrix products have 8 bits, one scale each, and their inputs are rounded as they
    come (ONNX Runtime's dynamic quantisation); convolutions and codebooks stay fp32.

    Raises MisoError if a package is missing, the file is no Mimi, or ``output`` is not called ``.onnx``.
    """
    if precision not in PRECISIONS:
        raise MisoError(f"There is no precision '{precision}' here.", "Use fp32 or int8.", input="precision")
    if Path(output).suffix != ".onnx":
        raise MisoError(f"{Path(output).name} isn't named .onnx.", "End its name in .onnx.", input="output")
    onnx = _package("onnx")
    report = progress or (lambda done, total: None)
    report(0, _STEPS)
    mimi = load_mimi(codec)
    report(1, _STEPS)
    with replacing(output) as temporary, tempfile.TemporaryDirectory(dir=temporary.parent) as folder:
        traced = Path(folder) / "traced.onnx"
        _trace(mimi, traced)
        report(2, _STEPS)
        if precision == "int8":
            quantized = Path(folder) / "quantized.onnx"
            _quantize(traced, quantized)
            traced = quantized
        model = onnx.load(traced)
        metadata = {
            "format": FORMAT,
            "codec": mimi.codec,
            "config": mimi.config.to_json(),
            "precision": precision,
        }
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, temporary)
        del model
        report(3, _STEPS)
        agreement = _agreement(mimi, temporary)
    report(_STEPS, _STEPS)
    return agreement


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise missing_package(name.split(".")[0], "Exporting to ONNX", _INSTALL) from e


def _trace(mimi: Mimi, path: Path) -> None:
    """Write the graph of a step, for any number of takes and frames."""
    c, shapes = mimi.config, state_shapes(mimi.config)
    state = [
        torch.zeros(1, *shape) if shape else torch.zeros((), dtype=torch.int64) for shape in shapes.values()
    ]
    codes = torch.zeros(1, c.codebooks, 2, dtype=torch.int64)
    inputs, outputs = ["codes", *shapes], ["wave", *(f"{name}{NEXT}" for name in shapes)]
    dynamic = {name: {0: "takes"} for name in (*inputs, *outputs) if not name.startswith("position")}
    dynamic["codes"] = {0: "takes", 2: "frames"}
    dynamic["wave"] = {0: "takes", 2: "samples"}
    with warnings.catch_warnings():
        # The tracer warns that it keeps Python's decisions, such as which of two ways upsamples. All of them
        # hold for any number of frames.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            DecodeStep(mimi).eval(),
            (codes, *state),
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=dynamic,
            opset_version=_OPSET,
            dynamo=False,  # the other exporter needs onnxscript, and its graph is no faster
        )


def _quantize(path: Path, output: Path) -> None:
    quantization = _package("onnxruntime.quantization")
    logger = logging.getLogger()
    disabled = logger.disabled
    logger.disabled = True  # it asks for a pre-processing that changes nothing here
    try:
        # unsigned: products of signed weights overflow 16 bits on CPUs without VNNI
        quantization.quantize_dynamic(
            path, output, op_types_to_quantize=["MatMul"], weight_type=quantization.QuantType.QUInt8
        )
    finally:
        logger.disabled = disabled


@torch.inference_mode()
def _agreement(mimi: Mimi, path: Path) -> float:
    """SNR in dB of the file's sound, decoded as a stream, against ours.

    Raises MisoError if they have little in common.
    """
    c = mimi.config
    draw = torch.Generator().manual_seed(0)
    codes = torch.randint(0, c.codebook_size, (1, c.codebooks, _FRAMES), generator=draw)
    stream = load_vocoder("onnx", path).stream()
    sound = torch.cat([stream.push(part) for part in codes.split((1, 3, _FRAMES - 4), -1)], -1)
    expected = mimi.decode(codes)
    snr = 10 * torch.log10(expected.square().mean() / (sound - expected).square().mean()).item()
    if not snr > 20:
        raise MisoError(
            f"The exported graph doesn't decode as the codec does (SNR {snr:.0f} dB), so it isn't kept.",
            "Use the codec's own file with the backend 'mimi', and report this.",
        )
    return snr
