"""The persistent kernel on trial: does it compute what the plain path computes on this card, and is it
faster?

Tried once for each combination of GPU, driver, PyTorch, kernel, model sizes, precision and number of takes.
The verdict is kept in a small file, ``~/.cache/miso/paths.json``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import statistics
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import MisoError
from ..files import cache_folder, read_json, replacing
from ..model.networks import Backbone
from ..model.sampling import Sampling, probabilities, uniforms
from ..nvrtc import driver_version
from .depth import DepthSampler
from .frame import FrameState, PlainFrame
from .graph import GraphFrame, graph_frame
from .persistent.limits import gpu_limits
from .persistent.source import source
from .persistent.split import persistent_frame, persistent_graph

log = logging.getLogger(__name__)

FRAMES, ROWS = 16, 256  # of a trial
MAX_HIDDEN_ERROR = 0.03  # relative; both paths compute in bf16, whose rounding makes 0.015 at the 8B size
MAX_DISTANCE, MAX_DISTANCE_IN_CODEBOOK = 0.02, 0.06  # see Agreement; other logits give 0.2 and more


class Agreement(NamedTuple):
    """How far the persistent kernel is from the plain path over ``FRAMES`` frames from equal states.

    A code is drawn where its uniform number falls into the cumulative distribution. The distance of a code is
    how far its number lies, by the plain path's logits, from the interval of that code: 0 for the code that
    the plain path draws, as much as rounding moves the distribution for its neighbours, and large if the
    logits are others. Codes alone would not show that: rounding changes one in five where the distribution is
    flat.
    """

    hidden_error: float  # relative, the worst frame's
    distance: float  # mean over all codes
    worst_codebook: float  # mean over the codes of the codebook where it is greatest

    @property
    def holds(self) -> bool:
        # comparisons that are False for NaN
        return (
            self.hidden_error <= MAX_HIDDEN_ERROR
            and self.distance <= MAX_DISTANCE
            and self.worst_codebook <= MAX_DISTANCE_IN_CODEBOOK
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
        _frame_ms(record(backbone, depth, Sampling(), _state(backbone, depth, takes)))
        for record in (persistent_graph, graph_frame)
    )
    path = "persistent" if kernel < graph else "graph"
    return Verdict(path, f"{kernel:.1f} ms a frame, the graph {graph:.1f} ms")


@torch.inference_mode()
def compare(backbone: Backbone, depth: DepthSampler, takes: int) -> Agreement:
    """Compute frames by both paths, each frame from the plain path's state before it."""
    sampling = Sampling()
    plain, ours = (
        step(backbone, depth, sampling, _state(backbone, depth, takes))
        for step in (PlainFrame, persistent_frame)
    )
    want, got, errors, distances = plain.state, ours.state, [], []
    for t in range(FRAMES):
        for name in ("x", "position", "counter"):
            getattr(got, name).copy_(getattr(want, name))
        got.cache.keys[:, :, :, :t] = want.cache.keys[:, :, :, :t]
        got.cache.values[:, :, :, :t] = want.cache.values[:, :, :, :t]
        plain()
        ours()
        hidden = want.hidden[t].float()
        errors.append((got.hidden[t].float() - hidden).norm() / hidden.norm())
        distances.append(_distances(backbone, depth, sampling, want.hidden[t], got.codes[t], want.u[:, t]))
    by_codebook = torch.stack(distances).mean((0, 1))
    # unlike Python's max, torch's is NaN if one is
    return Agreement(float(torch.stack(errors).max()), float(by_codebook.mean()), float(by_codebook.max()))


def _distances(
    backbone: Backbone, depth: DepthSampler, sampling: Sampling, hidden: Tensor, codes: Tensor, u: Tensor
) -> Tensor:
    """Distances [B, k] (see ``Agreement``) of codes [B, k] drawn with u [B, K], by the plain logits."""
    decoder, size = depth.decoder, backbone.config.codebook_size
    logits = [backbone.codebook0_head(hidden)]
    if depth.codebooks > 1:
        y = decoder.transformer(decoder.start(hidden, codes[:, :-1]))
        logits += [decoder.logits(y[:, k], k) for k in range(1, depth.codebooks)]
    distances = []
    for k, row in enumerate(logits):
        p = probabilities(row, depth.sampling if k else sampling, size)
        code, number = codes[:, k : k + 1], u[:, k : k + 1]
        upper = p.cumsum(-1).gather(1, code)
        distances.append(torch.maximum(number - upper, upper - p.gather(1, code) - number).clamp(min=0))
    return torch.cat(distances, 1)


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
        f"hidden states by {agreement.hidden_error:.1%}, distributions by {agreement.distance:.1%}, "
        f"of one codebook by {agreement.worst_codebook:.1%}"
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
    return cache_folder() / "paths.json"


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
