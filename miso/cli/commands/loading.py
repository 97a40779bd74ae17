"""What the commands along the chain load: models, vocoders, voices, sound."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ...audio.check import remarks
from ...audio.files import check_suffix, read_audio, write_audio
from ...audio.resampling import resample
from ...checkpoints.devices import pick_device
from ...checkpoints.find import PUBLISHED, find_checkpoint, find_codec, find_vocoder, models_folder
from ...checkpoints.voices import find_voice
from ...codes.codes import Codes
from ...errors import MisoError
from ...files import open_regular
from ...generation.depth import how_many
from ...generation.paths import check_path
from ...model.config import ModelConfig
from ...model.sampling import Sampling
from ...speech import Miso, frames_for, take_seeds
from ...text.pronunciations import FILE, Pronunciations
from ...text.voice import Voice
from ...vocoders import Vocoder, decode_codes, load_vocoder
from ...vocoders.encode import encode_codes
from .progress import ProgressLine


def load_miso(
    args: Namespace, pronunciations: Pronunciations = Pronunciations(), *, reads: bool = True
) -> Miso:
    """The checkpoint of the options, opened; its networks are loaded when they are needed.

    Options and, if it ``reads`` text, its tokenizer are checked here. Prints where it will run.
    """
    _check_numbers(vars(args))
    models = Path(args.models or models_folder())
    miso = Miso(
        find_checkpoint(args.checkpoint, models),
        device=args.device,
        precision=args.precision,
        tokenizers=[args.tokenizer or PUBLISHED["tokenizer"].path(models)],
        pronunciations=pronunciations,
        loras=args.lora,
    )
    how_many(getattr(args, "codebooks", None), miso.checkpoint.config.codebooks)
    if reads:
        _ = miso.text
    print(f"{miso.precision} on {miso.device}: {miso.because}", file=sys.stderr)
    return miso


def speaker_number(args: Namespace, config: ModelConfig) -> int:
    """The number of ``--speaker``, which may be the name of one of the checkpoint's voices."""
    try:
        return int(args.speaker)
    except ValueError:
        return config.speaker(args.speaker, input="speaker")


def _check_numbers(options: Mapping[str, Any]) -> None:
    """Raise MisoError for options that suit no checkpoint."""
    given = {name: value for name, value in options.items() if value is not None}
    Sampling(**{name: given[name] for name in ("temperature", "top_k") if name in given})
    take_seeds(0, given.get("takes", 1))
    check_path(given.get("path", "auto"))
    if seconds := given.get("max_seconds"):  # 0 is no limit, where that can be
        frames_for(seconds, 1)


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


def check_voices(args: Namespace, voices: list[str]) -> None:
    """Raise MisoError if a voice, by its name or file, is missing."""
    for voice in voices:
        find_voice(voice, Path(), Path(args.models or models_folder()))


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
    check_place(path)


def check_sound_file(path: str | None) -> None:
    """Raise MisoError if sound can't be written to a file of this name."""
    if path:
        check_suffix(path)
        check_place(path)


def check_place(path: str | Path | None) -> None:
    """Raise MisoError if a file can't be written there. Missing folders will be made."""
    if not path:
        return
    folder = next(parent for parent in Path(path).absolute().parents if os.path.exists(parent))
    if os.path.exists(path) and not os.path.isfile(path):
        why = "it is not a file"
    elif not folder.is_dir():
        why = f"{folder} is not a folder"
    elif not os.access(folder, os.W_OK):
        why = f"you may not write in {folder}"
    else:
        return
    raise MisoError(f"{path} can't be written: {why}.", "Choose another place.")


def check_readable(path: str | Path) -> None:
    """Raise MisoError if there is no such file."""
    with open_regular(Path(path)):
        pass


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
