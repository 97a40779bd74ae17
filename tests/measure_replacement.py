"""Measure Replace Words with nano: ``python tests/measure_replacement.py [EDITS] [--processes N]``.

Run it in the test environment. Sentences are sampled, edited in one of six ways, and the edited ones compared
with the new sentences sampled as a whole: word errors by Whisper tiny.en (also before the edit: those of
words that stay remain, and the two runs differ by chance), kept words that are still heard,
seams (``miso.audio.seams``) beside the same places before the edit, the voice (Resemblyzer, if installed)
and the CPU's time for a stretch, on one thread. It prints a Markdown table.
"""

import argparse
import random
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from difflib import SequenceMatcher
from itertools import islice, zip_longest
from multiprocessing import get_context
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from miso import Codes, Miso, Segment, load_vocoder  # noqa: E402
from miso.audio.resampling import resample  # noqa: E402
from miso.audio.seams import audibility  # noqa: E402
from miso.audio.word_errors import edits as distance  # noqa: E402
from miso.audio.word_errors import plain  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.generation.depth import DepthSampler  # noqa: E402
from miso.generation.replacement import plan_edits, replace_words  # noqa: E402
from miso.training.evaluate import SENTENCES  # noqa: E402
from miso.training.judges import RATE, Resemblyzer, Whisper, installed  # noqa: E402

ALIKE = [
    words.split()
    for words in (
        "baker farmer teacher doctor lawyer judge coach mayor singer stranger boy brother painter sailor",
        "letter clock piano coat ladder bucket map jar box kite bag basket lantern carpet",
        "village station museum hall barn shore forest island river bridge town hill coast garden",
        "horse dog cat bird fish",
        "morning evening summer winter spring noon night",
    )
]
QUALITIES = "little old heavy yellow famous broken wooden quiet narrow strange".split()
DROPPED = "old small cold great whole quiet empty wet new strange ripe fallen thin very slowly always".split()
FIRST = {"The": "That", "She": "Anna", "He": "Peter", "We": "They", "They": "We", "My": "Your", "A": "The"}
ADDED = "again", "today", "after dinner", "in the evening", "with a smile"
KINDS = "replaced", "inserted", "deleted", "first", "last", "several"
_ROUNDS = 4  # edits of a sentence that are drawn; equal ones count once


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Replace Words with nano.")
    parser.add_argument("edits", type=int, nargs="?", default=60)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    args = parser.parse_args()
    results = {kind: Result() for kind in (*KINDS, "all")}
    numbered = list(enumerate(sentences(args.edits, args.kinds)))
    with get_context("spawn").Pool(args.processes, Judge.begin) as pool:
        with suppress(KeyboardInterrupt):  # prints what was found so far
            for kind, found in pool.imap(Judge.work, numbered):
                results[kind].add(found)
                results["all"].add(found)
    print(
        "| edit | n | word errors: edited | before | sampled | ratio | kept words heard "
        "| seams above 0.9: edited | before | voice: edited | sampled | s a stretch | frames of all sampled |"
    )
    print(f"|{'---|' * 13}")
    for kind, result in results.items():
        if result.edits:
            print(f"| {kind} | {result.row()} |")


def sentences(count: int, kinds: Sequence[str] = KINDS) -> Iterator[tuple[str, str, str]]:
    """Kinds in turn, each with a sentence and what becomes of it; a sentence is edited in several ways."""
    rng = random.Random(0)
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()
    found: dict[str, list[tuple[str, str, str]]] = {}
    for kind in KINDS:  # all, so that each has the same edits whichever are measured
        found[kind] = []
        for _ in range(_ROUNDS):
            rng.shuffle(texts)
            edited = [(kind, text, edit(text, kind, rng)) for text in texts]
            found[kind] += [(kind, old, new) for kind, old, new in edited if new and new != old]
        found[kind] = list(dict.fromkeys(found[kind]))
    pools = [iter(found[kind]) for kind in kinds]
    yield from islice((edit for edits in zip_longest(*pools) for edit in edits if edit), count)


def edit(text: str, kind: str, rng: random.Random) -> str | None:
    """The text with one edit of a kind; None if there is nothing for it."""
    words = text.split()
    inner = range(1, len(words) - 1)
    classes = {i: group for i in inner for group in ALIKE if words[i] in group}
    if kind == "replaced" and classes:
        i = rng.choice(list(classes))
        words[i] = rng.choice([word for word in classes[i] if word != words[i]])
    elif kind == "inserted" and (
        places := [i for i in classes if words[i - 1] in ("the", "The", "a", "his")]
    ):
        words.insert(rng.choice(places), rng.choice(QUALITIES))
    elif kind == "deleted" and (places := [i for i in inner if words[i] in DROPPED]):
        del words[rng.choice(places)]
    elif kind == "first" and words[0] in FIRST:
        words[0] = FIRST[words[0]]
    elif kind == "last":
        last = re.sub(r"\W", "", words[-1])
        same = next((group for group in ALIKE if last in group), None)
        if same:
            words[-1] = f"{rng.choice([word for word in same if word != last])}."
        else:
            words[-1:] = [last, f"{rng.choice(ADDED)}."]
    elif kind == "several":
        once = edit(text, "replaced", rng)
        return edit(once, rng.choice(("first", "last")), rng) if once else None
    else:
        return None
    return " ".join(words)


@dataclass
class Result:
    """What was found of some edits."""

    edits: int = 0
    words: list[int] = field(default_factory=lambda: [0, 0, 0])  # of the text: edited, before, sampled
    wrong: list[int] = field(default_factory=lambda: [0, 0, 0])
    kept: list[int] = field(default_factory=lambda: [0, 0])  # heard before, and still
    seams: list[list[float]] = field(default_factory=lambda: [[], []])  # edited, before
    voice: list[list[float]] = field(default_factory=lambda: [[], []])  # edited, sampled
    stretches: int = 0
    seconds: float = 0.0
    frames: list[int] = field(default_factory=lambda: [0, 0])  # sampled, all

    def add(self, other: "Result") -> None:
        """Add what was found of other edits."""
        for field_ in fields(self):
            mine, theirs = getattr(self, field_.name), getattr(other, field_.name)
            if isinstance(mine, list):
                theirs = [a + b for a, b in zip(mine, theirs)]
            else:
                theirs = mine + theirs
            setattr(self, field_.name, theirs)

    def row(self) -> str:
        edited, before, sampled = (100 * wrong / words for wrong, words in zip(self.wrong, self.words))
        seams = [100 * sum(x > 0.9 for x in values) / max(1, len(values)) for values in self.seams]
        medians = [statistics.median(values or [0]) for values in self.seams]
        voice = [f"{statistics.mean(values):.3f}" if values else "-" for values in self.voice]
        columns = [
            str(self.edits),
            f"{edited:.1f} %",
            f"{before:.1f} %",
            f"{sampled:.1f} %",
            f"{edited / sampled:.2f}" if sampled else "-",
            f"{100 * self.kept[1] / max(1, self.kept[0]):.1f} %",
            *(f"{share:.0f} % (median {median:.2f})" for share, median in zip(seams, medians)),
            *voice,
            f"{self.seconds / self.stretches:.2f}",
            f"{100 * self.frames[0] / self.frames[1]:.0f} %",
        ]
        return " | ".join(columns)


class Judge:
    """nano, and those who listen to it."""

    def __init__(self) -> None:
        self.miso = Miso(BUNDLED / "nano.safetensors", device="cpu")
        self.vocoder = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors")
        self.whisper = Whisper()
        self.voice = Resemblyzer() if "resemblyzer" in installed() else None

    @classmethod
    def begin(cls) -> None:
        """Begin a process."""
        global judge
        torch.set_num_threads(1)
        judge = cls()

    @staticmethod
    def work(numbered: tuple[int, tuple[str, str, str]]) -> tuple[str, Result]:
        """The kind of an edit, and what the process's judge found of it."""
        number, (kind, old, new) = numbered
        return kind, judge.measure(number, old, new)

    def measure(self, number: int, old: str, new: str) -> Result:
        miso, result = self.miso, Result()
        before, whole = (
            self.sample(text, number, seed) for text, seed in ((old, number), (new, 1000 + number))
        )
        plan = plan_edits(miso.text, before, new)
        began = time.process_time()
        depth = DepthSampler(miso.depth, miso.sampling)
        replaced = replace_words(
            miso.backbone, depth, miso.text, before, plan, seed=number, sampling=miso.sampling
        )
        seconds = time.process_time() - began
        edited = replaced.codes.take(0)
        waves = [self.vocoder.decode(codes.tensor)[0, 0] for codes in (before, edited, whole)]
        low = [resample(wave, self.vocoder.sample_rate, RATE).numpy() for wave in waves]
        heard = [plain(self.whisper(wave)).split() for wave in low]
        voices = [self.voice(wave) for wave in low] if self.voice else []
        wanted = [plain(text).split() for text in (old, new)]
        kept = kept_words(wanted[0], wanted[1], heard[0], heard[1])
        starts = [(start, place) for start, _, place in replaced.kept if place]  # where old frames go on
        ends = [(end, place + end - start) for start, end, place in replaced.kept if end < before.frames]
        result.edits += 1
        for k, (text, said) in enumerate(((1, 1), (0, 0), (1, 2))):  # edited, before, sampled
            result.words[k] += len(wanted[text])
            result.wrong[k] += distance(wanted[text], heard[said])
        result.kept = [a + b for a, b in zip(result.kept, kept)]
        for k, wave in ((0, waves[1]), (1, waves[0])):
            for pair in (*starts, *ends):
                at = pair[1 - k] * self.vocoder.frame_size
                if 0 < at < len(wave):
                    result.seams[k] += audibility(wave, self.vocoder.sample_rate, [at])
        if voices:
            result.voice[0].append(float(voices[0] @ voices[1]))
            result.voice[1].append(float(voices[0] @ voices[2]))
        result.stretches += sum(len(edit.changes) for edit in plan)
        result.seconds += seconds
        result.frames[0] += replaced.sampled
        result.frames[1] += edited.frames
        print(f"{new} | {' '.join(heard[1])} | {seconds:.1f} s", file=sys.stderr, flush=True)
        return result

    def sample(self, text: str, number: int, seed: int) -> Codes:
        loop = self.miso.sample([Segment(text, number % 2)], seeds=[seed], max_seconds=12)
        list(loop)
        return loop.codes


def kept_words(old: list[str], new: list[str], before: list[str], after: list[str]) -> tuple[int, int]:
    """How many words that both texts have were heard before the edit, and how many of them after it too."""

    def pairs(a: list[str], b: list[str]) -> dict[int, int]:
        blocks = SequenceMatcher(None, a, b, False).get_matching_blocks()
        return {i + k: j + k for i, j, size in blocks for k in range(size)}

    heard, still = pairs(old, before), pairs(new, after)
    both = [j for i, j in pairs(old, new).items() if i in heard]
    return len(both), sum(j in still for j in both)


if __name__ == "__main__":
    main()
