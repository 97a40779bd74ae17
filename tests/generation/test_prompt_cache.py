"""Voices and history that are kept for the next run."""

import pytest
import torch

from miso.checkpoints.find import BUNDLED
from miso.codes.codes import Codes
from miso.generation.depth import DepthSampler
from miso.generation.frame import FrameState
from miso.generation.loop import FrameLoop
from miso.generation.prompt_cache import PromptCache
from miso.speech import Miso
from miso.text.conditioning import Segment


@pytest.fixture(scope="module")
def nano():
    return Miso(BUNDLED / "nano.safetensors", device="cpu")


@pytest.fixture
def model(nano):
    nano.backbone.kept_prompts = None
    return nano


@pytest.fixture
def rows_read(model):
    """How many rows the backbone has computed, in each call."""
    counts = []
    hook = model.backbone.register_forward_pre_hook(lambda _, arguments: counts.append(arguments[0].shape[1]))
    yield counts
    hook.remove()


def codes_of(model, seed: int, frames: int = 9) -> Codes:
    config, generator = model.backbone.config, torch.Generator().manual_seed(seed)
    tensor = torch.randint(1, config.codebook_size, (1, config.codebooks, frames), generator=generator)
    return Codes(tensor, torch.tensor([frames]), config.codec, config.frame_rate, config.codebook_size)


def spoken(model, *history: Segment, text: str = "A line.", frames: int = 4):
    prompt = model.text.conditioning([*history, Segment(text)]).prompt(frames)
    loop = FrameLoop(
        model.backbone, DepthSampler(model.depth), prompt, seeds=[1, 2], max_frames=frames, keep_hidden=True
    )
    list(loop)
    return loop.codes, loop.hidden


def same(a, b) -> bool:
    return a[0].digest() == b[0].digest() and a[1].tensor.equal(b[1].tensor)


def test_a_run_after_the_same_voice_is_that_of_a_new_process(model, rows_read):
    voice = Segment("The voice.", 0, codes_of(model, 0), voice=True)
    turns = [Segment("One.", 1, codes_of(model, 1)), Segment("Two.", 0, codes_of(model, 2))]
    spoken(model, voice)
    rows_read.clear()
    warm = spoken(model, voice, *turns)
    kept = len(model.text.rows(voice)[0])
    computed = rows_read[:3]
    assert computed[:2] == [len(model.text.rows(turn)[0]) for turn in turns]  # not the voice's
    model.backbone.kept_prompts = None
    rows_read.clear()
    assert same(warm, spoken(model, voice, *turns))
    assert rows_read[:4] == [kept, *computed]


def test_the_next_line_computes_its_own_rows_only(model, rows_read):
    voice, line = Segment("The voice.", 0, codes_of(model, 0), voice=True), "Another line."
    cold = spoken(model, voice, text=line)
    rows_read.clear()
    assert same(cold, spoken(model, voice, text=line))
    rows = len(model.text.rows(Segment(line))[0])
    assert rows_read == [rows - 1, 1, 1, 1, 1]


def test_segments_with_the_same_rows_behind_others_are_not_taken_for_the_same(model):
    a, b = (Segment("One.", 0, codes_of(model, seed)) for seed in (1, 2))
    want = spoken(model, b, a)
    spoken(model, a, a)
    assert same(want, spoken(model, b, a))
    model.backbone.kept_prompts = None
    assert same(want, spoken(model, b, a))


def test_a_moved_model_forgets(model):
    spoken(model, Segment("One.", 0, codes_of(model, 1)))
    assert model.backbone.kept_prompts is not None
    model.backbone.to("cpu")
    assert model.backbone.kept_prompts is None


def test_what_is_kept_is_bounded_and_the_least_used_goes(model):
    state = FrameState.make(model.backbone, DepthSampler(model.depth), 1, 64, 1)
    cache, kept = state.cache, PromptCache(50)
    cache.keys.copy_(torch.randn_like(cache.keys))
    for name in "abc":
        kept.write([name], (20,), cache)
        assert kept.read(["a"], cache) or name == "c"  # a is used again and again
    assert not kept.read(["b"], cache) and kept.read(["c"], cache)
    assert sum(one.ends[-1] for one in kept._kept) <= 50
    kept.write(["c", "d"], (20, 40), cache)  # takes the place of what it begins with
    assert [one.keys for one in kept._kept] == [["c", "d"]]
    assert kept.read(["c", "e"], cache) == 1


def test_without_memory_nothing_is_kept(model, monkeypatch):
    def fail(tensor):
        raise torch.cuda.OutOfMemoryError

    voice = Segment("The voice.", 0, codes_of(model, 0), voice=True)
    want = spoken(model, voice)
    model.backbone.kept_prompts = None
    monkeypatch.setattr(torch.Tensor, "clone", fail)
    prompt = model.text.conditioning([voice, Segment("A line.")]).prompt(1)
    loop = FrameLoop(model.backbone, DepthSampler(model.depth), prompt, seeds=[1], max_frames=1)
    loop.prefill(FrameState.make(model.backbone, DepthSampler(model.depth), 1, 256, 1))
    monkeypatch.undo()
    assert same(want, spoken(model, voice))
