"""A training run on disk: the state from which it resumes, a record, and a budget of steps or minutes.

    folder/state.safetensors    weights, optimizers and counters; step and seconds are in the metadata
    folder/record.json          data, settings, history of losses, figures: for people

Every step seeds the random numbers from the run's seed and the step's number, so that their state need not be
saved. On the same device, a resumed run computes the same bits as an uninterrupted one if its budget is in
steps.
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

_STATES = ("step", "exp_avg", "exp_avg_sq", "average")  # of AdamW and Muon
_SEED_STRIDE = 1_000_003  # seeds of consecutive runs differ for a million steps


def _print(line: str) -> None:
    print(line, flush=True)  # flush, for readers of a file or a pipe


@dataclass(frozen=True)
class Budget:
    """Length of a run: ``steps`` or ``minutes`` of training, whichever ends first. Schedules extend over it.

    After ``stop_after`` minutes the current call saves and ends, to be resumed later; schedules ignore it.
    Raises MisoError without steps and minutes.
    """

    steps: int | None = None
    minutes: float | None = None
    stop_after: float | None = None

    def __post_init__(self):
        if not (self.steps or self.minutes):
            raise MisoError("The run has no length.", "Give --steps or --minutes.", input="minutes")


class Trainer(Protocol):
    """Networks, their optimizers and the training step, for ``Run.train``."""

    def step(self, step: int, progress: float) -> dict[str, Tensor]:
        """One step, at ``progress`` (0 to 1) of the budget; returns losses on the device."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures on held-out data."""
        ...

    def pack(self) -> dict[str, Tensor]:
        """The state to save."""
        ...

    def unpack(self, state: dict[str, Tensor]) -> None:
        """Restore what ``pack`` returned."""
        ...


class Run:
    """A run in ``folder``, which is created or resumed. ``steps()`` iterates until the budget is used.

    Raises MisoError if the folder has a run with other settings.
    """

    def __init__(
        self,
        folder: str | Path,
        budget: Budget,
        settings: Mapping[str, Any],
        seed: int = 0,
        log: Callable[[str], None] = _print,
    ):
        self.folder, self.budget, self.seed, self.log = Path(folder), budget, seed, log
        self.folder.mkdir(parents=True, exist_ok=True)
        self.step = 0  # steps done, including the current one while iterating over ``steps``
        self.place: dict[str, int] = {}  # position in the data
        self._earlier_seconds = 0.0  # of training, in earlier calls
        self._began: float | None = None  # time.monotonic() at the start of this call
        self.record: dict[str, Any] = {
            "settings": dict(settings),
            "seed": seed,
            "calls": [],
            "history": [],
            "figures": {},
        }
        if self._record.is_file():
            old = json.loads(self._record.read_text())
            plain = json.loads(json.dumps(self.record["settings"]))
            if self._state.is_file() and old["settings"] != plain:
                changed = [name for name, value in plain.items() if old["settings"].get(name) != value]
                raise MisoError(
                    f"The run in {self.folder} was started with other settings ({', '.join(changed)}).",
                    "Resume it with the same settings, or choose another folder.",
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
        """Seconds of training, over all calls."""
        return self._earlier_seconds + (time.monotonic() - self._began if self._began else 0)

    @property
    def progress(self) -> float:
        """The used share of the budget, 0 to 1."""
        by_steps = self.step / self.budget.steps if self.budget.steps else 0
        by_time = self.seconds / (60 * self.budget.minutes) if self.budget.minutes else 0
        return min(1.0, max(by_steps, by_time))

    def steps(self) -> Iterator[int]:
        """Step numbers until the budget or ``stop_after`` is used; seeds torch before each step."""
        self._began = time.monotonic()
        limit = 60 * self.budget.stop_after if self.budget.stop_after else math.inf
        while self.progress < 1 and time.monotonic() - self._began < limit:
            step, self.step = self.step, self.step + 1
            torch.manual_seed(self.seed * _SEED_STRIDE + step)
            yield step

    def train(self, trainer: Trainer, publish: Callable[[], None], log_every: int, save_every: float) -> None:
        """Resume and train until the budget is used.

        Every ``save_every`` minutes and at the end, validates the trainer, calls ``publish()``, which writes
        the result so far, and saves the state.
        """
        state = self.load()
        if state is not None:
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
        """Add values of this step to the record's history, and log them."""
        row = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 2),
            **{k: round(_number(v), 5) for k, v in values.items()},
        }
        self.record["history"].append(row)
        self.log("  ".join(f"{k} {v:g}" for k, v in row.items()))

    def save(self, tensors: Mapping[str, Tensor]) -> None:
        """Write state and record. Tensors that share storage are written separately."""
        position = {"step": self.step, "seconds": self.seconds, "place": self.place}
        write_tensors(
            self._state,
            {n: t.detach().cpu().clone() for n, t in tensors.items()},
            {"format": "miso.training/1", "at": json.dumps(position)},
        )
        self.save_record()

    def save_record(self) -> None:
        """Write the record."""
        self.record |= {"steps": self.step, "minutes": round(self.seconds / 60, 2)}
        with replacing(self._record) as temporary:
            temporary.write_text(json.dumps(self.record, indent=1) + "\n")

    def load(self) -> dict[str, Tensor] | None:
        """Return to the saved step; returns the saved tensors, or None in a new run."""
        if not self._state.is_file():
            return None
        metadata, entries = read_header(self._state)
        position = json.loads(metadata["at"])
        self.step, self.place = position["step"], position["place"]
        self._earlier_seconds = position["seconds"]
        self.record["history"] = [row for row in self.record["history"] if row["step"] <= self.step]
        with open_tensors(self._state) as file:
            return {name: file.get_tensor(name) for name in entries}


def warm_cosine(step: int, progress: float, warm_up: int, floor: float = 0.05) -> float:
    """Share of the maximum learning rate: linear warm-up, then a half cosine down to ``floor``."""
    return min(1.0, (step + 1) / warm_up) * (floor + (1 - floor) * (0.5 + 0.5 * math.cos(math.pi * progress)))


def _number(value: float | Tensor) -> float:
    return value.item() if isinstance(value, Tensor) else float(value)


def autocast(device: torch.device) -> AbstractContextManager:
    """Autocast to bf16 on GPUs, and on CPUs with bf16 instructions, where it is 4 to 8 times as fast."""
    features: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch >= 2.13
    fast_cpu = device.type == "cpu" and (features.get("avx512_bf16") or features.get("amx_bf16"))
    if device.type == "cuda" or fast_cpu:
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate; in place if it is a tensor, for CUDA graphs."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def adamw(
    params: Iterable[Tensor], rate: float, betas: tuple[float, float], decay: float
) -> torch.optim.AdamW:
    """AdamW for trainable parameters, with weight decay on matrices only; on a GPU fused and capturable."""
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
    """Tensors of a module (all, or only those with gradients) and of its optimizers, as one flat mapping."""
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
    """Restore what ``pack_state`` returned."""
    module.load_state_dict(
        {n[len(name) + 1 :]: t for n, t in tensors.items() if n.startswith(f"{name}.")}, strict=False
    )
    names = {p: n for n, p in module.named_parameters()}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                state = {k: t for k in _STATES if (t := tensors.get(f"{name}/{k}/{names[p]}")) is not None}
                if state:
                    # only the fused kernel has the step counter on the device
                    optimizer.state[p] = {
                        k: t.to("cpu" if k == "step" and not group.get("fused") else p.device, copy=True)
                        for k, t in state.items()
                    }
