"""Commands along the chain: say, spoken, encode, decode, redecode, align, replace, transcribe."""

from __future__ import annotations

import dataclasses
import sys
import time
from argparse import Namespace
from pathlib import Path

from ...audio.files import read_audio
from ...audio.recogniser import load_recogniser
from ...checkpoints.devices import pick_device
from ...checkpoints.find import BUNDLED, find_recogniser, models_folder
from ...codes.codes import Codes, no_take
from ...codes.hidden import Hidden
from ...codes.subtitles import WORD_FORMATS
from ...errors import MisoError, counted
from ...files import read_text, replacing
from ...generation.alignment import align as align_words
from ...generation.alignment import doubts, summary
from ...generation.depth import DepthSampler
from ...generation.depth import redecode as redecode_codes
from ...generation.replacement import plan_edits, replace_words
from ...generation.runaway import RUNAWAY, RunawayWatch
from ...speech import frames_for, take_seeds
from ...text.conditioning import Segment
from ...text.length import expected_seconds
from ...text.normalize import normalize
from ...text.phonemes import phonemes
from ...vocoders import load_vocoder
from ...vocoders.encode import encode_codes
from .loading import (
    check_codes_file,
    check_place,
    check_readable,
    check_sound_file,
    check_voices,
    choose_sampling,
    load_codes_vocoder,
    load_miso,
    load_voice,
    read_pronunciations,
    read_sound,
    speaker_number,
    write_sound,
)
from .progress import ProgressLine
from .turns import say_turns


def say(args: Namespace) -> None:
    if not (args.output or args.codes or args.hidden):
        raise MisoError("No output file is given.", "Use -o FILE for sound, or --codes FILE.")
    check_sound_file(args.output)  # now, not after sampling
    check_codes_file(args.codes)
    check_codes_file(args.hidden, "Hidden states")
    check_codes_file(args.conversation, "A conversation")
    if args.script or args.long:
        return say_turns(args)
    if only := [name for name in ("keep", "conversation", "subtitles") if getattr(args, name)]:
        raise MisoError(f"--{only[0]} goes with --script or --long.", "Add one of them.")
    if len(args.voice) > 1:
        raise MisoError("Several voices go with --script.", "Give one --voice.")
    check_voices(args, args.voice)
    seconds = 30 if args.max_seconds is None else args.max_seconds
    frames_for(seconds, 1)
    prefix = Codes.load(args.prefix) if args.prefix else None
    text = sys.stdin.read() if args.text == "-" else args.text
    miso = load_miso(args, read_pronunciations(args))
    if left_out := miso.text.read(text).left_out:
        print(f"Left out: {', '.join(left_out)}", file=sys.stderr)
    config = miso.checkpoint.config
    speaker = speaker_number(args, config)
    needed, most = expected_seconds(text), config.taught_seconds or seconds
    if needed > most:
        about = f"The text takes about {needed:.0f} s, and a take holds {most:g} s"
        print(f"{about}: with --long it is cut into parts", file=sys.stderr)
    sampling = choose_sampling(args, miso)
    segments = [Segment(text, speaker)]
    vocoder = None
    if args.output or args.voice:
        vocoder = load_codes_vocoder(args, config.codec, miso.checkpoint.folder)
    for file in args.voice:
        voice = load_voice(args, file, vocoder, miso)
        segments.insert(0, dataclasses.replace(voice, speaker=speaker).segment())
    loop = miso.sample(
        segments,
        seeds=take_seeds(args.seed, args.takes),
        max_seconds=seconds,
        sampling=sampling,
        codebooks=args.codebooks,
        prefix=prefix,
        keep_hidden=bool(args.hidden),
        path=args.path,
    )
    watch, begin = RunawayWatch(loop, miso.text), time.perf_counter()
    with ProgressLine("sampling", loop.max_frames) as progress:
        for frame in loop:
            progress(frame.index - loop.first + 1)
            watch.frame(frame)
    codes = loop.codes
    if sampled := codes.frames - loop.first:
        seconds = time.perf_counter() - begin
        print(f"{sampled / config.frame_rate:.2f} s sampled in {seconds:.2f} s", file=sys.stderr)
    for i, take in enumerate(codes.takes, 1):
        if take.stop == "limit":
            which = f"take {i} was" if codes.batch > 1 else "the speech was"
            print(f"{which} cut at the time limit: raise --max-seconds", file=sys.stderr)
        if take.stop == RUNAWAY:
            which = f"take {i}" if codes.batch > 1 else "it"
            print(f"{which} got no further in the text and was ended: try another --seed", file=sys.stderr)
    if args.codes:
        codes.save(args.codes)
    if args.hidden:
        loop.hidden.save(args.hidden)
    if args.output:
        write_sound(codes, vocoder, Path(args.output))


def spoken(args: Namespace) -> None:
    pronunciations = read_pronunciations(args)
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
    for line in filter(str.strip, read_text(args.file).splitlines()):
        text = line.partition("\t")[0] if Path(args.file).suffix == ".tsv" else line
        print(text, *said(text), sep="\t")


def encode(args: Namespace) -> None:
    check_codes_file(args.output)
    check_readable(args.input)
    path = args.vocoder or BUNDLED / "nano-codec.safetensors"
    vocoder = load_vocoder(args.backend, path, device=pick_device(args.device))
    wave = read_sound(args.input, vocoder)
    codes = encode_codes(vocoder, wave, codebooks=args.codebooks, text=args.text, speaker=args.speaker)
    codes.save(args.output)


def decode(args: Namespace) -> None:
    check_sound_file(args.output)
    codes = Codes.load(args.input)
    vocoder = load_codes_vocoder(args, codes.codec, Path(args.input).parent)
    write_sound(codes, vocoder, Path(args.output))


def redecode(args: Namespace) -> None:
    check_codes_file(args.output)
    codes, hidden = Codes.load(args.input), Hidden.load(args.hidden)
    miso = load_miso(args, reads=False)
    seeds = None if args.seed is None else take_seeds(args.seed, codes.batch)
    sampler = DepthSampler(miso.depth, choose_sampling(args, miso), args.codebooks)
    with ProgressLine("redecoding", codes.batch * codes.frames) as progress:
        result = redecode_codes(sampler, hidden, codes, keep=args.keep, seeds=seeds, progress=progress)
    result.save(args.output)


def align(args: Namespace) -> None:
    suffix = Path(args.output).suffix[1:] if args.output else "srt"
    kind = args.to or ("labels" if suffix == "txt" else suffix)
    if kind not in WORD_FORMATS:
        raise MisoError(
            f"There are no subtitles of the kind '{kind}'.", f"Use one of: {', '.join(WORD_FORMATS)}."
        )
    check_codes_file(args.codes)
    check_place(args.output)
    codes, miso = Codes.load(args.input), load_miso(args, read_pronunciations(args))
    with ProgressLine("aligning", 1) as progress:
        try:
            aligned = align_words(miso.backbone, miso.text, codes, args.text, progress)
        except MisoError as e:
            raise MisoError(e.problem, e.remedy, "text" if e.input == "transcript" else e.input) from e
    print(summary(aligned), file=sys.stderr)
    if args.codes:
        aligned.codes.save(args.codes)
    written = WORD_FORMATS[kind](aligned.codes)
    if not args.output:
        print(written, end="")
        return
    with replacing(args.output) as temporary:
        temporary.write_text(written, encoding="utf-8")
    print(args.output)


def transcribe(args: Namespace) -> None:
    for file in args.input:
        check_readable(file)
    folder = find_recogniser(args.recogniser, Path(args.models or models_folder()))
    recogniser = load_recogniser(folder, language=args.language, device=pick_device(args.device))
    for file in args.input:
        wave, rate = read_audio(file)
        with ProgressLine("transcribing", len(wave) // rate) as progress:
            said = recogniser.transcribe(wave, rate, progress)
        print(f"{file}\t{said}" if len(args.input) > 1 else said)


def replace(args: Namespace) -> None:
    check_codes_file(args.output)
    if not 1 <= args.rank <= args.takes:
        raise no_take(args.rank - 1, args.takes, "rank")
    codes, miso = Codes.load(args.input), load_miso(args)
    reading = miso.text.with_pronunciations(read_pronunciations(args)) if args.pronunciations else None
    sampling = choose_sampling(args, miso)
    edits = plan_edits(miso.text, codes, args.text, args.transcript, reading)
    with ProgressLine("sampling", 1) as progress:
        replaced = replace_words(
            miso.backbone,
            DepthSampler(miso.depth, sampling),
            miso.text,
            codes,
            edits,
            reading=reading,
            seed=args.seed,
            takes=args.takes,
            sampling=sampling,
            progress=progress,
        )
    if not 1 <= args.rank <= replaced.codes.batch:
        raise no_take(args.rank - 1, replaced.codes.batch, "rank")
    result = replaced.codes.take(args.rank - 1)
    result.save(args.output)
    changes = [about for edit in edits for about in edit.about]
    print(
        f"{'; '.join(changes) or 'No word differs'}: {counted(replaced.sampled, 'frame')} sampled",
        file=sys.stderr,
    )
    for doubt in doubts(result):
        print(doubt, file=sys.stderr)
    print(args.output)
