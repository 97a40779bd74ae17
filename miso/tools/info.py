"""Descriptions of files in words."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.layouts import is_model
from ..codes.codes import FORMAT as CODES
from ..codes.codes import Codes
from ..codes.hidden import FORMAT as HIDDEN
from ..errors import counted
from ..files import Entry, read_header
from ..model.config import MIMI
from ..vocoders.backends.lfm2 import LICENCE
from ..vocoders.backends.onnx import FORMAT as ONNX
from ..vocoders.backends.onnx_file import read_metadata
from ..vocoders.lfm2 import is_detokenizer
from ..vocoders.mimi.layouts import sources as is_mimi
from ..vocoders.mimi.weights import inspect_mimi
from ..vocoders.source_filter import FORMAT as SOURCE_FILTER
from ..vocoders.source_filter import inspect_source_filter

_STOPS = {
    "eos": "ended by itself",
    "limit": "stopped at the limit",
    "interrupted": "interrupted",
    "runaway": "stopped, because it got no further in its text",
    None: "not sampled in this form (encoded or edited)",
}


def info(path: str | Path) -> str:
    """A few lines about a checkpoint, codec, vocoder, codes, hidden states or another .safetensors file.

    Raises MisoError if it can't be read or is damaged.
    """
    path = Path(path)
    if path.is_dir() or path.suffix == ".json":
        return _checkpoint(path)
    if path.suffix == ".onnx":
        return _onnx(path)
    metadata, entries = read_header(path)
    if metadata.get("format") == CODES:
        return _codes(path, metadata)
    if metadata.get("format") == HIDDEN:
        takes, frames, width = entries["hidden"].shape
        return (
            f"Hidden states of a backbone: {counted(takes, 'take')}, up to {frames} frames, {width} wide.\n"
            f"From the checkpoint {metadata['fingerprint']}; its depth decoder can run again on them."
        )
    if metadata.get("format") == SOURCE_FILTER:
        codec = inspect_source_filter(path).codec_id
        return (
            f"A source-filter vocoder for codes of '{codec}': {_contents(entries)}.\n"
            "Decodes only; can decode a stream."
        )
    if is_model(entries):
        return _checkpoint(path)
    if is_detokenizer(entries):
        return (
            f"The detokenizer of LFM2.5-Audio, a vocoder for codes of '{MIMI}': {_contents(entries)}.\n"
            f"Decodes only, from 8 codebooks; can decode a stream.\n{LICENCE}"
        )
    if is_mimi(entries):
        return _codec(path, entries)
    return f"A safetensors file of another kind ({_contents(entries)}): Miso can't use it."


def _onnx(path: Path) -> str:
    metadata = read_metadata(path)
    if metadata.get("format") != ONNX:
        return "An ONNX file of another kind: Miso can't use it."
    return (
        f"A decoder for codes of '{printable(metadata.get('codec', ''))}' in "
        f"{printable(metadata.get('precision', ''))}, for ONNX Runtime.\n"
        "Decodes only, on the CPU; can decode a stream."
    )


def _checkpoint(path: Path) -> str:
    checkpoint = Checkpoint(path)
    config = checkpoint.config
    stacks = [
        f"{name}: {stack.layers} layers, {stack.dim} wide, MLP {stack.inter}, {stack.heads} heads of "
        f"{stack.head_dim}, {stack.kv_heads} KV heads."
        for name, stack in (("Backbone", config.backbone), ("Depth decoder", config.depth))
    ]
    lines = [
        f"A checkpoint of the {config.family} family ({checkpoint.layout.name} layout): "
        f"{_contents(checkpoint.entries)}.",
        *stacks,
        f"Speaks {config.codebooks} codebooks of {config.codebook_size} at {config.frame_rate:g} frames "
        f"a second (codec '{config.codec}'); {config.positions} positions, "
        f"{config.positions / config.frame_rate:.0f} s of prompt and speech together.",
        f"Text: {config.conventions.tokenizer} tokenizer, {config.text_vocab} ids, "
        f'prompt "{config.conventions.prompt}".',
        *([f"Voices: {printable(', '.join(config.voices))}."] if config.voices else []),
        f"Default sampling: temperature {config.temperature:g}, top-k {config.top_k}.",
        f"Fingerprint {checkpoint.fingerprint}.",
    ]
    return "\n".join(lines)


def _codes(path: Path, metadata: dict[str, str]) -> str:
    codes = Codes.load(path)
    takes = counted(codes.batch, "take")
    lines = [
        f"Codes of the codec '{codes.codec}': {takes}, {codes.codebooks} codebooks of {codes.codebook_size}, "
        f"{codes.frame_rate:g} frames a second."
    ]
    for i, (take, length, seconds) in enumerate(zip(codes.takes, codes.lengths.tolist(), codes.seconds)):
        facts = [counted(length, "frame"), f"{seconds:.2f} s"]
        facts += [f"seed {take.seed}"] if take.seed is not None else []
        facts += [_STOPS[take.stop]]
        if take.log_probability is not None:
            facts += [f"mean log-probability {take.log_probability:.2f}"]
        lines.append(f"Take {i + 1}: {', '.join(facts)}.")
        for span in take.spans:
            start, end = span.start / codes.frame_rate, span.end / codes.frame_rate
            about = "" if span.exact else "about: "
            lines.append(
                f"  {start:.2f} to {end:.2f} s, speaker {span.speaker}: {about}{printable(span.text)}"
            )
        if take.words:
            lines.append(f"  The places of {counted(len(take.words), 'word')} are known.")
    if codes.batch == 1 and codes.takes[0].spans and codes.takes[0].exact:
        lines.append("Can serve as a voice prompt: its text is known.")
    if "model" in codes.source:
        lines.append(f"Sampled by the checkpoint {codes.source['model']}.")
    if "workflow" in metadata:
        lines.append("Contains its ComfyUI workflow: drop the file on the canvas to restore the graph.")
    return "\n".join(lines)


def _codec(path: Path, entries: dict[str, Entry]) -> str:
    file = inspect_mimi(path)
    config = file.config
    return (
        f"A Mimi codec: {_contents(entries)}.\n"
        f"Codec id '{file.codec}': {config.codebooks} codebooks of {config.codebook_size}, "
        f"{config.frame_rate:g} frames a second, {config.sample_rate} Hz.\n"
        + ("Encodes and decodes." if file.has_encoder else "Decodes only: it has no encoder.")
    )


def _contents(entries: dict[str, Entry]) -> str:
    """How many numbers and tensors, and how many MiB of each type."""
    numbers = sum(prod(entry.shape) for entry in entries.values())
    types: Counter[str] = Counter()
    for entry in entries.values():
        types[entry.dtype] += entry.end - entry.start
    amount = f"{numbers / 1e9:.2f} billion" if numbers >= 1e9 else f"{numbers / 1e6:.2f} million"
    sizes = " and ".join(f"{size / 2**20:,.1f} MiB of {name.lower()}" for name, size in types.most_common())
    return f"{amount} numbers in {counted(len(entries), 'tensor')}, {sizes}"


def printable(text: str) -> str:
    """In one line, without what moves a terminal's cursor or changes its colours."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(text.split()))
