"""Presets of training settings: ``nano`` is the embedded model, ``tiny`` trains in seconds, for tests.

A --config file is JSON with the settings to change: {"rate": 1e-3, "sizes": {"filters": 16}}.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import MisoError
from ..files import read_text
from ..model.config import PRESETS, StackConfig
from ..vocoders.source_filter import SourceFilterConfig
from .settings import (
    NANO_CODEC,
    CodecSettings,
    CoderSettings,
    EncoderSettings,
    FinetuneSettings,
    ListenerSettings,
    LMSettings,
    VocoderSettings,
)

Settings = TypeVar("Settings", bound=Any)

TINY_CODEC = replace(
    NANO_CODEC,
    filters=4,
    dim=32,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    ff=64,
    codebooks=4,
    codebook_size=32,
    codebook_dim=8,
)
TINY_MODEL = replace(
    PRESETS["nano"],
    backbone=StackConfig(2, 4, 2, 64, 128),
    depth=StackConfig(1, 4, 2, 48, 96),
    audio_vocab=35,
    codebooks=4,
    codebook_size=32,
    codec="tiny",
    positions=512,
    family="bytes",
    text_vocab=258,
)

PRESET_SETTINGS: dict[str, dict[str, Any]] = {
    "nano": {
        "coder": CoderSettings(),
        "codec": CodecSettings(),
        "vocoder": VocoderSettings(),
        "listener": ListenerSettings(),
        "encoder": EncoderSettings(),
        "new codec": EncoderSettings(codec="nano-3", augmented=True, rate=5e-4, dropped=0.3),
        "lm": LMSettings(),
        "finetune": FinetuneSettings(),
    },
    "tiny": {
        "coder": CoderSettings(
            TINY_CODEC, "tiny", width=32, reader=16, seconds=3, rate=3e-3, warm_up=5, plain=4, log_every=5
        ),
        "codec": CodecSettings(
            frames=8,
            batch=4,
            rate=2e-3,
            warm_up=5,
            windows=(256, 128),
            disc_filters=4,
            disc_frames=4,
            disc_batch=2,
            log_every=5,
        ),
        "vocoder": VocoderSettings(
            sizes=SourceFilterConfig(48, 64, 1, 1),
            frames=4,
            batch=4,
            rate=2e-3,
            warm_up=5,
            adversarial_from=0.5,
            windows=(256, 128),
            disc_filters=4,
            disc_frames=4,
            disc_batch=2,
            log_every=5,
        ),
        "listener": ListenerSettings(width=16, blocks=1, seconds=3, warm_up=5, log_every=5),
        "encoder": EncoderSettings(frames=4, batch=4, rate=1e-3, warm_up=5, log_every=5),
        "new codec": EncoderSettings(
            codec="tiny-2", augmented=True, frames=4, batch=4, rate=1e-3, warm_up=5, log_every=5
        ),
        "lm": LMSettings(
            TINY_MODEL,
            tokens=512,
            rate=3e-3,
            warm_up=5,
            dropout=0.0,
            ema=0.0,
            unseen=0.0,
            anonymous=0.15,
            segments=(0.75, 0.18, 0.07),
            same_voice=0.5,
            validate_every=20,
            log_every=10,
        ),
        "finetune": FinetuneSettings(tokens=512, rate=1e-3, warm_up=2, validate_every=10, log_every=5),
    },
}


def settings(kind: str, preset: str = "nano", config: str | Path | None = None, step: str = "") -> Any:
    """Settings of a ``kind`` of training: those of the preset, changed by the JSON file ``config``.

    With ``step``, the file has the changes of several steps by their names, and those of this one are made.
    Raises MisoError for an unknown preset, an unreadable file, or unknown settings.
    """
    if preset not in PRESET_SETTINGS:
        raise MisoError(
            f"There is no preset '{preset}'.", f"Use one of: {', '.join(PRESET_SETTINGS)}.", input="preset"
        )
    base = PRESET_SETTINGS[preset][kind]
    if config is None:
        return base
    try:
        changes = json.loads(read_text(config))
        if step:
            if unknown := set(changes) - set(PRESET_SETTINGS[preset]):
                raise MisoError(
                    f"There are no steps {', '.join(sorted(unknown))}.",
                    f"Use: {', '.join(PRESET_SETTINGS[preset])}.",
                    input="config",
                )
            changes = changes.get(step, {})
        return _changed(base, changes)
    except MisoError:
        raise
    except (ValueError, TypeError) as e:
        raise MisoError(
            f"{config} can't be read as settings ({e}).",
            "It must be JSON, like the settings in a run's `record.json`.",
            input="config",
        ) from e


def _changed(base: Settings, changes: dict) -> Settings:
    known = {field.name for field in fields(base)}
    if unknown := set(changes) - known:
        raise MisoError(
            f"There are no settings {', '.join(sorted(unknown))}.",
            f"Use: {', '.join(sorted(known))}.",
            input="config",
        )
    return replace(
        base, **{name: _changed_value(getattr(base, name), value) for name, value in changes.items()}
    )


def _changed_value(old: Any, new: Any) -> Any:
    if is_dataclass(old):
        return _changed(old, new)
    return tuple(new) if isinstance(old, tuple) else new


def as_record(settings: Any) -> dict:
    """Settings as plain values, for the record of a run."""
    return json.loads(json.dumps(asdict(settings)))
