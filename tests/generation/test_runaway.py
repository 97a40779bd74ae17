"""Takes that run away are ended, ordinary ones never are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miso import Miso, Segment
from miso.checkpoints.find import BUNDLED
from miso.generation import runaway
from miso.generation.alignment import align
from miso.generation.depth import DepthSampler
from miso.generation.loop import FrameLoop
from miso.generation.runaway import RUNAWAY, STILL, RunawayWatch
from miso.text.length import expected_seconds
from miso.training.evaluate import SENTENCES

LINES = SENTENCES.read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def nano() -> Miso:
    return Miso(BUNDLED / "nano.safetensors", device="cpu")


def watched(nano: Miso, loop: FrameLoop) -> list[tuple[int, int]]:
    """Run the loop to its end: what was ended, as (frame, take)."""
    watch = RunawayWatch(loop, nano.text)
    return [(frame.index, take) for frame in loop for take in watch.frame(frame)]


def endless(nano: Miso, text: str, seeds: list[int], frames: int = 200) -> FrameLoop:
    """A loop whose takes can't end by themselves."""
    prompt = nano.text.conditioning([Segment(text)]).prompt(frames, 0)
    loop = FrameLoop(
        nano.backbone,
        DepthSampler(nano.depth, nano.sampling),
        prompt,
        seeds=seeds,
        max_frames=frames,
        sampling=nano.sampling,
        min_frames=frames,
    )
    next(loop)  # what can't end is settled with the first frame
    loop.min_frames = 0
    return loop


@pytest.mark.parametrize("line", [0, 4])
def test_a_take_that_goes_on_after_its_text_is_ended(nano, line):
    loop = endless(nano, LINES[line], [line])
    (ended,) = watched(nano, loop)
    codes = loop.codes
    assert codes.takes[0].stop == RUNAWAY and codes.frames == ended[0] + 1
    assert codes.seconds[0] < 2 * expected_seconds(LINES[line]) + 2 * STILL < 200 / codes.frame_rate
    said = [word.text for word in align(nano.backbone, nano.text, codes).words]
    assert said == LINES[line].split()[: len(said)] and len(said) > 5


def test_each_take_is_ended_by_itself(nano):
    loop = endless(nano, LINES[2], [1, 2])
    ended = watched(nano, loop)
    assert sorted(take for _, take in ended) == [0, 1]
    assert loop.codes.lengths.tolist() == [frame + 1 for frame, _ in sorted(ended, key=lambda e: e[1])]


def test_ordinary_takes_are_not_ended(nano, monkeypatch):
    """Not even where they are looked at from the start."""
    monkeypatch.setattr(runaway, "_LATE", 0.0)
    for i, text in enumerate(LINES[10:16]):
        loop = nano.sample([Segment(text, i % 2)], seeds=[i], max_seconds=10)
        assert not watched(nano, loop)
        assert loop.codes.takes[0].stop == "eos"


def test_nothing_is_ended_before_min_frames(nano):
    loop = endless(nano, "Come in.", [3], frames=80)
    loop.min_frames = 80
    assert not watched(nano, loop) and loop.codes.takes[0].stop == "limit"


@settings(max_examples=8)
@given(which=st.sets(st.integers(0, 2)), at=st.integers(1, 4))
def test_an_ended_take_keeps_the_frames_so_far(nano, which, at):
    loop, whole = (nano.sample([Segment("Say a.")], seeds=[1, 2, 3], max_seconds=0.48) for _ in range(2))
    for frame in loop:
        if frame.index + 1 == at:
            for take in which:
                loop.end(take, RUNAWAY)
    list(whole)
    for take, length in enumerate(whole.codes.lengths.tolist()):
        length = min(at, length) if take in which else length
        assert int(loop.codes.lengths[take]) == length
        assert loop.codes.take(take).tensor.equal(whole.codes.take(take).tensor[..., :length])
