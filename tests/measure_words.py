"""Measure Align Words with nano: ``python tests/measure_words.py [SENTENCES] [--source DIR]``.

Run it in the test environment. Sentences are sampled, aligned and decoded, and their word starts compared
with those of Whisper tiny.en, which are good to about 100 ms themselves. With ``--source``, a folder of sound
files with a ``transcripts.tsv`` (file, text, seconds, ...), these are encoded and compared too. Words that
the recogniser hears otherwise don't count. It prints a Markdown table.
"""

import argparse
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
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    miso, whisper = Miso(BUNDLED / "nano.safetensors", device="cpu"), Whisper()
    vocoder = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors")
    print(
        "| speech | words | compared | constant (ms) | median (ms) | 95 % (ms) | beyond 200 ms | missed "
        "| low confidence | time a sentence (ms) |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    report("sampled", miso, whisper, vocoder, sampled(miso, args.sentences))
    if args.source:
        report("encoded", miso, whisper, vocoder, encoded(args.source, args.sentences))


def sampled(miso: Miso, count: int) -> Iterator[tuple[Codes, torch.Tensor | None]]:
    for i, text in enumerate(SENTENCES.read_text(encoding="utf-8").splitlines()[:count]):
        loop = miso.sample([Segment(text, i % 2)], seeds=[i], max_seconds=12)
        list(loop)
        yield loop.codes, None


def encoded(source: Path, count: int) -> Iterator[tuple[Codes, torch.Tensor | None]]:
    codec = load_vocoder("auto", BUNDLED / "nano-codec.safetensors")
    lines = (source / "transcripts.tsv").read_text(encoding="utf-8").splitlines()
    for line in lines[-count:]:
        file, text, *_ = line.split("\t")
        wave, rate = read_audio(source / file)
        wave = resample(wave.mean(0, keepdim=True), rate, codec.sample_rate)
        yield encode_codes(codec, wave[None], text=text), wave


def report(name: str, miso: Miso, whisper: Whisper, vocoder, speech) -> None:
    offsets: list[float] = []  # seconds from the recogniser's starts to ours
    words = missed = low = sentences = 0
    spent = 0.0
    for codes, wave in speech:
        begin = time.perf_counter()
        found = align(miso.backbone, miso.text, codes).words
        spent += time.perf_counter() - begin
        sentences += 1
        words += len(found)
        missed += sum(word.end - word.start < MISSED for word in found)
        low += sum(word.confidence < LOW for word in found)
        if wave is None:
            wave = vocoder.decode(codes.tensor)[0]
        heard = list(recognised(whisper, resample(wave, vocoder.sample_rate, RATE)[0]))
        matcher = SequenceMatcher(None, [plain(w.text) for w in found], [w for w, _ in heard], False)
        for a, b, size in matcher.get_matching_blocks():
            offsets += [found[a + k].start / codes.frame_rate - heard[b + k][1] for k in range(size)]
    constant = statistics.median(offsets)
    errors = sorted(abs(offset - constant) for offset in offsets)
    at = [1000 * errors[min(len(errors) - 1, int(share * len(errors)))] for share in (0.5, 0.95)]
    beyond = sum(error > 0.2 for error in errors) / len(errors)
    print(
        f"| {name} | {words} | {len(errors)} | {1000 * constant:+.0f} | {at[0]:.0f} | {at[1]:.0f} "
        f"| {100 * beyond:.1f} % | {missed} | {low} | {1000 * spent / sentences:.0f} |"
    )


def recognised(whisper: Whisper, wave: torch.Tensor) -> Iterator[tuple[str, float]]:
    """Words and their starts in seconds."""
    parts, _ = whisper.model.transcribe(
        wave.numpy(),
        language="en",
        beam_size=1,
        temperature=0.0,
        condition_on_previous_text=False,
        word_timestamps=True,
    )
    for part in parts:
        yield from ((plain(word.word), word.start) for word in part.words or ())


def plain(word: str) -> str:
    return re.sub(r"[^a-z0-9']", "", word.lower())


if __name__ == "__main__":
    main()
