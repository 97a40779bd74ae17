"""``python -m miso``: the parser. What the commands do is beside it, imported when one runs, so that --help needs no torch."""

from __future__ import annotations

import argparse
from importlib import import_module

from .. import __version__

EPILOG = """two more commands make their own environment and need nothing installed:
  demo     a real ComfyUI runs the text-to-speech workflow (--serve keeps it running)
  test     run the tests"""


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    module, function = args.run
    return getattr(import_module(f".{module}", __name__), function)(args) or 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("python -m miso", description="Text to codes to sound, with the codes in your hands.", epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--version", action="version", version=__version__)
    commands = p.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, module: str, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(run=(module, name.replace("-", "_")))
        return sub

    say = command("say", "speak", "speak a text")
    say.add_argument("text", help="what to say; - reads it from standard input")
    say.add_argument("-o", "--output", metavar="FILE", help="sound file: .flac, .wav, .mp3 or .opus (several takes get numbers)")
    say.add_argument("--codes", metavar="FILE", help="write the codes too (.safetensors)")
    say.add_argument("--hidden", metavar="FILE", help="write the backbone's hidden states too, for redecode")
    _checkpoint(say)
    say.add_argument("--speaker", type=int, default=0, help="number of the speaker (default 0)")
    say.add_argument("--voice", metavar="FILE", help="voice prompt: codes, or a sound file")
    say.add_argument("--voice-text", metavar="TEXT", help="what the voice prompt says, where its codes don't know")
    say.add_argument("--prefix", metavar="FILE", help="codes to continue")
    say.add_argument("--seed", type=int, default=0, help="same seed, same speech (default 0)")
    say.add_argument("--takes", type=int, default=1, help="alternatives at once, with seeds SEED, SEED+1, ... (default 1)")
    say.add_argument("--max-seconds", type=float, default=30, help="limit of each take (default 30)")
    _sampling(say)
    _vocoder(say)

    encode = command("encode", "speak", "turn a sound file into codes")
    encode.add_argument("input", help="sound file")
    encode.add_argument("-o", "--output", metavar="FILE", required=True, help="codes file (.safetensors)")
    encode.add_argument("--text", default="", help="what it says, kept with the codes: a voice prompt needs it")
    encode.add_argument("--speaker", type=int, default=0, help="number of the speaker (default 0)")
    encode.add_argument("--codebooks", type=int, help="only the first so many")
    _vocoder(encode, required=True)

    decode = command("decode", "speak", "turn codes into a sound file")
    decode.add_argument("input", help="codes file")
    decode.add_argument("-o", "--output", metavar="FILE", required=True, help="sound file: .flac, .wav, .mp3 or .opus")
    _vocoder(decode)

    redecode = command("redecode", "speak", "draw the acoustic codebooks again from kept hidden states")
    redecode.add_argument("hidden", help="hidden states (say --hidden)")
    redecode.add_argument("input", help="codes of the same run (say --codes)")
    redecode.add_argument("-o", "--output", metavar="FILE", required=True, help="codes file (.safetensors)")
    redecode.add_argument("--keep", type=int, default=1, help="codebooks to keep as they are (default 1)")
    redecode.add_argument("--seed", type=int, help="seed of the first take (default: the run's own, which gives its own codes)")
    _checkpoint(redecode)
    _sampling(redecode)

    fetch = command("fetch", "files", "download a known checkpoint")
    fetch.add_argument("name", help="one of: miso-8b, miso-8b-bf16, csm-1b, mimi, tokenizer")
    fetch.add_argument("--models", metavar="DIR", help="models folder (default: ComfyUI's, where the pack is in one)")

    info = command("info", "files", "say what a file is")
    info.add_argument("file", help="a checkpoint, codec, codes or hidden states; a folder of shards")

    parity = command("parity", "files", "compare with recorded outputs of the published model")
    parity.add_argument("model", help="weights of the fixture")
    parity.add_argument("expected", help="its recorded inputs and outputs")
    parity.add_argument("--tolerance", type=float, default=1e-4, help="greatest difference allowed (default 1e-4); beyond it the exit status is 1")
    _device(parity)

    bench = command("bench", "files", "measure speed and memory on random weights")
    bench.add_argument("--size", default="8b", help="8b, csm-1b or nano (default 8b)")
    bench.add_argument("--frames", type=int, default=50, help="frames to sample (default 50)")
    bench.add_argument("--prompt-rows", type=int, default=128, help="rows of the prompt (default 128)")
    bench.add_argument("--takes", type=int, default=1, help="takes at once (default 1)")
    bench.add_argument("--json", metavar="FILE", help="write the figures here too")
    _device(bench)
    return p


def _device(p: argparse.ArgumentParser) -> None:
    p.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    p.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16 (auto: bf16 on a GPU, else fp32)")


def _checkpoint(p: argparse.ArgumentParser) -> None:
    p.add_argument("--checkpoint", metavar="FILE", default="nano", help="a file, a folder of shards, or a known name (default nano)")
    p.add_argument("--tokenizer", metavar="FILE", help="Llama 3's tokenizer.json, where it isn't beside the checkpoint")
    p.add_argument("--models", metavar="DIR", help="models folder (default: ComfyUI's, where the pack is in one)")
    _device(p)


def _sampling(p: argparse.ArgumentParser) -> None:
    p.add_argument("--temperature", type=float, help="0 is greedy (default: the checkpoint's own)")
    p.add_argument("--top-k", type=int, help="ids to choose among, 0 for all (default: the checkpoint's own)")
    p.add_argument("--codebooks", type=int, help="codebooks to make, the rest left out (default: all)")


def _vocoder(p: argparse.ArgumentParser, required: bool = False) -> None:
    p.add_argument("--vocoder", metavar="FILE", required=required, help="codec file" + ("" if required else " (default: the one that knows the codes)"))
    p.add_argument("--backend", default="mimi", help="mimi (own), moshi or transformers")
    if "--device" not in p._option_string_actions:
        p.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    if "--models" not in p._option_string_actions:
        p.add_argument("--models", metavar="DIR", help="models folder (default: ComfyUI's, where the pack is in one)")
