"""Commands about model files: fetch, info, convert, export."""

from __future__ import annotations

from argparse import Namespace

from ...checkpoints.convert import convert_checkpoint
from ...checkpoints.fetch import fetch_file
from ...checkpoints.find import models_folder
from ...tools.info import info as describe
from .loading import check_codes_file, check_place
from .progress import ProgressLine


def fetch(args: Namespace) -> None:
    print(fetch_file(args.name, args.models or models_folder()))


def info(args: Namespace) -> None:
    print(describe(args.file))


def convert(args: Namespace) -> None:
    check_codes_file(args.output, "A checkpoint")
    with ProgressLine("converting", 0) as progress:
        convert_checkpoint(args.input, args.output, args.precision, progress)
    print(args.output)


def export(args: Namespace) -> None:
    from ...tools.export import export_codec

    check_place(args.output)
    with ProgressLine("exporting", 0) as progress:
        agreement = export_codec(args.input, args.output, args.precision, progress)
    print(f"{args.output}: the difference from the codec's own sound lies {agreement:.0f} dB below it")
