"""Vocoders: whatever turns codes into sound. One protocol, a registry of backends, one check of codes before any of them.

    vocoder = load_vocoder("mimi", "tokenizer-e351c8d8-checkpoint125.safetensors", device="cuda")
    wave, samples = decode_codes(vocoder, codes)         # [B, 1, N] and how much of it each take fills
    stream = vocoder.stream(); stream.push(frame); stream.flush()

Importing this package imports no torch; a backend's module, and the package it stands on, is imported when it is first loaded.
"""

from .base import Stream, Vocoder
from .check import check_codes
from .decode import Decoded, decode_codes
from .registry import DEFAULT, backends, load_vocoder, register

__all__ = ["DEFAULT", "Decoded", "Stream", "Vocoder", "backends", "check_codes", "decode_codes", "load_vocoder", "register"]
