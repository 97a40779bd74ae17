"""Commands along the chain: say, spoken, encode, decode, redecode."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ...audio.check import remarks
from ...audio.files import check_suffix, read_audio, write_audio
from ...audio.resampling import resample
from ...checkpoints.devices import pick_device
from ...checkpoints.find import BUNDLED, PUBLISHED, find_checkpoint, find_codec, find_vocoder, models_folder
from ...codes.codes import Codes
from ...codes.hidden import Hidden
from ...errors import MisoError
from ...generation.depth import DepthSampler
from ...generation.depth import redecode as redecode_codes
from ...model.sampling import Sampling
from ...speech import Miso, take_seeds
from ...text.conditioning import Segment, text_said
from ...text.normalize import normalize
from ...text.phonemes import phonemes
from ...text.pronunciations import FILE, Pronunciations
from ...vocoders import Vocoder, decode_codes, load_vocoder
from ...vocoders.encode import encode_codes
from .progress import ProgressLine


def say(args: Namespace) -> None:
    if not (args.output or args.codes or args.hidden):
        raise MisoError("No output file is given.", "Use -o FILE for sound, or --codes FILE.")
    if args.output:
        check_suffix(args.output)  # now, not after sampling
    text = sys.stdin.read() if args.text == "-" else args.text
    miso = _load_miso(args, _pronunciations(args))
    if left_out := miso.text.read(text).left_out:
        print(f"Left out: {', '.join(left_out)}", file=sys.stderr)
    config = miso.checkpoint.config
    sampling = _choose_sampling(args, miso)
    segments = [Segment(text, args.speaker)]
    vocoder = None
    if args.output or args.voice:
        vocoder = _load_vocoder(args, config.codec, miso.checkpoint.folder)
    if args.voice:
        segments.insert(0, _voice_prompt(args, vocoder, miso))
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
    begin = time.perf_counter()
    with ProgressLine("sampling", loop.max_frames) as progress:
        for frame in loop:
            progress(frame.index - loop.first + 1)
    codes = loop.codes
    if sampled := codes.frames - loop.first:
        seconds = time.perf_counter() - begin
        print(f"{sampled / config.frame_rate:.2f} s sampled in {seconds:.2f} s", file=sys.stderr)
    if args.codes:
        codes.save(args.codes)
    if args.hidden:
        loop.hidden.save(args.hidden)
    if args.output:
        _write_sound(codes, vocoder, Path(args.output))


def spoken(args: Namespace) -> None:
    pronunciations = _pronunciations(args)
    if (args.text is None) == (args.file is None):
        raise MisoError("Give a text, or a file with --file.", input="text")

    def said(text: str) -> tuple[str, str]:
        normalized = normalize(pronunciations.apply(text), args.language)
        words = normalized.text
        if args.phonemes and (symbols := phonemes(words)) is not None:
            words = symbols
        return words, ", ".join(normalized.left_out)

    if args.file is None:
        text = sys.stdin.read() if args.text == "-" else args.text
        words, left_out = said(text)
        print(words)
        if left_out:
            print(f"Left out: {left_out}", file=sys.stderr)
        return
    try:
        lines = Path(args.file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise MisoError(
            f"{args.file} can't be read ({e}).", "Give a text file in UTF-8.", input="file"
        ) from e
    for line in filter(str.strip, lines):
        text = line.partition("\t")[0] if Path(args.file).suffix == ".tsv" else line
        print(text, *said(text), sep="\t")


def encode(args: Namespace) -> None:
    path = args.vocoder or BUNDLED / "nano-codec.safetensors"
    vocoder = load_vocoder(args.backend, path, device=pick_device(args.device))
    wave = _read_sound(args.input, vocoder)
    codes = encode_codes(vocoder, wave, codebooks=args.codebooks, text=args.text, speaker=args.speaker)
    codes.save(args.output)


def decode(args: Namespace) -> None:
    check_suffix(args.output)
    codes = Codes.load(args.input)
    vocoder = _load_vocoder(args, codes.codec, Path(args.input).parent)
    _write_sound(codes, vocoder, Path(args.output))


def redecode(args: Namespace) -> None:
    miso = _load_miso(args)
    codes, hidden = Codes.load(args.input), Hidden.load(args.hidden)
    seeds = None if args.seed is None else take_seeds(args.seed, codes.batch)
    sampler = DepthSampler(miso.depth, _choose_sampling(args, miso), args.codebooks)
    with ProgressLine("redecoding", codes.batch * codes.frames) as progress:
        result = redecode_codes(sampler, hidden, codes, keep=args.keep, seeds=seeds, progress=progress)
    result.save(args.output)


def _load_miso(args: Namespace, pronunciations: Pronunciations = Pronunciations()) -> Miso:
    models = Path(args.models or models_folder())
    miso = Miso(
        find_checkpoint(args.checkpoint, models),
        device=args.device,
        precision=args.precision,
        tokenizers=[args.tokenizer or PUBLISHED["tokenizer"].path(models)],
        pronunciations=pronunciations,
    )
    print(f"{miso.precision} on {miso.device}: {miso.because}", file=sys.stderr)
    return miso


def _pronunciations(args: Namespace) -> Pronunciations:
    """Those of --pronunciations, otherwise the user's own in the models folder."""
    path = args.pronunciations or Path(args.models or models_folder()) / "miso" / FILE
    return Pronunciations.read(path) if args.pronunciations or Path(path).is_file() else Pronunciations()


def _choose_sampling(args: Namespace, miso: Miso) -> Sampling:
    """The checkpoint's sampling, with the options that were given."""
    options = {"temperature": args.temperature, "top_k": args.top_k}
    return replace(miso.sampling, **{name: value for name, value in options.items() if value is not None})


def _load_vocoder(args: Namespace, codec: str, beside: Path) -> Vocoder:
    """The vocoder of --vocoder, otherwise the one for codes of the codec id ``codec``."""
    path = args.vocoder or find_vocoder(codec, beside, Path(args.models or models_folder()))
    return load_vocoder(args.backend, path, device=pick_device(args.device))


def _voice_prompt(args: Namespace, vocoder: Vocoder, miso: Miso) -> Segment:
    """A voice prompt from a codes file, or from a sound file, which is encoded."""
    if Path(args.voice).suffix == ".safetensors":
        codes = Codes.load(args.voice)
    else:
        if not vocoder.can_encode:
            models = Path(args.models or models_folder())
            path = find_codec(miso.checkpoint.config.codec, miso.checkpoint.folder, models)
            vocoder = load_vocoder("mimi", path, device=pick_device(args.device))
        codes = encode_codes(vocoder, _read_sound(args.voice, vocoder))
    try:
        text = text_said(codes, args.voice_text or "")
    except MisoError as e:
        raise MisoError(f"{args.voice}: {e}", "Give the text with --voice-text.") from e
    return Segment(text, args.speaker, codes, voice=True)


def _read_sound(path: str, vocoder: Vocoder) -> Tensor:
    """A sound file as [1, 1, N] at the vocoder's rate. Says what is odd about it."""
    wave, rate = read_audio(path)
    for remark in remarks(wave, rate):
        print(f"{path}: {remark}", file=sys.stderr)
    return resample(wave, rate, vocoder.sample_rate)[None, None]


def _write_sound(codes: Codes, vocoder: Vocoder, output: Path) -> None:
    """Write one sound file for each take; with several takes, the take's number precedes the suffix."""
    if not codes.frames:
        raise MisoError(
            "There is nothing to decode: the speech ended at its first frame.",
            "Try another seed.",
            input="seed",
        )
    with ProgressLine("decoding", codes.frames) as progress:
        wave, samples = decode_codes(vocoder, codes, progress)
    for take, end in enumerate(samples):
        path = output if len(samples) == 1 else output.with_stem(f"{output.stem}-{take + 1}")
        write_audio(path, wave[take, 0, :end], vocoder.sample_rate)
        print(path)
