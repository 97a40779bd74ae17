"""Decoding by ONNX Runtime on the CPU: quick there, in int8 above all, and it leaves the GPU alone.

``python -m miso export`` makes its files. They hold one graph (see ``mimi.step``) whose state goes in and
out, so that streams are exact at any chunk size. A file decodes in the precision it was exported in.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import MisoError, first_line, missing_package
from ...progress import Progress
from ..mimi.codec import CHUNK
from ..mimi.config import MimiConfig
from ..mimi.step import state_shapes
from ..vocoder import Stream
from .mimi import MimiSized
from .onnx_file import read_metadata

FORMAT = "miso.decode_step"
NEXT = ".next"  # an output with this ending is the next state of the input without it
INSTALL = "pip install onnxruntime (unless onnxruntime-gpu is there: both together don't work)"


class OnnxVocoder(MimiSized):
    """``module`` is empty: the weights are in ONNX Runtime's memory."""

    name = "onnx"
    exact_streaming = True

    def __init__(self, session: Any, config: MimiConfig, codec: str, nbytes: int):
        super().__init__(config, codec)
        self.config = config
        self.session, self.module = session, nn.Module()
        self.bytes_on_cpu = nbytes

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def _decode(self, codes: Tensor, progress: Progress | None) -> Tensor:
        return self._decode_by_stream(codes, CHUNK, progress)

    def _stream(self, batch: int) -> Stream:
        return OnnxStream(self, batch)

    def first_state(self, batch: int) -> dict[str, np.ndarray]:
        """The state at the beginning of ``batch`` takes."""
        return {
            name: np.zeros((batch, *shape), np.float32) if shape else np.zeros((), np.int64)
            for name, shape in state_shapes(self.config).items()
        }


class OnnxStream(Stream):
    """A stream, exact at any chunk size. ``state`` is replaced, never modified. None: the beginning."""

    vocoder: OnnxVocoder
    state: dict[str, np.ndarray] | None = None

    def _push(self, codes: Tensor) -> Tensor:
        vocoder = self.vocoder
        ids = codes.new_full(
            (len(codes), vocoder.codebooks, codes.shape[2]), vocoder.codebook_size, dtype=torch.int64
        )
        ids[:, : codes.shape[1]] = codes
        state = self.state or vocoder.first_state(self.batch)
        try:
            wave, *new = vocoder.session.run(None, {"codes": ids.cpu().numpy(), **state})
        except Exception as e:  # of its own, by the kind of fault
            raise _damaged(first_line(e)) from e
        if wave.shape != (len(codes), 1, codes.shape[2] * vocoder.frame_size):
            raise _damaged(f"it made {wave.shape[-1]} samples of {codes.shape[2]} frames")
        self.state = dict(zip(state, new, strict=True))
        return torch.from_numpy(wave)

    def flush(self) -> Tensor:
        self.state = None
        return super().flush()


def load(
    checkpoint: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> OnnxVocoder:
    """The backend's loader; see ``registry.load_vocoder``. It computes on the CPU whatever ``device`` is."""
    path = Path(checkpoint)
    if dtype not in (None, torch.float32):
        raise MisoError(
            "The backend 'onnx' decodes in the precision of its file.",
            "Choose fp32 here, and a file that was exported in int8 if it is to be smaller.",
            input="precision",
        )
    config, codec = _sizes(path, read_metadata(path))
    try:
        import onnxruntime
    except ImportError as e:
        raise missing_package("onnxruntime", "The vocoder backend 'onnx'", INSTALL) from e
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # threads that wait by spinning would take the CPU from others between two frames
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised, too; warnings are about its own optimisations
    try:
        # without its fallback, which would try the same again
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as e:  # of its own, by the kind of fault
        raise MisoError(
            f"ONNX Runtime {onnxruntime.__version__} can't open {path.name}: {first_line(e)}",
            "Export it again with: python -m miso export. Or use the backend 'mimi'.",
        ) from e
    _check_graph(path, session, config)
    return OnnxVocoder(session, config, codec, path.stat().st_size)


def _damaged(why: str) -> MisoError:
    return MisoError(
        f"ONNX Runtime can't decode with this vocoder's file: {why}.",
        "The file is damaged. Export it again with: python -m miso export. Or use the backend 'mimi'.",
    )


def _sizes(path: Path, metadata: dict[str, str]) -> tuple[MimiConfig, str]:
    """Sizes and codec id of a file that ``miso export`` made."""
    if metadata.get("format") != FORMAT or not metadata.get("codec"):
        raise MisoError(
            f"{path.name} was not made by Miso: nothing in it says which codec's codes it decodes.",
            "Make one from the codec's .safetensors file, with: python -m miso export",
        )
    return MimiConfig.from_json(metadata.get("config", "")), metadata["codec"]


def _check_graph(path: Path, session: Any, config: MimiConfig) -> None:
    """Raise MisoError unless the graph has the codes, the samples and the state that its sizes imply."""
    states = {"codes": (config.codebooks, "frames"), **state_shapes(config)}
    expected = [(name, ["takes", *shape] if shape else []) for name, shape in states.items()]
    inputs, outputs = session.get_inputs(), session.get_outputs()
    fits = [(value.name, value.shape) for value in inputs] == expected
    fits = fits and [value.name for value in outputs] == [
        "wave",
        *(f"{value.name}{NEXT}" for value in inputs[1:]),
    ]
    if not fits:
        raise MisoError(
            f"{path.name} doesn't fit what it says of itself: a codec of {config.codebooks} codebooks.",
            "It was changed, or made by another version. Export it again with: python -m miso export",
        )
