"""Speech to text by Whisper (Radford et al. 2022, arXiv 2212.04356), from a model's folder on disk.

A folder is in the layout of transformers (``model.safetensors``), which every ComfyUI can run, or in that of
CTranslate2 (``model.bin``, which is no pickle), for the package faster-whisper. Nothing is downloaded here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..errors import MisoError, first_line, missing_package
from ..files import read_json
from ..limits import WHISPER, check_sizes
from ..progress import Progress
from .quiet import quiet_pieces
from .resampling import resample

RATE = 16_000  # Hz
LONGEST = 30.0  # seconds that Whisper hears at once
SILENT = 1e-4  # a peak below which nothing is heard: Whisper invents words for silence
AUTO = "auto"
LANGUAGES = (  # as Whisper names them, those it knows best first
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg "
    "lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so "
    "af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su"
).split()


class Recogniser(ABC):
    """A callable on up to 30 s of 16 kHz samples [N] in [-1, 1] that gives what they say.

    ``module`` holds the weights, where a device can have them; ``language`` is a code, or ``auto``.
    """

    module: nn.Module
    language: str
    multilingual: bool

    # called while a piece is heard, to report progress and let the caller interrupt
    tick: Callable[[], None] = staticmethod(lambda: None)

    @abstractmethod
    def __call__(self, wave: np.ndarray) -> str: ...

    def transcribe(self, wave: Tensor, rate: int, progress: Progress = lambda done, total: None) -> str:
        """What a mono wave [N] says. A longer one than 30 s is heard in pieces, cut at quiet places.

        ``progress`` counts seconds of sound; what it raises also stops a piece half-way.
        """
        heard = resample(wave.float(), rate, RATE)
        said, seconds = [], max(1, len(heard) // RATE)
        try:
            for start, end in quiet_pieces(heard[None], RATE, LONGEST):
                self.tick = partial(progress, start // RATE, seconds)
                self.tick()
                piece = heard[start:end]
                if len(piece) and float(piece.abs().max()) >= SILENT:
                    said.append(self(piece.numpy()))
        finally:
            del self.tick
        progress(seconds, seconds)
        return " ".join(filter(None, said))

    def _check_language(self) -> None:
        if not self.multilingual and self.language not in (AUTO, "en"):
            raise MisoError(
                f"This recogniser knows English only, not '{self.language}'.",
                "Choose a model whose name doesn't end in '.en'.",
                input="language",
            )


class TransformersWhisper(Recogniser):
    """Whisper by the package transformers: in fp16 on a GPU, in fp32 on a CPU."""

    def __init__(self, folder: Path, language: str, device: torch.device):
        from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

        dtype = torch.float32 if device.type == "cpu" else torch.float16
        model: Any = WhisperForConditionalGeneration.from_pretrained(
            folder, use_safetensors=True, local_files_only=True
        )
        self.module = self.model = model.to(device, dtype).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.extract = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        self.language, self.multilingual = language, bool(model.generation_config.is_multilingual)
        self._check_language()

    def __call__(self, wave: np.ndarray) -> str:
        from transformers import StoppingCriteriaList

        features = self.extract(wave, sampling_rate=RATE, return_tensors="pt").input_features
        options = {"language": None if self.language == AUTO else self.language, "task": "transcribe"}
        with torch.inference_mode():
            ids = self.model.generate(
                features.to(self.model.device, self.model.dtype),
                do_sample=False,
                num_beams=1,
                stopping_criteria=StoppingCriteriaList([self._at_each_word]),
                **(options if self.multilingual else {}),
            )
        return str(self.tokenizer.decode(ids[0], skip_special_tokens=True)).strip()

    def _at_each_word(self, ids: Tensor, scores: Tensor, **others: object) -> Tensor:
        """Stops nothing, but lets the caller report progress, and interrupt."""
        self.tick()
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)


class FasterWhisper(Recogniser):
    """Whisper by the package faster-whisper, in int8 on the CPU."""

    def __init__(self, folder: Path, language: str = AUTO, threads: int = 0):
        from faster_whisper import WhisperModel

        self.module = nn.Module()  # the package keeps the weights
        self.model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=threads)
        self.language, self.multilingual = language, self.model.model.is_multilingual
        self._check_language()

    def __call__(self, wave: np.ndarray) -> str:
        parts, _ = self.model.transcribe(
            wave,
            language=None if self.language == AUTO else self.language,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=False,
            without_timestamps=True,
        )
        said = []
        for part in parts:
            self.tick()
            said.append(part.text.strip())
        return " ".join(said)


def is_recogniser(folder: Path) -> bool:
    """Whether a folder holds a Whisper model that ``load_recogniser`` can open."""
    return (folder / "config.json").is_file() and bool(_weights(folder))


def load_recogniser(
    folder: str | Path, *, language: str = AUTO, device: torch.device = torch.device("cpu")
) -> Recogniser:
    """Open the Whisper model in a folder.

    Raises MisoError if there is none, a package is missing, or it doesn't know the language.
    """
    if language not in (AUTO, *LANGUAGES):
        raise MisoError(
            f"'{language}' is no language of Whisper.", "Use a code such as en.", input="language"
        )
    folder = Path(folder)
    weights = _weights(folder)
    if not (folder / "config.json").is_file() or not weights:
        raise MisoError(
            f"{folder.name} is no Whisper model that can be opened.",
            "Use a folder with config.json and model.safetensors (openai/whisper-... on Hugging Face) or "
            "model.bin (faster-whisper). Pickles (.pt, pytorch_model.bin) are not opened.",
            input="recogniser",
        )
    config = read_json(folder / "config.json")
    check_sizes(f"The model {folder.name}", config if isinstance(config, dict) else {}, WHISPER)
    package = "faster_whisper" if weights == "model.bin" else "transformers"
    if find_spec(package) is None:
        name = package.replace("_", "-")
        raise missing_package(name, f"The model {folder.name}", f"pip install {name}")
    # without it the package would fetch one
    if not (folder / "tokenizer.json").is_file():
        raise MisoError(
            f"{folder.name} has no tokenizer.json.", "Get all files of the model.", input="recogniser"
        )
    try:
        if package == "transformers":
            return TransformersWhisper(folder, language, device)
        return FasterWhisper(folder, language)
    except MisoError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as e:
        raise MisoError(
            f"{folder.name} can't be opened as a Whisper model ({type(e).__name__}: {first_line(e)}).",
            "Get its files again.",
            input="recogniser",
        ) from e


def recogniser_bytes(folder: Path, device: torch.device) -> int:
    """Bytes that the model of a folder takes on a device: about, before it is loaded."""
    if _weights(folder) == "model.bin":
        return 0
    return sum(path.stat().st_size for path in folder.glob("model*.safetensors"))


def _weights(folder: Path) -> str:
    names = ("model.safetensors", "model.safetensors.index.json", "model.bin")
    return next((name for name in names if (folder / name).is_file()), "")
