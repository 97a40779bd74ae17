"""Speech of a made-up voice, in which each letter is a tone, and runs that log nothing."""

import io
import wave

import numpy as np
import torch

from miso.training.data import RATE
from miso.training.presets import as_record
from miso.training.run import Budget, Run

CPU = torch.device("cpu")


def sound(text: str, pitch: float = 1.0) -> np.ndarray:
    """80 ms of tone for each letter, between silences: int16 samples."""
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


def quiet_run(folder, settings, seed=3, **budget) -> Run:
    return Run(folder, Budget(**budget), as_record(settings), seed, log=lambda line: None)


def train_in_two_parts(train, folder, settings, steps) -> Run:
    """``train`` a run that ends in the middle, as with stop_after, and resume it; returns the resumed run."""
    first = quiet_run(folder, settings, steps=steps)
    all_steps = first.steps

    def half_of_the_steps():
        for step in all_steps():
            yield step
            if step == steps // 2:
                return

    first.steps = half_of_the_steps
    train(first)
    second = quiet_run(folder, settings, steps=steps)
    train(second)
    return second


def assert_same_state(a: Run, b: Run) -> None:
    """Both runs have saved the same steps and the same bits."""
    state, other = a.load(), b.load()
    assert a.step == b.step and state.keys() == other.keys()
    assert [name for name in state if not torch.equal(state[name], other[name])] == []
