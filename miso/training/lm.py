"""Training of a language model, new or published, on coded speech. The result is an ordinary checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..errors import MisoError
from ..model.config import ModelConfig
from ..text.tokenizer import Tokenizer, find_tokenizer
from .coded import CodedSpeech
from .conversations import Conversations
from .muon import Muon
from .run import Run, adamw, autocast, pack_state, set_rate, unpack_state, warm_cosine
from .settings import LMSettings
from .trained import Average, TrainedModel

Item = TypeVar("Item")
_VALIDATION_BATCHES = 12


def train_lm(
    coded: CodedSpeech,
    run: Run,
    settings: LMSettings,
    device: torch.device,
    *,
    start: str | Path | None = None,
) -> Path:
    """Train a new model, or resume training; returns the path of the checkpoint.

    ``start``: checkpoint with the weights to start from, also for another codec's codes. Raises MisoError if
    its sizes are not those of the settings.
    """
    config = sizes_for(settings.sizes, coded)
    if start is None:
        model = TrainedModel.new(config, run.seed, device, settings.dropout)
    else:
        checkpoint = Checkpoint(start)
        if _sizes(checkpoint.config) != _sizes(config):
            raise MisoError(
                f"{Path(start).name} has other sizes than the settings.",
                "Choose another checkpoint, or a --config with its sizes.",
                input="start",
            )
        model = TrainedModel.load(checkpoint, device, dropout=settings.dropout)
        model.config = config
    tokenizer = find_tokenizer(config.conventions.tokenizer, coded.path.parent)
    speakers = {voice: i for i, voice in enumerate(config.voices)}
    return train(model, coded, tokenizer, run, settings, device, speakers=speakers)


def _sizes(config: ModelConfig) -> tuple:
    """What weights are made for."""
    sizes = config.backbone, config.depth, config.text_vocab, config.audio_vocab, config.codebooks
    return *sizes, config.family, config.rope_base, config.norm_eps


def sizes_for(config: ModelConfig, coded: CodedSpeech) -> ModelConfig:
    """``config`` with codec and voices of the codes. Raises MisoError if the codes don't fit its sizes.

    Voices that ``config`` names keep their numbers; otherwise they are numbered in the order of the codes.
    """
    if coded.codes.shape[1] < config.codebooks or coded.codebook_size > config.audio_vocab:
        raise MisoError(
            f"The codes have {coded.codes.shape[1]} codebooks of {coded.codebook_size} entries, "
            f"the model is made for {config.codebooks} of at most {config.audio_vocab}.",
            "Choose settings with the same sizes for codec and model.",
        )
    return replace(
        config,
        codec=coded.codec,
        codebook_size=coded.codebook_size,
        frame_rate=coded.frame_rate,
        voices=config.voices
        if set(coded.voices) <= set(config.voices)
        else tuple(filter(None, coded.voices)),
    )


def train(
    model: TrainedModel,
    coded: CodedSpeech,
    tokenizer: Tokenizer,
    run: Run,
    settings: LMSettings,
    device: torch.device,
    *,
    speakers: dict[str, int] | None = None,
    publish: Callable[[TrainedModel, Path, dict], None] | None = None,
) -> Path:
    """The training loop, also of fine-tuning; returns the path of the checkpoint.

    Args:
        speakers: number of each voice (default: their indices).
        publish: writes the checkpoint instead of ``model.save``: publish(model, path, metadata).
    """
    path = run.folder / "model.safetensors"

    def conversations(split: str, settings: LMSettings) -> Conversations | None:
        utterances = coded.split(split)
        if not utterances:
            return None
        return Conversations(coded, utterances, model.config, tokenizer, settings, run.seed, speakers)

    data = conversations("train", settings)
    held_out = conversations("validation", replace(settings, unseen=0.0))
    if data is None:
        raise MisoError(f"{coded.path.name} has no utterances to train on.", "Prepare more speech.")
    optimizers = optimizers_for(model, settings)
    average = Average(model, settings.ema) if settings.ema else None
    if (state := run.load()) is not None:
        unpack_state(state, "model", model, *optimizers)
        if average:
            average.unpack(state)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frames = sum(u.frames for u in data.utterances)
    run.record |= {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained": trained,
        "data": {
            "file": coded.path.name,
            "codec": coded.codec,
            "utterances": len(data.utterances),
            "hours": round(frames / coded.frame_rate / 3600, 3),
            "speakers": data.speakers,
        },
    }
    best = run.record["figures"].get("held_out_loss", float("inf"))
    saved = time.monotonic()
    batches = ahead(data.batches(run.place.get("epoch", 0), run.place.get("index", 0)))

    def check() -> None:
        """Validate, and write the checkpoint if it is the best one so far."""
        nonlocal best
        with average.applied() if average else nullcontext():
            figures = validate(model, held_out, device) if held_out else {}
            if figures:
                run.note(**figures)
            if not (held_out and settings.keep_best) or figures["held_out_loss"] < best:
                best = figures.get("held_out_loss", best)
                run.record["figures"] = {**figures, "step": run.step}
                about = {"trained": f"{run.step} steps, {run.seconds / 60:.1f} minutes, seed {run.seed}"}
                publish(model, path, about) if publish else model.save(path, about)
        run.save_record()

    def save() -> None:
        run.save(
            pack_state("model", model, *optimizers, only_trained=True) | (average.pack() if average else {})
        )

    model.train()
    for step in run.steps():
        epoch, index, batch = next(batches)
        for optimizer in optimizers:
            set_rate(optimizer, settings.rate * warm_cosine(step, run.progress, settings.warm_up))
        with autocast(device):
            losses = model(batch.to(device))
        model.zero_grad(set_to_none=True)
        losses.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        for optimizer in optimizers:
            optimizer.step()
        if average:
            average.update(step)
        run.place = {"epoch": epoch, "index": index + 1}
        if run.step % settings.log_every == 0:
            run.note(
                epoch=epoch, loss=losses.total, codebook0=losses.codebook0, depth=losses.depth, norm=norm
            )
        if run.step % settings.validate_every == 0:
            check()
        if time.monotonic() - saved > 60 * settings.save_every:
            save()
            saved = time.monotonic()
    check()
    save()
    return path


def optimizers_for(model: TrainedModel, settings: LMSettings) -> list[torch.optim.Optimizer]:
    """AdamW for all trained parameters, or Muon for the layers' matrices and AdamW for the others."""
    if not settings.muon:
        return [adamw(model.parameters(), settings.rate, settings.betas, settings.decay)]
    matrices = {
        n: p for n, p in model.named_parameters() if p.requires_grad and p.dim() == 2 and ".layers." in n
    }
    others = [p for n, p in model.named_parameters() if p.requires_grad and n not in matrices]
    return [
        Muon(matrices.values(), settings.rate, settings.decay),
        adamw(others, settings.rate, settings.betas, settings.decay),
    ]


@torch.no_grad()
def validate(model: TrainedModel, held_out: Conversations, device: torch.device) -> dict[str, float]:
    """Mean losses over the same held-out conversations on every call, without dropout."""
    was_training = model.training
    model.eval()
    totals = torch.zeros(3, device=device)
    with autocast(device):
        plan = held_out.epoch(0)[:_VALIDATION_BATCHES]
        for i, conversations in enumerate(plan):
            losses = model(held_out.build(conversations, f"held out {i}").to(device))
            totals = totals + torch.stack([v.float() for v in losses])
    model.train(was_training)
    total, codebook0, depth = (totals / len(plan)).tolist()
    return {"held_out_loss": total, "held_out_codebook0": codebook0, "held_out_depth": depth}


def ahead(items: Iterator[Item], depth: int = 4) -> Iterator[Item]:
    """The same items, computed ``depth`` items ahead in another thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(next, items) for _ in range(depth)]
        while True:
            waiting.append(pool.submit(next, items))
            yield waiting.pop(0).result()
