"""Entries of a store: to be kept, compared and spoilt."""

import torch
from safetensors.torch import load_file

from miso.codes.codes import Codes
from miso.codes.hidden import Hidden
from miso.codes.takes import Span, Take
from miso.files import read_header, write_tensors

KEYS = ["a" * 64, "b" * 64, "c" * 64, "d" * 64]


def make(seed=0, frames=20, stop="eos") -> tuple[Codes, Hidden]:
    generator = torch.Generator().manual_seed(seed)
    takes = (Take(seed, stop, (Span(0, frames, f"Line {seed}."),)), Take(seed + 1, "eos"))
    tensor = torch.randint(0, 2048, (2, 32, frames), generator=generator)
    source = {"model": "m", "sampling": {"temperature": 0.9, "top_k": 50}}
    codes = Codes(tensor, [frames, frames - 3], "nano", takes=takes, source=source)
    hidden = torch.randn(2, frames, 16, generator=generator).to(torch.bfloat16)
    return codes, Hidden(hidden, codes.lengths, "m")


def equal(entry, other) -> bool:
    (codes, hidden), (other_codes, other_hidden) = entry, other
    return (
        codes.tensor.equal(other_codes.tensor)
        and codes.lengths.equal(other_codes.lengths)
        and codes.takes == other_codes.takes
        and codes.source == other_codes.source
        and codes.codec == other_codes.codec
        and hidden.tensor.equal(other_hidden.tensor)
        and hidden.tensor.dtype == other_hidden.tensor.dtype
        and hidden.lengths.equal(other_hidden.lengths)
        and hidden.fingerprint == other_hidden.fingerprint
    )


def spoil(store, key, **changes):
    """Change an entry's description (``about``) or note in place."""
    path = store.folder / f"{key}.safetensors"
    metadata, _ = read_header(path)
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    write_tensors(path, tensors, {**metadata, **changes})
