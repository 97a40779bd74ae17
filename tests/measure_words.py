"""Measure Align Words with nano: ``python tests/measure_words.py [SENTENCES] [--source DIR]``.

Run it in the test environment. Sentences are sampled, aligned and decoded, and their word starts compared
with those of Whisper tiny.en, which are good to about 100 ms themselves. With ``--source``, a folder of sound
files with a ``transcripts.tsv`` (file, text, seconds, ...), these are encoded and compared too: with
``words.json`` in the folder ({file: [[start, end], ...]}, seconds of each word), as a synthesiser knows them,
otherwise with the recogniser. Words that the recogniser hears otherwise don't count. It prints a Markdown
table.
"""

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from miso import Codes, Miso, Segment, load_vocoder  # noqa: E402
from miso.audio.files import read_audio  # noqa: E402
from miso.audio.resampling import resample  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.generation.alignment import LOW, align  # noqa: E402
from miso.training.evaluate import SENTENCES  # noqa: E402
from miso.training.judges import RATE, Whisper  # noqa: E402
from miso.vocoders.encode import encode_codes  # noqa: E402

MISSED = 0.25  # frames: a word shorter than this was passed over


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Align Words with nano.")
    parser.add_argument("sentences", type=int, nargs="?", default=60)
    parser.add_argument("--source", type=Path, help="folder of sound files with a transcripts.tsv")
    parser.add_argument("--clips", type=int, help="how many of these (default: as many as SENTENCES)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    miso, whisper = Miso(BUNDLED / "nano.safetensors", device="cpu"), Whisper()
    vocoder = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors")
    columns = " | ".join(
        f"{which}: constant | median | 95 % | beyond 200" for which in ("starts (ms)", "ends")
    )
    print(f"| speech | words | compared | {columns} | missed | low confidence | ms a sentence |")
    print(f"|---|{'---|' * 13}", flush=True)
    if args.sentences:
        report("sampled", miso, whisper, sampled(miso, vocoder, args.sentences))
    if args.source:
        report("encoded", miso, whisper, encoded(args.source, args.clips or args.sentences))


Clip = tuple[Codes, torch.Tensor, list[list[float]] | None]  # codes, sound [1, N], words' true times


def sampled(miso: Miso, vocoder, count: int) -> Iterator[Clip]:
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()
    for i in range(count):
        again, number = divmod(i, len(texts))  # by the other voice
        loop = miso.sample([Segment(texts[number], (i + again) % 2)], seeds=[i], max_seconds=12)
        list(loop)
        yield loop.codes, vocoder.decode(loop.codes.tensor)[0], None


def encoded(source: Path, count: int) -> Iterator[Clip]:
    codec = load_vocoder("auto", BUNDLED / "nano-codec.safetensors")
    known = source / "words.json"
    times = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    for line in (source / "transcripts.tsv").read_text(encoding="utf-8").splitlines()[-count:]:
        file, text, *_ = line.split("\t")
        wave = resample(*read_audio(source / file), codec.sample_rate)[None]
        yield encode_codes(codec, wave[None], text=text), wave, times.get(file)


def report(name: str, miso: Miso, whisper: Whisper, clips: Iterator[Clip]) -> None:
    starts: list[float] = []  # seconds from the true starts to ours
    ends: list[float] = []
    words = missed = low = sentences = 0
    spent = 0.0
    for codes, wave, times in clips:
        begin = time.perf_counter()
        found = align(miso.backbone, miso.text, codes).words
        spent += time.perf_counter() - begin
        sentences += 1
        words += len(found)
        missed += sum(word.end - word.start < MISSED for word in found)
        low += sum(word.confidence < LOW for word in found)
        if times is not None:
            true = [(plain(word.text), *time) for word, time in zip(found, times, strict=True)]
        else:
            true = list(recognised(whisper, resample(wave[0], 24_000, RATE)))
        matcher = SequenceMatcher(None, [plain(w.text) for w in found], [w for w, *_ in true], False)
        for a, b, size in matcher.get_matching_blocks():
            for k in range(size):
                starts.append(found[a + k].start / codes.frame_rate - true[b + k][1])
                if b + k + 1 < len(true):  # a synthesiser counts the silence after the last word to it
                    ends.append(found[a + k].end / codes.frame_rate - true[b + k][2])
    figures = " | ".join(f"{spread(offsets)}" for offsets in (starts, ends))
    took = 1000 * spent / sentences
    print(f"| {name} | {words} | {len(starts)} | {figures} | {missed} | {low} | {took:.0f} |", flush=True)


def spread(offsets: list[float]) -> str:
    """The constant, and what is left after it: median, 95 % and the share beyond 200 ms."""
    constant = statistics.median(offsets)
    errors = sorted(abs(offset - constant) for offset in offsets)
    at = [1000 * errors[min(len(errors) - 1, int(share * len(errors)))] for share in (0.5, 0.95)]
    beyond = 100 * sum(error > 0.2 for error in errors) / len(errors)
    return f"{1000 * constant:+.0f} | {at[0]:.0f} | {at[1]:.0f} | {beyond:.1f} %"


def recognised(whisper: Whisper, wave: torch.Tensor) -> Iterator[tuple[str, float, float]]:
    """Words with start and end in seconds."""
    parts, _ = whisper.model.transcribe(
        wave.numpy(),
        language="en",
        beam_size=1,
        temperature=0.0,
        condition_on_previous_text=False,
        word_timestamps=True,
    )
    for part in parts:
        yield from ((plain(word.word), word.start, word.end) for word in part.words or ())


def plain(word: str) -> str:
    return re.sub(r"[^a-z0-9']", "", word.lower())


if __name__ == "__main__":
    main()
