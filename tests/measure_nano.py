"""Measure the embedded checkpoint: ``python tests/measure_nano.py [ROW ...] [--share X] [--source DIR]``.

Run it in the test environment; the judges of the opinion score and of voices are optional (see
``miso.training.judges``). Rows: everyday, short, long, voices, prompts, strangers, ends. ``--share`` makes
all of them shorter. ``--source`` is a folder of prepared speech (``python -m miso train prepare``) whose test
clips are said as well. The strangers are flite's and festival's voices, where these programs are installed.
It prints a Markdown table.
"""

import argparse
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from miso import Miso, Segment, load_vocoder  # noqa: E402
from miso.audio.files import read_audio  # noqa: E402
from miso.audio.resampling import resample  # noqa: E402
from miso.audio.word_errors import edits, plain  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.text.length import expected_seconds  # noqa: E402
from miso.training.evaluate import SENTENCES, evaluate, unnamed  # noqa: E402
from miso.training.figures import normaliser  # noqa: E402
from miso.training.judges import RATE, Resemblyzer, Whisper, installed  # noqa: E402

ONE_WORD = "Yes No Hi Stop Maybe Hello Thanks Wait".split()
TWO_WORDS = "Thank you|Good morning|Come here|Not now|Of course|I see|Well done|Right away".split("|")
RARER = (
    "Harbor Velvet Thunder Copper Lantern Meadow Pepper Cotton Whisper Marble Saddle Blanket Chimney Pilgrim "
    "Walnut Feather"
).split()
SEEDS = 4
PROMPT = "This is how I sound when I read a sentence aloud."


class Speaker:
    """nano, its vocoder and its codec, and what judges make of their sound."""

    def __init__(self) -> None:
        self.miso = Miso(BUNDLED / "nano.safetensors", device="cpu")
        self.vocoder = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors")
        self.codec = load_vocoder("mimi", BUNDLED / "nano-codec.safetensors")
        self.voices = self.miso.checkpoint.config.voices or ("0", "1")
        self.whisper, self.normalise = Whisper(), normaliser()[1]
        self.embed = Resemblyzer() if "resemblyzer" in installed() else None

    def say(self, segments: list[Segment], seeds: list[int]) -> list[tuple[torch.Tensor, str | None]]:
        """Samples [N] at ``RATE`` and why sampling ended, of each take."""
        limit = 2.5 * expected_seconds(segments[-1].text) + 2
        loop = self.miso.sample(segments, seeds=seeds, max_seconds=limit)
        for _ in loop:
            pass
        self.codes = loop.codes
        return [(self.sound(loop.codes.take(i).tensor), loop.codes.takes[i].stop) for i in range(len(seeds))]

    def sound(self, codes: torch.Tensor) -> torch.Tensor:
        if not codes.shape[2]:
            return torch.zeros(RATE)
        return resample(self.vocoder.decode(codes)[0, 0], self.vocoder.sample_rate, RATE)

    def hear(self, wave: torch.Tensor) -> str:
        return self.whisper(wave.numpy())

    def errors(self, text: str, wave: torch.Tensor) -> tuple[int, int]:
        """Word errors of what is heard, and words of the text."""
        wanted, heard = (self.normalise(t).split() for t in (text, self.hear(wave)))
        return edits(wanted, heard), len(wanted)


Rows = Iterator[tuple[str, str]]  # what is measured, and its figure


def everyday(speaker: Speaker, share: float, source: str | None) -> Rows:
    """Word errors, opinion score and speed on sentences, and on the test clips of ``source``."""
    for name, folder in (("everyday", None), ("source", source)):
        if name == "source" and not folder:
            continue
        found = evaluate(
            BUNDLED / "nano.safetensors",
            BUNDLED / "nano-codec.safetensors",
            vocoder=BUNDLED / "nano-vocoder.safetensors",
            sentences=max(4, round(200 * share)),
            source=folder,
            threads=1,
            log=lambda line: None,
        )["figures"]
        for system, figures in found.items():
            for figure, value in figures.items():
                if figure.startswith(("wer", "cer", "mos", "ended", "real", "first", "own")):
                    yield f"{name}, {system}: {figure.replace('_', ' ')}", f"{value:.4g}"


def short(speaker: Speaker, share: float, source: str | None) -> Rows:
    """Lines of a word or two that are understood exactly, with and without a final mark."""
    count = max(2, round(8 * share))
    for name, words in (("one word", ONE_WORD), ("two words", TWO_WORDS), ("one rarer word", RARER)):
        for mark, said in ((".", "with a mark"), ("", "without")):
            right = total = 0
            for i, word in enumerate(words[: count * 2 if words is RARER else count]):
                for wave, _ in speaker.say([Segment(word + mark, i % 2)], list(range(SEEDS))):
                    right += plain(speaker.hear(wave)) == plain(word)
                    total += 1
            yield f"{name}, {said}: right", f"{right} of {total}"


def long(speaker: Speaker, share: float, source: str | None) -> Rows:
    """Word errors of single lines of several sentences."""
    texts = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line]
    for sentences in (2, 4, 6, 8):
        wrong = words = 0
        seconds = []
        for i in range(max(2, round(12 * share))):
            text = " ".join(texts[(i * sentences + k) % len(texts)] for k in range(sentences))
            ((wave, _),) = speaker.say([Segment(text, i % 2)], [i])
            error, number = speaker.errors(text, wave)
            wrong, words = wrong + error, words + number
            seconds.append(len(wave) / RATE)
        yield f"lines of {np.mean(seconds):.1f} s: WER", f"{100 * wrong / words:.1f} %"


def voices(speaker: Speaker, share: float, source: str | None) -> Rows:
    """Word errors of every named voice."""
    texts = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line][60:]
    each, rates = max(2, round(8 * share)), {}
    for number, voice in enumerate(speaker.voices):
        wrong = words = 0
        for i in range(each):
            text = texts[(number * each + i) % len(texts)]
            ((wave, _),) = speaker.say([Segment(text, number)], [i])
            error, count = speaker.errors(text, wave)
            wrong, words = wrong + error, words + count
        rates[voice] = 100 * wrong / words
    worst = sorted(rates, key=lambda voice: -rates[voice])[:5]
    yield f"{len(rates)} voices: mean WER", f"{np.mean(list(rates.values())):.1f} %"
    yield "worst voices", ", ".join(f"{voice} {rates[voice]:.0f} %" for voice in worst)


def prompts(speaker: Speaker, share: float, source: str | None) -> Rows:
    """Whether a voice known from a prompt alone is nearest to its own, and word errors."""
    if speaker.embed is None:
        return
    texts = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line]
    means, given = [], []
    for number in range(len(speaker.voices)):
        vectors = [
            speaker.embed(speaker.say([Segment(texts[100 + k], number)], [k])[0][0].numpy()) for k in range(3)
        ]
        mean = np.mean(vectors, 0)
        means.append(mean / np.linalg.norm(mean))
        speaker.say([Segment(PROMPT, number)], [5])
        given.append(speaker.codes)
    own = wrong = words = total = 0
    other = unnamed(speaker.miso.checkpoint.config)
    for number in range(len(speaker.voices)):
        for i in range(max(1, round(4 * share))):
            text = texts[(7 * number + i) % 100]
            segments = [Segment(PROMPT, other, given[number], voice=True), Segment(text, other)]
            ((wave, _),) = speaker.say(segments, [i])
            own += int(np.argmax([speaker.embed(wave.numpy()) @ mean for mean in means]) == number)
            error, count = speaker.errors(text, wave)
            wrong, words, total = wrong + error, words + count, total + 1
    yield f"voice from a prompt: nearest of {len(means)} to its own", f"{own} of {total}"
    yield "voice from a prompt: WER", f"{100 * wrong / words:.1f} %"


def strangers(speaker: Speaker, share: float, source: str | None) -> Rows:
    """Word errors of voices of other kinds, before and after encoding and decoding."""
    texts = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line]
    programs = {
        "flite slt": ["flite", "-voice", "slt", "-t", "TEXT", "-o", "FILE"],
        "flite rms": ["flite", "-voice", "rms", "-t", "TEXT", "-o", "FILE"],
        "festival slt": ["text2wave", "-o", "FILE", "-eval", "(voice_cmu_us_slt_arctic_hts)"],
    }
    for name, command in programs.items():
        if shutil.which(command[0]) is None:
            continue
        before = after = words = 0
        for text in texts[: max(4, round(20 * share))]:
            with tempfile.TemporaryDirectory() as folder:
                file = f"{folder}/a.wav"
                given = [{"TEXT": text, "FILE": file}.get(part, part) for part in command]
                subprocess.run(given, input=text.encode(), check=True, capture_output=True)
                wave, rate = read_audio(file)
            wave = resample(wave, rate, speaker.codec.sample_rate)
            wave = 0.6 * wave / wave.abs().max()
            error, count = speaker.errors(text, resample(wave, speaker.codec.sample_rate, RATE))
            before, words = before + error, words + count
            after += speaker.errors(text, speaker.sound(speaker.codec.encode(wave[None, None])))[0]
        yield (
            f"{name}: WER, and after the codec",
            f"{100 * before / words:.1f} %, {100 * after / words:.1f} %",
        )


def ends(speaker: Speaker, share: float, source: str | None) -> Rows:
    """How many of 1,000 takes end by themselves, and how many are much longer than their text."""
    texts = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line]
    ended = late = total = 0
    for i, text in zip(range(round(250 * share)), itertools.cycle(texts)):
        for wave, stop in speaker.say(
            [Segment(text, i % len(speaker.voices))], [4 * i + k for k in range(4)]
        ):
            ended += stop == "eos"
            late += len(wave) / RATE > 1.5 * expected_seconds(text) + 1
            total += 1
    yield "ended by themselves", f"{ended} of {total}"
    yield "much longer than the text", f"{late} of {total}"


ROWS: dict[str, Callable[[Speaker, float, str | None], Rows]] = {
    row.__name__: row for row in (everyday, short, long, voices, prompts, strangers, ends)
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the embedded checkpoint.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"any of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--share", type=float, default=1.0, help="of the whole measurement (default 1)")
    parser.add_argument("--source", help="folder of prepared speech")
    args = parser.parse_args()
    if unknown := [name for name in args.rows if name not in ROWS]:
        parser.error(f"there is no row '{unknown[0]}': use {', '.join(ROWS)}")
    torch.set_num_threads(1)
    speaker = Speaker()
    print("| what | figure | s |\n|---|---|---|", flush=True)
    for name in args.rows or ROWS:
        began = time.perf_counter()
        for what, figure in ROWS[name](speaker, args.share, args.source):
            print(f"| {what} | {figure} | {time.perf_counter() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
