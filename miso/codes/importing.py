"""Codes that another model wrote become ours: its delays are undone, and what is no sound is removed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import MisoError
from ..model.config import MIMI
from .codes import Codes
from .layouts import LAYOUTS, Layout
from .takes import Span, Take

DELAYED, UNDONE = "still in the file", "already undone"
MODEL, USER = "model", "user"
AXES = {
    "KT": "codebooks, frames",
    "TK": "frames, codebooks",
    "BKT": "takes, codebooks, frames",
    "BTK": "takes, frames, codebooks",
}


@dataclass(frozen=True)
class Codec:
    """The codec of plain codes: Mimi, or that of a vocoder."""

    id: str = MIMI
    codebook_size: int = 2048
    frame_rate: float = 12.5
    codebooks: int = 32


def import_codes(
    array: Tensor,
    layout: str,
    *,
    delays: str = "",
    own_delays: Iterable[int] = (),
    stream: str = MODEL,
    axes: str = "auto",
    codec: Codec = Codec(),
    text: str = "",
    speaker: int = 0,
) -> Codes:
    """Codes [B, K, T] of an integer array that another model wrote.

    - ``layout``: a name of ``LAYOUTS``.
    - ``delays``: DELAYED or UNDONE; needed if the layout has delays. ``own_delays``: of every codebook, for
      layouts whose delays are in the checkpoint's config.
    - ``stream``: MODEL or USER, where the file has both.
    - ``axes``: a key of ``AXES``, or "auto" where the shape leaves one reading.
    - ``codec``: of plain codes; all other layouts are Mimi's.
    - ``text`` and ``speaker``: what every take says, and who.

    Delays are undone, text rows and frames without sound are removed. Raises MisoError for what can't be read
    in one way only, and for ids that neither codec nor layout has.
    """
    if layout not in LAYOUTS:
        raise MisoError(
            f"There is no layout '{layout}'.", f"Choose one of: {', '.join(LAYOUTS)}.", input="layout"
        )
    chosen = LAYOUTS[layout]
    if layout != "plain" and codec.id != MIMI:
        raise MisoError(
            f"Disconnect the vocoder, or choose the layout plain: {chosen.about} speaks '{MIMI}', not "
            f"'{codec.id}'.",
            input="layout",
        )
    if array.is_floating_point() or array.is_complex() or array.dtype == torch.bool:
        raise MisoError(f"Codes are integers; these are {array.dtype}.", "Export the codes.", input="file")
    x, codebooks, has_text = _orient(array.to(torch.int64), chosen, axes, codec)
    x = _stream(x[:, int(has_text) :], codebooks, stream)
    lags = _delays(chosen, x.shape[1], delays, tuple(own_delays))
    takes = [_take(take, number, chosen, lags, delays, codec) for number, take in enumerate(x, 1)]
    lengths = [take.shape[1] for take, _ in takes]
    tensor = torch.zeros(len(takes), x.shape[1], max(lengths), dtype=torch.int64)
    for row, (take, _) in zip(tensor, takes):
        row[:, : take.shape[1]] = take
    told = [
        Take(stop="eos" if ended else None, spans=(Span(0, length, text, speaker),) if text else ())
        for (_, ended), length in zip(takes, lengths)
    ]
    return Codes(
        tensor,
        torch.tensor(lengths),
        codec.id,
        codec.frame_rate,
        codec.codebook_size,
        tuple(told),
        {"imported": layout},
    )


def _orient(array: Tensor, layout: Layout, axes: str, codec: Codec) -> tuple[Tensor, int, bool]:
    """The array as [B, rows, T], the codebooks of a stream, and whether its first row is text."""
    rows = layout.rows()
    if layout.name == "plain":
        rows = {n: (n, False) for n in range(1, codec.codebooks + 1)}
    shape = list(array.shape)
    if array.dim() not in (2, 3) or 0 in shape:
        raise MisoError(
            f"Codes have the axes codebooks and frames, and takes before them: this array is {shape}.",
            "Export one array [codebooks, frames]; a list of frames becomes one by torch.cat(frames, -1).",
            input="file",
        )
    both = ("KT", "TK") if array.dim() == 2 else ("BKT", "BTK")
    readings = {name: at for name, at in zip(both, (-2, -1)) if shape[at] in rows and axes in ("auto", name)}
    if not readings:
        counts = _listed(rows)
        chosen = f", read as [{AXES[axes]}]" if axes in AXES else ""
        raise MisoError(
            f"Choose the layout that made the file: {layout.about} has {counts} rows; this array is "
            f"{shape}{chosen}.",
            "Its axes may be [codebooks, frames] or [frames, codebooks], with takes before them.",
            input="layout",
        )
    if len(readings) > 1:
        first, second = readings
        raise MisoError(
            f"Choose what the axes are: {shape} can be [{AXES[first]}] or [{AXES[second]}].", input="axes"
        )
    ((name, at),) = readings.items()
    x = array if array.dim() == 3 else array[None]
    return (x if at == -2 else x.transpose(1, 2)), *rows[shape[at]]


def _stream(x: Tensor, codebooks: int, stream: str) -> Tensor:
    """One stream [B, K, T] of those that are side by side."""
    if stream not in (MODEL, USER):
        raise MisoError(f"There is no stream '{stream}'.", f"Choose {MODEL} or {USER}.", input="stream")
    if x.shape[1] == codebooks:
        if stream == USER:
            raise MisoError(
                f"Choose the stream '{MODEL}': the file has only one, of {codebooks} codebooks.",
                input="stream",
            )
        return x
    return x[:, :codebooks] if stream == MODEL else x[:, codebooks:]


def _delays(layout: Layout, codebooks: int, delays: str, own: tuple[int, ...]) -> tuple[int, ...]:
    """Frames that each codebook is late in the model."""
    if layout.delays is not None:
        first, others = layout.delays
        lags = (first, *[others] * (codebooks - 1))
        if own and own != lags:
            raise MisoError(
                f"Leave own_delays empty: the delays of {layout.about} are known.", input="own_delays"
            )
        needed = any(lags)
    else:
        lags, needed = own, True
        if delays == UNDONE:
            return (0,) * codebooks
    if needed and delays not in (DELAYED, UNDONE):
        raise MisoError(
            f"Choose whether the delays of {layout.about} are still in the file: it shifts codebooks against "
            "each other, and the codes don't show whether that was undone.",
            "What a model's own generate function returns is mostly undone; what was caught step by step "
            "isn't.",
            input="delays",
        )
    if len(lags) != codebooks or min(lags) < 0:
        raise MisoError(
            f"Write the delays of all {codebooks} codebooks, as they stand in the checkpoint's config.json: "
            f"there are {len(lags)}.",
            "With a comma between them: 16, 18, 18, ...",
            input="own_delays",
        )
    return lags


def _take(
    x: Tensor, number: int, layout: Layout, lags: tuple[int, ...], delays: str, codec: Codec
) -> tuple[Tensor, bool]:
    """One take [K, T] without delays and frames that hold no sound, and whether its end was marked."""
    special = torch.isin(x, torch.tensor(sorted(layout.special), dtype=torch.int64))
    _check_ids(x, special, number, layout, codec)
    if any(lags):
        _check_delays(special, lags, delays)
        if delays == DELAYED:
            frames = max(0, x.shape[1] - max(lags))
            x, special = (
                torch.stack([row[lag : lag + frames] for row, lag in zip(t, lags)]) for t in (x, special)
            )
    complete = ~special.any(0)
    ends = x.eq(0).all(0) if layout.end == "zeros" else special[0] if layout.end else complete.new_zeros(0)
    marked = bool(ends.any())
    if marked:
        end = int(ends.nonzero()[0])
        if (complete & ~ends)[end:].any():
            after = end + int((complete & ~ends)[end:].nonzero()[0])
            raise MisoError(
                f"Save each utterance in a file of its own: take {number} ends at frame {end} and goes on at "
                f"frame {after}.",
                "If the end mark is a sound, choose the layout plain.",
                input="layout",
            )
        x, complete = x[:, :end], complete[:end]
    sound = complete.nonzero()[:, 0]
    if not len(sound):
        raise MisoError(
            f"Take {number} holds no sound: no frame of it is complete.",
            "Choose another file, or other delays.",
            input="file",
        )
    first, last = int(sound[0]), int(sound[-1]) + 1
    if not complete[first:last].all():
        gap = first + int((~complete[first:last]).nonzero()[0])
        raise MisoError(
            f"Frame {gap} of take {number} has no sound, in the midst of speech. Choose another layout, or "
            "other delays, or save each utterance in a file of its own.",
            input="layout",
        )
    return x[:, first:last], marked


def _check_ids(x: Tensor, special: Tensor, number: int, layout: Layout, codec: Codec) -> None:
    wrong = ~special & ((x < 0) | (x >= codec.codebook_size))
    if wrong.any():
        k, t = wrong.nonzero()[0].tolist()
        more = f", and {_listed(layout.special)}" if layout.special else ""
        raise MisoError(
            f"Choose the layout that made the file: take {number}, codebook {k}, frame {t} holds the id "
            f"{int(x[k, t])}; {layout.about} has 0 to {codec.codebook_size - 1}{more}.",
            input="layout",
        )


def _check_delays(special: Tensor, lags: tuple[int, ...], delays: str) -> None:
    """Refuse a choice that the ids before the first frame contradict."""
    before = special.to(torch.int8).cumprod(1).sum(1)  # of each codebook
    shift = (before - before[0]).tolist()
    for choice, other, sign in ((UNDONE, DELAYED, 1), (DELAYED, UNDONE, -1)):
        if delays == choice and shift == [sign * (lag - lags[0]) for lag in lags]:
            raise MisoError(
                f"Choose '{other}': the first sound of the codebooks shows that delays are {other}.",
                input="delays",
            )


def _listed(numbers: Iterable[int]) -> str:
    """For people: "8, 9 or 16", and "1 to 32" for many in a row."""
    found = sorted(numbers)
    if len(found) > 4 and found == list(range(found[0], found[-1] + 1)):
        return f"{found[0]} to {found[-1]}"
    return " or ".join(part for part in (", ".join(map(str, found[:-1])), str(found[-1])) if part)
