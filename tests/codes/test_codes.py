"""The container of codes, its file and its picture; hidden states."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from miso.codes.codes import Codes, as_takes
from miso.codes.hidden import Hidden
from miso.codes.picture import draw_codes
from miso.codes.takes import Span, Take, Word, join_spans, take_to_json
from miso.errors import MisoError
from miso.files import read_header
from miso.tools.info import info


@st.composite
def any_codes(draw) -> Codes:
    batch, codebooks, frames = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(0, 12))
    size = draw(st.sampled_from([4, 2048, 70_000]))
    tensor = torch.randint(
        0, size, (batch, codebooks, frames), generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))
    )
    lengths = [draw(st.integers(0, frames)) for _ in range(batch)]
    text = st.text(max_size=8)
    takes = [
        Take(
            draw(st.none() | st.integers(0, 2**63 - 1)),
            draw(st.sampled_from([None, "eos", "limit"])),
            (Span(0, n, draw(text), draw(st.integers(0, 9))),),
        )
        for n in lengths
    ]
    return Codes(
        tensor,
        lengths,
        draw(st.sampled_from(["mimi-e351c8d8", "nano"])),
        12.5,
        size,
        tuple(takes),
        {"model": "x"},
    )


@given(any_codes())
def test_saving_and_loading(tmp_path_factory, codes):
    path = tmp_path_factory.mktemp("codes") / "take.safetensors"
    codes.save(path, {"workflow": "{}"})
    loaded = Codes.load(path)
    assert loaded.tensor.equal(codes.tensor) and loaded.lengths.equal(codes.lengths)
    assert loaded.takes == codes.takes
    facts = (loaded.codec, loaded.frame_rate, loaded.codebook_size, loaded.source)
    assert facts == (codes.codec, 12.5, codes.codebook_size, {"model": "x"})
    with safe_open(path, "pt") as file:
        assert file.metadata()["workflow"] == "{}"


@given(any_codes())
def test_takes_can_be_separated_and_combined(codes):
    parts = [codes.take(i) for i in range(codes.batch)]
    assert [p.frames for p in parts] == codes.lengths.tolist()
    together = as_takes(parts)
    assert together.takes == codes.takes and together.lengths.equal(codes.lengths)
    longest = together.frames
    assert together.tensor.equal(codes.tensor[:, :, :longest])


def test_ids_beyond_a_take_are_0():
    codes = Codes(torch.full((2, 2, 5), 3), [5, 2], "nano", codebook_size=4)
    assert codes.tensor[1, :, 2:].eq(0).all() and codes.seconds == [0.4, 0.16]


def test_ten_seconds_are_small(tmp_path):
    Codes(torch.randint(0, 2048, (1, 32, 125)), [125], "mimi-e351c8d8").save(tmp_path / "x.safetensors")
    assert (tmp_path / "x.safetensors").stat().st_size < 10_000


@pytest.mark.parametrize(
    "change, words",
    [
        ({"tensor": torch.zeros(1, 2, 3)}, "must be integers"),
        ({"tensor": torch.zeros(2, 3, dtype=torch.int64)}, "takes, codebooks, frames"),
        ({"tensor": torch.zeros(1, 0, 3, dtype=torch.int64)}, "at least one take and one codebook"),
        ({"lengths": [4]}, r"lengths \[4\]"),
        ({"lengths": [1, 1]}, "lengths"),
        ({"tensor": torch.tensor([[[0, 1, 2], [0, 9, 1]]])}, "Take 1, codebook 1, frame 1 holds the id 9"),
        ({"tensor": torch.tensor([[[0, 1, 2], [0, -1, 1]]])}, "id -1"),
        ({"takes": (Take(), Take())}, "provenance of 2"),
    ],
)
def test_invalid_codes_are_refused(change, words):
    valid = {"tensor": torch.zeros(1, 2, 3, dtype=torch.int64), "lengths": [3], "codec": "nano"}
    with pytest.raises(MisoError, match=words):
        Codes(**{**valid, "codebook_size": 8, **change})


def test_codes_of_two_codecs_can_not_be_mixed():
    a, b = (Codes(torch.zeros(1, 2, 3, dtype=torch.int64), [3], codec) for codec in ("tiny", "mimi-e351c8d8"))
    with pytest.raises(MisoError, match="codec mimi-e351c8d8, the first codes have tiny"):
        as_takes([a, b])


def test_spans_of_the_same_text_are_merged():
    a, b, c = Span(0, 3, "one", 0), Span(3, 5, "one", 0), Span(5, 6, "two", 0)
    assert join_spans((a,), (b, c)) == (Span(0, 5, "one", 0), c)
    assert join_spans((a, c)) == (a, c)
    # a take that continues its own beginning says its text, a beginning that goes on elsewhere does not
    cut = Span(0, 3, "one", 0, exact=False)
    assert join_spans((cut,), (b, c)) == (Span(0, 5, "one", 0), c)
    assert join_spans((cut,), (Span(3, 6, "two"),)) == (cut, Span(3, 6, "two"))


def test_codes_with_exact_texts_are_as_they_always_were(tmp_path):
    """Files of an earlier version load, and digests stay: stores find what they hold."""
    take = Take(7, "eos", (Span(0, 3, "Hello.", 1),), -2.5)
    codes = Codes(torch.ones(1, 2, 3, dtype=torch.int64), [3], "tiny", takes=(take,))
    assert codes.digest() == "5187bd7cee08fde448327444b4054e6a7f9f49924aa83e76359a81f6e9c59154"
    codes.save(tmp_path / "x.safetensors")
    about = json.loads(read_header(tmp_path / "x.safetensors")[0]["about"])
    span = {"start": 0, "end": 3, "text": "Hello.", "speaker": 1}
    assert about["takes"] == [{"seed": 7, "stop": "eos", "spans": [span], "log_probability": -2.5}]
    cut = codes.like(codes.tensor, takes=[Take(7, None, (Span(0, 3, "Hello.", 1, exact=False),))])
    cut.save(tmp_path / "cut.safetensors")
    loaded = Codes.load(tmp_path / "cut.safetensors")
    assert loaded.takes == cut.takes and not loaded.takes[0].exact and loaded.digest() != codes.digest()
    assert "about: Hello." in info(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    "index, takes, words",
    [(5, 2, "There is no take 6; there are 2."), (1, 1, "no take 2; there is only 1."), (-3, 2, "take -3;")],
)
def test_takes_are_counted_from_1_for_people(index, takes, words):
    with pytest.raises(MisoError, match=words):
        Codes(torch.zeros(takes, 2, 3, dtype=torch.int64), [3] * takes, "nano").take(index)


def test_hidden_states_round_trip(tmp_path):
    hidden = Hidden(torch.randn(2, 3, 4).bfloat16(), torch.tensor([3, 2]), "abc")
    hidden.save(tmp_path / "h.safetensors")
    loaded = Hidden.load(tmp_path / "h.safetensors")
    assert loaded.tensor.equal(hidden.tensor) and loaded.lengths.equal(hidden.lengths)
    assert loaded.fingerprint == "abc"
    assert "2 takes, up to 3 frames, 4 wide" in info(tmp_path / "h.safetensors")
    with pytest.raises(MisoError, match="does not contain Miso codes"):
        Codes.load(tmp_path / "h.safetensors")


def test_hidden_states_are_picked_as_codes_are():
    tensor = torch.randn(3, 5, 4)
    hidden = Hidden(tensor, torch.tensor([5, 2, 3]), "abc")
    codes = Codes(torch.ones(3, 2, 5, dtype=torch.int64), [5, 2, 3], "nano")
    picked = hidden.takes([1, 2])
    picked.check_same_run(as_takes([codes.take(1), codes.take(2)]))
    assert picked.tensor.equal(tensor[1:, :3]) and picked.fingerprint == "abc"
    with pytest.raises(MisoError, match="Connect codes and hidden of one run"):
        picked.check_same_run(codes)


def test_info(tmp_path, golden_paths):
    take = Take(7, "eos", (Span(0, 25, "Good morning.", 1),))
    codes = Codes(
        torch.zeros(1, 8, 25, dtype=torch.int64), [25], "nano", takes=(take,), source={"model": "f1"}
    )
    codes.save(tmp_path / "x.safetensors", {"workflow": "{}"})
    words = info(tmp_path / "x.safetensors")
    for part in (
        "codec 'nano'",
        "1 take,",
        "2.00 s, seed 7, ended by itself",
        "speaker 1: Good morning.",
        "voice prompt",
        "checkpoint f1",
        "ComfyUI workflow",
    ):
        assert part in words
    words = info(golden_paths[0])
    assert "Backbone: 3 layers, 64 wide" in words and "0.45 million numbers" in words
    assert "of another kind" in info(golden_paths[1])


def test_picture():
    codes = Codes(torch.arange(2 * 8 * 50).reshape(2, 8, 50) % 64, [50, 20], "tiny", codebook_size=64)
    image = draw_codes(codes)
    assert image.shape[0] == 2 and image.shape[-1] == 3
    assert image.shape[1] % 8 == 0 and image.shape[2] % 50 == 0
    assert 0 <= image.min() and image.max() <= 1
    cell = image.shape[2] // 50
    assert image[1, :, 20 * cell :].std() < 1e-6 < image[1, :, : 20 * cell].std()
    assert draw_codes(Codes(torch.zeros(1, 8, 0, dtype=torch.int64), [0], "tiny")).shape[-1] == 3


def test_words_are_kept_and_files_without_words_stay_the_same(tmp_path):
    words = (Word("Hello", 0.25, 1.5, 0.75), Word("there.", 1.5, 3, 1))
    take = Take(7, "eos", (Span(0, 3, "Hello there."),), -2.5)
    assert "words" not in take_to_json(take)
    known = Codes(torch.ones(1, 2, 3, dtype=torch.int64), [3], "tiny", takes=(replace(take, words=words),))
    known.save(tmp_path / "words.safetensors")
    assert Codes.load(tmp_path / "words.safetensors").takes[0].words == words
    assert "places of 2 words are known" in info(tmp_path / "words.safetensors")
    assert known.digest() != known.like(known.tensor, takes=[take]).digest()
