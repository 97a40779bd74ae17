"""What the commands along the chain load: models, vocoders, voices, sound."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ...audio.check import remarks
from ...audio.files import read_audio, write_audio
from ...audio.resampling import resample
from ...checkpoints.devices import pick_device
from ...checkpoints.find import PUBLISHED, find_checkpoint, find_codec, find_vocoder, models_folder
from ...checkpoints.voices import find_voice
from ...codes.codes import Codes
from ...errors import MisoError
from ...model.sampling import Sampling
from ...speech import Miso
from ...text.pronunciations import FILE, Pronunciations
from ...text.voice import Voice
from ...vocoders import Vocoder, decode_codes, load_vocoder
from ...vocoders.encode import encode_codes
from .progress import ProgressLine


def load_miso(args: Namespace, pronunciations: Pronunciations = Pronunciations()) -> Miso:
    models = Path(args.models or models_folder())
    miso = Miso(
        find_checkpoint(args.checkpoint, models),
        device=args.device,
        precision=args.precision,
        tokenizers=[args.tokenizer or PUBLISHED["tokenizer"].path(models)],
        pronunciations=pronunciations,
        loras=args.lora,
    )
    print(f"{miso.precision} on {miso.device}: {miso.because}", file=sys.stderr)
    return miso


def read_pronunciations(args: Namespace) -> Pronunciations:
    """Those of --pronunciations, otherwise the user's own in the models folder."""
    path = args.pronunciations or Path(args.models or models_folder()) / "miso" / FILE
    return Pronunciations.read(path) if args.pronunciations or Path(path).is_file() else Pronunciations()


def choose_sampling(args: Namespace, miso: Miso) -> Sampling:
    """The checkpoint's sampling, with the options that were given."""
    options = {"temperature": args.temperature, "top_k": args.top_k}
    return replace(miso.sampling, **{name: value for name, value in options.items() if value is not None})


def load_codes_vocoder(args: Namespace, codec: str, beside: Path) -> Vocoder:
    """The vocoder of --vocoder, otherwise the one for codes of the codec id ``codec``. Prints its notice."""
    path = args.vocoder or find_vocoder(codec, beside, Path(args.models or models_folder()))
    vocoder = load_vocoder(args.backend, path, device=pick_device(args.device))
    if vocoder.notice:
        print(vocoder.notice, file=sys.stderr)
    return vocoder


def load_voice(args: Namespace, file: str, vocoder: Vocoder, miso: Miso, name: str = "") -> Voice:
    """A voice by its name, or from a codes file, or from a sound file, which is encoded."""
    path = find_voice(file, Path(), Path(args.models or models_folder()))
    if path.suffix == ".safetensors":
        codes = Codes.load(path)
    else:
        if not vocoder.can_encode:
            models = Path(args.models or models_folder())
            codec = find_codec(miso.checkpoint.config.codec, miso.checkpoint.folder, models)
            vocoder = load_vocoder("mimi", codec, device=pick_device(args.device))
        codes = encode_codes(vocoder, read_sound(path, vocoder))
    try:
        return Voice.of(name or path.stem, codes, args.voice_text or "")
    except MisoError as e:
        raise MisoError(f"{file}: {e}", "Give the text with --voice-text.") from e


def check_codes_file(path: str | None, what: str = "Codes") -> None:
    """Raise MisoError if ``what`` would be written under another suffix, perhaps over a sound."""
    if path and Path(path).suffix != ".safetensors":
        raise MisoError(
            f"{what} can't be written to {Path(path).name}.", "Give it a name that ends in .safetensors."
        )


def read_sound(path: str | Path, vocoder: Vocoder) -> Tensor:
    """A sound file as [1, 1, N] at the vocoder's rate. Says what is odd about it."""
    wave, rate = read_audio(path)
    for remark in remarks(wave, rate):
        print(f"{path}: {remark}", file=sys.stderr)
    return resample(wave, rate, vocoder.sample_rate)[None, None]


def write_sound(codes: Codes, vocoder: Vocoder, output: Path) -> None:
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
