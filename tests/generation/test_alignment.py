"""Align Words: words of nano lie where they are heard; every layout and tokenizer gives words in order."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from make_tiny import MODEL

from miso.checkpoints.build import canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import Checkpoint, save_checkpoint
from miso.checkpoints.find import BUNDLED
from miso.codes import editing
from miso.codes.codes import Codes, as_takes
from miso.codes.takes import Span, Take
from miso.errors import MisoError
from miso.generation.alignment import LOW, Aligned, align, summary
from miso.generation.monotone import best_score, occupancy
from miso.model.config import PRESETS
from miso.speech import Miso
from miso.text.conditioning import Segment, TextEncoder
from miso.text.tokenizer import Llama3Tokenizer

TEXTS = "Every word you hear was first a handful of codes.", "We walked home at noon."
RECORDED = Path(__file__).parents[1] / "weights_nano" / "seed_7.json"  # nano's codes of the first


@pytest.fixture(scope="module")
def nano():
    return Miso(BUNDLED / "nano.safetensors", device="cpu")


@pytest.fixture(scope="module")
def spoken(nano) -> list[Codes]:
    """A take of each of ``TEXTS``."""
    tensor, config = torch.tensor(json.loads(RECORDED.read_text())), nano.checkpoint.config
    loop = nano.sample([Segment(TEXTS[1])], seeds=[7], max_seconds=5)
    list(loop)
    take = Take(7, "eos", (Span(0, tensor.shape[1], TEXTS[0]),))
    return [Codes(tensor[None], [tensor.shape[1]], config.codec, takes=(take,)), loop.codes]


def quiet_frames(nano, codes: Codes) -> tuple[int, int]:
    """Where the sound begins and ends, in frames."""
    from miso.vocoders import load_vocoder

    wave = load_vocoder("auto", BUNDLED / "nano-vocoder.safetensors").decode(codes.tensor)[0, 0]
    loud = (wave.unflatten(0, (codes.frames, -1)).square().mean(1).sqrt() > 0.02).nonzero().flatten()
    return int(loud[0]), int(loud[-1]) + 1


def check(codes: Codes, texts: list[str]) -> None:
    """Words of the first take are those of the texts, in order, inside the codes."""
    words = codes.takes[0].words
    assert [word.text for word in words] == " ".join(texts).split()
    ends = [0.0, *(word.end for word in words[:-1])]
    assert all(end <= word.start <= word.end <= codes.frames for end, word in zip(ends, words))


def test_words_lie_where_they_are_heard(nano, spoken):
    """Begin and end of the speech are known; a stretch of silence belongs to no word."""
    for codes, text in zip(spoken, TEXTS):
        aligned = align(nano.backbone, nano.text, codes)
        assert not aligned.left_out and aligned.codes.tensor.equal(codes.tensor)
        check(aligned.codes, [text])
        begin, end = quiet_frames(nano, codes)
        assert abs(aligned.words[0].start - begin) < 2 and abs(aligned.words[-1].end - end) < 4
        assert min(word.confidence for word in aligned.words) > LOW
        for word in aligned.words:  # an "a" can take 30 ms
            assert word.end - word.start > (0.5 if len(word.text) > 1 else 0.25)


def test_each_span_has_its_own_words_and_history_changes_nothing(nano, spoken):
    """A dialogue of two speakers: each turn's words are those of it alone, but later."""
    first, second = (align(nano.backbone, nano.text, codes).words for codes in spoken)
    both = editing.splice(*spoken)
    found = align(nano.backbone, nano.text, both).codes
    check(found, list(TEXTS))
    shift = spoken[0].frames
    moved = [replace(word, start=word.start + shift, end=word.end + shift) for word in second]
    assert list(found.takes[0].words) == [*first, *moved]


def test_takes_and_transcripts(nano, spoken):
    takes = as_takes(spoken)
    words = [take.words for take in align(nano.backbone, nano.text, takes).codes.takes]
    assert words == [align(nano.backbone, nano.text, codes).codes.takes[0].words for codes in spoken]
    unknown = spoken[0].like(spoken[0].tensor, takes=[Take()])  # as from Encode Audio without a transcript
    with pytest.raises(MisoError, match="Type exactly what they say") as e:
        align(nano.backbone, nano.text, unknown)
    assert e.value.input == "transcript"
    found = align(nano.backbone, nano.text, unknown, f" {TEXTS[0]}\n").codes
    assert found.takes[0].words == words[0] and not found.takes[0].spans


def test_other_words_than_those_said_have_less_confidence(nano, spoken):
    said = align(nano.backbone, nano.text, spoken[0]).words
    others = align(nano.backbone, nano.text, spoken[0], "A completely different sentence about money.").words
    mean = [sum(word.confidence for word in words) / len(words) for words in (said, others)]
    assert mean[1] < mean[0] - 0.1


def test_words_left_out_and_repeated_are_named(nano, spoken):
    """There is nothing to listen to in a good take; in a damaged one there is."""
    codes, words = spoken[0], align(nano.backbone, nano.text, spoken[0]).words
    a, b = int(words[3].start), int(words[6].start)

    def said(damaged: Codes) -> str:
        return summary(align(nano.backbone, nano.text, damaged, TEXTS[0]))

    assert "isten" not in said(codes)
    assert "Listen for words left out" in said(editing.delete(codes, a, b))
    assert "Listen for words left out" in said(editing.splice(codes, codes))
    two = as_takes([codes, editing.delete(codes, a, b)])
    assert "\nTake 2: listen for" in said(two) and "Take 1" not in said(two)
    early = Aligned(codes.like(codes.tensor, takes=[replace(codes.takes[0], words=words[:4])]))
    assert re.search(r"\nListen to the last \d\.\d s: silence, or more", summary(early))


def test_a_take_cut_at_its_limit_has_the_words_that_were_said(nano, spoken):
    frames = 14
    take = Take(7, "limit", (Span(0, frames, TEXTS[0]),))
    cut = spoken[0].like(spoken[0].tensor[:, :, :frames], takes=[take])
    there = [w for w in align(nano.backbone, nano.text, spoken[0]).words if w.end < frames - 1]
    found = align(nano.backbone, nano.text, cut).words
    assert [w.text for w in found][: len(there)] == [w.text for w in there]
    assert 2 <= len(there) <= len(found) <= len(there) + 2
    assert all(abs(a.start - b.start) < 1 for a, b in zip(found, there))


def test_edited_spans_are_left_out_with_the_reason(nano, spoken):
    cut = editing.splice(editing.delete(spoken[0], 4, 8), spoken[1])
    aligned = align(nano.backbone, nano.text, cut)
    check(aligned.codes, [TEXTS[1]])
    ((take, span, why),) = aligned.left_out
    assert take == 0 and span.text == TEXTS[0] and "no longer exact" in why
    with pytest.raises(MisoError, match="no longer exact"):
        align(nano.backbone, nano.text, editing.delete(spoken[0], 4, 8))


def test_words_that_were_known_before_a_cut_stay(nano, spoken):
    known = [align(nano.backbone, nano.text, codes).codes for codes in spoken]
    cut = editing.splice(editing.delete(known[0], 4, 8), known[1])
    assert len(cut.takes[0].words) < sum(len(codes.takes[0].words) for codes in known)
    assert align(nano.backbone, nano.text, cut).codes.takes[0].words == cut.takes[0].words


@pytest.fixture(scope="module")
def csm(tmp_path_factory):
    """A random checkpoint of CSM's family, 2 layers of 4 heads."""
    path = tmp_path_factory.mktemp("csm") / "csm.safetensors"
    config = replace(MODEL, family="csm", text_vocab=PRESETS["csm-1b"].text_vocab)
    read = random_tensors(config, seed=3)
    save_checkpoint(path, config, {name: read(name) for name in canonical_shapes(config)})
    return Checkpoint(path)


@pytest.fixture(scope="module")
def llama(comfyui) -> Llama3Tokenizer:
    return Llama3Tokenizer(comfyui / "comfy" / "text_encoders" / "llama_tokenizer" / "tokenizer.json")


@pytest.mark.parametrize("frames", [2, 9, 60])
def test_untrained_checkpoints_give_words_in_order(request, csm, llama, frames):
    """Miso's layout (the golden fixture, which reads bytes here, its vocabulary being small) and CSM's."""
    from miso.text.tokenizer import ByteTokenizer

    golden = request.getfixturevalue("checkpoint")
    letters = ByteTokenizer() if golden.config.text_vocab >= ByteTokenizer.vocab else llama
    for checkpoint, tokenizer in ((golden, letters), (csm, llama)):
        config = checkpoint.config
        tensor = torch.randint(1, config.codebook_size, (1, config.codebooks, frames))
        spans = (Span(0, frames // 2, "Hello there."), Span(frames // 2, frames, "And you?", 1))
        codes = Codes(
            tensor, [frames], config.codec, codebook_size=config.codebook_size, takes=(Take(spans=spans),)
        )
        steps: list[tuple[int, int]] = []

        def record(done: int, total: int, steps=steps) -> None:
            steps.append((done, total))

        encoder = TextEncoder(config, tokenizer)
        found = align(checkpoint.load_backbone(), encoder, codes, progress=record)
        check(found.codes, ["Hello there.", "And you?"])
        layers = config.backbone.layers
        assert steps == [(n, 2 * layers) for n in range(1, 2 * layers + 1)]


def test_the_weights_are_those_of_the_network_itself(nano):
    """Attention taken apart gives what the fused one gives: weights times values are its output."""
    attention, dim = nano.backbone.transformer.layers[0].attn, nano.backbone.config.backbone.dim
    x = torch.randn(1, 12, dim, generator=torch.Generator().manual_seed(1))
    rotation = nano.backbone.transformer.rope(torch.arange(12))
    bias = (
        torch.full((12, 12), -torch.inf)
        .triu(1)
        .repeat(attention.q_proj.out_features // attention.head_dim, 1)
    )
    weights = attention.weights(x, rotation, slice(0, None), torch.arange(12))
    values = attention.v_proj(x).view(12, -1, attention.head_dim).transpose(0, 1)
    heads = weights @ values.repeat_interleave(len(weights) // attention.kv_heads, 0)
    y = attention.output_proj(heads.transpose(0, 1).reshape(1, 12, -1))
    torch.testing.assert_close(
        y, attention(x, rotation, bias, None, 0, torch.arange(12), 12), rtol=0, atol=1e-4
    )


def test_nothing_stays_on_the_backbone(nano, spoken):
    """A stopped pass leaves no hook, so that sampling costs what it did."""

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align(nano.backbone, nano.text, spoken[0], progress=stop)
    align(nano.backbone, nano.text, spoken[0])
    assert not any(layer.attn._forward_hooks for layer in nano.backbone.transformer.layers)


def test_layers_that_stay_on_the_cpu(nano, spoken):
    """Their weights are there only while they run."""
    words = align(nano.backbone, nano.text, spoken[0]).words
    backbone = nano.checkpoint.load_backbone(on_cpu=3)
    assert backbone.bytes_on_cpu and align(backbone, nano.text, spoken[0]).words == words


def test_what_does_not_fit_is_refused(nano, spoken, csm, llama):
    long = Codes(torch.ones(1, 8, 2040, dtype=torch.int64), [2040], "nano-2")
    other = replace(spoken[0], codec="mimi-e351c8d8")
    for codes, encoder, words, input in (
        (long, nano.text, "Cut the codes", "codes"),
        (other, nano.text, "codec", "codes"),
        (spoken[0], TextEncoder(csm.config, llama), "one Load Miso Model", "text_encoder"),
    ):
        with pytest.raises(MisoError, match=words) as e:
            align(nano.backbone, encoder, codes, "Hello there.")
        assert e.value.input == input
    with pytest.raises(MisoError, match="nothing to be said") as e:
        align(nano.backbone, nano.text, spoken[0], "...")
    assert e.value.input == "transcript"


def test_paths_against_all_paths_written_out():
    """Four frames, three symbols, one step: score and occupancy are those of a list of every path."""
    from itertools import product

    shares = torch.rand(1, 4, 3, generator=torch.Generator().manual_seed(5)) + 0.01
    paths = [
        p
        for p in product(range(3), repeat=4)
        if p[0] == 0 and p[-1] == 2 and all(0 <= b - a <= 1 for a, b in zip(p, p[1:]))
    ]
    logs = torch.tensor(
        [[shares[0, t, s].log() for t, s in enumerate(p)] for p in paths], dtype=torch.float64
    )
    assert float(best_score(shares, 1, 2)) == pytest.approx(float(logs.sum(1).max() / 4), abs=1e-5)
    weights = logs.sum(1).softmax(0)
    expected = torch.zeros(4, 3, dtype=torch.float64)
    for p, weight in zip(paths, weights):
        for t, s in enumerate(p):
            expected[t, s] += weight
    torch.testing.assert_close(occupancy(shares[0], 1, 2), expected, rtol=0, atol=1e-5)
