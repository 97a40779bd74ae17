"""The languages that can be normalized."""

from .english import ENGLISH
from .language import Language

LANGUAGES: dict[str, Language] = {ENGLISH.code: ENGLISH}
