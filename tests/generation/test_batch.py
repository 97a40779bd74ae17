"""Continuous batching: each line is as if it were said alone, whatever stands beside it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_tiny import make_tiny

from miso.checkpoints.checkpoint import Checkpoint
from miso.checkpoints.find import BUNDLED
from miso.codes.codes import Codes
from miso.errors import MisoError
from miso.generation.batch import BatchLoop, Line
from miso.generation.depth import DepthSampler
from miso.generation.loop import FrameLoop
from miso.model.sampling import Sampling
from miso.text.conditioning import Conditioning, Segment
from miso.text.voice import Voice
from miso.training.evaluate import SENTENCES

NANO = Sampling(0.25, 50)


class EndsBy(DepthSampler):
    """Ends a take at any frame, by its own uniform numbers: about every fifth frame is one of zeros."""

    def __call__(self, hidden, codes, u):
        frame = super().__call__(hidden, codes, u)
        return frame.masked_fill(u[:, -1:] < 0.2, 0)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tiny_folder):
    checkpoint = Checkpoint(tiny_folder / "tiny.safetensors")
    return checkpoint.text_encoder([]), checkpoint.load_backbone(), EndsBy(checkpoint.load_depth())


def line_of(conditioning: Conditioning, seed: int, frames: int) -> Line:
    return Line(conditioning, seed, frames, len(conditioning.prompt(frames).rows))


def alone(backbone, depth, line: Line, sampling: Sampling = Sampling()) -> Codes:
    prompt = line.conditioning.prompt(line.max_frames)
    loop = FrameLoop(
        backbone, depth, prompt, seeds=[line.seed], max_frames=line.max_frames, sampling=sampling
    )
    list(loop)
    return loop.codes


def together(backbone, depth, lines, slots, sampling: Sampling = Sampling()) -> dict[int, Codes]:
    loop = BatchLoop(backbone, depth, lines, slots=slots, sampling=sampling)
    said: dict[int, Codes] = {}
    for ended in loop:
        done, total = loop.progress
        assert done <= total
        for number, codes in ended:
            assert number not in said
            said[number] = codes
    assert loop.progress == (total, total)
    assert loop.sampled == sum(codes.frames for codes in said.values())
    return said


def same(got: Codes, want: Codes) -> None:
    """The same but for the last bits of a mean of log probabilities."""
    assert got.tensor.equal(want.tensor) and got.lengths.equal(want.lengths)
    (said,), (take,) = got.takes, want.takes
    assert (said.seed, said.stop, said.spans) == (take.seed, take.stop, take.spans)
    assert said.log_probability == pytest.approx(take.log_probability, abs=1e-4)


TEXT = st.text("abc ", min_size=1, max_size=12).map(lambda text: f"Say {text}.")
LINES = st.lists(st.tuples(TEXT, st.integers(0, 99), st.integers(1, 14)), min_size=1, max_size=9)


@settings(max_examples=12)
@given(LINES, st.integers(1, 5))
def test_a_line_is_as_if_said_alone_in_any_order_and_slot(tiny, given, slots):
    encoder, backbone, depth = tiny
    lines = [
        line_of(encoder.conditioning([Segment(text, seed % 3)]), seed, frames) for text, seed, frames in given
    ]
    said = together(backbone, depth, lines, slots)
    assert said.keys() == set(range(len(lines)))
    for number, line in enumerate(lines):
        same(said[number], alone(backbone, depth, line))


@pytest.mark.parametrize("slots", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_nanos_lines_with_and_without_voices(slots):
    checkpoint = Checkpoint(BUNDLED / "nano.safetensors")
    backbone, depth = checkpoint.load_backbone(), DepthSampler(checkpoint.load_depth(), NANO)
    encoder = checkpoint.text_encoder([])
    voices = [Voice.load(path).segment() for path in sorted((BUNDLED / "voices").glob("*.safetensors"))]
    count = 3 * slots
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[:count]
    lines = []
    for i, text in enumerate(texts):
        before = [voices[i % 2]] if i % 3 == 0 else []
        speaker = before[0].speaker if before else i % 2
        lines.append(line_of(encoder.conditioning([*before, Segment(text, speaker)]), i, 5 + 6 * (i % 4)))
    said = together(backbone, depth, lines, slots, NANO)
    for i in range(count):
        same(said[i], alone(backbone, depth, lines[i], NANO))


def test_a_stopped_run_leaves_what_has_ended(tiny):
    encoder, backbone, depth = tiny
    lines = [line_of(encoder.conditioning([Segment("Say a.")]), seed, 10) for seed in range(6)]
    loop, said = BatchLoop(backbone, depth, lines, slots=2), []
    for ended in loop:
        said += ended
        if len(said) >= 2:
            break
    loop.close()
    assert list(loop) == [] and all(codes.takes[0].stop != "interrupted" for _, codes in said)


def test_no_lines_and_bad_requests(tiny):
    encoder, backbone, depth = tiny
    assert list(BatchLoop(backbone, depth, [])) == []
    line = line_of(encoder.conditioning([Segment("Say a.")]), 0, 10)
    with pytest.raises(MisoError, match="slots is 0"):
        BatchLoop(backbone, depth, [line], slots=0)


@pytest.mark.gpu
@pytest.mark.parametrize("path", ["plain", "auto"])
def test_lines_on_cuda(tiny, checkpoint_on_cuda, path):
    encoder, _, depth = tiny
    backbone, on_cuda = checkpoint_on_cuda
    lines = [
        line_of(encoder.conditioning([Segment(f"Say {'abc ' * (i % 5)}.")]), i, 3 + i % 9) for i in range(24)
    ]
    loop = BatchLoop(backbone, on_cuda, lines, slots=5, path=path)
    assert loop.path == ("plain" if path == "plain" else "graph")
    said = dict(ended for step in loop for ended in step)
    assert said.keys() == set(range(24))
    same = []
    for number, line in enumerate(lines):
        want = alone(tiny[1], depth, line)
        same.append(said[number].tensor.shape == want.tensor.shape and said[number].tensor.equal(want.tensor))
    assert sum(same) >= 22  # on another device a code may round to another


@pytest.fixture(scope="module")
def checkpoint_on_cuda(tiny_folder):
    checkpoint = Checkpoint(tiny_folder / "tiny.safetensors")
    return checkpoint.load_backbone("cuda"), EndsBy(checkpoint.load_depth("cuda"))
