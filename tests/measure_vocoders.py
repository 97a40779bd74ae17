"""Streams against whole decodes, and backends against each other: ``python tests/measure_vocoders.py``.

    [--clips 2000] [--spoken 200] [--minutes 10] [--workers N] [--device cpu]

Random clips are codes of a random Mimi of the published layout; spoken ones are nano's. Each is decoded whole
and as a stream in chunks of random size. Printed are the greatest difference, the greatest ratio of spectral
flux at the joins of chunks (stream over whole), and clips of a wrong length. Then a sound of many minutes:
whether the difference grows, and how well backends agree (a single pass of 10 minutes by moshi takes 20 GB);
and what encoding and decoding again and again does. Run it in the test environment; packages that are missing
are left out.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from miso import Miso, Segment  # noqa: E402
from miso.audio.seams import spectral_flux  # noqa: E402
from miso.checkpoints.find import BUNDLED  # noqa: E402
from miso.tools.export import export_codec  # noqa: E402
from miso.training.evaluate import SENTENCES  # noqa: E402
from miso.vocoders import Vocoder, load_vocoder  # noqa: E402
from miso.vocoders.lfm2 import Detokenizer, DetokenizerConfig, save_detokenizer  # noqa: E402
from miso.vocoders.mimi import random_mimi, save_mimi  # noqa: E402
from miso.vocoders.source_filter import SourceFilter, save_source_filter  # noqa: E402

TAKES = 8  # decoded together
FRAMES = 3, 6  # of a random clip
CHUNK = 7  # frames, at most
FILES = {
    "mimi": "mimi.safetensors",
    "onnx": "mimi.onnx",
    "source-filter": "source-filter.safetensors",
    "lfm2": "lfm2.safetensors",
}
ROUNDS = 4  # of encoding and decoding
LONGEST = {"transformers": 2.0}  # minutes: on a CPU, ten of them take it half an hour


class Streamed(NamedTuple):
    """How streams compare with whole decodes, over some clips."""

    clips: int
    difference: float  # greatest, in samples
    flux: float  # greatest ratio at a join
    wrong: int  # clips of a wrong length


def compare_stream(vocoder: Vocoder, codes: Tensor, sizes: list[int]) -> Streamed:
    """Decode codes [B, K, T] whole, and as a stream in chunks of ``sizes`` frames."""
    whole, stream = vocoder.decode(codes), vocoder.stream(len(codes))
    parts = [stream.push(part) for part in codes.split(sizes, -1)] + [stream.flush()]
    sound, length = torch.cat(parts, -1), codes.shape[-1] * vocoder.frame_size
    if not sound.shape == whole.shape == (len(codes), 1, length):
        return Streamed(len(codes), float("inf"), float("inf"), len(codes))
    joins = torch.tensor(sizes).cumsum(0)[:-1] * vocoder.frame_size - vocoder.look_ahead
    ratios = [join_flux(a[0], b[0], vocoder.sample_rate, joins) for a, b in zip(sound, whole)]
    return Streamed(len(codes), float((sound - whole).abs().max()), max(ratios), 0)


def join_flux(sound: Tensor, whole: Tensor, rate: int, joins: Tensor) -> float:
    """The greatest ratio of the flux at a join (within 10 ms), of a stream [N] over the whole [N]."""
    (flux, _), (expected, _) = spectral_flux(sound, rate), spectral_flux(whole, rate)
    hop = round(rate * 0.005)
    near = ((torch.arange(len(flux)) * hop)[:, None] - joins).abs() <= 2 * hop  # [F, joins]
    if not near.any():
        return 1.0
    at = [torch.where(near, x[:, None], 0).amax(0) for x in (flux, expected)]
    return float((at[0] / at[1].clamp_min(1e-3)).max())


def chunk_sizes(frames: int, rng: random.Random) -> list[int]:
    """Random sizes that add up to ``frames``."""
    sizes: list[int] = []
    while (rest := frames - sum(sizes)) > 0:
        sizes.append(min(rng.randint(1, CHUNK), rest))
    return sizes


def long_stream(job: tuple[Path, str, str, float]) -> str:
    """How far a stream, a frame at a time, is from a whole decode, in the first and in the last minute."""
    vocoder, codes = _long(*job)
    whole, stream = vocoder.decode(codes), vocoder.stream()
    sound = torch.cat([*map(stream.push, codes.split(1, -1)), stream.flush()], -1)
    each = (sound - whole).abs().split(60 * vocoder.sample_rate, -1)
    return f"{job[1]}: stream against whole, first minute {each[0].max():.1e}, last {each[-1].max():.1e}"


def long_agreement(job: tuple[Path, str, str, float]) -> str:
    """How far a backend's whole decode is from our own Mimi's."""
    vocoder, codes = _long(*job)
    expected = load_vocoder("mimi", job[0] / FILES["mimi"], job[2]).decode(codes)
    difference = (vocoder.decode(codes) - expected).abs().max()
    return f"{vocoder.name}: against mimi over {job[3]:g} minutes {difference:.1e}"


def _long(folder: Path, name: str, device: str, minutes: float) -> tuple[Vocoder, Tensor]:
    torch.set_num_threads(1)
    draw, frames = torch.Generator().manual_seed(1), round(minutes * 60 * 12.5)
    file = FILES.get(name, FILES["mimi"])
    return load_vocoder(name, folder / file, device), torch.randint(0, 2048, (1, 32, frames), generator=draw)


def encode_again(vocoder: Vocoder, codes: Tensor) -> Iterator[tuple[float, float, float]]:
    """Decode and encode again and again: shares of equal codes (codebook 0, all), and the level in dB."""
    for _ in range(ROUNDS):
        wave = vocoder.decode(codes)
        again = vocoder.encode(wave, codes.shape[1])
        same = (again == codes).float()
        yield same[:, 0].mean().item(), same.mean().item(), 10 * wave.square().mean().log10().item()
        codes = again


def make_files(folder: Path) -> None:
    """Codecs and vocoders of the published layout with random weights."""
    save_mimi(folder / FILES["mimi"], mimi := random_mimi(codec="mimi-random"))
    torch.manual_seed(0)
    save_source_filter(folder / FILES["source-filter"], SourceFilter(mimi.config, codec_id=mimi.codec))
    save_detokenizer(folder / FILES["lfm2"], Detokenizer(DetokenizerConfig()))
    if find_spec("onnx") and find_spec("onnxruntime"):
        export_codec(folder / FILES["mimi"], folder / FILES["onnx"])


def random_clips(job: tuple[Path, str, int, int]) -> dict[str, Streamed]:
    """Some clips through every backend that streams; runs in a process of its own."""
    folder, device, seed, takes = job
    torch.set_num_threads(1)
    rng, draw = random.Random(seed), torch.Generator().manual_seed(seed)
    frames = rng.randint(*FRAMES)
    codes = torch.randint(0, 2048, (takes, 32, frames), generator=draw)
    return {
        name: compare_stream(_vocoder(name, folder / file, device), codes, chunk_sizes(frames, rng))
        for name, file in FILES.items()
        if (folder / file).exists()
    }


@cache
def _vocoder(backend: str, file: Path, device: str) -> Vocoder:
    """Opened once in each process."""
    return load_vocoder(backend, file, device)


def spoken_clips(job: tuple[Path, str, int, int]) -> dict[str, Streamed]:
    """A sentence of nano, in some takes, through its vocoder and its codec."""
    _, device, seed, takes = job
    torch.set_num_threads(1)
    rng, texts = random.Random(seed), SENTENCES.read_text(encoding="utf-8").splitlines()
    loop = Miso(BUNDLED / "nano.safetensors", device="cpu").sample(
        [Segment(texts[seed % len(texts)], seed % 2)], seeds=list(range(takes)), max_seconds=9
    )
    list(loop)
    codes = loop.codes.tensor[..., : max(2, int(loop.codes.lengths.min()))]
    return {
        f"nano-{kind}": compare_stream(
            _vocoder("auto", BUNDLED / f"nano-{kind}.safetensors", device),
            codes,
            chunk_sizes(codes.shape[-1], rng),
        )
        for kind in ("vocoder", "codec")
    }


def joined(results: Iterator[dict[str, Streamed]]) -> dict[str, Streamed]:
    """The results of all jobs, by backend."""
    total: dict[str, Streamed] = {}
    for result in results:
        for name, one in result.items():
            sofar = total.get(name, Streamed(0, 0.0, 0.0, 0))
            total[name] = Streamed(
                sofar.clips + one.clips,
                max(sofar.difference, one.difference),
                max(sofar.flux, one.flux),
                sofar.wrong + one.wrong,
            )
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure streams and backends of vocoders.")
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--spoken", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, get_context("spawn").Pool(args.workers) as pool:
        folder = Path(name)
        make_files(folder)
        at_hand = [name for name in FILES if (folder / FILES[name]).exists()]
        others = [name for name in ("moshi", "transformers") if find_spec(name)]
        long = [pool.apply_async(long_stream, [(folder, n, args.device, args.minutes)]) for n in at_hand]
        for other in (*others, *(name for name in at_hand if name == "onnx")):
            minutes = min(args.minutes, LONGEST.get(other, args.minutes))
            long.append(pool.apply_async(long_agreement, [(folder, other, args.device, minutes)]))
        print("| clips | backend | number | greatest difference | flux at joins | wrong lengths |")
        print("|---|---|---|---|---|---|")
        for kind, run, number in (("random", random_clips, args.clips), ("nano", spoken_clips, args.spoken)):
            jobs = [(folder, args.device, i, min(TAKES, number - i)) for i in range(0, number, TAKES)]
            for backend, r in joined(pool.imap_unordered(run, jobs)).items():
                figures = f"{r.clips} | {r.difference:.1e} | {r.flux:.4f} | {r.wrong}"
                print(f"| {kind} | {backend} | {figures} |", flush=True)
        for result in long:
            print(result.get(), flush=True)
        measure_again(args.device)
    print(f"{time.monotonic() - began:.0f} s")


def measure_again(device: str) -> None:
    """A spoken sentence, encoded and decoded again and again by nano's codec."""
    loop = Miso(BUNDLED / "nano.safetensors", device="cpu").sample(
        [Segment("The quick brown fox jumps over the lazy dog.")], seeds=[1, 2, 3], max_seconds=6
    )
    list(loop)
    vocoder = load_vocoder("auto", BUNDLED / "nano-codec.safetensors", device)
    for i, (first, all_books, level) in enumerate(encode_again(vocoder, loop.codes.tensor), 1):
        print(f"round {i}: {first:.0%} of codebook 0 and {all_books:.0%} of all codes stay, {level:.1f} dB")


if __name__ == "__main__":
    main()
