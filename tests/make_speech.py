"""Speech for the embedded checkpoint's training: ``python tests/make_speech.py KOKORO LINES.json OUT``.

KOKORO is a folder with Kokoro-82M (weights under Apache-2.0): ``kokoro.onnx`` in fp32 with the durations
``/encoder/Clip_output_0`` among its outputs, ``vocab.json``, and the voices ``NAME.bin`` [510, 256] fp32; the
first two letters of a name are its language and sex, af, am, bf and bm are English. LINES.json is made by
``make_lines.py``. OUT becomes a folder of prepared speech (``miso.training.data``).

Several sentences are said at once, which is several times as fast as one by one and as people speak, and cut
apart in their pauses, which the synthesiser's own durations tell. A third of the jobs are said by mixtures of
voices, which have no number in training ("@" in their names).
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from miso.training.data import RATE, Clip, clip_line  # noqa: E402

HOP = 600  # samples of a unit of duration
ENGLISH = "af", "am", "bf", "bm"
MIXED = 0.3  # share of jobs that a mixture of voices says
USUAL = "af_heart", "am_michael"  # speak twice as often
_PAUSE = 960  # samples whose energy is compared to find where a pause is quietest
_MARGIN = 1200  # samples around a pause in which that is looked for
_LOUD = 0.008  # the least amplitude of speech
_LONGEST = 24.0  # seconds of a clip
_UNMARKED = 0.45, 0.08  # shares of short and of other clips whose text has no final mark

Say = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]


@dataclass
class Share:
    """What a process says: every ``step``-th job from ``first`` on, until ``until`` (time.time())."""

    kokoro: Path
    lines: Path
    out: Path
    device: str
    first: int
    step: int
    until: float


def onnx(kokoro: Path, device: str) -> Say:
    """tokens [1, n], style [1, 256], speed -> samples [N] and durations [n]."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    kind, _, number = device.partition(":")
    providers = [("CUDAExecutionProvider", {"device_id": int(number or 0)})] if kind == "cuda" else None
    session = onnxruntime.InferenceSession(str(kokoro / "kokoro.onnx"), options, providers)

    def say(tokens: np.ndarray, style: np.ndarray, speed: float) -> tuple[np.ndarray, np.ndarray]:
        given = {"tokens": tokens, "style": style, "speed": np.array([speed], np.float32)}
        wave, durations = session.run(None, given)[:2]
        return wave.ravel(), durations.ravel()

    return say


def work(share: Share) -> tuple[Path, int]:
    """Say a share of the jobs; returns the stem of its files, and how many samples they have."""
    data = json.loads(share.lines.read_text(encoding="utf-8"))
    vocab = json.loads((share.kokoro / "vocab.json").read_text())["vocab"]
    voices = {
        path.stem: np.fromfile(path, np.float32).reshape(-1, 256)
        for path in sorted(share.kokoro.glob("??_*.bin"))
    }
    say, stem, end = onnx(share.kokoro, share.device), share.out / f"part{share.first:03d}", 0
    with stem.with_suffix(".i16").open("wb") as samples, stem.with_suffix(".jsonl").open("w") as index:
        for number in range(share.first, len(data["jobs"]), share.step):
            if time.time() > share.until:
                break
            rng, parts = random.Random(number), data["jobs"][number]
            spelt = [data["phonemes"][text] for text in parts]
            tokens = [vocab[symbol] for symbol in " ".join(spelt)]
            voice, style = draw_voice(voices, min(len(tokens), 509), number, rng)
            wave, durations = say(np.array([[0, *tokens, 0]]), style, rng.uniform(0.9, 1.15))
            places = [0, *pauses(spelt, durations, wave), len(wave)]
            held_out = [Clip("", text, "", 0, 0).split != "train" for text in parts]
            for first, last in groups(held_out, places, rng):
                piece = trimmed(wave[places[first] : places[last]], rng)
                text, symbols = " ".join(parts[first:last]), " ".join(spelt[first:last])
                if not held_out[first] and rng.random() < _UNMARKED[len(text) >= 25]:
                    text, symbols = text.rstrip(".!?"), symbols.rstrip(".!?")
                if 0.25 * RATE < len(piece) < (_LONGEST + 1) * RATE and text and symbols:
                    samples.write((piece.clip(-1, 1) * 32767).round().astype(np.int16).tobytes())
                    # a file's number decides over its split (``Clip.line``), otherwise its text does
                    file = f"{number}-{first}.wav" if held_out[first] else f"{50 * (16 * number + first)}.wav"
                    index.write(clip_line(Clip(file, text, voice, end, len(piece), symbols)))
                    end += len(piece)
    return stem, end


def draw_voice(
    voices: dict[str, np.ndarray], row: int, number: int, rng: random.Random
) -> tuple[str, np.ndarray]:
    """The name and the style [1, 256] of an English voice, or of a mixture of any two or three."""
    if rng.random() < MIXED:
        names = rng.sample(sorted(voices), rng.choice((2, 2, 3)))
        shares = [rng.gammavariate(1, 1) + 0.15 for _ in names]
        mixed = sum(share / sum(shares) * voices[name][row] for share, name in zip(shares, names))
        return f"mix{number}@", np.asarray(mixed, np.float32)[None]
    name = rng.choice([*(name for name in voices if name[:2] in ENGLISH), *(v for v in USUAL if v in voices)])
    return name, voices[name][row][None]


def pauses(spelt: list[str], durations: np.ndarray, wave: np.ndarray) -> list[int]:
    """The samples at which the sentences after the first begin: where it is quietest around their pause."""
    ends, at, found = np.cumsum(durations) * HOP, 1, []
    for symbols in spelt[:-1]:
        at += len(symbols)
        begin = int(ends[at - 2 if symbols[-1] in ".?!,;:" else at - 1]) - _MARGIN
        span = wave[max(0, begin) : int(ends[at]) + _MARGIN]
        energy = np.convolve(span**2, np.ones(_PAUSE), "valid")
        found.append(max(0, begin) + int(energy.argmin()) + _PAUSE // 2)
        at += 1  # the space
    return found


def groups(held_out: list[bool], places: list[int], rng: random.Random) -> Iterator[tuple[int, int]]:
    """Which sentences become one clip: each alone, two or three, or as many as fit; held-out ones alone."""
    count, first = len(held_out), 0
    most = rng.choices((1, rng.choice((2, 3)), count), (0.5, 0.2, 0.3))[0]
    while first < count:
        last = first + 1
        while (
            last < min(count, first + most)
            and not (held_out[first] or held_out[last])
            and places[last + 1] - places[first] <= _LONGEST * RATE
        ):
            last += 1
        yield first, last
        first = last


def trimmed(wave: np.ndarray, rng: random.Random) -> np.ndarray:
    """The speech in the samples, between about 0.1 s of silence."""
    loud = np.flatnonzero(np.abs(wave) > _LOUD)
    if not len(loud):
        return wave[:0]
    before, after = int(rng.uniform(0.06, 0.12) * RATE), int(rng.uniform(0.10, 0.18) * RATE)
    return wave[max(0, loud[0] - before) : loud[-1] + after]


def join(stems: list[Path], out: Path) -> tuple[int, int]:
    """Join the parts to prepared speech; a text that a voice said before is left out."""
    seen, clips, end = set(), 0, 0
    with (out / "samples.i16").open("wb") as samples, (out / "clips.jsonl").open("w") as index:
        for stem in stems:
            wave = np.memmap(stem.with_suffix(".i16"), np.int16, "r")
            for row in stem.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines():
                clip = Clip(**json.loads(row))
                if (clip.text, clip.voice) in seen:
                    continue
                seen.add((clip.text, clip.voice))
                samples.write(wave[clip.start : clip.start + clip.samples].tobytes())
                index.write(
                    clip_line(Clip(clip.file, clip.text, clip.voice, end, clip.samples, clip.phonemes))
                )
                clips, end = clips + 1, end + clip.samples
    return clips, end


def main() -> None:
    parser = argparse.ArgumentParser(description="Make speech for the embedded checkpoint's training.")
    parser.add_argument("kokoro", type=Path)
    parser.add_argument("lines", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--processes", type=int, default=1, help="for each device")
    parser.add_argument("--devices", nargs="+", default=["cpu"], help="for example: cuda:0 cuda:1")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    count, until = args.processes * len(args.devices), time.time() + args.seconds
    shares = [
        Share(args.kokoro, args.lines, args.out, args.devices[i % len(args.devices)], i, count, until)
        for i in range(count)
    ]
    with get_context("spawn").Pool(count) as pool:
        parts = pool.map(work, shares, chunksize=1)
    clips, samples = join([stem for stem, written in parts if written], args.out)
    for stem, _ in parts:
        for suffix in (".i16", ".jsonl"):
            stem.with_suffix(suffix).unlink()
    print(f"{clips} clips, {samples / RATE / 3600:.2f} hours")


if __name__ == "__main__":
    main()
