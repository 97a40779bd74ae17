"""Arguments of the commands for measurement: evaluate, bench, parity."""

from __future__ import annotations

from .arguments import (
    CommandGroup,
    add_checkpoint,
    add_codec,
    add_device,
    add_models,
    add_precision,
    add_sampling,
    weights_file,
)


def add_commands(group: CommandGroup) -> None:
    _add_evaluate(group)
    _add_bench(group)
    _add_parity(group)


def _add_evaluate(group: CommandGroup) -> None:
    p = group.command("evaluate", "measure how well a checkpoint speaks")
    add_checkpoint(p)
    add_codec(p)
    p.add_argument(
        "--vocoder",
        metavar="FILE",
        type=weights_file,
        help="vocoder file (default: the file of --codec, otherwise the one for the checkpoint's codes)",
    )
    add_models(p)
    p.add_argument(
        "--sentences", type=int, default=200, help="number of sentences from the built-in list (default 200)"
    )
    p.add_argument(
        "--source",
        metavar="DIR",
        help="prepared speech: also judge its test clips, before and after the codec",
    )
    p.add_argument(
        "--judges",
        nargs="*",
        help="any of whisper, moonshine, distillmos, resemblyzer (default: all that are installed)",
    )
    p.add_argument(
        "--speakers",
        type=int,
        nargs="+",
        default=[0, 1],
        help="numbers of the speakers, in turn (default 0 1)",
    )
    add_sampling(p)
    p.add_argument("--seed", type=int, default=0, help="seed of the first sentence (default 0)")
    p.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    p.add_argument("--keep", metavar="DIR", help="write every clip to this folder as .flac")
    p.add_argument(
        "--json", metavar="FILE", help="write the figures, in total and for every clip, to this file"
    )


def _add_bench(group: CommandGroup) -> None:
    p = group.command("bench", "measure speed and memory on random weights")
    p.add_argument("--size", default="8b", help="8b, csm-1b or nano (default 8b)")
    p.add_argument("--frames", type=int, default=50, help="frames to sample (default 50)")
    p.add_argument("--prompt-rows", type=int, default=128, help="rows of the prompt (default 128)")
    p.add_argument(
        "--takes",
        type=int,
        nargs="+",
        default=[1],
        help="takes sampled together, one run for each number (default 1)",
    )
    p.add_argument(
        "--paths",
        nargs="+",
        default=["auto"],
        help="auto, plain, graph or persistent, one run for each (default auto)",
    )
    p.add_argument(
        "--profile",
        nargs="+",
        default=["full"],
        metavar="MP,KB",
        help="limits on the persistent kernel, one run for each: 28,99 is 28 multiprocessors with 99 KB of "
        "shared "
        "memory, as an RTX 3060 has them; full is the real GPU (default full)",
    )
    p.add_argument(
        "--exact", action="store_true", help="also measure the error of hidden states and logits against fp32"
    )
    p.add_argument(
        "--vocoders",
        action="store_true",
        help="measure every vocoder backend that is at hand instead; prints a Markdown table",
    )
    p.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    p.add_argument("--picture", metavar="FILE", help="also draw the frame times against the floor (.svg)")
    add_device(p)
    add_precision(p)


def _add_parity(group: CommandGroup) -> None:
    p = group.command("parity", "compare with recorded outputs of the published model")
    p.add_argument("model", type=weights_file, help="weights that made the recording")
    p.add_argument("expected", help="recorded inputs and outputs")
    p.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        help="maximum difference; beyond it the exit status is 1 (default 1e-4)",
    )
    add_device(p)
    add_precision(p)
