"""Codes of other models, written by their own rule, come back as they were; what has two readings is
refused."""

import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from miso.codes.arrays import read_array
from miso.codes.importing import DELAYED, UNDONE, USER, Codec, import_codes
from miso.codes.layouts import LAYOUTS, refuse_other_codec
from miso.errors import MisoError


def codes(codebooks: int, frames: int = 40, seed: int = 0) -> torch.Tensor:
    """Ids of Mimi [K, T]; none is 0, which some models write at the end."""
    return torch.randint(1, 2048, (codebooks, frames), generator=torch.Generator().manual_seed(seed))


def delayed(x: torch.Tensor, lags: list[int], fill: int) -> torch.Tensor:
    """As the models step: row k is late by lags[k] frames, ``fill`` before and after its sound."""
    out = torch.full((x.shape[0], x.shape[1] + max(lags)), fill)
    for row, line, lag in zip(out, x, lags):
        row[lag : lag + x.shape[1]] = line
    return out


def rows(*parts: torch.Tensor) -> torch.Tensor:
    return torch.cat(parts)


END = torch.zeros(32, 1, dtype=torch.int64)
OWN, THEIRS, TEXT = codes(8), codes(8, seed=1), torch.full((1, 40), 31_999)
MOSHI, KYUTAI = [0, *[1] * 7], [0, *[2] * 31]
DIA2 = [16, *[18] * 31]


@pytest.mark.parametrize(
    "layout, made, expected, options",
    [
        ("plain", codes(5), codes(5), {}),
        ("csm", rows(codes(32)), codes(32), {}),
        ("csm", torch.cat((codes(32), END), 1), codes(32), {}),
        ("marvis", torch.cat((codes(32), END, END + 2050), 1), codes(32), {}),  # padded in a batch
        ("moshi", rows(TEXT, OWN, THEIRS), OWN, {"delays": UNDONE}),
        ("moshi", rows(TEXT, OWN, THEIRS), THEIRS, {"delays": UNDONE, "stream": USER}),
        ("moshi", rows(OWN, THEIRS), THEIRS, {"delays": UNDONE, "stream": USER}),
        (
            "moshi",
            rows(torch.full((1, 41), 3), delayed(OWN, MOSHI, 2048), delayed(THEIRS, MOSHI, 2048)),
            THEIRS,
            {"delays": DELAYED, "stream": USER},
        ),
        ("moshi", rows(TEXT, OWN), OWN, {"delays": UNDONE}),
        ("moshi", delayed(OWN, MOSHI, -2), OWN, {"delays": DELAYED}),
        ("kyutai-tts", delayed(codes(32), KYUTAI, -1), codes(32), {"delays": DELAYED}),
        ("kyutai-tts", rows(torch.full((1, 40), 3), codes(32)), codes(32), {"delays": UNDONE}),
        ("lfm2-audio", torch.cat((OWN, torch.full((8, 2), 2048)), 1), OWN, {}),
        ("voxtream2", delayed(codes(16), [0, *[1] * 15], 2049), codes(16), {"delays": DELAYED}),
        ("dia2", delayed(codes(32), DIA2, 2049), codes(32), {"delays": DELAYED, "own_delays": DIA2}),
        ("dia2", codes(32), codes(32), {"delays": UNDONE}),
    ],
)  # fmt: skip
def test_the_rule_of_each_model_is_undone(layout, made, expected, options):
    for array in (made, made[None], made.T, made.T[None]):
        imported = import_codes(array, layout, **options)
        assert imported.tensor[0].equal(expected), layout
        assert imported.codec == "mimi-e351c8d8" and imported.source == {"imported": layout}
    assert imported.takes[0].stop == ("eos" if made.shape[1] > 40 and LAYOUTS[layout].end else None)


def test_every_layout_has_an_example():
    mark = next(m for m in test_the_rule_of_each_model_is_undone.pytestmark if m.name == "parametrize")
    assert {example[0] for example in mark.args[1]} == LAYOUTS.keys()


def test_takes_of_a_batch_end_where_they_end():
    first, second = codes(8, 10), codes(8, 7, seed=2)
    padded = torch.stack(
        [torch.nn.functional.pad(t, (0, 12 - t.shape[1]), value=2048) for t in (first, second)]
    )
    imported = import_codes(padded, "lfm2-audio", text="Hello.", speaker=2)
    assert imported.lengths.tolist() == [10, 7]
    assert imported.take(1).tensor[0].equal(second) and imported.takes[1].spans[0].end == 7
    assert imported.takes[1].text == "Hello." and imported.takes[1].spans[0].speaker == 2


def test_audio_that_starts_late_loses_its_frames_without_sound():
    """Kyutai's 16 frames of text before the audio, as its own decoding drops them."""
    steps = torch.cat((torch.full((32, 16), -1), delayed(codes(32), KYUTAI, -2)), 1)
    steps[:, 16:18][1:] = 2048  # what the depth decoder says before the delay has passed
    assert import_codes(steps, "kyutai-tts", delays=DELAYED).tensor[0].equal(codes(32))


def test_plain_codes_may_be_of_another_codec():
    codec = Codec("tiny", 64, 12.5, 8)
    imported = import_codes(codes(8) % 64, "plain", codec=codec)
    assert (imported.codec, imported.codebook_size) == ("tiny", 64)
    with pytest.raises(MisoError, match="Disconnect the vocoder"):
        import_codes(codes(8), "moshi", codec=codec, delays=UNDONE)


@pytest.mark.parametrize(
    "layout, array, options, words, input",
    [
        ("miocodec", codes(8), {}, "Choose one of: plain, csm", "layout"),
        ("csm", codes(8), {}, "has 32 rows; this array is \\[8, 40\\]", "layout"),
        ("csm", codes(32, 32), {}, "Choose what the axes are", "axes"),
        ("plain", codes(8, 30), {}, "\\[codebooks, frames\\] or \\[frames, codebooks\\]", "axes"),
        ("csm", codes(32), {"axes": "TK"}, "read as \\[frames, codebooks\\]", "layout"),
        ("plain", codes(8)[0], {}, "axes codebooks and frames", "file"),
        ("plain", codes(8)[None, None], {}, "torch.cat", "file"),
        ("plain", codes(8).float(), {}, "integers", "file"),
        ("plain", codes(8) + 2000, {}, "codebook 0, frame 0 holds the id", "layout"),
        ("lfm2-audio", codes(8) * 0 + 2049, {}, "0 to 2047, and 2048", "layout"),
        ("moshi", codes(8), {}, "whether the delays of Moshi are still in the file", "delays"),
        ("moshi", codes(8), {"delays": UNDONE, "stream": USER}, "only one, of 8", "stream"),
        ("moshi", delayed(OWN, MOSHI, 2048), {"delays": UNDONE}, "Choose 'still in the file'", "delays"),
        ("moshi", delayed(OWN, [1, *[0] * 7], -1), {"delays": DELAYED}, "Choose 'already undone'", "delays"),
        ("moshi", codes(8, 1), {"delays": DELAYED, "axes": "KT"}, "no sound", "file"),
        ("moshi", OWN, {"delays": UNDONE, "own_delays": (0, 3)}, "Leave own_delays empty", "own_delays"),
        ("dia2", codes(32), {"delays": DELAYED}, "delays of all 32 codebooks", "own_delays"),
        ("dia2", codes(32), {"own_delays": DIA2}, "whether the delays of Dia2", "delays"),
        ("lfm2-audio", torch.full((8, 40), 2048), {}, "no sound", "file"),
        ("csm", torch.cat((codes(32), END, codes(32)), 1), {}, "ends at frame 40", "layout"),
        ("voxtream2", torch.cat((codes(16), torch.full((16, 1), 2049), codes(16)), 1), {"delays": UNDONE},
         "Frame 40 of take 1 has no sound", "layout"),
    ],
)  # fmt: skip
def test_what_can_not_be_known_or_does_not_fit_is_refused(layout, array, options, words, input):
    with pytest.raises(MisoError, match=words) as e:
        import_codes(array, layout, **options)
    assert e.value.input == input and e.value.remedy or "Choose" in str(e.value) or "Leave" in str(e.value)


@pytest.mark.parametrize(
    "word", ["my_miocodec-25hz", "Qwen3-TTS tokens", "hibiki", "speech.snac", "dac_codes", "encodec_24khz"]
)
def test_other_codecs_are_refused_by_name(word):
    with pytest.raises(MisoError, match=f"'{word}' names"):
        refuse_other_codec(["codes", word])


def test_names_that_only_look_like_another_codec_are_let_through():
    refuse_other_codec(["dachshund", "snack_time", "mimi", "kyutai/moshiko-pytorch-bf16"])


# -- files


def test_arrays_are_read_as_they_were_written(tmp_path):
    x = codes(8).numpy()
    for kind in ("<i2", ">i4", "<u2", "<i8"):
        np.save(tmp_path / "a.npy", x.astype(kind))
        array, words = read_array(tmp_path / "a.npy")
        assert array.equal(codes(8)) and words == ["a"], kind
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    assert read_array(tmp_path / "f.npy")[0].equal(codes(8))
    tensors = {
        "codes": codes(8).to(torch.int32),
        "embeddings": torch.rand(3, 4),
        "lengths": torch.tensor([40]),
    }
    save_file(tensors, tmp_path / "b.safetensors", {"codec": "mimi"})
    array, words = read_array(tmp_path / "b.safetensors")  # only one can be meant
    assert array.equal(codes(8)) and words == ["b", "codes", "codec", "mimi"]
    save_file({**tensors, "other": codes(8)}, tmp_path / "c.safetensors")
    with pytest.raises(MisoError, match="It has codes, other") as e:
        read_array(tmp_path / "c.safetensors")
    assert e.value.input == "tensor"
    assert read_array(tmp_path / "c.safetensors", "other")[0].equal(codes(8))
    with pytest.raises(MisoError, match="no integers named 'embeddings'"):
        read_array(tmp_path / "c.safetensors", "embeddings")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("pickled",)


def test_nothing_is_unpickled_and_no_header_is_believed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("object.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.save("float.npy", np.zeros((2, 3)))
    np.savez("archive.npz", codes(8).numpy())
    os.rename("archive.npz", "archive.npy")
    np.save("good.npy", codes(8).numpy())
    good = (tmp_path / "good.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(good[:-8])
    (tmp_path / "long.npy").write_bytes(good + b"1234")
    (tmp_path / "huge.npy").write_bytes(good.replace(b"(8, 40), }        ", b"(99999, 99999), } "))
    (tmp_path / "header.npy").write_bytes(good.replace(b"}", b" "))
    (tmp_path / "start.npy").write_bytes(good[:20])
    (tmp_path / "text.npy").write_text("hello")
    os.mkfifo("pipe.npy")
    for name, words in {
        "object": "holds objects",
        "float": "holds float64",
        "archive": r"an archive of arrays \(.npz\)",
        "short": "cut short",
        "long": "bytes follow",
        "huge": "far more than codes can be",
        "header": "can't be read",
        "start": "can't be read",
        "text": "no .npy file",
        "pipe": "is not a file",
        "gone": "can't be read",
    }.items():
        with pytest.raises(MisoError, match=words):
            read_array(f"{name}.npy")
    assert not os.path.exists("pickled")


# -- the models' own code


@pytest.fixture(scope="module")
def moshi():
    os.environ["NO_TORCH_COMPILE"] = os.environ["NO_CUDA_GRAPH"] = "1"
    return pytest.importorskip("moshi.models.lm")


def test_moshis_delays(moshi):
    """Moshi with random weights: what it says step by step, and what it returns with the delays undone."""
    lags = [0, *MOSHI, *MOSHI]
    torch.manual_seed(0)
    model = moshi.LMModel(
        delays=lags, n_q=16, dep_q=8, card=2048, text_card=40, dim=32, num_heads=2, num_layers=1,
        hidden_scale=2, depformer_dim=16, depformer_num_heads=2, depformer_num_layers=1,
        depformer_dim_feedforward=32, depformer_multi_linear=True, depformer_weights_per_step=True,
        gating="silu", depformer_gating="silu",
        context=64, positional_embedding="rope", norm="rms_norm_f32",
    ).eval()  # fmt: skip
    steps, returned = [], []
    generate = moshi.LMGen(
        model, use_sampling=True, on_audio_hook=lambda tokens: steps.append(tokens.clone())
    )
    with generate.streaming(1):
        for frame in THEIRS.T:
            if (out := generate.step(frame[None, :, None])) is not None:
                returned.append(out)
    raw, out = torch.stack(steps, -1), torch.cat(returned, -1)  # [1, 8, 40], [1, 9, 39]
    undone = import_codes(out, "moshi", delays=UNDONE)
    assert import_codes(raw, "moshi", delays=DELAYED).tensor.equal(undone.tensor)
    assert undone.tensor.equal(out[:, 1:]) and undone.frames == 39


def test_kyutais_delays(moshi):
    from moshi.models.lm_utils import _delay_sequence

    x = codes(32)
    rolled = _delay_sequence(KYUTAI, x[None], torch.full((1, 32, 1), 2048))  # which loses the last two frames
    assert import_codes(rolled, "kyutai-tts", delays=DELAYED).tensor[0].equal(x[:, :-2])


@pytest.mark.slow  # to import
def test_moshis_delays_in_transformers():
    modeling = pytest.importorskip("transformers.models.moshi.modeling_moshi")
    build = modeling.MoshiForConditionalGeneration.build_delay_pattern_mask
    _, pattern = build(None, OWN[None], bos_token_id=2048, pad_token_id=2048, max_length=41)
    assert import_codes(pattern, "moshi", delays=DELAYED).tensor[0].equal(OWN)
