"""Text from files in a widget's choices, which ComfyUI's menus show as HTML: markup becomes look-alikes."""

import unicodedata
from collections.abc import Iterable

_MARKUP = str.maketrans({"<": "‹", ">": "›", "&": "＆", '"': "”"})


def label(text: str) -> str:
    """``text`` without markup, control characters and characters that change the writing direction."""
    # Cc control, Cf format (direction marks among them), Cs lone surrogates, which JSON can't carry
    visible = (c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return "".join(visible).translate(_MARKUP)


def unlabel(choice: str, names: Iterable[str]) -> str:
    """The name among ``names`` whose label was chosen; the choice itself if there is none."""
    return next((name for name in names if label(name) == choice), choice)
