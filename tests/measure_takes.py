"""Measure what ranking takes is worth: ``python tests/measure_takes.py [SENTENCES] [TAKES]``.

Run it in the test environment, with the recognisers that ``--recognisers`` names (``miso/training/judges.py``
says how to install them). nano says each sentence in several takes, which all recognisers hear. It prints a
Markdown table: the word error rate by each recogniser of the mean take, of the likeliest, of the best by what
another recogniser heard, and of the best there is. ``--json`` keeps everything that was heard.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from miso import Codes, Miso, Segment, load_vocoder  # noqa: E402
from miso.audio.resampling import resample  # noqa: E402
from miso.audio.word_errors import edits  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.codes.ranking import rank  # noqa: E402
from miso.generation.choosing import words_of  # noqa: E402
from miso.training.evaluate import SENTENCES  # noqa: E402
from miso.training.judges import RATE, judge  # noqa: E402
from miso.vocoders.decode import decode_codes  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what ranking takes is worth.")
    parser.add_argument("sentences", type=int, nargs="?", default=40)
    parser.add_argument("takes", type=int, nargs="?", default=8)
    parser.add_argument("--recognisers", nargs="+", default=["whisper", "moonshine"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for what was heard")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    miso = Miso(BUNDLED / "nano.safetensors", device="cpu")
    vocoder = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors")
    recognisers = {name: judge(name, args.threads) for name in args.recognisers}
    rows = []
    for i, text in enumerate(SENTENCES.read_text(encoding="utf-8").splitlines()[: args.sentences]):
        seeds = [args.takes * i + take for take in range(args.takes)]
        loop = miso.sample([Segment(text, i % 2)], seeds=seeds, max_seconds=12)
        list(loop)
        waves = [
            resample(decode_codes(vocoder, loop.codes.take(take)).waveform[0, 0], vocoder.sample_rate, RATE)
            for take in range(args.takes)
        ]
        heard = {name: [hears(wave.numpy()) for wave in waves] for name, hears in recognisers.items()}
        rows.append((text, loop.codes, heard))
        print(f"{i + 1} of {args.sentences}", file=sys.stderr, flush=True)
    if args.json:
        kept = [{"text": text, "heard": heard} for text, _, heard in rows]
        args.json.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    for line in table(rows, args.recognisers):
        print(line)


Row = tuple[str, Codes, dict[str, list[str]]]  # a sentence, its takes, and what each recogniser heard of them


def table(rows: list[Row], recognisers: list[str]) -> list[str]:
    """Lines of a Markdown table with a column for each recogniser that judges."""
    wrong = {
        name: [[edits(words_of(text), words_of(said)) for said in heard[name]] for text, _, heard in rows]
        for name in recognisers
    }
    lengths = [len(words_of(text)) for text, *_ in rows]
    columns = [
        figures(
            wrong[name],
            sum(lengths),
            {
                f"ranked by {other}": [
                    rank(codes, [count / length for count in counts])[0].take
                    for (_, codes, _), counts, length in zip(rows, wrong[other], lengths)
                ]
                for other in recognisers
            },
            [rank(codes)[0].take for _, codes, _ in rows],
        )
        for name in recognisers
    ]
    lines = ["| WER by | " + " | ".join(recognisers) + " |", "|---" * (len(recognisers) + 1) + "|"]
    return lines + [
        f"| {label} | " + " | ".join(f"{100 * column[label]:.1f} %" for column in columns) + " |"
        for label in columns[0]
    ]


def figures(
    wrong: list[list[int]], words: int, ranked: dict[str, list[int]], likeliest: list[int]
) -> dict[str, float]:
    """Word error rates over all sentences: of the mean take, of chosen ones, and of the best there is."""
    chosen = {"likeliest": likeliest, **ranked}
    return {
        "mean take": sum(sum(counts) / len(counts) for counts in wrong) / words,
        **{
            label: sum(counts[take] for counts, take in zip(wrong, takes)) / words
            for label, takes in chosen.items()
        },
        "best there is": sum(map(min, wrong)) / words,
    }


if __name__ == "__main__":
    main()
