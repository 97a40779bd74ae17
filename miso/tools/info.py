"""What a file is, in plain words."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.layouts import is_model
from ..codes.codes import FORMAT as CODES
from ..codes.codes import Codes
from ..codes.hidden import FORMAT as HIDDEN
from ..files import Entry, read_header
from ..vocoders.mimi.layouts import sources as is_mimi
from ..vocoders.mimi.weights import inspect_mimi
from ..vocoders.source_filter import FORMAT as SOURCE_FILTER
from ..vocoders.source_filter import inspect_source_filter


def info(path: str | Path) -> str:
    """A few lines about a checkpoint, a codec, codes, hidden states, or whatever else a .safetensors file may be."""
    path = Path(path)
    if path.is_dir() or path.suffix == ".json":
        return _checkpoint(path)
    metadata, entries = read_header(path)
    if metadata.get("format") == CODES:
        return _codes(path, metadata)
    if metadata.get("format") == HIDDEN:
        takes, frames, width = entries["hidden"].shape
        return (
            f"Hidden states of a backbone: {takes} takes, up to {frames} frames, {width} wide.\n"
            f"They belong to the checkpoint {metadata['fingerprint']}; the depth decoder can run again on them."
        )
    if metadata.get("format") == SOURCE_FILTER:
        net = inspect_source_filter(path)
        return f"A source-filter vocoder for codes of '{net.codec_id}': {_contents(entries)}.\nDecodes only, and streams."
    if is_model(entries):
        return _checkpoint(path)
    if is_mimi(entries):
        return _codec(path, entries)
    return f"A safetensors file of another kind ({_contents(entries)}): nothing Miso can use."


def _checkpoint(path: Path) -> str:
    checkpoint = Checkpoint(path)
    config = checkpoint.config
    lines = [
        f"A checkpoint of the {config.family} family ({checkpoint.layout.name} layout): {_contents(checkpoint.entries)}."
    ]
    for name, stack in (("Backbone", config.backbone), ("Depth decoder", config.depth)):
        lines.append(
            f"{name}: {stack.layers} layers, {stack.dim} wide, MLP {stack.inter}, {stack.heads} heads of {stack.head_dim}, "
            f"{stack.kv_heads} KV heads."
        )
    lines += [
        f"Speaks {config.codebooks} codebooks of {config.codebook_size} at {config.frame_rate:g} frames a second (codec '{config.codec}'); "
        f"{config.positions} positions, {config.positions / config.frame_rate:.0f} s of prompt and speech together.",
        f'Text: {config.conventions.tokenizer} tokenizer, {config.text_vocab} ids, prompt "{config.conventions.prompt}".',
        f"Sampled at temperature {config.temperature:g}, top-k {config.top_k} unless told otherwise.",
        f"Fingerprint {checkpoint.fingerprint}.",
    ]
    return "\n".join(lines)


def _codes(path: Path, metadata: dict[str, str]) -> str:
    codes = Codes.load(path)
    lines = [
        f"Codes of the codec '{codes.codec}': {codes.batch} {'take' if codes.batch == 1 else 'takes'}, {codes.codebooks} codebooks of "
        f"{codes.codebook_size}, {codes.frame_rate:g} frames a second."
    ]
    stops = {
        "eos": "ended by itself",
        "limit": "stopped at the limit",
        "interrupted": "interrupted",
        None: "not sampled as it is (encoded or edited)",
    }
    for i, (take, length, seconds) in enumerate(zip(codes.takes, codes.lengths.tolist(), codes.seconds)):
        seed = f", seed {take.seed}" if take.seed is not None else ""
        lines.append(
            f"Take {i}: {length} frames, {seconds:.2f} s{seed}, {stops[take.stop]}{_likelihood(take.log_probability)}."
        )
        lines += [
            f"  {s.start / codes.frame_rate:.2f} to {s.end / codes.frame_rate:.2f} s, speaker {s.speaker}: {s.text}"
            for s in take.spans
        ]
    if codes.batch == 1 and codes.takes[0].spans:
        lines.append("Can serve as a voice prompt: its text is known.")
    if "model" in codes.source:
        lines.append(f"Sampled by the checkpoint {codes.source['model']}.")
    if "workflow" in metadata:
        lines.append("Carries its ComfyUI workflow: drop the file on the canvas to get the graph back.")
    return "\n".join(lines)


def _likelihood(log_probability: float | None) -> str:
    return "" if log_probability is None else f", mean log-probability {log_probability:.2f}"


def _codec(path: Path, entries: dict[str, Entry]) -> str:
    file = inspect_mimi(path)
    config = file.config
    return (
        f"A Mimi codec: {_contents(entries)}.\n"
        f"Codec id '{file.codec}': {config.codebooks} codebooks of {config.codebook_size}, {config.frame_rate:g} frames a second, "
        f"{config.sample_rate} Hz.\n"
        + ("Encodes and decodes." if file.has_encoder else "Decodes only: it has no encoder.")
    )


def _contents(entries: dict[str, Entry]) -> str:
    numbers = sum(prod(e.shape) for e in entries.values())
    types = Counter()
    for entry in entries.values():
        types[entry.dtype] += entry.end - entry.start
    amount = f"{numbers / 1e9:.2f} billion" if numbers >= 1e9 else f"{numbers / 1e6:.2f} million"
    sizes = " and ".join(f"{size / 2**20:,.1f} MiB of {t.lower()}" for t, size in types.most_common())
    return f"{amount} numbers in {len(entries)} tensors, {sizes}"
