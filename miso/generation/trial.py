"""The persistent kernel on trial: does it compute what the plain path computes on this card, and is it
faster?

Tried once for each combination of GPU, driver, PyTorch, kernel, model sizes, precision and number of takes.
The verdict is kept in a small file, ``~/.cache/miso/paths.json``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import statistics
from pathlib import Path
from typing import NamedTuple

import torch

from ..errors import MisoError
from ..files import read_json, replacing
from ..model.networks import Backbone
from ..model.sampling import Sampling, uniforms
from .depth import DepthSampler
from .frame import FrameState, PlainFrame
from .graph import GraphFrame
from .persistent.compile import driver_version, source
from .persistent.limits import gpu_limits
from .persistent.step import PersistentFrame

log = logging.getLogger(__name__)

FRAMES, ROWS = 16, 256  # of a trial
MAX_HIDDEN_ERROR = 0.03  # relative; both paths compute in bf16, and 0.005 to 0.01 is usual
# Rounding changes a code whose uniform number is close to a boundary: 1 to 2 % of them. A wrong kernel
# changes nearly all of those that it gets wrong.
MAX_CHANGED, MAX_CHANGED_IN_CODEBOOK = 0.1, 0.6


class Agreement(NamedTuple):
    """How far the persistent kernel is from the plain path over ``FRAMES`` frames from equal states."""

    hidden_error: float  # relative, the worst frame's
    changed: float  # codes that differ, of those whose frame had no difference before them
    worst_codebook: float  # the same for the codebook with most

    @property
    def holds(self) -> bool:
        # the first comparison is False for NaN
        return (
            self.hidden_error <= MAX_HIDDEN_ERROR
            and self.changed <= MAX_CHANGED
            and self.worst_codebook <= MAX_CHANGED_IN_CODEBOOK
        )


class Verdict(NamedTuple):
    path: str  # "persistent" or "graph"
    because: str  # a clause


def choose_path(backbone: Backbone, depth: DepthSampler, takes: int) -> Verdict:
    """The faster of the persistent kernel and the graph on the backbone's GPU, tried once and remembered.

    Whatever goes wrong in the trial makes it the graph, with one logged line.
    """
    key = _key(backbone, depth, takes)
    verdicts = _read()
    if key in verdicts:
        return verdicts[key]
    log.info("Miso: trying the persistent kernel on this GPU, once ...")
    try:
        verdict = _try(backbone, depth, takes)
    except torch.cuda.OutOfMemoryError:
        return Verdict("graph", "there was no memory to try the persistent kernel")  # next time there may be
    except Exception as e:  # NVRTC, the driver, a launch that is refused: the graph serves all the same
        verdict = Verdict("graph", f"the persistent kernel failed here ({type(e).__name__}: {e})")
    finally:
        torch.cuda.empty_cache()
    log.log(logging.INFO if verdict.path == "persistent" else logging.WARNING, "Miso: %s: %s", *verdict)
    _write({**verdicts, key: verdict})
    return verdict


def _try(backbone: Backbone, depth: DepthSampler, takes: int) -> Verdict:
    agreement = compare(backbone, depth, takes)
    if not agreement.holds:
        return Verdict("graph", f"the persistent kernel computes other numbers here ({_percent(agreement)})")
    kernel, graph = (
        _frame_ms(GraphFrame(step(backbone, depth, Sampling(), _state(backbone, depth, takes))))
        for step in (PersistentFrame, PlainFrame)
    )
    path = "persistent" if kernel < graph else "graph"
    return Verdict(path, f"{kernel:.1f} ms a frame, the graph {graph:.1f} ms")


@torch.inference_mode()
def compare(backbone: Backbone, depth: DepthSampler, takes: int) -> Agreement:
    """Compute frames by both paths, each frame from the plain path's state before it."""
    sampling = Sampling()
    plain, ours = (
        step(backbone, depth, sampling, _state(backbone, depth, takes))
        for step in (PlainFrame, PersistentFrame)
    )
    reached, changed = torch.zeros(2, depth.codebooks)
    errors = []
    for t in range(FRAMES):
        for name in ("x", "position", "counter"):
            getattr(ours.state, name).copy_(getattr(plain.state, name))
        for mine, theirs in (
            (ours.state.cache.keys, plain.state.cache.keys),
            (ours.state.cache.values, plain.state.cache.values),
        ):
            mine[:, :, :, :t] = theirs[:, :, :, :t]
        plain()
        ours()
        want, got = (step.state.hidden[t].float() for step in (plain, ours))
        errors.append((got - want).norm() / want.norm())
        same = (plain.state.codes[t] == ours.state.codes[t]).cpu()  # [B, k]
        before = torch.cat((torch.ones(takes, 1, dtype=torch.bool), same.cumprod(1).bool()[:, :-1]), 1)
        reached += before.sum(0)
        changed += (before & ~same).sum(0)
    seen = reached >= 4  # codebooks whose share says something
    share = (changed / reached.clamp(min=1))[seen]
    worst = float(torch.stack(errors).max())  # unlike Python's max, NaN if one is
    return Agreement(worst, float(changed.sum() / reached.sum()), float(share.max()))


def _state(backbone: Backbone, depth: DepthSampler, takes: int) -> FrameState:
    """A state at position 0, whose next row embeds random codes."""
    config, state = backbone.config, FrameState.make(backbone, depth, takes, ROWS, FRAMES)
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(config.codebook_size, (takes, config.codebooks), generator=generator)
    state.x.copy_(backbone.embed_frame(codes.to(state.x.device)))
    state.u.copy_(uniforms(list(range(takes)), FRAMES, config.codebooks))
    return state


def _frame_ms(frame: GraphFrame) -> float:
    """Median time of a frame in ms. The state stays where it is: what it holds doesn't change the time."""
    times = []
    for _ in range(FRAMES):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        frame.state.position.fill_(ROWS // 2)
        frame.state.counter.zero_()
        start.record()
        frame()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def _percent(agreement: Agreement) -> str:
    return (
        f"hidden states by {agreement.hidden_error:.1%}, {agreement.changed:.0%} of the codes, "
        f"{agreement.worst_codebook:.0%} of a codebook"
    )


def _key(backbone: Backbone, depth: DepthSampler, takes: int) -> str:
    device = backbone.audio_embeddings.weight.device
    modules = (*backbone.modules(), *depth.decoder.modules())
    dtypes = {
        str(module.weight.dtype)
        for module in modules
        if isinstance(getattr(module, "weight", None), torch.Tensor)
    }
    decides = (
        torch.cuda.get_device_name(device),
        gpu_limits(device),
        driver_version(),
        torch.__version__,
        source(),
        backbone.config.to_json(),
        sorted(dtypes),
        depth.codebooks,
        takes,
    )
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:32]


def _file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "miso" / "paths.json"


def _read() -> dict[str, Verdict]:
    try:
        return {
            str(key): Verdict(str(path), str(because)) for key, (path, because) in read_json(_file()).items()
        }
    except (ValueError, TypeError, AttributeError):  # not there yet, or damaged: tried again
        return {}


def _write(verdicts: dict[str, Verdict]) -> None:
    try:
        with replacing(_file()) as temporary:
            temporary.write_text(json.dumps(verdicts, indent=1), encoding="utf-8")
    except MisoError as e:
        log.info("Miso: the verdict could not be kept, so it is tried again in the next session (%s)", e)
