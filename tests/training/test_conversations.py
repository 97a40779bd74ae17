"""Batches of conversations, compared with the rows of inference."""

from dataclasses import replace

import torch
from training.letters import coded_speech, conversations

from miso import Codes, Segment
from miso.text.conditioning import TextEncoder
from miso.text.phonemes import phonemes
from miso.text.tokenizer import ByteTokenizer, PhonemeTokenizer
from miso.training.conversations import Conversations, Line
from miso.training.lm import ahead
from miso.training.presets import TINY_MODEL

READS_PHONEMES = replace(TINY_MODEL, family="nano", text_vocab=PhonemeTokenizer.vocab)


def test_rows_are_those_of_inference(data, setting):
    one, two = data.utterances[:2]
    lines = [Line((one,), 0, one.text), Line((one, two), 1, f"{one.text} {two.text}")]
    batch = conversations(data, setting).build([lines, lines[:1]])
    encoder = TextEncoder(TINY_MODEL, ByteTokenizer())
    parts = [
        encoder.rows(
            Segment(
                x.text,
                x.speaker,
                Codes(
                    torch.cat([data.codes_of(u) for u in x.utterances]).T[None].long(),
                    [x.frames],
                    "tiny",
                    codebook_size=32,
                ),
            )
        )
        for x in lines
    ]
    rows, mask = (torch.cat(p) for p in zip(*parts))
    whole = len(rows)
    assert torch.equal(batch.rows[0, :whole], rows)
    assert torch.equal(batch.mask[0, :whole], mask)
    assert not batch.mask[0, whole:].any()
    n = len(parts[0][0])
    assert torch.equal(batch.rows[1, :n], parts[0][0]) and not batch.mask[1, n:].any()
    # targets: the next row's codes wherever that is a frame, the last of them the all-zero end
    frames = mask[:, 0].nonzero()[:, 0]
    assert torch.equal(batch.targets_mask[0, :, 0].nonzero()[:, 0], frames - 1)
    assert torch.equal(batch.targets[0, frames - 1], rows[frames, :4])
    assert not batch.targets[0, frames[-1] - 1].any()
    assert batch.targets_mask[0].gather(0, batch.picked[0, :, None]).all()


def test_epochs_deal_every_utterance_once(data, setting):
    deck = conversations(data, setting, segments=(0.4, 0.3, 0.2, 0.1), tokens=300)
    for number in (0, 1):
        batches = deck.epoch(number)
        spoken = [
            u for batch in batches for conversation in batch for line in conversation for u in line.utterances
        ]
        assert sorted(u.start for u in spoken) == sorted(u.start for u in data.split("train"))
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
    deck = conversations(
        coded_speech(tmp_path / "c.safetensors", texts, unnamed=("a@1.1",)),
        setting,
        anonymous=0.5,
        no_text=0.2,
    )
    dealt = [c for number in range(4) for batch in deck.epoch(number) for c in batch]
    lines = [line for c in dealt for line in c]
    # a voice without a number gets any number after those of the others
    assert {x.speaker for x in lines if x.utterances[0].voice == "a@1.1"} <= set(range(2, 10))
    named = [x for x in lines if x.speaker < 2]
    assert all(x.speaker == "ab".index(x.utterances[0].voice) for x in named)
    assert 0.2 < len(named) / len(lines) < 0.5
    assert all(
        len({x.speaker for x in c if x.utterances[0].voice == v}) <= 1
        for c in dealt
        for v in ("a", "b", "a@1.1")
    )
    assert 0.12 < sum(not x.text for x in lines) / len(lines) < 0.28
    assert deck._ids(next(x for x in lines if not x.text))[-2:] == [ord(" "), 257]


def test_some_frames_are_not_seen_but_learnt(data, setting):
    """Only input frames are hidden; end frames and all targets stay."""
    whole, parts = (conversations(data, setting, unseen=share) for share in (0.0, 0.4))
    batch = whole.epoch(0)[0]
    a, b = whole.build(batch, "x"), parts.build(batch, "x")
    assert all(
        torch.equal(getattr(a, n), getattr(b, n)) for n in ("rows", "targets", "targets_mask", "picked")
    )
    frames, ends = a.rows[..., :4].any(2), a.mask[..., 0] & ~a.rows[..., :4].any(2)
    assert torch.equal(a.mask[..., 4], b.mask[..., 4])
    assert b.mask[ends][:, :4].all()
    assert (b.mask[..., :4].all(2) == b.mask[..., :4].any(2)).all()
    assert 0.25 < 1 - b.mask[frames][:, 0].float().mean() < 0.55


def test_some_conversations_of_a_voice_become_a_line(data, setting):
    deck = conversations(data, setting, segments=(0.4, 0.6), joined=0.5, no_text=0.0, tokens=300)
    dealt = [c for batch in deck.epoch(0) for c in batch]
    lines = [line for c in dealt for line in c]
    joined = [line for line in lines if len(line.utterances) > 1]
    assert joined and any(len(c) == 2 for c in dealt)
    for line in joined:
        assert len({u.voice for u in line.utterances}) == 1
        assert line.text == " ".join(u.text for u in line.utterances)
    spoken = sorted(u.start for line in lines for u in line.utterances)
    assert spoken == sorted(u.start for u in data.split("train"))


def test_most_texts_are_read_by_their_sounds(data, setting):
    """As inference spells them, except for a share that stays in letters."""
    tokenizer, config = PhonemeTokenizer(), READS_PHONEMES
    deck = Conversations(
        data, data.split("train"), config, tokenizer, replace(setting, letters=0.25, no_text=0.0), seed=5
    )
    lines = [line for number in range(4) for batch in deck.epoch(number) for c in batch for line in c]
    spelt = [line for line in lines if line.text == tokenizer.spell(line.utterances[0].text)]
    assert all(line.text == line.utterances[0].text for line in lines if line not in spelt)
    assert 0.65 < len(spelt) / len(lines) < 0.85
    rows = TextEncoder(config, tokenizer).rows(Segment(spelt[0].utterances[0].text, spelt[0].speaker))[0]
    assert deck._ids(spelt[0]) == rows[:, -1].tolist()


def test_known_phonemes_are_not_looked_up(data, setting):
    """They are read as the phonemes of a lookup; those of another alphabet are not used."""
    tokenizer, config = PhonemeTokenizer(), READS_PHONEMES
    said = {"həlˈO": "həlˈO.", "kˈæb?": "kˈæb?", "q": phonemes("bad") + "."}
    utterances = [replace(data.utterances[i], text="bad", phonemes=known) for i, known in enumerate(said)]
    alone = replace(setting, letters=0.0, no_text=0.0, segments=(1.0,))
    deck = Conversations(data, utterances, config, tokenizer, alone, seed=5)
    lines = [line for batch in deck.epoch(0) for c in batch for line in c]
    written = {line.utterances[0].phonemes: line.text for line in lines}
    assert written == {known: tokenizer.spell("", known=spelt) for known, spelt in said.items()}
