"""Groups of commands, and the options that several commands share. Imports no PyTorch."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TypeAlias

from ..errors import MisoError

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEVICES = "auto, cuda, mps or cpu (default auto)"
OUTPUT_SOUND = "sound file: .flac, .wav, .mp3 or .opus"


class CommandGroup:
    """Parsers of the commands whose functions are in one module of ``commands``."""

    def __init__(self, subparsers: Subparsers, module: str):
        self._subparsers, self._module = subparsers, module
        self.commands: list[tuple[str, str]] = []  # name and help of each

    def command(self, name: str, help: str) -> argparse.ArgumentParser:
        """A parser for a command that calls the function of the same name."""
        self.commands.append((name, help))
        return self.step(self._subparsers, name, help)

    def step(self, subparsers: Subparsers, name: str, help: str) -> argparse.ArgumentParser:
        """Like ``command``, for a subcommand of a command."""
        parser = subparsers.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        parser.set_defaults(run=(self._module, name), parser=parser)
        return parser

    def steps(self, name: str, help: str, title: str) -> Subparsers:
        """A command that has subcommands: returns what ``step`` adds them to."""
        self.commands.append((name, help))
        parser = self._subparsers.add_parser(name, description=f"{help[0].upper()}{help[1:]}.")
        return parser.add_subparsers(title=title, metavar="STEP", required=True)


def in_options(error: MisoError, args: argparse.Namespace) -> str:
    """What an error says, with the names of settings as the options of the command: --max-seconds.

    The setting that holds the bad value stands in front, as an input does on a node.
    """
    options = set(re.findall(r"--[a-z][a-z-]*", args.parser.format_usage()))
    options.discard("--codes")  # names an output; an error about codes is about the input
    text = str(error)
    for option in options:
        name = option[2:].replace("-", "_")
        if "_" in name:
            text = re.sub(rf"\b{name}\b", option, text)
        if name == error.input and option not in text:
            own = rf"^{name}(?= is )"
            text = re.sub(own, option, text) if re.match(own, text) else f"{option}: {text}"
    return text


def weights_file(name: str) -> str:
    """A path to weights. The name of an embedded file, such as nano-codec.safetensors, means that file."""
    from ..checkpoints.find import BUNDLED

    bundled = BUNDLED / name
    is_bundled = Path(name).name == name and bundled.suffix == ".safetensors" and bundled.is_file()
    return str(bundled) if is_bundled and not Path(name).exists() else name


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=weights_file,
        default="nano",
        help="a file, a folder of shards, or one of: nano, miso-8b, miso-8b-bf16, csm-1b (default nano)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """What loads a checkpoint, and where."""
    for add in (add_checkpoint, add_lora, add_tokenizer, add_models, add_device, add_precision):
        add(parser)


def add_lora(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lora",
        metavar="FILE[=STRENGTH]",
        type=_lora,
        action="append",
        default=[],
        help="a LoRA adapter for the checkpoint, and how much of it is added (default 1); may be repeated",
    )


def _lora(text: str) -> tuple[str, float]:
    file, _, strength = text.rpartition("=")
    return (file, float(strength)) if file else (text, 1.0)


def add_tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokenizer",
        metavar="FILE",
        help="Llama 3's tokenizer.json (default: beside the checkpoint, or in the models folder)",
    )


def add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        metavar="DIR",
        help="models folder (default: that of the ComfyUI in which this pack is installed)",
    )


def add_pronunciations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pronunciations",
        metavar="FILE",
        help="how words are said, lines 'word = respelling' or 'word = /phonemes/' (default: "
        "miso/pronunciations.txt in the models folder, if it is there)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help=DEVICES)


def add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        default="auto",
        help="auto, fp32, bf16, fp16, int8, fp8 or int4 (default auto: what fits the GPU; fp32 on the CPU)",
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--temperature", type=float, help="0 is greedy (default: the checkpoint's)")
    parser.add_argument(
        "--top-k", type=int, help="number of ids to choose from, 0 for all (default: the checkpoint's)"
    )


def add_codec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--codec",
        metavar="FILE",
        type=weights_file,
        help="codec file (default: the one for the checkpoint's codes)",
    )


def add_vocoder(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--vocoder", metavar="FILE", type=weights_file, help=f"vocoder or codec file (default: {default})"
    )
    parser.add_argument(
        "--backend",
        default="auto",
        help="mimi, source-filter, onnx, lfm2, moshi or transformers (default: by the kind of file)",
    )
