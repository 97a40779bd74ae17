"""Codecs that this version's models no longer speak: what to say of their codes."""

from __future__ import annotations

# codec id -> what had this codec, and which files decode its codes
RETIRED_CODECS = {
    "nano": ("the first edition of nano", "nano-codec.safetensors or nano-vocoder.safetensors of Miso 0.1.0"),
}


def other_codec(codec: str, but: str, problem: str, remedy: str = "") -> tuple[str, str]:
    """Problem and remedy of the error for codes of the codec id ``codec`` in the place of others.

    Those of the caller, unless the codec is retired; ``but`` says then which others are needed. It refuses
    nothing: who still has such a model and its codec may use them together.
    """
    if codec not in RETIRED_CODECS:
        return problem, remedy
    edition, files = RETIRED_CODECS[codec]
    return (
        f"These codes belong to {edition} (codec '{codec}') and mean other sounds in any other codec, "
        f"but {but}.",
        f"Sample or encode them again, or decode them with that edition's files: {files}.",
    )
