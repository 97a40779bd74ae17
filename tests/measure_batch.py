"""Measure continuous batching against one line after another: ``python tests/measure_batch.py``.

nano on one CPU thread, lines of differing lengths, without the vocoder. It prints a Markdown table of seconds
of speech per second. On a CPU, seconds are those that this process computes, so that other work on the
machine counts less. ``--device cuda`` measures a GPU.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from miso import DepthSampler, Miso  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.generation.batch import BatchLoop  # noqa: E402
from miso.generation.lines import line_seeds, prepare_line  # noqa: E402
from miso.generation.turn_settings import TurnSettings  # noqa: E402
from miso.text.script import Turn  # noqa: E402
from miso.training.evaluate import SENTENCES  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=24)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.process_time if arguments.device == "cpu" else time.perf_counter
    miso = Miso(BUNDLED / "nano.safetensors", device=arguments.device)
    depth = DepthSampler(miso.depth, miso.sampling)
    settings = TurnSettings("", "", miso.sampling, miso.sampling, depth.codebooks)
    turns = [Turn(text, i % 2) for i, text in enumerate(texts(arguments.lines))]
    lines = [
        prepare_line(miso.text, turn, seed, settings)[0] for turn, seed in zip(turns, line_seeds(0, turns))
    ]
    print("| slots | path | speech (s) | computing (s) | speech per second |\n|---|---|---|---|---|")
    for slots in arguments.slots:
        for _ in range(2 if arguments.device == "cuda" else 1):  # on a GPU the first run records the graph
            loop = BatchLoop(miso.backbone, depth, lines, slots=slots, sampling=miso.sampling)
            began = clock()
            for _ in loop:
                pass
            seconds = clock() - began
        speech = loop.sampled / miso.checkpoint.config.frame_rate
        print(
            f"| {slots} | {loop.path} | {speech:.1f} | {seconds:.1f} | {speech / seconds:.2f} |", flush=True
        )


def texts(count: int) -> list[str]:
    """Sentences, every third one cut to its first words, so that lengths differ as a game's lines do."""
    sentences = SENTENCES.read_text(encoding="utf-8").splitlines()[:count]
    return [" ".join(s.split()[:3]) + "." if i % 3 == 2 else s for i, s in enumerate(sentences)]


if __name__ == "__main__":
    main()
