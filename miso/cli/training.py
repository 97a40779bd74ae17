"""Commands of training: train prepare, coder, codec, codes, vocoder, listener, encoder, lm, nano, finetune; and evaluate."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checkpoints.devices import pick_device, pick_precision
from ..checkpoints.fetch import PUBLISHED
from ..checkpoints.find import find_checkpoint, find_codec, find_vocoder, models_folder
from ..files import replacing
from .progress import ProgressLine


def prepare(args) -> None:
    from ..training.data import RATE
    from ..training.data import prepare as prepare_speech

    with ProgressLine("preparing", 0) as progress:
        speech = prepare_speech(
            args.sources,
            args.out,
            speeds=args.speeds,
            phonemes=args.phonemes,
            seconds=(args.min_seconds, args.max_seconds),
            workers=args.workers or os.cpu_count() or 1,
            progress=progress,
        )
    splits = ", ".join(f"{len(speech.split(name))} {name}" for name in ("train", "validation", "test"))
    hours = sum(c.samples for c in speech.clips) / RATE / 3600
    print(f"{len(speech.clips)} clips ({splits}), {hours:.2f} hours, voices: {', '.join(speech.voices)}")


def coder(args) -> None:
    from ..training.coder import train_coder
    from ..training.data import Speech
    from ..training.presets import settings

    chosen = settings("coder", args.preset, args.config)
    print(train_coder(Speech(args.speech), _run(args, chosen), chosen, pick_device(args.device)))


def codec(args) -> None:
    from ..training.codec import train_codec
    from ..training.data import Speech
    from ..training.presets import settings

    chosen = settings("codec", args.preset, args.config)
    print(
        train_codec(
            Speech(args.speech),
            _run(args, chosen),
            chosen,
            pick_device(args.device),
            coder=args.coder,
            start=args.start,
        )
    )


def codes(args) -> None:
    from ..training.coded import encode_speech
    from ..training.data import Speech

    with ProgressLine("encoding", 0) as progress:
        coded = encode_speech(
            Speech(args.speech),
            args.codec,
            args.out,
            pick_device(args.device),
            versions=args.versions,
            progress=progress,
        )
    print(
        f"{len(coded.utterances)} utterances, {len(coded.codes)} frames of {coded.codes.shape[1]} codebooks"
    )


def vocoder(args) -> None:
    from ..training.coded import CodedSpeech
    from ..training.data import Speech
    from ..training.presets import settings
    from ..training.vocoder import train_vocoder

    chosen = settings("vocoder", args.preset, args.config)
    print(
        train_vocoder(
            Speech(args.speech),
            CodedSpeech(args.codes),
            args.codec,
            _run(args, chosen),
            chosen,
            pick_device(args.device),
            start=args.start,
            listener=args.listener,
        )
    )


def listener(args) -> None:
    from ..training.data import Speech
    from ..training.listening import train_listener
    from ..training.presets import settings

    chosen = settings("listener", args.preset, args.config)
    print(train_listener(Speech(args.speech), _run(args, chosen), chosen, pick_device(args.device)))


def encoder(args) -> None:
    from ..training.data import Speech
    from ..training.encoder import train_encoder
    from ..training.presets import settings

    chosen = settings("encoder", args.preset, args.config)
    print(
        train_encoder(
            Speech(args.speech),
            args.codec,
            args.vocoder,
            args.listener,
            _run(args, chosen),
            chosen,
            pick_device(args.device),
        )
    )


def lm(args) -> None:
    from ..training.coded import CodedSpeech
    from ..training.lm import train_lm
    from ..training.presets import settings

    chosen = settings("lm", args.preset, args.config)
    print(train_lm(CodedSpeech(args.codes), _run(args, chosen), chosen, pick_device(args.device)))


def nano(args) -> None:
    from ..checkpoints.convert import convert_checkpoint
    from ..training.codec import train_codec
    from ..training.coded import CodedSpeech, encode_speech
    from ..training.coder import train_coder
    from ..training.data import Speech
    from ..training.encoder import train_encoder
    from ..training.listening import train_listener
    from ..training.lm import train_lm
    from ..training.presets import as_record, settings
    from ..training.run import Budget, Run
    from ..training.vocoder import train_vocoder

    speech, device, out = Speech(args.speech), pick_device(args.device), Path(args.out)

    def run(kind: str, minutes: float, folder: str = "") -> tuple[Run, Any]:
        chosen = settings(kind, args.preset)
        return Run(out / (folder or kind), Budget(minutes=minutes), as_record(chosen), args.seed), chosen

    def coded(codec: Path, name: str, versions: int = 1) -> CodedSpeech:
        if not (codes := out / name).is_file():
            with ProgressLine("encoding", 0) as progress:
                encode_speech(speech, codec, codes, device, versions=versions, progress=progress)
        return CodedSpeech(codes)

    coder = train_coder(speech, *run("coder", args.coder_minutes), device)
    codec = train_codec(speech, *run("codec", args.codec_minutes), device, coder=coder)
    first = train_vocoder(
        speech,
        coded(codec, "first-codes.safetensors"),
        codec,
        *run("vocoder", args.vocoder_minutes, "first-vocoder"),
        device,
    )
    listener = train_listener(speech, *run("listener", args.listener_minutes), device)
    codec = train_encoder(speech, codec, first, listener, *run("encoder", args.encoder_minutes), device)
    codes = coded(codec, "codes.safetensors", args.versions)
    vocoder = train_vocoder(
        speech, codes, codec, *run("vocoder", args.vocoder_minutes), device, start=first, listener=listener
    )
    model = train_lm(codes, *run("lm", args.lm_minutes), device)
    made = [out / f"nano{part}.safetensors" for part in ("", "-codec", "-vocoder")]
    convert_checkpoint(model, made[0], "int8")
    for source, target in ((codec, made[1]), (vocoder, made[2])):
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    print(*made, sep="\n")


def finetune(args) -> None:
    from ..checkpoints.checkpoint import Checkpoint
    from ..training.coded import CodedSpeech, encode_speech
    from ..training.data import prepare as prepare_speech
    from ..training.finetune import finetune as train_further
    from ..training.presets import settings

    device, models, out = pick_device(args.device), Path(args.models or models_folder()), Path(args.out)
    checkpoint = Checkpoint(find_checkpoint(args.checkpoint, models))
    chosen = settings("finetune", args.preset, args.config)
    chosen = chosen if args.rank is None else replace(chosen, rank=args.rank)
    coded = out / "codes.safetensors"
    if not coded.is_file():
        with ProgressLine("preparing", 0) as progress:
            speech = prepare_speech(args.sources, out / "speech", workers=1, progress=progress)
        vocoder = args.codec or find_codec(checkpoint.config.codec, checkpoint.folder, models)
        with ProgressLine("encoding", 0) as progress:
            encode_speech(
                speech,
                vocoder,
                coded,
                device,
                codebooks=checkpoint.config.codebooks,
                batch=8,
                progress=progress,
            )
    tokenizers = [args.tokenizer] if args.tokenizer else [PUBLISHED["tokenizer"].path(models)]
    print(
        train_further(
            checkpoint,
            CodedSpeech(coded),
            _run(args, chosen),
            chosen,
            device,
            speaker=args.speaker,
            precision=pick_precision(args.precision, device),
            tokenizers=tokenizers,
        )
    )


def evaluate(args) -> None:
    from ..checkpoints.checkpoint import Checkpoint
    from ..model.sampling import Sampling
    from ..training.evaluate import evaluate as measure
    from ..training.figures import table

    models = Path(args.models or models_folder())
    path = find_checkpoint(args.checkpoint, models)
    checkpoint = Checkpoint(path)
    codec = args.codec or find_codec(checkpoint.config.codec, checkpoint.folder, models)
    vocoder = args.vocoder or args.codec or find_vocoder(checkpoint.config.codec, checkpoint.folder, models)
    given = {k: v for k, v in (("temperature", args.temperature), ("top_k", args.top_k)) if v is not None}
    sampling = replace(Sampling(checkpoint.config.temperature, checkpoint.config.top_k), **given)
    with ProgressLine("evaluating", args.sentences) as progress:
        result = measure(
            path,
            codec,
            vocoder=vocoder,
            sentences=args.sentences,
            source=args.source,
            judges=args.judges,
            speakers=args.speakers,
            sampling=sampling,
            seed=args.seed,
            threads=args.threads,
            keep=args.keep,
            progress=progress,
        )
    print(table(result["figures"]))
    if args.json:
        with replacing(Path(args.json)) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def _run(args, settings):
    from ..training.presets import as_record
    from ..training.run import Budget, Run

    return Run(args.out, Budget(args.steps, args.minutes, args.stop_after), as_record(settings), args.seed)
