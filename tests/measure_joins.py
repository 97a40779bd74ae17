"""How well two pieces of speech can be joined, in three styles, on what nano says: ``python tests/measure_joins.py`` in the test environment.

Prints a Markdown table; the default of Splice and the editor follows from it (see ``miso.audio.seams``).
"""

import random
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from miso import Codes, Miso, Segment, load_vocoder  # noqa: E402
from miso.audio.seams import audibility  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.training.evaluate import SENTENCES  # noqa: E402

LINES, JOINS, EDGE, FADE = (
    24,
    120,
    4,
    480,
)  # sentences; joins; frames kept on either side; samples of a crossfade (20 ms)


def main() -> None:
    torch.set_num_threads(2)
    draw, miso = random.Random(0), Miso(BUNDLED / "nano.safetensors", device="cpu")
    vocoder = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors")
    size, texts = vocoder.frame_size, SENTENCES.read_text(encoding="utf-8").splitlines()[:LINES]
    said = []
    for i, text in enumerate(texts):
        loop = miso.sample([Segment(text, 0)], seeds=[i], max_seconds=8)
        list(loop)
        said.append(loop.codes.tensor)
    found: dict[str, list[float]] = {
        "no seam": [],
        "plain": [],
        "a crossfade of 20 ms": [],
        "2 frames sampled anew": [],
    }
    for _ in range(JOINS):
        i, j = draw.sample(range(LINES), 2)
        a, b = said[i], said[j]
        m, n = draw.randint(EDGE, a.shape[2] - EDGE - 2), draw.randint(EDGE, b.shape[2] - EDGE - 2)
        left, right = a[..., :m], b[..., n:]
        found["no seam"] += measure(vocoder.decode(a), [m * size])
        found["plain"] += measure(vocoder.decode(torch.cat((left, right), 2)), [m * size])
        found["a crossfade of 20 ms"] += measure(
            crossfaded(vocoder.decode(a[..., : m + 1]), vocoder.decode(b), m * size, n * size), [m * size]
        )
        prefix = Codes(
            left, [m], miso.checkpoint.config.codec, codebook_size=miso.checkpoint.config.codebook_size
        )
        loop = miso.sample(
            [Segment(f"{texts[i]} {texts[j]}", 0)], seeds=[0], max_seconds=2 / 12.5, prefix=prefix
        )
        list(loop)
        between = loop.codes.tensor[..., m : m + 2]
        joined = torch.cat((left, between, right[..., between.shape[2] :]), 2)
        found["2 frames sampled anew"].append(
            max(measure(vocoder.decode(joined), [m * size, (m + between.shape[2]) * size]))
        )
    print("| join | median | above 0.9 | above 0.99 |\n|---|---|---|---|")
    for style, values in found.items():
        shares = " | ".join(
            f"{100 * sum(v > limit for v in values) / len(values):.0f} %" for limit in (0.9, 0.99)
        )
        print(f"| {style} | {statistics.median(values):.2f} | {shares} |")


def measure(wave: torch.Tensor, seams: list[int]) -> list[float]:
    return audibility(wave[0, 0], 24_000, seams)


def crossfaded(a: torch.Tensor, b: torch.Tensor, m: int, n: int) -> torch.Tensor:
    """Waves [1, 1, N] joined at sample m of a and n of b."""
    up = torch.linspace(0, 1, FADE)
    middle = a[..., m : m + FADE] * (1 - up) + b[..., n : n + FADE] * up
    return torch.cat((a[..., :m], middle, b[..., n + FADE :]), -1)


if __name__ == "__main__":
    main()
