"""Teaching a checkpoint of the family new voices or words: all of its weights, or adapters that are merged in at the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from ..checkpoints.checkpoint import Checkpoint, save_checkpoint
from ..checkpoints.devices import Precision
from ..errors import MisoError
from ..text.tokenizer import find_tokenizer
from .coded import CodedSpeech
from .lm import train
from .lora import add_lora, merged
from .presets import FinetuneSettings
from .run import Run
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
    """Train on coded speech and save a whole checkpoint; its voices become speakers ``speaker``, ``speaker`` + 1, ...

    Without LoRA the weights must be fp32, since an update of a bf16 weight is mostly lost in rounding.
    """
    config = checkpoint.config
    if coded.codec != config.codec:
        raise MisoError(
            f"The codes are of the codec '{coded.codec}', the checkpoint speaks '{config.codec}'.",
            "Encode the speech with the checkpoint's codec.",
            input="codec",
        )
    if coded.codes.shape[1] < config.codebooks:
        raise MisoError(
            f"The codes have {coded.codes.shape[1]} codebooks, the checkpoint {config.codebooks}.",
            "Encode with all codebooks.",
            input="codec",
        )
    if not settings.rank and precision.dtype != torch.float32:
        raise MisoError(
            "All weights can be trained in fp32 only.",
            "Use --precision fp32, or LoRA (rank 8, say).",
            input="precision",
        )
    torch.manual_seed(run.seed)
    model = TrainedModel.load(checkpoint, device, precision, settings.dropout)
    if settings.rank:
        add_lora(model, settings.rank)
    tokenizer = find_tokenizer(config.conventions.tokenizer, checkpoint.folder, tokenizers)

    def publish(model: TrainedModel, path: Path, about: dict[str, str]) -> None:
        tensors = merged(model) if settings.rank else model.published()
        save_checkpoint(
            path, config, {n: t.cpu() for n, t in tensors.items()}, {**about, "base": checkpoint.fingerprint}
        )

    speakers = {voice: speaker + i for i, voice in enumerate(coded.voices)}
    return train(model, coded, tokenizer, run, settings, device, speakers=speakers, publish=publish)
