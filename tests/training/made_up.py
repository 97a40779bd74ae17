"""A made-up voice: each letter a tone of its own, so that text and sound have something to do with each other."""

import io
import wave

import numpy as np

from miso.training.data import RATE


def sound(text: str, pitch: float = 1.0) -> np.ndarray:
    """80 ms of tone a letter, between silences: int16 samples."""
    tones = [
        np.sin(2 * np.pi * pitch * (300 + 60 * (ord(c) - ord("a"))) * np.arange(1920) / RATE)
        if c != " "
        else np.zeros(1920)
        for c in text
    ]
    edge = np.zeros(1200)
    return (8000 * np.concatenate([edge, *tones, edge])).astype(np.int16)


def wav_bytes(samples: np.ndarray, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()
