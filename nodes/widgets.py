"""Inputs that several blocks have: what speaks, the speaker, the seed, and how codes are drawn."""

from comfy_api.latest import io

from . import sockets
from .schema import ADVANCED

SEED_MAX = 2**63 - 1


def speaker_input(tooltip: str) -> io.Input:
    return io.Int.Input("speaker", default=0, min=0, max=255, tooltip=tooltip)


def seed_input(tooltip: str) -> io.Input:
    return io.Int.Input("seed", default=0, min=0, max=SEED_MAX, control_after_generate=True, tooltip=tooltip)


def speaking_inputs() -> list:
    """What speaks, and what it says."""
    return [
        sockets.Backbone.Input("backbone", tooltip="From Load Miso Model."),
        sockets.Depth.Input("depth", tooltip="From Load Miso Model, or Depth Decoder."),
        sockets.Conditioning.Input("conditioning", tooltip="What to say: from Encode Text or Voice Prompt."),
    ]


def longest_input() -> io.Input:
    return io.Float.Input(
        "max_seconds",
        default=30.0,
        min=0.08,
        max=163.0,
        step=0.08,
        tooltip="Longest a take may get. Speech normally ends by itself before that.",
    )


def sampling_inputs() -> list:
    """The widgets of ``Sampling``."""
    return [
        io.Float.Input(
            "temperature",
            default=0.9,
            min=0.0,
            max=5.0,
            step=0.01,
            tooltip="Lower is steadier, higher livelier; 0 always takes the likeliest code. 0.9 for Miso 8B "
            "and CSM, 0.25 for nano.",
        ),
        io.Int.Input(
            "top_k",
            default=50,
            min=0,
            max=4096,
            tooltip="Choose among this many of the likeliest codes; 0 for all.",
        ),
    ]


def narrowing_inputs() -> list:
    """The widgets of ``Sampling`` that few people change."""
    return [
        io.Float.Input(
            "top_p",
            default=1.0,
            min=0.01,
            max=1.0,
            step=0.01,
            optional=True,
            tooltip="Choose among the likeliest codes that together have this probability: lower is "
            "steadier. 1 for all.",
            **ADVANCED,
        ),
        io.Float.Input(
            "min_p",
            default=0.0,
            min=0.0,
            max=0.99,
            step=0.01,
            optional=True,
            tooltip="Leave out codes less likely than this share of the likeliest one: 0.05 avoids slips at "
            "a high temperature. 0 leaves out none.",
            **ADVANCED,
        ),
    ]
