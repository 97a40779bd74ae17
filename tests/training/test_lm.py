"""Training and fine-tuning of a language model, on codes that spell their text."""

import json
from dataclasses import replace

import pytest
import torch
from training.helpers import CPU, assert_same_state, quiet_run, train_in_two_parts
from training.letters import coded_speech, conversations, spell

from miso import Checkpoint, Codes, DepthSampler, FrameLoop, Sampling, Segment
from miso.checkpoints.build import canonical_shapes
from miso.errors import MisoError
from miso.training.finetune import finetune
from miso.training.lm import sizes_for, train_lm
from miso.training.lora import add_lora, merged
from miso.training.loss import loss
from miso.training.presets import TINY_MODEL, settings
from miso.training.trained import TrainedModel

GREEDY = Sampling(temperature=0)


def speak(checkpoint, text, voice=0, *before):
    """Codes of a text, sampled greedily."""
    depth = DepthSampler(checkpoint.load_depth(), GREEDY)
    prompt = checkpoint.text_encoder().conditioning([*before, Segment(text, voice)]).prompt(20)
    loop = FrameLoop(checkpoint.load_backbone(), depth, prompt, seeds=[0], max_frames=20, sampling=GREEDY)
    list(loop)
    return loop.codes


def test_the_table_passes_gradients_to_what_it_is_made_of(data, setting):
    """Compared with finite differences of the loss."""
    model = TrainedModel.new(TINY_MODEL, 0, CPU).double()
    batch = next(conversations(data, setting).batches(0, 0))[2]
    value = model(batch).total
    value.backward()
    for name, parameter in (
        ("embeddings", model.backbone.audio_embeddings.weight),
        ("projection", model.depth.projection.weight),
    ):
        slope = parameter.grad.norm()
        direction = parameter.grad / slope
        with torch.no_grad():
            parameter += 1e-2 * direction
            up = model(batch).total
            parameter -= 2e-2 * direction
            down = model(batch).total
            parameter += 1e-2 * direction
        # not closer, because some of the model always computes in fp32
        assert float(up - down) / 2e-2 == pytest.approx(float(slope), rel=1e-2), name


def test_saved_model_computes_what_was_trained(data, setting, tmp_path):
    model = TrainedModel.new(TINY_MODEL, 0, CPU)
    assert {n: tuple(t.shape) for n, t in model.published().items()} == canonical_shapes(TINY_MODEL)
    batch = next(conversations(data, setting).batches(0, 0))[2]
    model.save(tmp_path / "m.safetensors", {})
    checkpoint = Checkpoint(tmp_path / "m.safetensors")
    with torch.no_grad():
        assert torch.equal(
            loss(checkpoint.load_backbone(), checkpoint.load_depth(), *batch).total, model(batch).total
        )
    again = TrainedModel.load(checkpoint, CPU)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters()))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of 200 steps."""
    changes = {"segments": (0.7, 0.3), "anonymous": 0.0, "validate_every": 100, "picked": 1.0}
    setting = replace(settings("lm", "tiny"), **changes)
    run = quiet_run(tmp_path_factory.mktemp("run"), setting, steps=200)
    train_lm(data, run, setting, CPU)
    return run


@pytest.fixture
def trained(run):
    """The checkpoint of ``run``."""
    return Checkpoint(run.folder / "model.safetensors")


def test_learns_to_speak_and_to_end(data, run, trained):
    losses = [row["loss"] for row in run.record["history"] if "loss" in row]
    assert losses[-1] < 0.1 * losses[0] and run.record["figures"]["held_out_loss"] < 0.5
    config = trained.config
    assert (config.codec, config.codebook_size, config.codebooks) == ("tiny", 32, 4)
    right = 0
    for u in data.split("train")[:6] + data.split("validation"):
        voice = data.voices.index(u.voice)
        codes = speak(trained, u.text, voice)
        right += codes.takes[0].stop == "eos" and torch.equal(codes.tensor[0].T, data.codes_of(u).long())
    assert right >= 9, right  # of 10, four of them never heard in training in this voice
    history = Segment("bad cab", 1, Codes(spell("bad cab", 1).T[None], [7], "tiny", codebook_size=32))
    assert torch.equal(speak(trained, "fed had", 0, history).tensor[0].T, spell("fed had", 0))


@pytest.mark.parametrize("changes", [pytest.param({}, marks=pytest.mark.slow), {"dropout": 0.1, "ema": 0.9}])
def test_resumes_to_the_bit(data, setting, tmp_path, changes):
    setting = replace(setting, **changes)

    def train(run):
        return train_lm(data, run, setting, CPU)

    train(whole := quiet_run(tmp_path / "whole", setting, steps=14))
    assert_same_state(whole, train_in_two_parts(train, tmp_path / "parts", setting, 14))
    assert len(json.loads((tmp_path / "parts" / "record.json").read_text())["calls"]) == 2


def test_lora_changes_only_matrices_and_merges(data, setting, trained):
    model = TrainedModel.load(trained, CPU)
    before = {name: tensor.clone() for name, tensor in model.published().items()}
    batch = next(conversations(data, setting).batches(0, 0))[2]
    plain = model(batch).total.item()
    add_lora(model, 2)
    assert model(batch).total.item() == plain  # the initial update is 0
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(batch).total.backward()
        optimizer.step()
    after = merged(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert after.keys() == before.keys()
    assert changed == {name for name in before if ".attn." in name or ".mlp." in name}
    whole = TrainedModel.load(trained, CPU)
    whole.load_state_dict(dict(zip(whole.state_dict(), (after[name] for name in before))))
    with torch.no_grad():
        assert whole(batch).total.item() == pytest.approx(model(batch).total.item(), abs=1e-5) != plain


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_finetunes_a_new_voice(trained, tmp_path, texts, rank):
    # a voice that sounds like neither of the base's
    new = coded_speech(tmp_path / "new.safetensors", texts[:12], voices=("new",), first_voice=5)
    setting = replace(settings("finetune", "tiny"), rank=rank, rate=3e-3)
    run = quiet_run(tmp_path / "tuned", setting, steps=25)
    tuned = Checkpoint(finetune(trained, new, run, setting, CPU, speaker=2))
    assert tuned.metadata["base"] == trained.fingerprint != tuned.fingerprint
    assert tuned.config == trained.config
    losses = [row["loss"] for row in run.record["history"] if "loss" in row]
    assert losses[-1] < 0.7 * losses[0]
    if rank:
        assert run.record["trained"] < run.record["parameters"] / 4
        assert torch.equal(tuned.tensor("audio_embeddings.weight"), trained.tensor("audio_embeddings.weight"))


def test_sizes_and_codecs_must_fit(data, tmp_path):
    with pytest.raises(MisoError, match="made for 8"):
        sizes_for(replace(TINY_MODEL, codebooks=8), data)
    path = tmp_path / "other.safetensors"
    TrainedModel.new(replace(TINY_MODEL, codec="other"), 0, CPU).save(path, {})
    setting = settings("finetune", "tiny")
    with pytest.raises(MisoError, match="samples 'other'"):
        finetune(Checkpoint(path), data, quiet_run(tmp_path / "run", setting, steps=1), setting, CPU)
