"""Commands for training, the steps of ``train``."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...checkpoints.checkpoint import Checkpoint
from ...checkpoints.convert import convert_checkpoint
from ...checkpoints.devices import pick_device, pick_precision
from ...checkpoints.find import PUBLISHED, find_checkpoint, find_codec, models_folder
from ...errors import counted
from ...files import open_tensors, read_header, write_tensors
from ...training.codec import train_codec
from ...training.coded import CodedSpeech, encode_speech
from ...training.coder import train_coder
from ...training.data import Speech
from ...training.encoder import train_encoder
from ...training.finetune import finetune as finetune_checkpoint
from ...training.listening import train_listener
from ...training.lm import train_lm
from ...training.prepare import prepare as prepare_speech
from ...training.presets import as_record, settings
from ...training.run import Budget, Run
from ...training.vocoder import train_vocoder
from .progress import ProgressLine


def prepare(args: Namespace) -> None:
    with ProgressLine("preparing", 0) as progress:
        speech = prepare_speech(
            args.sources,
            args.out,
            speeds=args.speeds,
            phonemes=args.phonemes,
            seconds=(args.min_seconds, args.max_seconds),
            workers=args.workers or os.cpu_count() or 1,
            rate=args.rate,
            progress=progress,
        )
    splits = ", ".join(f"{len(speech.split(name))} {name}" for name in ("train", "validation", "test"))
    hours = sum(clip.samples for clip in speech.clips) / speech.rate / 3600
    clips, voices = counted(len(speech.clips), "clip"), ", ".join(speech.voices)
    print(f"{clips} ({splits}), {hours:.2f} hours, voices: {voices}")


def coder(args: Namespace) -> None:
    print(train_coder(Speech(args.speech), *_run("coder", args)))


def codec(args: Namespace) -> None:
    print(train_codec(Speech(args.speech), *_run("codec", args), coder=args.coder, start=args.start))


def codes(args: Namespace) -> None:
    with ProgressLine("encoding", 0) as progress:
        coded = encode_speech(
            Speech(args.speech),
            args.codec,
            args.out,
            pick_device(args.device),
            versions=args.versions,
            progress=progress,
        )
    frames, codebooks = coded.codes.shape
    print(
        f"{counted(len(coded.utterances), 'utterance')}, {counted(frames, 'frame')} of {codebooks} codebooks"
    )


def vocoder(args: Namespace) -> None:
    speech, coded = Speech(args.speech), CodedSpeech(args.codes)
    run = _run("vocoder", args)
    print(train_vocoder(speech, coded, args.codec, *run, start=args.start, listener=args.listener))


def listener(args: Namespace) -> None:
    print(train_listener(Speech(args.speech), *_run("listener", args)))


def encoder(args: Namespace) -> None:
    speech = Speech(args.speech)
    print(train_encoder(speech, args.codec, args.vocoder, args.listener, *_run("encoder", args)))


def lm(args: Namespace) -> None:
    print(train_lm(CodedSpeech(args.codes), *_run("lm", args), start=args.start))


def nano(args: Namespace) -> None:
    speech, device, out = Speech(args.speech), pick_device(args.device), Path(args.out)
    parts = "nano.safetensors", "nano-codec.safetensors", "nano-vocoder.safetensors"
    for part in parts if args.start else ():
        read_header(Path(args.start) / part)  # now, not after an hour

    def run(kind: str, folder: str = "", like: str = "") -> tuple[Run, Any, torch.device]:
        """Run, settings (of the kind ``like``, if it is given) and device of a kind of training."""
        chosen = settings(like or kind, args.preset, args.config, step=kind)
        budget = Budget(minutes=getattr(args, f"{kind}_minutes"))
        return Run(out / (folder or kind), budget, as_record(chosen), args.seed), chosen, device

    def encoded(codec: Path, name: str, versions: int = 1) -> CodedSpeech:
        path = out / name
        if not path.is_file():
            with ProgressLine("encoding", 0) as progress:
                encode_speech(speech, codec, path, device, versions=versions, progress=progress)
        return CodedSpeech(path)

    listener = train_listener(speech, *run("listener"))
    if args.start:
        first_model, first_codec, first_vocoder = (Path(args.start) / part for part in parts)
        encoder_run = run("encoder", like="new codec")
    else:
        coder = train_coder(speech, *run("coder"))
        first_model, first_codec = None, train_codec(speech, *run("codec"), coder=coder)
        first_codes = encoded(first_codec, "first-codes.safetensors")
        first_vocoder = train_vocoder(speech, first_codes, first_codec, *run("vocoder", "first-vocoder"))
        encoder_run = run("encoder")
    codec = train_encoder(speech, first_codec, first_vocoder, listener, *encoder_run)
    if args.start:
        first_vocoder = codec.with_name("vocoder.safetensors")
        codec = train_codec(speech, *run("codec"), start=codec)
    codes = encoded(codec, "codes.safetensors", args.versions)
    vocoder = train_vocoder(speech, codes, codec, *run("vocoder"), start=first_vocoder, listener=listener)
    model = train_lm(codes, *run("lm"), start=first_model)
    outputs = [out / part for part in parts]
    convert_checkpoint(model, outputs[0], "int8")
    for source, target in zip((codec, vocoder), outputs[1:]):
        _write_bf16(source, target)
    print(*outputs, sep="\n")


def _write_bf16(source: Path, target: Path) -> None:
    """Copy a codec or vocoder in half of its size; runs keep fp32, to be resumed."""
    metadata, _ = read_header(source)
    with open_tensors(source) as file:
        tensors = {name: file.get_tensor(name).bfloat16() for name in file.keys()}  # noqa: SIM118
    write_tensors(target, tensors, metadata)


def finetune(args: Namespace) -> None:
    models, out = Path(args.models or models_folder()), Path(args.out)
    checkpoint = Checkpoint(find_checkpoint(args.checkpoint, models))
    codes = out / "codes.safetensors"
    if not codes.is_file():
        with ProgressLine("preparing", 0) as progress:
            speech = prepare_speech(args.sources, out / "speech", workers=1, progress=progress)
        with ProgressLine("encoding", 0) as progress:
            encode_speech(
                speech,
                args.codec or find_codec(checkpoint.config.codec, checkpoint.folder, models),
                codes,
                pick_device(args.device),
                codebooks=checkpoint.config.codebooks,
                batch=8,
                progress=progress,
            )
    changes = {} if args.rank is None else {"rank": args.rank}
    run, chosen, device = _run("finetune", args, **changes)
    path = finetune_checkpoint(
        checkpoint,
        CodedSpeech(codes),
        run,
        chosen,
        device,
        speaker=args.speaker,
        precision=pick_precision(args.precision, device),
        tokenizers=[args.tokenizer or PUBLISHED["tokenizer"].path(models)],
    )
    print(path)


def _run(kind: str, args: Namespace, **changes: Any) -> tuple[Run, Any, torch.device]:
    """The run, settings and device that the options of a step describe; ``changes`` override settings."""
    chosen = replace(settings(kind, args.preset, args.config), **changes)
    budget = Budget(args.steps, args.minutes, args.stop_after)
    return Run(args.out, budget, as_record(chosen), args.seed), chosen, pick_device(args.device)
