"""The command about codes kept between runs: cache list, verify, prune, clear."""

from __future__ import annotations

import time
from pathlib import Path

from ..checkpoints.find import models_folder
from ..codes.store import FOLDER, LIMIT, Store
from ..errors import MisoError


def cache(args) -> int:
    if args.limit is not None and not args.limit >= 0:
        raise MisoError(f"--limit is {args.limit}.", "Use 0 or more gigabytes.")
    store = Store(
        Path(args.dir) if args.dir else models_folder().parent / "user" / FOLDER,
        LIMIT if args.limit is None else round(args.limit * 1e9),
    )
    return {"list": _list, "verify": _verify, "prune": _prune, "clear": _clear}[args.action](store)


def _list(store: Store) -> int:
    kept = store.list()
    for entry in kept:
        seeds = ", ".join(str(seed) for seed in entry.seeds)
        print(
            f"{entry.key[:12]}  {time.strftime('%Y-%m-%d %H:%M', time.localtime(entry.made))}  {entry.seconds:7.2f} s  {entry.size / 1e6:8.2f} MB  "
            f"seed {seeds}{'  +hidden' if entry.hidden else ''}  {entry.text}"
        )
    print(f"{len(kept)} kept, {sum(e.size for e in kept) / 1e6:.2f} MB, in {store.folder}")
    return 0


def _verify(store: Store) -> int:
    damaged = store.verify()
    for key in damaged:
        print(f"{key[:12]} was damaged, and is removed: it will be made again when it is wanted")
    print(f"{len(store.list())} are whole")
    return 1 if damaged else 0


def _prune(store: Store) -> int:
    print(f"{store.prune()} removed; what is left is within {store.limit / 1e9:g} GB")
    return 0


def _clear(store: Store) -> int:
    print(f"{store.clear()} removed")
    return 0
