"""Arguments of the command about codes kept between runs: cache."""

from __future__ import annotations

from .arguments import CommandGroup


def add_commands(group: CommandGroup) -> None:
    cache = group.command("cache", "list, verify, prune or clear the codes kept between runs")
    cache.add_argument(
        "action",
        choices=["list", "verify", "prune", "clear"],
        help="verify removes damaged entries; prune removes the least recently used ones beyond the limit",
    )
    cache.add_argument(
        "--dir",
        help="the store's folder (default: user/miso_store of the ComfyUI in which this pack is installed)",
    )
    cache.add_argument("--limit", type=float, metavar="GB", help="size that prune leaves (default 2.15)")
