"""Language model training, on codes that spell their text: what is learnt can be read off."""

import json
import random
from dataclasses import replace

import pytest
import torch

from miso import Checkpoint, Codes, DepthSampler, FrameLoop, Sampling, Segment
from miso.checkpoints.build import canonical_shapes
from miso.errors import MisoError
from miso.files import write_tensors
from miso.text.conditioning import TextEncoder
from miso.text.tokenizer import ByteTokenizer, PhonemeTokenizer
from miso.training.coded import FORMAT, CodedSpeech
from miso.training.conversations import Conversations, Line
from miso.training.finetune import finetune
from miso.training.lm import ahead, sizes_for, train_lm
from miso.training.lora import add_lora, merged
from miso.training.loss import loss
from miso.training.muon import Muon
from miso.training.presets import TINY_MODEL, as_record, settings
from miso.training.run import Budget, Run
from miso.training.trained import Average, TrainedModel

CPU = torch.device("cpu")
GREEDY = Sampling(temperature=0)
WORDS = ["bad", "cab", "dab", "fed", "gab", "had", "jab", "keg"]


def spell(text: str, voice: int) -> torch.Tensor:
    """A frame [4] a letter: the letter, the voice, and two sums of both."""
    ids = torch.tensor([1 + (ord(c) - ord("a")) if c != " " else 0 for c in text])
    return torch.stack((ids, torch.full_like(ids, 10 + voice), (3 * ids + voice) % 32, (7 * ids + 5) % 32), 1)


def coded(path, texts, voices=("a", "b"), extra=(), first=0):
    everyone = [*voices, *extra]
    pairs = [(text, voice) for text in texts for voice in everyone]
    said = [(text, voice, "validation" if i % 20 == 7 else "train") for i, (text, voice) in enumerate(pairs)]
    frames = [spell(text, first + everyone.index(voice)) for text, voice in pairs]
    lengths = torch.tensor([len(f) for f in frames])
    about = {
        "codec": "tiny",
        "codebook_size": 32,
        "frame_rate": 12.5,
        "voices": list(voices),
        "utterances": said,
    }
    write_tensors(
        path,
        {
            "codes": torch.cat(frames).to(torch.int16),
            "places": torch.stack((lengths.cumsum(0) - lengths, lengths), 1),
        },
        {"format": FORMAT, "about": json.dumps(about)},
    )
    return CodedSpeech(path)


def run_of(folder, setting, steps, seed=3):
    return Run(folder, Budget(steps), as_record(setting), seed, log=lambda line: None)


def speak(path, text, voice=0, *before):
    """Codes [T, K] of a text, drawn greedily."""
    checkpoint = Checkpoint(path)
    depth = DepthSampler(checkpoint.load_depth(), GREEDY)
    prompt = checkpoint.text_encoder().conditioning([*before, Segment(text, voice)]).prompt(20)
    loop = FrameLoop(checkpoint.load_backbone(), depth, prompt, seeds=[0], max_frames=20, sampling=GREEDY)
    list(loop)
    return loop.codes


@pytest.fixture
def texts():
    draw = random.Random(1)
    return [" ".join(draw.sample(WORDS, draw.choice([1, 2]))) for _ in range(40)]


@pytest.fixture
def data(texts, tmp_path):
    return coded(tmp_path / "codes.safetensors", texts)


@pytest.fixture
def setting():
    return settings("lm", "tiny")


def deal(data, setting, **changes):
    return Conversations(
        data, data.split("train"), TINY_MODEL, ByteTokenizer(), replace(setting, **changes), seed=5
    )


def test_rows_are_those_of_inference(data, setting):
    one, two = data.utterances[:2]
    lines = [Line(one, 0, one.text), Line(two, 1, two.text)]
    batch = deal(data, setting).build([lines, lines[:1]])
    encoder = TextEncoder(TINY_MODEL, ByteTokenizer())
    parts = [
        encoder.rows(
            Segment(
                x.text,
                x.speaker,
                Codes(data.codes_of(x.utterance).T[None].long(), [x.utterance.frames], "tiny", codebook_size=32),
            )
        )
        for x in lines
    ]
    rows, mask = (torch.cat(p) for p in zip(*parts))
    whole = len(rows)
    assert (
        torch.equal(batch.rows[0, :whole], rows)
        and torch.equal(batch.mask[0, :whole], mask)
        and not batch.mask[0, whole:].any()
    )
    n = len(parts[0][0])
    assert torch.equal(batch.rows[1, :n], parts[0][0]) and not batch.mask[1, n:].any()
    # targets: the next row's codes wherever that is a frame, the last of them the all-zero end
    frames = mask[:, 0].nonzero()[:, 0]
    assert torch.equal(batch.targets_mask[0, :, 0].nonzero()[:, 0], frames - 1)
    assert (
        torch.equal(batch.targets[0, frames - 1], rows[frames, :4])
        and not batch.targets[0, frames[-1] - 1].any()
    )
    assert batch.targets_mask[0].gather(0, batch.picked[0, :, None]).all()


def test_epochs_deal_every_utterance_once(data, setting):
    deck = deal(data, setting, segments=(0.4, 0.3, 0.2, 0.1), tokens=300)
    for number in (0, 1):
        batches = deck.epoch(number)
        said = [line.utterance for batch in batches for conversation in batch for line in conversation]
        assert sorted(u.start for u in said) == sorted(u.start for u in data.split("train"))
        assert {len(c) for b in batches for c in b} == {1, 2, 3, 4}
        for batch in batches:
            built = deck.build(batch)
            assert built.rows.shape[0] * built.rows.shape[1] <= 300 or len(batch) == 1
    assert deck.epoch(1) == deck.epoch(1) != deck.epoch(0)
    ahead_of, plain = ahead(deck.batches(1, 2)), deck.batches(1, 2)
    for _ in range(30):  # over the end of an epoch
        a, b = next(ahead_of), next(plain)
        assert a[:2] == b[:2] and all(torch.equal(x, y) for x, y in zip(a[2], b[2]))


def test_speakers_and_texts_left_out(texts, setting, tmp_path):
    deck = deal(
        coded(tmp_path / "c.safetensors", texts, extra=("a@1.1",)), setting, anonymous=0.5, no_text=0.2
    )
    conversations = [c for number in range(4) for batch in deck.epoch(number) for c in batch]
    lines = [line for c in conversations for line in c]
    assert {x.speaker for x in lines if x.utterance.voice == "a@1.1"} <= set(
        range(2, 10)
    )  # no number of its own
    named = [x for x in lines if x.speaker < 2]
    assert (
        all(x.speaker == "ab".index(x.utterance.voice) for x in named) and 0.2 < len(named) / len(lines) < 0.5
    )
    assert all(
        len({x.speaker for x in c if x.utterance.voice == v}) <= 1
        for c in conversations
        for v in ("a", "b", "a@1.1")
    )
    assert 0.12 < sum(not x.text for x in lines) / len(lines) < 0.28
    assert deck._ids(next(x for x in lines if not x.text))[-2:] == [ord(" "), 257]


def test_some_frames_are_not_seen_but_learnt(data, setting):
    """What is left out of a conversation is what is read of it; its ends and all targets stay."""
    whole, parts = (deal(data, setting, unseen=share) for share in (0.0, 0.4))
    conversations = whole.epoch(0)[0]
    a, b = whole.build(conversations, "x"), parts.build(conversations, "x")
    assert all(
        torch.equal(getattr(a, n), getattr(b, n)) for n in ("rows", "targets", "targets_mask", "picked")
    )
    frames, ends = a.rows[..., :4].any(2), a.mask[..., 0] & ~a.rows[..., :4].any(2)
    assert (
        torch.equal(a.mask[..., 4], b.mask[..., 4])
        and b.mask[ends][:, :4].all()
        and (b.mask[..., :4].all(2) == b.mask[..., :4].any(2)).all()
    )
    assert 0.25 < 1 - b.mask[frames][:, 0].float().mean() < 0.55


def test_most_texts_are_read_by_their_sounds(data, setting):
    """As inference spells them, but for a share that is left in letters."""
    tokenizer, config = (
        PhonemeTokenizer(),
        replace(TINY_MODEL, family="nano", text_vocab=PhonemeTokenizer.vocab),
    )
    deck = Conversations(
        data, data.split("train"), config, tokenizer, replace(setting, letters=0.25, no_text=0.0), seed=5
    )
    lines = [line for number in range(4) for batch in deck.epoch(number) for c in batch for line in c]
    spelt = [line for line in lines if line.text == tokenizer.spell(line.utterance.text)]
    assert (
        all(line.text == line.utterance.text for line in lines if line not in spelt)
        and 0.65 < len(spelt) / len(lines) < 0.85
    )
    rows = TextEncoder(config, tokenizer).rows(Segment(spelt[0].utterance.text, spelt[0].speaker))[0]
    assert deck._ids(spelt[0]) == rows[:, -1].tolist()


def test_the_table_passes_gradients_to_what_it_is_made_of(data, setting):
    """Against differences of the loss."""
    model = TrainedModel.new(TINY_MODEL, 0, CPU).double()
    batch = next(deal(data, setting).batches(0, 0))[2]
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
        assert float(up - down) / 2e-2 == pytest.approx(float(slope), rel=1e-2), (
            name
        )  # some of the model computes in fp32 always


def test_saved_model_computes_what_was_trained(data, setting, tmp_path):
    model = TrainedModel.new(TINY_MODEL, 0, CPU)
    assert {n: tuple(t.shape) for n, t in model.published().items()} == canonical_shapes(TINY_MODEL)
    batch = next(deal(data, setting).batches(0, 0))[2]
    model.save(tmp_path / "m.safetensors", {})
    checkpoint = Checkpoint(tmp_path / "m.safetensors")
    with torch.no_grad():
        assert torch.equal(
            loss(checkpoint.load_backbone(), checkpoint.load_depth(), *batch).total, model(batch).total
        )
    again = TrainedModel.load(checkpoint, CPU)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters()))


def test_learns_to_speak_and_to_end(data, setting, tmp_path):
    quick = replace(setting, segments=(0.7, 0.3), anonymous=0.0, validate_every=100, picked=1.0)
    run = run_of(tmp_path / "run", quick, 260)
    path = train_lm(data, run, quick, CPU)
    losses = [row["loss"] for row in run.record["history"] if "loss" in row]
    assert losses[-1] < 0.1 * losses[0] and run.record["figures"]["held_out_loss"] < 0.5
    config = Checkpoint(path).config
    assert (config.codec, config.codebook_size, config.codebooks) == ("tiny", 32, 4)
    right = 0
    for u in data.split("train")[:6] + data.split("validation"):
        voice = data.voices.index(u.voice)
        codes = speak(path, u.text, voice)
        right += codes.takes[0].stop == "eos" and torch.equal(codes.tensor[0].T, data.codes_of(u).long())
    assert right >= 9, right  # of 10, four of them never heard in training in this voice
    history = Segment("bad cab", 1, Codes(spell("bad cab", 1).T[None], [7], "tiny", codebook_size=32))
    assert torch.equal(speak(path, "fed had", 0, history).tensor[0].T, spell("fed had", 0))


@pytest.mark.parametrize("changes", [{}, {"dropout": 0.1, "ema": 0.9}])
def test_resumes_to_the_bit(data, setting, tmp_path, changes):
    setting = replace(setting, **changes)
    whole = run_of(tmp_path / "whole", setting, 14)
    train_lm(data, whole, setting, CPU)
    part = run_of(tmp_path / "part", setting, 14)
    steps = part.steps

    def cut():
        for step in steps():
            yield step
            if step == 8:
                return

    part.steps = cut
    train_lm(data, part, setting, CPU)
    rest = run_of(tmp_path / "part", setting, 14)
    train_lm(data, rest, setting, CPU)
    a, b = whole.load(), rest.load()
    assert rest.step == 14 and a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)
    assert len(json.loads((tmp_path / "part" / "record.json").read_text())["calls"]) == 2


def test_muon_turns_gradients_into_rotations():
    torch.manual_seed(0)
    wide, tall = (torch.nn.Parameter(torch.zeros(s)) for s in ((16, 48), (48, 16)))
    wide.grad = torch.randn(16, 4) @ torch.randn(4, 48) + 0.05 * torch.randn(
        16, 48
    )  # of a few directions mostly
    tall.grad = wide.grad.T.clone()
    Muon([wide, tall], lr=0.1, decay=0.0).step()
    values = torch.linalg.svdvals(-wide.detach()) / (0.1 * 0.2 * 48**0.5)
    assert (
        values.min() > 0.3
        and values.max() < 1.3
        and (torch.linalg.svdvals(wide.grad)[4] < 0.1 * torch.linalg.svdvals(wide.grad)[0])
    )
    assert torch.equal(wide.T, tall) and (wide * wide.grad).sum() < 0
    assert 0.05 < wide.square().mean().sqrt() / 0.1 < 0.3  # about AdamW's
    # one by one as all together
    alone = torch.nn.Parameter(torch.zeros(16, 48))
    alone.grad = wide.grad.clone()
    Muon([alone], lr=0.1, decay=0.0).step()
    assert torch.allclose(alone, wide, atol=1e-6)


def test_average_of_weights():
    layer = torch.nn.Linear(2, 2)
    average, first = Average(layer, 0.5), layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 1
    average.update(1000)
    with average.applied():
        assert torch.allclose(layer.weight, first + 0.5)
    assert torch.allclose(layer.weight, first + 1)


def test_lora_changes_what_it_should_and_merges(data, setting, tmp_path):
    base = train_lm(data, run_of(tmp_path / "base", setting, 60), setting, CPU)
    model = TrainedModel.load(Checkpoint(base), CPU)
    before = {n: t.clone() for n, t in model.published().items()}
    batch = next(deal(data, setting).batches(0, 0))[2]
    plain = model(batch).total.item()
    add_lora(model, 2)
    assert model(batch).total.item() == plain  # begins as if it weren't there
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(batch).total.backward()
        optimizer.step()
    after = merged(model)
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert after.keys() == before.keys() and changed == {n for n in before if ".attn." in n or ".mlp." in n}
    whole = TrainedModel.load(Checkpoint(base), CPU)
    whole.load_state_dict(
        {n: after[next(p for p, q in zip(before, whole.state_dict()) if q == n)] for n in whole.state_dict()}
    )
    with torch.no_grad():
        assert whole(batch).total.item() == pytest.approx(model(batch).total.item(), abs=1e-5) != plain


@pytest.mark.parametrize("rank", [0, 4])
def test_finetunes_a_new_voice(data, setting, tmp_path, texts, rank):
    base = Checkpoint(train_lm(data, run_of(tmp_path / "base", setting, 150), setting, CPU))
    new = coded(tmp_path / "new.safetensors", texts[:12], voices=("new",), first=5)  # sounds like neither
    tuned_setting = replace(settings("finetune", "tiny"), rank=rank, rate=3e-3)
    run = run_of(tmp_path / "tuned", tuned_setting, 25)
    path = finetune(base, new, run, tuned_setting, CPU, speaker=2)
    tuned = Checkpoint(path)
    assert (
        tuned.metadata["base"] == base.fingerprint
        and tuned.config == base.config
        and tuned.fingerprint != base.fingerprint
    )
    losses = [row["loss"] for row in run.record["history"] if "loss" in row]
    assert losses[-1] < 0.7 * losses[0]
    if rank:
        assert run.record["trained"] < run.record["parameters"] / 4
        assert torch.equal(tuned.tensor("audio_embeddings.weight"), base.tensor("audio_embeddings.weight"))


def test_sizes_and_codecs_must_fit(data, tmp_path, texts):
    with pytest.raises(MisoError, match="made for 8"):
        sizes_for(replace(TINY_MODEL, codebooks=8), data)
    golden_like = TrainedModel.new(replace(TINY_MODEL, codec="other"), 0, CPU)
    golden_like.save(tmp_path / "other.safetensors", {})
    setting = settings("finetune", "tiny")
    with pytest.raises(MisoError, match="samples .other."):
        finetune(
            Checkpoint(tmp_path / "other.safetensors"), data, run_of(tmp_path / "r", setting, 1), setting, CPU
        )
