"""Checkpoints: finding, fetching, opening, building, quantising, converting, and what fits a device."""

from .. import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    checkpoint="Checkpoint save_checkpoint",
    convert="convert_checkpoint",
    devices="Precision pick_device pick_precision",
    fetch="fetch_file",
    find="find_checkpoint find_codec find_vocoder",
    fit="choose_precision",
    summary="CheckpointSummary",
)
