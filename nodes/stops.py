"""Runs that a person stopped, so that ComfyUI does not take the block's result for one that is there."""

from collections import Counter

from comfy_execution.utils import get_executing_context

_stops: Counter[str] = Counter()  # by node id


def count_stop() -> None:
    """Note that the running block was stopped."""
    _stops[get_executing_context().node_id] += 1


def stops() -> int:
    """For ``fingerprint_inputs``: changes after a stopped run, so that the next one samples again."""
    return _stops[get_executing_context().node_id]
