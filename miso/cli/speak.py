"""Commands along the chain: say, encode, decode, redecode."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..audio.files import read_audio, write_audio
from ..audio.resampling import resample
from ..checkpoints.devices import pick_device
from ..checkpoints.fetch import PUBLISHED
from ..checkpoints.find import find_checkpoint, find_codec, find_vocoder, models_folder
from ..codes.codes import Codes
from ..codes.hidden import Hidden
from ..errors import MisoError
from ..generation.depth import DepthSampler
from ..generation.depth import redecode as redecode_codes
from ..model.sampling import Sampling
from ..speech import Miso, take_seeds
from ..text.conditioning import Segment
from ..vocoders import Vocoder, decode_codes, load_vocoder
from ..vocoders.encode import encode_codes
from .progress import ProgressLine


def say(args) -> None:
    if not (args.output or args.codes or args.hidden):
        raise MisoError("Nothing would be kept.", "Give -o FILE for sound, or --codes FILE.")
    text = sys.stdin.read() if args.text == "-" else args.text
    miso = _miso(args)
    sampling = _sampling(args, miso)
    segments = [Segment(text, args.speaker)]
    vocoder = (
        _vocoder(args, miso.checkpoint.config.codec, miso.checkpoint.folder)
        if args.output or args.voice
        else None
    )
    if args.voice:
        segments.insert(0, _voice(args, vocoder, miso))
    loop = miso.sample(
        segments,
        seeds=take_seeds(args.seed, args.takes),
        max_seconds=args.max_seconds,
        sampling=sampling,
        depth=DepthSampler(miso.depth, sampling, args.codebooks),
        prefix=Codes.load(args.prefix) if args.prefix else None,
        keep_hidden=bool(args.hidden),
        path=args.path,
    )
    begin, rate = time.perf_counter(), miso.checkpoint.config.frame_rate
    with ProgressLine("sampling", loop.max_frames) as progress:
        for frame in loop:
            progress(frame.index - loop.first + 1)
    codes = loop.codes
    made = (codes.frames - loop.first) / rate
    if made:
        print(f"{made:.2f} s sampled in {time.perf_counter() - begin:.2f} s", file=sys.stderr)
    if args.codes:
        codes.save(args.codes)
    if args.hidden:
        loop.hidden.save(args.hidden)
    if args.output:
        _write(codes, vocoder, Path(args.output))


def encode(args) -> None:
    vocoder = load_vocoder(args.backend, args.vocoder, device=pick_device(args.device))
    encode_codes(
        vocoder, _sound(args.input, vocoder), codebooks=args.codebooks, text=args.text, speaker=args.speaker
    ).save(args.output)


def decode(args) -> None:
    codes = Codes.load(args.input)
    _write(codes, _vocoder(args, codes.codec, Path(args.input).parent), Path(args.output))


def redecode(args) -> None:
    miso = _miso(args)
    codes, hidden = Codes.load(args.input), Hidden.load(args.hidden)
    seeds = None if args.seed is None else take_seeds(args.seed, codes.batch)
    sampler = DepthSampler(miso.depth, _sampling(args, miso), args.codebooks)
    with ProgressLine("redecoding", codes.batch * codes.frames) as progress:
        made = redecode_codes(sampler, hidden, codes, keep=args.keep, seeds=seeds, progress=progress)
    made.save(args.output)


def _miso(args) -> Miso:
    models = Path(args.models or models_folder())
    tokenizers = [args.tokenizer] if args.tokenizer else [PUBLISHED["tokenizer"].path(models)]
    miso = Miso(
        find_checkpoint(args.checkpoint, models),
        device=args.device,
        precision=args.precision,
        tokenizers=tokenizers,
    )
    print(f"{miso.precision} on {miso.device}: {miso.because}", file=sys.stderr)
    return miso


def _sampling(args, miso: Miso) -> Sampling:
    given = {k: v for k, v in (("temperature", args.temperature), ("top_k", args.top_k)) if v is not None}
    return replace(miso.sampling, **given)


def _vocoder(args, codec: str, beside: Path) -> Vocoder:
    models = Path(args.models or models_folder())
    path = args.vocoder or find_vocoder(codec, beside, models)
    return load_vocoder(args.backend, path, device=pick_device(args.device))


def _voice(args, vocoder: Vocoder, miso: Miso) -> Segment:
    """A voice prompt from a codes file, or from a sound file encoded now."""
    if Path(args.voice).suffix == ".safetensors":
        codes = Codes.load(args.voice)
    else:
        if not vocoder.can_encode:
            path = find_codec(
                miso.checkpoint.config.codec, miso.checkpoint.folder, Path(args.models or models_folder())
            )
            vocoder = load_vocoder("mimi", path, device=pick_device(args.device))
        codes = encode_codes(vocoder, _sound(args.voice, vocoder))
    text = args.voice_text or " ".join(s.text for s in codes.takes[0].spans)
    if not text.strip():
        raise MisoError(f"What {args.voice} says is not known.", "Give its words with --voice-text.")
    return Segment(text, args.speaker, codes, voice=True)


def _sound(path: str, vocoder: Vocoder) -> Tensor:
    """A sound file as [1, 1, N] at the vocoder's rate."""
    wave, rate = read_audio(path)
    return resample(wave, rate, vocoder.sample_rate)[None, None]


def _write(codes: Codes, vocoder: Vocoder, output: Path) -> None:
    """One sound file a take; several get the take's number before the suffix."""
    if not codes.frames:
        raise MisoError(
            "There is nothing to hear: speech ended before it began.", "Try another seed.", input="seed"
        )
    with ProgressLine("decoding", codes.frames) as progress:
        wave, samples = decode_codes(vocoder, codes, progress)
    for i, end in enumerate(samples):
        path = output if len(samples) == 1 else output.with_stem(f"{output.stem}-{i}")
        write_audio(path, wave[i, 0, :end], vocoder.sample_rate)
        print(path)
