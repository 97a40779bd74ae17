"""Vocoder backends of other packs, which name them in a module-level ``MISO_VOCODERS``.

ComfyUI loads packs in any order, so they are looked for when Load Vocoder is asked for its choices.
docs/your-own-vocoder.md says how to write one.
"""

import logging
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .. import miso
from ..miso.errors import MisoError
from ..miso.vocoders import Vocoder, register

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][\w .-]{0,39}")
_known: dict[Any, Any] = {}  # name of a backend -> what makes its loader


def add_backends() -> None:
    """Register what packs have named since the last call. One that fails is logged, and left out."""
    for module in list(sys.modules.values()):
        # not getattr, on which lazy modules import what they lack
        named = getattr(module, "__dict__", {}).get("MISO_VOCODERS")
        if isinstance(named, Mapping):
            for name, make in named.items():
                if _known.get(name) is not make:
                    _known[name] = make
                    _add(name, make, getattr(module, "__file__", ""))


def _add(name: Any, make: Callable, file: str | None) -> None:
    try:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise MisoError("A backend's name is 1 to 40 letters, digits, spaces, dots and dashes.")
        register(name, _guarded(name, make(miso), file))
    except Exception as e:  # of another pack: a schema that fails would take Load Vocoder away
        log.warning("Miso: the vocoder backend %r of %s is left out: %s: %s", name, file, type(e).__name__, e)


def _guarded(name: str, load: Callable, file: str | None) -> Callable[..., Vocoder]:
    def loader(*arguments: Any, **options: Any) -> Vocoder:
        try:
            vocoder = load(*arguments, **options)
        except MisoError:
            raise
        except Exception as e:
            raise MisoError(
                f"The vocoder backend '{name}' can't open this file ({type(e).__name__}: {e}).",
                f"Choose another backend, or ask its author. It comes from {file}.",
            ) from e
        if not isinstance(vocoder, Vocoder):
            raise MisoError(
                f"The vocoder backend '{name}' gave {type(vocoder).__name__}, which is no vocoder.",
                f"Ask its author. It comes from {file}.",
            )
        return vocoder

    return loader
