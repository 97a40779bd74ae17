"""The command about codes kept between runs: cache list, verify, prune, clear."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from pathlib import Path

from ...checkpoints.find import models_folder
from ...codes.store import FOLDER, LIMIT, Kept, Store
from ...errors import MisoError
from ...tools.info import printable


def cache(args: Namespace) -> int:
    if args.limit is not None and not 0 <= args.limit < math.inf:
        raise MisoError(f"--limit is {args.limit}.", "Use 0 or more gigabytes.")
    store = Store(
        Path(args.dir) if args.dir else models_folder().parent / "user" / FOLDER,
        LIMIT if args.limit is None else round(args.limit * 1e9),
    )
    return {"list": _list, "verify": _verify, "prune": _prune, "clear": _clear}[args.action](store)


def _list(store: Store) -> int:
    entries = store.list()
    for entry in entries:
        print(_line(entry))
    megabytes = sum(entry.size for entry in entries) / 1e6
    print(f"{len(entries)} kept, {megabytes:.2f} MB, in {store.folder}")
    return 0


def _line(entry: Kept) -> str:
    created = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.made))
    seeds = ", ".join(str(seed) for seed in entry.seeds)
    sizes = f"{entry.seconds:7.2f} s  {entry.size / 1e6:8.2f} MB"
    hidden = "  +hidden" if entry.hidden else ""
    return f"{entry.key[:12]}  {created}  {sizes}  seed {seeds}{hidden}  {printable(entry.text)}"


def _verify(store: Store) -> int:
    damaged = store.verify()
    for key in damaged:
        print(f"{key[:12]} was damaged and has been removed: it will be sampled again when needed")
    print(f"{len(store.list())} are undamaged")
    return 1 if damaged else 0


def _prune(store: Store) -> int:
    print(f"{store.prune()} removed; the remaining entries are within {store.limit / 1e9:g} GB")
    return 0


def _clear(store: Store) -> int:
    print(f"{store.clear()} removed")
    return 0
