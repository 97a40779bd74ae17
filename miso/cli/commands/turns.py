"""say --script and say --long: dialogues and long texts."""

from __future__ import annotations

import functools
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ...checkpoints.devices import pick_device
from ...checkpoints.find import find_codec, models_folder
from ...codes.codes import Codes
from ...codes.store import Store
from ...codes.subtitles import subtitles
from ...errors import MisoError, counted
from ...files import read_text, replacing
from ...speech import Miso
from ...text.chunks import fit_turns, text_turns
from ...text.conversation import Conversation
from ...text.script import parse_script, speaker_names
from ...text.voice import Voice, cast_script, doubtful_names
from ...vocoders import Vocoder, coded_silence, load_vocoder
from ..arguments import in_options
from .loading import (
    check_place,
    check_voices,
    choose_sampling,
    load_codes_vocoder,
    load_miso,
    load_voice,
    read_pronunciations,
    speaker_number,
    write_sound,
)
from .progress import ProgressLine


def say_turns(args: Namespace) -> None:
    """Speak a dialogue or a long text."""
    if wrong := [name for name in ("hidden", "prefix") if getattr(args, name)]:
        raise MisoError(f"--{wrong[0]} doesn't go with --script or --long.", "Leave it out.")
    if args.takes != 1:
        raise MisoError("--script and --long make one take.", "Leave out --takes.")
    if args.subtitles and Path(args.subtitles).suffix != ".srt":
        raise MisoError(
            f"--subtitles writes SRT, not {Path(args.subtitles).name}.",
            "Give it a name that ends in .srt; `align` writes other kinds.",
        )
    if args.long and _is_file(args.text):
        raise MisoError("--long takes the text itself.", f"To read a file: say --long - < {args.text}")
    check_place(args.subtitles)
    check_voices(args, [file for _, file in map(_name_and_file, args.voice)])
    script = ""
    if args.script:
        script = sys.stdin.read() if args.script == "-" else read_text(args.script)
        parse_script(script)  # what is wrong with it is known now
    before = Conversation()
    if args.conversation and Path(args.conversation).exists():
        before = Conversation.load(args.conversation)
    miso = load_miso(args, read_pronunciations(args))
    config, sampling = miso.checkpoint.config, choose_sampling(args, miso)
    vocoder = load_codes_vocoder(args, config.codec, miso.checkpoint.folder)
    voices = [_voice(args, named, vocoder, miso) for named in args.voice]
    if args.script:
        written, speaking = cast_script(script, voices, before.names, config.speakers)
        turns = fit_turns(written, config.line_seconds, config.joined_seconds)
        names = speaker_names(written)
        _check_named(args.voice, names)
        known = [*(voice.name for voice in voices), *before.names, *config.speakers]
        for doubt in doubtful_names(names, speaking, known):
            print(doubt, file=sys.stderr)
    else:
        text = sys.stdin.read() if args.text == "-" else args.text
        turns = text_turns(text, config.line_seconds, config.joined_seconds, speaker_number(args, config))
        speaking, names = tuple(voices[:1]), {}
        if not turns:
            raise MisoError("Write what is to be said: the text is empty.", input="text")
    given = {voice.speaker for voice in speaking}
    loop = miso.turns(
        turns,
        seed=args.seed,
        max_seconds=args.max_seconds or 0,
        sampling=sampling,
        codebooks=args.codebooks,
        history=[
            *(voice.segment() for voice in speaking),
            *(s for s in before.segments if not (s.voice and s.speaker in given)),
        ],
        store=Store(args.keep) if args.keep else None,
        silence=_silence(args, vocoder, miso) if any(turn.pause for turn in turns) else None,
        path=args.path,
    )
    if loop.left_out:
        print(f"Left out: {', '.join(loop.left_out)}", file=sys.stderr)
    with ProgressLine("sampling", sum(loop.expected)) as progress:
        for _ in loop:
            progress(*loop.progress)
    codes = loop.codes
    kept = sum(said.kept for said in loop.said)
    what = "part" if args.long else "turn"
    print(f"{counted(len(loop.said), what)}, {codes.seconds[0]:.2f} s; {kept} kept", file=sys.stderr)
    for i, said in enumerate(loop.said, 1):
        if said.cut:
            where = f" (line {said.turn.line})" if said.turn.line else ""
            print(f"{what} {i}{where} was cut at the time limit: raise --max-seconds", file=sys.stderr)
    if args.conversation:
        Conversation(loop.segments, {**before.names, **names}).save(args.conversation)
    if args.codes:
        codes.save(args.codes)
    if args.subtitles:
        shown = {number: name for name, number in {**before.names, **names}.items()}
        with replacing(args.subtitles) as temporary:
            temporary.write_text(subtitles(codes, shown), encoding="utf-8")
    if args.output:
        write_sound(codes, vocoder, Path(args.output))


def _is_file(text: str) -> bool:
    """Whether a text is the path of a file."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path
        return False


def _check_named(voices: list[str], names: dict[str, int]) -> None:
    """Raise MisoError if a NAME=FILE is for nobody in the script."""
    spoken = {name.casefold() for name in names}
    for name, _ in map(_name_and_file, voices):
        if name and name.casefold() not in spoken:
            raise MisoError(
                f"Nobody in the script is called '{name}'.",
                f"It has: {', '.join(names)}." if names else "Its lines have no names.",
                input="voice",
            )


def _name_and_file(named: str) -> tuple[str, str]:
    """The two parts of NAME=FILE; the name is "" if there is only a file."""
    name, equals, file = named.partition("=")
    return (name, file) if equals and not Path(named).exists() else ("", named)


def _voice(args: Namespace, named: str, vocoder: Vocoder, miso: Miso) -> Voice:
    """A voice from FILE or NAME=FILE."""
    name, file = _name_and_file(named)
    voice = load_voice(args, file, vocoder, miso, name)
    return replace(voice, speaker=speaker_number(args, miso.checkpoint.config)) if args.long else voice


def _silence(args: Namespace, vocoder: Vocoder, miso: Miso) -> Callable[[], Codes] | None:
    """What encodes silence, once; None, with a note, if no codec is there."""
    if not vocoder.can_encode:
        models = Path(args.models or models_folder())
        try:
            path = find_codec(miso.checkpoint.config.codec, miso.checkpoint.folder, models)
        except MisoError as e:
            print(f"Without pauses: {in_options(e, args)}", file=sys.stderr)
            return None
        vocoder = load_vocoder("mimi", path, device=pick_device(args.device))
    return functools.cache(lambda: coded_silence(vocoder))
