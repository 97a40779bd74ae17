"""The trial of the persistent kernel: right and faster, or the graph serves; tried once, never an error."""

import json

import pytest
import torch
from generation.emulator import EmulatedFrame, emulated
from generation.frames import SMALL, models

from miso.errors import MisoError
from miso.generation import paths, trial
from miso.generation.depth import DepthSampler
from miso.generation.frame import PlainFrame
from miso.generation.paths import pick_path
from miso.generation.persistent.limits import GpuLimits, gpu_limits, limited_to
from miso.model.sampling import Sampling


@pytest.fixture(autouse=True)
def own_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "miso" / "paths.json"


@pytest.fixture
def model():
    backbone, decoder = models(SMALL)
    return backbone, DepthSampler(decoder, Sampling(0.9, 20))


@pytest.fixture
def on_cpu(monkeypatch):
    """The decision without a GPU: a kernel that takes half a graph's time, on a card called X."""
    monkeypatch.setattr(trial, "_key", lambda *_: "X")
    monkeypatch.setattr(trial, "graph_frame", PlainFrame)
    monkeypatch.setattr(trial, "_frame_ms", lambda step: 10.0 if type(step) is PlainFrame else 5.0)

    def install(kernel):
        monkeypatch.setattr(trial, "persistent_frame", kernel)
        monkeypatch.setattr(trial, "persistent_graph", kernel)

    return install


class Right(PlainFrame):
    pass


class WrongHidden(PlainFrame):
    def __call__(self, window=None):
        super().__call__(window)
        self.state.hidden.mul_(1.1)


class WrongCodebook(PlainFrame):
    """Draws the last codebook from other numbers."""

    def __call__(self, window=None):
        t = int(self.state.counter)
        super().__call__(window)
        self.state.codes[t, :, -1] = (self.state.codes[t, :, -1] + 1) % SMALL.codebook_size


class NotANumber(PlainFrame):
    def __call__(self, window=None):
        super().__call__(window)
        self.state.hidden.fill_(float("nan"))


class FailsToCompile(PlainFrame):
    def __init__(self, *args):
        raise RuntimeError("NVRTC: the compiler says no")


class FailsToLaunch(PlainFrame):
    def __call__(self, window=None):
        raise RuntimeError("CUDA driver: too many resources requested for launch (701)")


def test_a_kernel_that_is_right_and_faster_is_taken_and_remembered(on_cpu, model, own_file):
    on_cpu(Right)
    verdict = trial.choose_path(*model, 1)
    assert verdict == ("persistent", "5.0 ms a frame, the graph 10.0 ms")
    on_cpu(FailsToCompile)  # would be noticed if it were tried again
    assert trial.choose_path(*model, 1) == verdict and json.loads(own_file.read_text())["X"] == list(verdict)


def test_a_slower_one_is_not_taken(on_cpu, model, monkeypatch):
    on_cpu(Right)
    monkeypatch.setattr(trial, "_frame_ms", lambda step: 10.0 if type(step) is PlainFrame else 20.0)
    assert trial.choose_path(*model, 1).path == "graph"


@pytest.mark.parametrize(
    "kernel, words",
    [
        (WrongHidden, "other numbers"),
        (WrongCodebook, "other numbers"),
        (NotANumber, "other numbers"),
        (FailsToCompile, "the compiler says no"),
        (FailsToLaunch, "too many resources"),
    ],
)
def test_whatever_is_wrong_the_graph_serves_and_one_line_says_why(on_cpu, model, caplog, kernel, words):
    on_cpu(kernel)
    verdict = trial.choose_path(*model, 2)
    assert verdict.path == "graph" and words in verdict.because
    assert [words in record.message for record in caplog.records if record.levelname == "WARNING"] == [True]


def test_no_memory_is_tried_again_the_next_time(on_cpu, model, own_file):
    class NoMemory(PlainFrame):
        def __init__(self, *args):
            raise torch.cuda.OutOfMemoryError("no memory")

    on_cpu(NoMemory)
    assert trial.choose_path(*model, 1).path == "graph" and not own_file.exists()
    on_cpu(Right)
    assert trial.choose_path(*model, 1).path == "persistent"


@pytest.mark.parametrize("content", ["", "[]", '{"X": 5}', '{"X": ["persistent"]}', "[" * 100_000])
def test_a_damaged_file_is_written_anew(on_cpu, model, own_file, content):
    own_file.parent.mkdir()
    own_file.write_text(content)
    on_cpu(Right)
    assert trial.choose_path(*model, 1).path == "persistent"
    assert list(json.loads(own_file.read_text())) == ["X"]


def test_the_path_can_be_named_in_the_environment(model, monkeypatch):
    monkeypatch.setenv("MISO_PATH", "graph")
    with pytest.raises(MisoError, match="'graph' can't be used here"):
        pick_path("auto", *model, 1)
    monkeypatch.setenv("MISO_PATH", "warp")
    with pytest.raises(MisoError, match="no path 'warp'"):
        pick_path("auto", *model, 1)


@emulated
def test_the_kernels_source_passes_on_an_emulated_gpu(model, monkeypatch):
    monkeypatch.setattr(trial, "persistent_frame", EmulatedFrame)
    monkeypatch.setattr(trial, "FRAMES", 4)
    agreement = trial.compare(*model, 1)
    assert agreement.hidden_error < trial.MAX_HIDDEN_ERROR and agreement.distance <= trial.MAX_DISTANCE


@pytest.mark.gpu
@pytest.mark.parametrize("takes", [1, 8])
@pytest.mark.parametrize("weights", ["", "int8", "int4", "fp8"])
def test_on_a_gpu(weights, takes, monkeypatch):
    backbone, decoder = models(SMALL, weights, "cuda")
    depth = DepthSampler(decoder)
    if reason := paths.PersistentPath.unsupported(backbone, depth, takes):
        pytest.skip(reason)
    assert trial.compare(backbone, depth, takes).holds
    first = trial.choose_path(backbone, depth, takes)
    assert "ms a frame" in first.because and pick_path("auto", backbone, depth, takes) == first
    with limited_to(GpuLimits(28, 99 * 1024)):
        assert gpu_limits(torch.device("cuda")) == (28, 99 * 1024)
        assert (
            paths.PersistentPath.unsupported(backbone, depth, takes)
            or trial.compare(backbone, depth, takes).holds
        )


@pytest.mark.gpu
def test_on_a_gpu_a_kernel_that_fails_leaves_the_graph_working(monkeypatch):
    from miso.generation.persistent import step

    backbone, decoder = models(SMALL, "", "cuda")
    depth = DepthSampler(decoder)

    def refuse(*_):
        raise RuntimeError("CUDA driver: launch refused")

    monkeypatch.setattr(step.Kernel, "__call__", refuse)
    verdict = trial.choose_path(backbone, depth, 1)
    assert verdict.path == "graph" and "launch refused" in verdict.because
    with paths.borrow_frame("graph", backbone, depth, Sampling(), 1, 64, 8) as frame:
        frame()
    torch.cuda.synchronize()
