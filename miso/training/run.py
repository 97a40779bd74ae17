"""A training run on disk: the state it resumes from, the record of what was done, and its budget of steps or minutes.

    folder/state.safetensors    weights, optimizers and counters, all tensors; step and seconds in the metadata
    folder/record.json          data, settings, losses along the way, figures: to be read, and kept

Every step seeds the random numbers from the run's seed and its own number, so nothing of them has to be kept: a resumed run
computes what an uninterrupted one does, to the bit on one device, as long as its schedule counts steps and not minutes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import MisoError
from ..files import open_tensors, read_header, replacing, write_tensors

_STATES = ("step", "exp_avg", "exp_avg_sq", "average")  # of AdamW, and of Muon
_SEED_STRIDE = 1_000_003  # seeds of neighbouring runs stay apart for a million steps


def _say(line: str) -> None:
    print(line, flush=True)  # into a file too, where someone may be waiting for it


@dataclass(frozen=True)
class Budget:
    """How long a run is: ``steps``, or ``minutes`` of training, over which its schedules stretch; whichever ends first.

    ``stop_after`` minutes this call ends and saves, to be resumed; the schedules don't know of it.
    """

    steps: int | None = None
    minutes: float | None = None
    stop_after: float | None = None

    def __post_init__(self):
        if not (self.steps or self.minutes):
            raise MisoError("The run has no end.", "Give --steps or --minutes.", input="minutes")


class Trainer(Protocol):
    """Networks, their optimizers and one step of all of them: what ``Run.train`` drives."""

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step, at ``progress`` (0 to 1) of the budget; returns losses, still on the device."""
        ...

    def validate(self) -> dict[str, float]: ...

    def pack(self) -> dict[str, Tensor]: ...

    def unpack(self, state: dict[str, Tensor]) -> None: ...


class Run:
    """Where a run stands. ``for step in run.steps(): ...`` goes on from there until the budget is used."""

    def __init__(
        self,
        folder: str | Path,
        budget: Budget,
        settings: Mapping[str, Any],
        seed: int = 0,
        log: Callable[[str], None] = _say,
    ):
        self.folder, self.budget, self.seed, self.log = Path(folder), budget, seed, log
        self.folder.mkdir(parents=True, exist_ok=True)
        self.step, self.place = (
            0,
            {},
        )  # steps done (within ``steps`` the one under way counts); where the data was left
        self._before, self._began = 0.0, None  # seconds of earlier calls; when this one began
        self.record: dict[str, Any] = {
            "settings": dict(settings),
            "seed": seed,
            "calls": [],
            "history": [],
            "figures": {},
        }
        if self._record.is_file():
            old = json.loads(self._record.read_text())
            if self._state.is_file() and old["settings"] != json.loads(json.dumps(self.record["settings"])):
                changed = [
                    k for k in settings if old["settings"].get(k) != json.loads(json.dumps(settings[k]))
                ]
                raise MisoError(
                    f"The run in {self.folder} was begun with other settings ({', '.join(changed)}).",
                    "Resume it with the same ones, or choose another folder.",
                    input="out",
                )
            if self._state.is_file():
                self.record = old
        self.record["calls"].append(
            {
                "minutes": budget.minutes,
                "steps": budget.steps,
                "torch": torch.__version__,
                "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )

    @property
    def _state(self) -> Path:
        return self.folder / "state.safetensors"

    @property
    def _record(self) -> Path:
        return self.folder / "record.json"

    @property
    def seconds(self) -> float:
        """Time spent training, over all calls."""
        return self._before + (time.monotonic() - self._began if self._began else 0)

    @property
    def progress(self) -> float:
        """How much of the budget is used, 0 to 1."""
        by_steps = self.step / self.budget.steps if self.budget.steps else 0
        by_time = self.seconds / (60 * self.budget.minutes) if self.budget.minutes else 0
        return min(1.0, max(by_steps, by_time))

    def steps(self) -> Iterator[int]:
        """Step numbers from 0 until the budget, or this call's share of it, is used; seeds torch before each."""
        self._began = time.monotonic()
        limit = 60 * self.budget.stop_after if self.budget.stop_after else math.inf
        while self.progress < 1 and time.monotonic() - self._began < limit:
            step, self.step = self.step, self.step + 1
            torch.manual_seed(self.seed * _SEED_STRIDE + step)
            yield step

    def train(self, trainer: Trainer, publish: Callable[[], None], log_every: int, save_every: float) -> None:
        """Go on from where the run was saved until the budget is used. Every ``save_every`` minutes, and at the end, the trainer is validated,
        ``publish()`` writes what it has made so far, and its state is saved."""
        if (state := self.load()) is not None:
            trainer.unpack(state)

        def save() -> None:
            self.record["figures"] = trainer.validate()
            self.note(**self.record["figures"])
            publish()
            self.save(trainer.pack())

        saved = time.monotonic()
        for step in self.steps():
            losses = trainer.step(step, self.progress)
            if self.step % log_every == 0:
                self.note(**losses)
            if time.monotonic() - saved > 60 * save_every:
                save()
                saved = time.monotonic()
        save()

    def note(self, **values: float | Tensor) -> None:
        """Keep values of this step in the record, and say them."""
        row = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 2),
            **{k: round(_number(v), 5) for k, v in values.items()},
        }
        self.record["history"].append(row)
        self.log("  ".join(f"{k} {v:g}" for k, v in row.items()))

    def save(self, tensors: Mapping[str, Tensor]) -> None:
        """Write state and record. Storage that is shared is written once for each name."""
        at = {"step": self.step, "seconds": self.seconds, "place": self.place}
        write_tensors(
            self._state,
            {n: t.detach().cpu().clone() for n, t in tensors.items()},
            {"format": "miso.training/1", "at": json.dumps(at)},
        )
        self.save_record()

    def save_record(self) -> None:
        self.record |= {"steps": self.step, "minutes": round(self.seconds / 60, 2)}
        with replacing(self._record) as temporary:
            temporary.write_text(json.dumps(self.record, indent=1) + "\n")

    def load(self) -> dict[str, Tensor] | None:
        """The saved tensors, with the run put back to where they were saved; None in a new run."""
        if not self._state.is_file():
            return None
        metadata, entries = read_header(self._state)
        at = json.loads(metadata["at"])
        self.step, self._before, self.place = at["step"], at["seconds"], at["place"]
        self.record["history"] = [row for row in self.record["history"] if row["step"] <= self.step]
        with open_tensors(self._state) as file:
            return {name: file.get_tensor(name) for name in entries}


def warm_cosine(step: int, progress: float, warm_up: int, floor: float = 0.05) -> float:
    """Share of the top learning rate: linear warm-up, then a half cosine over the budget down to ``floor``."""
    return min(1.0, (step + 1) / warm_up) * (floor + (1 - floor) * (0.5 + 0.5 * math.cos(math.pi * progress)))


def _number(value: float | Tensor) -> float:
    return value.item() if isinstance(value, Tensor) else float(value)


def autocast(device: torch.device) -> AbstractContextManager:
    """bf16 for matrix products and convolutions, on GPUs and on the CPUs that have instructions for it (there four to eight times as fast)."""
    able = getattr(torch.cpu, "get_capabilities", dict)()  # torch >= 2.13 tells
    if device.type == "cuda" or (device.type == "cpu" and (able.get("avx512_bf16") or able.get("amx_bf16"))):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def adamw(
    params: Iterable[Tensor], rate: float, betas: tuple[float, float], decay: float
) -> torch.optim.AdamW:
    """AdamW on what is trainable; weight decay on matrices only, as norms, biases and scales shouldn't shrink. On a GPU a graph can hold it."""
    trained = [p for p in params if p.requires_grad]
    cuda = trained[0].is_cuda
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        torch.tensor(rate, device=trained[0].device) if cuda else rate,
        betas,
        fused=cuda,
        capturable=cuda,
    )


def pack_state(
    name: str, module: nn.Module, *optimizers: torch.optim.Optimizer, only_trained: bool = False
) -> dict[str, Tensor]:
    """A module's tensors (or those that training changes) and, by the names of its parameters, its optimizers', as one flat mapping."""
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    tensors = {f"{name}.{n}": t for n, t in (trained if only_trained else module.state_dict()).items()}
    return tensors | {
        f"{name}/{key}/{n}": t
        for n, p in trained.items()
        for o in optimizers
        for key, t in o.state.get(p, {}).items()
    }


def unpack_state(
    tensors: Mapping[str, Tensor], name: str, module: nn.Module, *optimizers: torch.optim.Optimizer
) -> None:
    """The reverse of ``pack_state``."""
    module.load_state_dict(
        {n[len(name) + 1 :]: t for n, t in tensors.items() if n.startswith(f"{name}.")}, strict=False
    )
    names = {p: n for n, p in module.named_parameters()}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                kept = {k: t for k in _STATES if (t := tensors.get(f"{name}/{k}/{names[p]}")) is not None}
                if kept:  # the step counter stays on the CPU unless the fused kernel reads it
                    optimizer.state[p] = {
                        k: t.to("cpu" if k == "step" and not group.get("fused") else p.device, copy=True)
                        for k, t in kept.items()
                    }
