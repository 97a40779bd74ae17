"""Arguments of the commands along the chain, from say to transcribe."""

from __future__ import annotations

import argparse

from .arguments import (
    OUTPUT_SOUND,
    CommandGroup,
    add_device,
    add_model,
    add_models,
    add_pronunciations,
    add_sampling,
    add_vocoder,
)


def add_commands(group: CommandGroup) -> None:
    _add_say(group)
    _add_spoken(group)
    _add_encode(group)
    _add_decode(group)
    _add_redecode(group)
    _add_align(group)
    _add_replace(group)
    _add_transcribe(group)


def _add_say(group: CommandGroup) -> None:
    p = group.command("say", "speak a text")
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("text", nargs="?", help="the text to speak; - reads it from standard input")
    what.add_argument(
        "--script",
        metavar="FILE",
        help="speak a dialogue, in lines such as 'Anna: Hello.' or '[0] Hello.'; - reads standard input",
    )
    p.add_argument("--long", action="store_true", help="cut the text into parts, whatever its length")
    p.add_argument(
        "-o", "--output", metavar="FILE", help=f"{OUTPUT_SOUND} (several takes are numbered from 1)"
    )
    p.add_argument("--codes", metavar="FILE", help="also write the codes (.safetensors)")
    p.add_argument(
        "--hidden", metavar="FILE", help="also write the hidden states, for redecode (.safetensors)"
    )
    add_model(p)
    p.add_argument(
        "--speaker", default="0", help="number of the speaker, or the name of a voice of nano (default 0)"
    )
    add_pronunciations(p)
    p.add_argument(
        "--voice",
        metavar="FILE",
        action="append",
        default=[],
        help="voice prompt: codes, a sound file, or a name (heart and the other voices of nano, those in "
        "models/miso_voices); with --script several, also as NAME=FILE",
    )
    p.add_argument(
        "--voice-text",
        metavar="TEXT",
        help="what the voice prompt says (default: the text stored with its codes)",
    )
    p.add_argument("--prefix", metavar="FILE", help="codes to continue")
    p.add_argument("--seed", type=int, default=0, help="the same seed gives the same speech (default 0)")
    p.add_argument(
        "--takes",
        type=int,
        default=1,
        help="number of alternatives, sampled together with seeds SEED, SEED+1, ... (default 1)",
    )
    p.add_argument(
        "--max-seconds",
        type=float,
        help="maximum length of each take, or turn, in seconds (default 30; of a turn what its text needs)",
    )
    p.add_argument(
        "--keep",
        metavar="DIR",
        help="with --script or --long: keep what was said in this folder, so that a run that was stopped "
        "goes on, and after a change only what follows it is said anew",
    )
    p.add_argument(
        "--conversation",
        metavar="FILE",
        help="with --script or --long: go on from the conversation in this file, if it is there, and keep it "
        "there (.safetensors)",
    )
    p.add_argument("--subtitles", metavar="FILE", help="with --script or --long: also write subtitles (.srt)")
    p.add_argument(
        "--path",
        default="auto",
        help="how frames are computed: auto, plain, graph or persistent (default auto)",
    )
    add_sampling(p)
    _add_codebooks(p)
    add_vocoder(p, default="the one for the checkpoint's codes")


def _add_spoken(group: CommandGroup) -> None:
    p = group.command("spoken", "print a text as nano says it, in words")
    p.add_argument("text", nargs="?", help="the text; - reads it from standard input")
    p.add_argument(
        "--file",
        metavar="FILE",
        help="print a table of a file's lines (of a .tsv the first column), with what is said for each and "
        "what is left out",
    )
    p.add_argument("--language", default="en", help="language of the words (default en)")
    p.add_argument("--phonemes", action="store_true", help="print phonemes instead of words")
    add_pronunciations(p)
    add_models(p)


def _add_encode(group: CommandGroup) -> None:
    p = group.command("encode", "encode a sound file into codes")
    p.add_argument("input", help="sound file")
    p.add_argument("-o", "--output", metavar="FILE", required=True, help="codes file (.safetensors)")
    p.add_argument(
        "--text", default="", help="what the sound says, stored with the codes; a voice prompt needs it"
    )
    p.add_argument("--speaker", type=int, default=0, help="number of the speaker (default 0)")
    p.add_argument("--codebooks", type=int, help="number of codebooks to keep (default: all)")
    add_vocoder(p, default="the embedded codec")
    add_device(p)
    add_models(p)


def _add_decode(group: CommandGroup) -> None:
    p = group.command("decode", "decode codes into a sound file")
    p.add_argument("input", help="codes file")
    p.add_argument("-o", "--output", metavar="FILE", required=True, help=OUTPUT_SOUND)
    add_vocoder(p, default="the one for these codes")
    add_device(p)
    add_models(p)


def _add_redecode(group: CommandGroup) -> None:
    p = group.command("redecode", "sample the acoustic codebooks again from saved hidden states")
    p.add_argument("hidden", help="hidden states (say --hidden)")
    p.add_argument("input", help="codes of the same run (say --codes)")
    p.add_argument("-o", "--output", metavar="FILE", required=True, help="codes file (.safetensors)")
    p.add_argument("--keep", type=int, default=1, help="number of codebooks that stay unchanged (default 1)")
    p.add_argument(
        "--seed",
        type=int,
        help="seed of the first take (default: that of the run, which gives the same codes)",
    )
    add_model(p)
    add_sampling(p)
    _add_codebooks(p)


def _add_align(group: CommandGroup) -> None:
    p = group.command("align", "find where each word lies in codes, and write subtitles")
    p.add_argument("input", help="codes file")
    p.add_argument(
        "-o", "--output", metavar="FILE", help="file to write: .srt, .vtt, .txt or .json (default: print it)"
    )
    p.add_argument(
        "--to", metavar="FORMAT", help="srt, vtt, labels (Audacity) or json (default: by -o, otherwise srt)"
    )
    p.add_argument("--text", default="", help="what the codes say (default: the text stored with them)")
    p.add_argument("--codes", metavar="FILE", help="also write the codes with their words (.safetensors)")
    add_model(p)
    add_pronunciations(p)


def _add_transcribe(group: CommandGroup) -> None:
    p = group.command("transcribe", "write down what sound files say, by Whisper")
    p.add_argument("input", nargs="+", help="sound file")
    p.add_argument(
        "--recogniser",
        metavar="FOLDER",
        default="whisper-base",
        help="folder of a Whisper model, or its name in models/miso_asr (default whisper-base)",
    )
    p.add_argument("--language", default="auto", help="language that is spoken, such as en (default auto)")
    add_device(p)
    add_models(p)


def _add_replace(group: CommandGroup) -> None:
    p = group.command("replace", "say other words in codes; all else stays as it is")
    p.add_argument("input", help="codes file")
    p.add_argument("-o", "--output", metavar="FILE", required=True, help="codes file (.safetensors)")
    p.add_argument("--text", required=True, help="what the codes are to say, the whole of it")
    p.add_argument("--transcript", default="", help="what they say now (default: the text stored with them)")
    p.add_argument("--seed", type=int, default=0, help="the same seed gives the same words (default 0)")
    p.add_argument("--takes", type=int, default=8, help="candidates for each stretch (default 8)")
    p.add_argument("--rank", type=int, default=1, help="which candidate: 1 is the best (default 1)")
    add_model(p)
    add_sampling(p)
    p.add_argument(
        "--pronunciations",
        metavar="FILE",
        help="how words are to be said from now on, lines 'word = respelling' or 'word = /phonemes/'",
    )


def _add_codebooks(p: argparse.ArgumentParser) -> None:
    p.add_argument("--codebooks", type=int, help="number of codebooks to sample (default: all)")
