"""Turns one after another: exact history, what a change samples again, kept turns, pauses, bounded memory."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from make_tiny import make_tiny

from miso.checkpoints.checkpoint import Checkpoint
from miso.codes.codes import Codes
from miso.codes.store import Store
from miso.errors import MisoError
from miso.generation.choices import Choice
from miso.generation.depth import DepthSampler
from miso.generation.loop import FrameLoop
from miso.generation.turn_settings import TurnSettings, turn_seed
from miso.generation.turns import TurnLoop
from miso.model.sampling import Sampling
from miso.text.conditioning import Segment
from miso.text.script import Turn, parse_script

SCRIPT = "\n".join(f"[{i % 2}] This is number {i}." for i in range(5))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny(folder)
    checkpoint = Checkpoint(folder / "tiny.safetensors")
    backbone, depth = checkpoint.load_backbone(), DepthSampler(checkpoint.load_depth())
    return checkpoint.text_encoder([]), backbone, depth


@pytest.fixture
def loop(tiny):
    """``loop(script or turns, seconds=0.4, seed=0, ...)``; ``run`` finishes it."""
    encoder, backbone, depth = tiny

    def make(script, *, seconds=0.4, seed=0, **options) -> TurnLoop:
        settings = TurnSettings("f", "fp32", Sampling(), Sampling(), 8, seed, seconds)
        turns = parse_script(script) if isinstance(script, str) else script
        return TurnLoop(encoder, turns, lambda rows: (backbone, depth), settings, **options)

    return make


@pytest.fixture
def run(loop):
    def run(script, **options) -> TurnLoop:
        made = loop(script, **options)
        made.events = list(made)
        return made

    return run


def silence() -> Codes:
    return Codes(torch.full((1, 8, 4), 9), torch.tensor([4]), "tiny", codebook_size=64)


def test_each_turn_continues_the_exact_codes_of_those_before(tiny, run):
    encoder, backbone, depth = tiny
    said = run(SCRIPT).said
    segments = []
    for i, turn in enumerate(parse_script(SCRIPT)):
        segments.append(Segment(turn.text, turn.speaker))
        prompt = encoder.conditioning(segments).prompt(5)
        alone = FrameLoop(backbone, depth, prompt, seeds=[turn_seed(0, turn, 0)], max_frames=5)
        list(alone)
        assert said[i].codes.tensor.equal(alone.codes.tensor)
        segments[-1] = replace(segments[-1], codes=alone.codes)
    assert [s.codes is not None for s in segments] == [True] * 5


def test_the_joined_take_knows_its_turns_and_pauses(run):
    script = SCRIPT.replace("number 1.", "number 1. [pause 0.8]")
    made = run(script, silence=silence)
    codes = made.codes
    assert codes.lengths.tolist() == [5 * 5 + 10]
    spans = codes.takes[0].spans
    assert [(s.start, s.end, s.text, s.speaker) for s in spans[:3]] == [
        (0, 5, "This is number 0.", 0),
        (5, 10, "This is number 1.", 1),
        (20, 25, "This is number 2.", 0),
    ]
    assert codes.tensor[0, :, 10:20].eq(9).all() and codes.takes[0].stop == "limit"
    assert codes.takes[0].exact and codes.takes[0].seed == 0 and codes.takes[0].log_probability < 0
    frames = [event.frame for event in made.events]
    assert [frame.index for frame in frames] == list(range(35))
    assert torch.stack([frame.codes[0] for frame in frames], 1).equal(codes.tensor[0])
    assert run(script).codes.frames == 25  # without silence, without pauses
    assert all(said.cut for said in made.said)


def test_a_change_samples_its_turn_and_what_follows(tmp_path, run):
    store = Store(tmp_path)
    first = run(SCRIPT, store=store)
    assert first.sampled == 25 and run(SCRIPT, store=store).sampled == 0
    changed = run(SCRIPT.replace("number 3", "quite another"), store=store)
    assert [said.kept for said in changed.said] == [True, True, True, False, False]
    assert changed.sampled == 10
    assert changed.said[2].codes.tensor.equal(first.said[2].codes.tensor)
    assert not changed.said[4].codes.tensor.equal(first.said[4].codes.tensor)
    assert run(SCRIPT, store=store).sampled == 0  # and back
    assert run(SCRIPT, store=store, seed=1).sampled == 25
    kept = run(SCRIPT, store=store)
    assert kept.codes.digest() == first.codes.digest() and all(event.kept for event in kept.events)


def test_only_the_changed_turn_if_asked(tmp_path, run):
    stores = {"store": Store(tmp_path / "a"), "latest": Store(tmp_path / "b")}
    first = run(SCRIPT, **stores)
    changed = run(SCRIPT.replace("number 1", "quite another"), only_changed=True, **stores)
    assert [said.kept for said in changed.said] == [True, False, True, True, True]
    assert changed.said[4].codes.tensor.equal(first.said[4].codes.tensor)
    again = run(SCRIPT.replace("number 1", "quite another"), only_changed=True, **stores)
    assert again.codes.digest() == changed.codes.digest() and again.sampled == 0
    voice = Segment("A voice.", 1, first.said[0].codes, voice=True)
    assert run(SCRIPT, only_changed=True, history=[voice], **stores).sampled == 25  # all are in another voice


def test_another_attempt_at_one_turn(tmp_path, run):
    stores = {"store": Store(tmp_path / "a"), "latest": Store(tmp_path / "b")}
    first = run(SCRIPT, **stores)
    again = {("This is number 1.", 1, 0): Choice(attempt=1)}
    second = run(SCRIPT, choices=again, **stores)
    assert [said.kept for said in second.said] == [True, False, False, False, False]
    assert not second.said[1].codes.tensor.equal(first.said[1].codes.tensor)
    inserted = run(f"[1] Well, well.\n{SCRIPT}", choices=again)
    assert inserted.said[2].codes.takes[0].seed == second.said[1].codes.takes[0].seed
    assert run(SCRIPT, **stores).sampled == 0  # and back to the first
    third = run(SCRIPT, choices={("This is number 1.", 1, 0): Choice(2)}, only_changed=True, **stores)
    assert [said.kept for said in third.said] == [True, False, True, True, True]
    unknown = {("This is number 1.", 1, 1): Choice(3), ("Never said.", 0, 0): Choice(3, "0" * 64)}
    assert run(SCRIPT, choices=unknown, **stores).sampled == 0


def test_a_locked_turn_stays_whatever_changes(tmp_path, run):
    stores = {"store": Store(tmp_path / "a"), "latest": Store(tmp_path / "b")}
    first = run(SCRIPT, **stores)
    key, codes = ("This is number 3.", 1, 0), first.said[3].codes
    locked = {key: Choice(locked=codes.digest())}
    changed = SCRIPT.replace("number 1", "quite another")
    for options in ({}, {"seed": 1}, {"history": first.segments}):
        other = run(changed, choices=locked, **options, **stores)
        assert other.said[3].kept and other.said[3].codes.digest() == codes.digest()
        assert not other.said[3].unlocked and not other.said[4].codes.tensor.equal(first.said[4].codes.tensor)
    assert not run(changed, **stores).said[3].codes.tensor.equal(codes.tensor)  # unlocked

    elsewhere = {"store": Store(tmp_path / "c"), "latest": Store(tmp_path / "d")}  # another machine
    moved = run(changed, choices=locked, **elsewhere)
    assert moved.said[3].unlocked and moved.sampled == 25
    settled = run(SCRIPT, choices=locked, **elsewhere)
    assert settled.said[3].kept and settled.said[3].codes.digest() == moved.said[3].codes.digest()


def test_codes_of_another_codec_are_no_lock(tmp_path, run):
    latest = Store(tmp_path)
    foreign = Codes(torch.ones(1, 8, 3, dtype=torch.int64), [3], "mimi", codebook_size=64)
    latest.put(foreign.digest(), foreign)
    made = run("Hello.", choices={("Hello.", 0, 0): Choice(locked=foreign.digest())}, latest=latest)
    assert made.sampled == 5 and made.said[0].unlocked


def test_a_turn_said_twice_has_two_seeds_and_two_runs_are_identical(run):
    twice = run("Yes.\nYes.\nNo.")
    a, b = (said.codes.takes[0].seed for said in twice.said[:2])
    assert a != b and a == turn_seed(0, Turn("Yes."), 0)
    moved = run("No.\nYes.\nYes.")
    assert [said.codes.takes[0].seed for said in moved.said[1:]] == [a, b]
    assert run("Yes.\nYes.\nNo.").codes.digest() == twice.codes.digest()


def test_interrupted_and_resumed(tmp_path, loop, run):
    whole = run(SCRIPT)
    store, stopped = Store(tmp_path), loop(SCRIPT, store=Store(tmp_path))
    for event in stopped:
        if event.frame.index == 12:
            break
    partial = stopped.codes
    assert partial.lengths.tolist() == [13] and partial.takes[0].stop == "interrupted"
    assert partial.tensor.equal(whole.codes.tensor[:, :, :13])
    assert stopped.progress[0] < stopped.progress[1]
    stopped.close()
    resumed = run(SCRIPT, store=store)
    assert resumed.sampled == 15 and resumed.codes.digest() == whole.codes.digest()
    assert resumed.progress == (sum(resumed.expected),) * 2


def test_a_conversation_goes_on_another_day(run):
    whole = run(SCRIPT)
    lines = SCRIPT.splitlines()
    morning = run("\n".join(lines[:3]))
    evening = run("\n".join(lines[3:]), history=morning.segments)
    assert evening.said[1].codes.tensor.equal(whole.said[4].codes.tensor)
    assert [s.text for s in evening.segments] == [s.text for s in whole.segments]


def test_voices_stay_when_the_oldest_turns_go(run):
    def spoken(text: str, frames: int, voice: bool = False) -> Segment:
        tensor = torch.ones(1, 8, frames, dtype=torch.int64)
        return Segment(text, 0, Codes(tensor, torch.tensor([frames]), "tiny", codebook_size=64), voice)

    voice = spoken("A voice.", 950, voice=True)
    before = [spoken(f"Before {i}.", 300) for i in range(4)]
    made = run(SCRIPT, history=[*before[:1], voice, *before[1:]])
    # 2048 rows are room for the voice and three of those before, and later for two
    assert [said.dropped for said in made.said] == [1, 1, 1, 1, 2]
    assert [s.text for s in made.segments[:5]] == ["A voice.", *(s.text for s in before)]
    assert len(made.segments) == 10
    with pytest.raises(MisoError, match="Lower max_seconds"):
        run(SCRIPT, history=[voice], seconds=100)


def test_a_turn_remembers_only_so_much_if_asked(tiny, run):
    encoder, backbone, depth = tiny
    made = run(SCRIPT, memory=1)
    before = made.said[3]
    turn = made.said[4].turn
    segments = [
        Segment(before.turn.text, before.turn.speaker, before.codes),
        Segment(turn.text, turn.speaker),
    ]
    alone = FrameLoop(
        backbone,
        depth,
        encoder.conditioning(segments).prompt(5),
        seeds=[turn_seed(0, turn, 0)],
        max_frames=5,
    )
    list(alone)
    assert alone.codes.tensor.equal(made.said[4].codes.tensor) and made.said[4].dropped == 0


def test_what_cannot_be_said_is_known_before_anything_is(loop):
    with pytest.raises(MisoError, match="Line 3: There is nothing to be said"):
        loop("Hello.\n\n\U0001f600")


PEAK = """
import resource, sys, torch
from pathlib import Path
torch.set_num_threads(1)
from miso.checkpoints.checkpoint import Checkpoint
from miso.generation.depth import DepthSampler
from miso.generation.turn_settings import TurnSettings
from miso.generation.turns import TurnLoop
from miso.model.sampling import Sampling
from miso.text.chunks import text_turns
checkpoint = Checkpoint(sys.argv[1])
networks = checkpoint.load_backbone(), DepthSampler(checkpoint.load_depth())
words = "the river goes on and on past fields and towns until it finds the sea".split()
text = " ".join(words[i % len(words)] + ("." if i % 10 == 9 else "") for i in range(int(sys.argv[2])))
settings = TurnSettings("f", "fp32", Sampling(), Sampling(), 8, 0, 0.4)
loop = TurnLoop(checkpoint.text_encoder([]), text_turns(text, 8, 8), lambda rows: networks, settings)
for event in loop: pass
print(len(loop.said), loop.codes.frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_long_text_takes_no_more_memory_than_a_short_one(tmp_path):
    make_tiny(tmp_path)

    def peak(words: int) -> int:
        command = [sys.executable, "-c", PEAK, str(tmp_path / "tiny.safetensors"), str(words)]
        said, frames, most = map(
            int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        )
        assert frames == 5 * said and said > words / 30
        return most

    assert peak(2000) <= 1.2 * peak(200)
