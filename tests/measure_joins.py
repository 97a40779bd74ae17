"""Measure how audible three kinds of joins are in speech of nano: ``python tests/measure_joins.py``.

Run it in the test environment. It prints a Markdown table, from which the default of Splice and of the editor
follows (see ``miso.audio.seams``).
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

LINES = 24  # sentences
JOINS = 120
EDGE = 4  # frames to keep at least on either side of a join
FADE = 480  # samples of a crossfade: 20 ms
SAMPLED = 2  # frames sampled again at a join
STYLES = ("no seam", "plain", "a crossfade of 20 ms", "2 frames sampled anew")


def main() -> None:
    torch.set_num_threads(2)
    rng, miso = random.Random(0), Miso(BUNDLED / "nano.safetensors", device="cpu")
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[:LINES]
    vocoder = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors")
    spoken = [speak(miso, text, seed=i, max_seconds=8) for i, text in enumerate(texts)]
    found: dict[str, list[float]] = {style: [] for style in STYLES}
    for _ in range(JOINS):
        i, j = rng.sample(range(LINES), 2)
        a, b = spoken[i], spoken[j]
        m, n = (rng.randint(EDGE, codes.shape[2] - EDGE - 2) for codes in (a, b))
        values = measure_join(miso, vocoder, a, b, m, n, f"{texts[i]} {texts[j]}")
        for style, value in zip(STYLES, values):
            found[style].append(value)
    print("| join | median | above 0.9 | above 0.99 |\n|---|---|---|---|")
    for style, values in found.items():
        shares = [100 * sum(value > limit for value in values) / len(values) for limit in (0.9, 0.99)]
        print(f"| {style} | {statistics.median(values):.2f} | {shares[0]:.0f} % | {shares[1]:.0f} % |")


def measure_join(miso, vocoder, a, b, m: int, n: int, text: str) -> list[float]:
    """Audibility in each style of joining codes a [1, K, T] up to frame m with codes b from frame n."""
    size, config = vocoder.frame_size, miso.checkpoint.config
    left, right = a[..., :m], b[..., n:]
    faded = crossfade(vocoder.decode(a[..., : m + 1]), vocoder.decode(b), m * size, n * size)
    prefix = Codes(left, [m], config.codec, codebook_size=config.codebook_size)
    sampled = speak(miso, text, seed=0, max_seconds=SAMPLED / config.frame_rate, prefix=prefix)
    between = sampled[..., m : m + SAMPLED]
    count = between.shape[2]
    joined = torch.cat((left, between, right[..., count:]), 2)
    return [
        measure(vocoder.decode(a), m * size),
        measure(vocoder.decode(torch.cat((left, right), 2)), m * size),
        measure(faded, m * size),
        measure(vocoder.decode(joined), m * size, (m + count) * size),
    ]


def speak(miso: Miso, text: str, seed: int, max_seconds: float, prefix: Codes | None = None) -> torch.Tensor:
    """Codes [1, K, T] of a text."""
    loop = miso.sample([Segment(text, 0)], seeds=[seed], max_seconds=max_seconds, prefix=prefix)
    list(loop)
    return loop.codes.tensor


def measure(wave: torch.Tensor, *seams: int) -> float:
    """The greatest audibility of the seams, positions in samples."""
    return max(audibility(wave[0, 0], 24_000, list(seams)))


def crossfade(a: torch.Tensor, b: torch.Tensor, m: int, n: int) -> torch.Tensor:
    """Join waves [1, 1, N] at sample m of a and n of b."""
    gain = torch.linspace(0, 1, FADE)
    middle = a[..., m : m + FADE] * (1 - gain) + b[..., n : n + FADE] * gain
    return torch.cat((a[..., :m], middle, b[..., n + FADE :]), -1)


if __name__ == "__main__":
    main()
