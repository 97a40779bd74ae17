"""Random codes for the tests of editing."""

from dataclasses import replace

import torch

from miso.codes.codes import Codes
from miso.codes.takes import Span, Take

CODEBOOKS, SIZE = 3, 2048


def make(lengths, seed=0) -> Codes:
    """Random codes with spans of up to four frames; every third stretch of four frames has no span."""
    shape, generator = (len(lengths), CODEBOOKS, max(lengths)), torch.Generator().manual_seed(seed)
    tensor = torch.randint(0, SIZE, shape, generator=generator)
    takes = []
    for i, n in enumerate(lengths):
        starts = [s for s in range(0, n, 4) if s % 12 != 8]
        spans = tuple(Span(s, min(s + 4, n), f"{seed} {i} {s}", s % 2) for s in starts)
        takes.append(Take(i, "eos", spans))
    return Codes(tensor, lengths, "nano", takes=tuple(takes), source={"model": "m"})


def same(a: Codes, b: Codes) -> bool:
    """Whether all but the stop reason, which edited codes lack, is equal.

    Texts that were cut and put together again are the same, but no longer known to be exact; frames of which
    nothing is known are then marked so.
    """
    return (
        a.tensor.equal(b.tensor)
        and a.lengths.equal(b.lengths)
        and [(t.seed, said(t)) for t in a.takes] == [(t.seed, said(t)) for t in b.takes]
    )


def said(take: Take) -> list[Span]:
    return [replace(span, exact=True) for span in take.spans if span.text]
