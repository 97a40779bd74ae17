"""Fine-tuning of a checkpoint on new voices: all weights, or LoRA adapters that are merged at the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from ..checkpoints.checkpoint import Checkpoint, save_checkpoint
from ..checkpoints.devices import Precision
from ..codes.retired import other_codec
from ..errors import MisoError
from ..text.tokenizer import find_tokenizer
from .coded import CodedSpeech
from .lm import train
from .lora import add_lora, merged
from .run import Run
from .settings import FinetuneSettings
from .trained import TrainedModel


def finetune(
    checkpoint: Checkpoint,
    coded: CodedSpeech,
    run: Run,
    settings: FinetuneSettings,
    device: torch.device,
    *,
    speaker: int = 0,
    precision: Precision = Precision(),
    tokenizers: Iterable[str | Path] = (),
) -> Path:
    """Train on coded speech and save a complete checkpoint; returns its path.

    Args:
        speaker: number of the first voice of ``coded``; further voices get the next numbers. precision: of
        the weights. Without LoRA it must be fp32, because bf16 would round most updates to nothing.
        tokenizers: paths of tokenizer files to try, besides the checkpoint's folder.

    Raises MisoError if the codes don't fit the checkpoint, or for another precision without LoRA.
    """
    config = checkpoint.config
    if coded.codec != config.codec:
        told = other_codec(
            coded.codec,
            f"the checkpoint samples '{config.codec}'",
            f"The codes are of the codec '{coded.codec}', the checkpoint samples '{config.codec}'.",
            "Encode the speech with the checkpoint's codec.",
        )
        raise MisoError(*told, input="codec")
    if coded.codes.shape[1] < config.codebooks:
        raise MisoError(
            f"The codes have {coded.codes.shape[1]} codebooks, the checkpoint needs {config.codebooks}.",
            "Encode with all codebooks.",
            input="codec",
        )
    if not settings.rank and precision.dtype != torch.float32:
        raise MisoError(
            "Training all weights needs fp32.",
            "Use --precision fp32, or LoRA (for example --rank 8).",
            input="precision",
        )
    torch.manual_seed(run.seed)
    model = TrainedModel.load(checkpoint, device, precision, settings.dropout)
    if settings.rank:
        add_lora(model, settings.rank)
    tokenizer = find_tokenizer(config.conventions.tokenizer, checkpoint.folder, tokenizers)

    def publish(model: TrainedModel, path: Path, about: dict[str, str]) -> None:
        tensors = merged(model) if settings.rank else model.published()
        about = {**about, "base": checkpoint.fingerprint}
        save_checkpoint(path, config, {name: tensor.cpu() for name, tensor in tensors.items()}, about)

    speakers = {voice: speaker + i for i, voice in enumerate(coded.voices)}
    return train(model, coded, tokenizer, run, settings, device, speakers=speakers, publish=publish)
