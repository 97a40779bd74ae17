"""Arguments of the command for many lines: batch."""

from __future__ import annotations

from .arguments import (
    CommandGroup,
    add_model,
    add_pronunciations,
    add_sampling,
    add_vocoder,
)


def add_commands(group: CommandGroup) -> None:
    p = group.command("batch", "speak the lines of a table, a file each")
    p.add_argument(
        "table",
        help="CSV or TSV file in UTF-8, whose first row names its columns: text, and if wanted speaker, "
        "seed, voice (a name, or a file relative to the table) and name (of the line's files)",
    )
    p.add_argument(
        "--out",
        metavar="DIR",
        required=True,
        help="folder for the sounds and manifest.json; lines that are finished there are not said again",
    )
    p.add_argument(
        "--format", default="flac", help="kind of sound file: flac, wav, mp3 or opus (default flac)"
    )
    p.add_argument("--codes", action="store_true", help="also write each line's codes (.safetensors)")
    p.add_argument(
        "--slots", type=int, default=8, help="lines said at once by each worker, on one device (default 8)"
    )
    p.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="share the lines among N processes with Ray, each with a GPU, or one CPU core without any",
    )
    p.add_argument(
        "--ray",
        metavar="ADDRESS",
        nargs="?",
        const="local",
        help="the same with a worker for every GPU (or core) of this machine, or of the Ray cluster at "
        "ADDRESS (auto: the one that this machine belongs to)",
    )
    p.add_argument(
        "--seed",
        type=int,
        default=0,
        help="lines without a seed of their own get one made of this, their text and speaker (default 0)",
    )
    p.add_argument(
        "--max-seconds", type=float, help="maximum length of a line in seconds (default: what its text needs)"
    )
    add_model(p)
    add_pronunciations(p)
    p.add_argument(
        "--path", default="auto", help="how frames are computed: auto, plain or graph (default auto)"
    )
    add_sampling(p)
    p.add_argument("--codebooks", type=int, help="number of codebooks to sample (default: all)")
    add_vocoder(p, default="the one for the checkpoint's codes")
