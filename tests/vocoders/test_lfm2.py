"""LFM2.5-Audio's detokenizer against its own code, streams against whole decodes, refusal of other files."""

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_detokenizer import PUBLISHED, RECORDED, draw, make, published, save
from safetensors.torch import load_file, save_file

from miso.codes.codes import Codes
from miso.errors import MisoError
from miso.tools.info import info
from miso.vocoders import check_codes, decode_codes, load_vocoder
from miso.vocoders.backends.lfm2 import Lfm2Vocoder
from miso.vocoders.lfm2 import Detokenizer, DetokenizerConfig, load_detokenizer, save_detokenizer

FILE = RECORDED / "model.safetensors"
MIMI = "mimi-e351c8d8"


@pytest.fixture(scope="module")
def vocoder():
    """The recorded one: 3 layers, a window of 10 tokens, frames of 12 samples, 8 ids."""
    return load_vocoder("auto", FILE)


@pytest.fixture(scope="module")
def full():
    """The published size."""
    torch.manual_seed(0)
    return Lfm2Vocoder(Detokenizer(DetokenizerConfig()).eval())


def in_chunks(vocoder, codes, sizes):
    stream = vocoder.stream(len(codes))
    return torch.cat([*(stream.push(part) for part in codes.split(sizes, -1)), stream.flush()], -1)


def test_it_describes_itself(full):
    assert (full.name, full.codec, full.sample_rate, full.frame_rate) == ("lfm2", MIMI, 24_000, 12.5)
    assert (full.frame_size, full.look_ahead, full.codebook_size) == (1920, 480, 2048)
    assert full.exact_streaming and not full.can_encode and "10 million USD" in full.notice
    assert sum(p.numel() for p in full.module.parameters()) == 44_976_578
    with pytest.raises(MisoError, match="can't encode"):
        full.encode(torch.zeros(1, 1, 1920))


def test_what_its_own_code_made_is_reproduced(vocoder):
    """The recorded sound, by ``liquid-audio``; always runs."""
    expected = load_file(RECORDED / "expected.safetensors")
    wave = vocoder.decode(expected["codes"])
    assert vocoder.name == "lfm2" and wave.shape == (1, 1, 9 * vocoder.frame_size)
    assert expected["wave"].std() > 0.01 and (wave[:, 0] - expected["wave"]).abs().max() <= 1e-5


@pytest.mark.parametrize("frames", [1, 20, pytest.param(125, marks=pytest.mark.slow)])
def test_the_published_size_against_its_own_code(tmp_path, frames):
    """20 frames are 120 tokens, four windows."""
    if (module := published()) is None:
        pytest.skip("liquid-audio is not installed")
    pytest.importorskip("transformers")
    net, codes = make(module, PUBLISHED), draw(frames, 2048, batch=2)
    ours, expected = load_vocoder("lfm2", save(net, PUBLISHED, tmp_path)), net(codes)
    assert expected.std() > 1e-3 and (ours.decode(codes)[:, 0] - expected).abs().max() <= 1e-4


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4), takes=st.integers(1, 2))
def test_any_chunks_give_the_whole_sound(vocoder, sizes, takes):
    """With up to 1440 tokens. In a network 8 wide, sums nearly cancel: rounding counts more than below."""
    codes = draw(sum(sizes), 8, takes)
    whole = vocoder.decode(codes)
    assert whole.shape == (takes, 1, sum(sizes) * vocoder.frame_size)
    assert (in_chunks(vocoder, codes, sizes) - whole).abs().max() <= 1e-4


def test_the_published_size_streams_exactly(full):
    codes = draw(20, 2048)
    stream = full.stream()
    parts = [stream.push(codes[..., :1]), stream.push(codes[..., 1:]), stream.flush()]
    assert [part.shape[-1] for part in parts] == [1440, 19 * 1920, 480]
    assert (torch.cat(parts, -1) - full.decode(codes)).abs().max() <= 1e-5


def test_streams_are_independent_and_begin_again_after_a_flush(vocoder):
    first, second = draw(12, 8, batch=2), draw(15, 8)[..., 3:]
    one, other = vocoder.stream(2), vocoder.stream()
    waves = [(one.push(a), other.push(b)) for a, b in zip(first.split(1, -1), second.split(1, -1))]
    for i, (stream, codes) in enumerate(((one, first), (other, second))):
        sound = torch.cat([*(pair[i] for pair in waves), stream.flush()], -1)
        assert (sound - vocoder.decode(codes)).abs().max() <= 1e-5
    again = torch.cat([one.push(first), one.flush()], -1)
    assert torch.equal(again, vocoder.decode(first)) and one.flush().shape == (2, 1, 0)


def test_a_frame_changes_nothing_beyond_its_reach(full):
    """One frame of two: 480 samples before it, and after it what 3 windows of 30 and 5 kernels of 3 reach."""
    codes = draw(40, 2048)
    other = codes.clone()
    other[..., 10] = (other[..., 10] + 1) % 2048
    changed = (full.decode(codes) != full.decode(other))[0, 0].nonzero()[:, 0]
    last = (10 * 6 + 5) + 3 * 29 + 5 * 2  # the last token that sees it
    assert 10 * 1920 - 480 <= changed[0] < 10 * 1920 and 16 * 1920 < changed[-1] < last * 320 + 1280 - 480


def test_only_the_first_8_codebooks_are_read(vocoder):
    codes = draw(6, 8)
    more = torch.cat((codes, draw(6, 8, batch=2)[1:]), 1)
    assert torch.equal(vocoder.decode(more), vocoder.decode(codes))
    for attempt in (vocoder.decode, vocoder.stream().push):
        with pytest.raises(MisoError, match="'lfm2'. needs 8 codebooks; these codes have 7.*Depth Redecode"):
            attempt(codes[:, :7])
    codes[0, 3, 4] = 8  # the embeddings themselves would take the next codebook's
    with pytest.raises(MisoError, match="codebook 3, frame 4 .*holds the id 8"):
        vocoder.decode(codes)


def test_codes_of_other_codecs_are_refused(full):
    with pytest.raises(MisoError, match="belong to the codec 'nano-2'"):
        check_codes(full, draw(3, 8), "nano-2")
    decoded = decode_codes(full, Codes(draw(3, 2048), [2], MIMI))
    assert decoded.samples == [3840] and not decoded.waveform[..., 3840:].any()


@pytest.mark.parametrize(("dtype", "least"), [(torch.float16, 45), (torch.bfloat16, 25)])
def test_layers_in_half_precision(full, tmp_path, dtype, least):
    """The distance from fp32 is that of the format."""
    save_detokenizer(tmp_path / "a.safetensors", full.module)
    codes = draw(20, 2048)
    expected = full.decode(codes)
    noise = (load_vocoder("lfm2", tmp_path / "a.safetensors", dtype=dtype).decode(codes) - expected).square()
    assert least < 10 * (expected.square().mean() / noise.mean()).log10() < 90


def test_files_are_written_as_published(vocoder, tmp_path):
    save_detokenizer(tmp_path / "a.safetensors", vocoder.module)
    again = load_detokenizer(tmp_path / "a.safetensors")
    assert again.config == vocoder.module.config
    ours = vocoder.module.state_dict()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in again.state_dict().items())
    assert "detokenizer of LFM2.5-Audio" in info(FILE) and "10 million USD" in info(FILE)


def _without(name):
    return lambda tensors, config: tensors.pop(name)


def _set(**values):
    return lambda tensors, config: config.update(values)


def _reshape(name, *shape):
    return lambda tensors, config: tensors.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            _without("lfm.layers.1.ffn_norm.weight"),
            "1 tensors are missing.*layers.1.ffn_norm.*audio_detokenizer",
        ),
        (_without("istft.window"), "incomplete"),
        (_without("lfm.embedding_norm.weight"), "contains no detokenizer"),
        (
            _reshape("lfm.layers.0.conv.conv.bias", 8),
            "unknown or of another shape .lfm.layers.0.conv.conv.bias",
        ),
        (_reshape("lin.weight", 10, 9), "another shape .lin.weight"),
        (_reshape("emb.emb.weight", 64), "incomplete"),
        (_reshape("emb.emb.weight", 7, 8), "can't have codebook_size = 0"),
        (_reshape("lfm.layers.1.self_attn.q_layernorm.weight", 0), "can't have heads = 8|head_dim = 0"),
        (_set(hidden_size=16), "belongs to another model.*audio_detokenizer"),
        (_set(layer_types=["conv"]), "belongs to another model"),
        (_set(sliding_window=10**9), "can't have window"),
        (_set(rope_theta="x"), "can't have rope_base = 'x'"),
        (_set(layer_types=3), "incomplete"),
    ],
)
def test_other_files_are_refused(tmp_path, change, words):
    tensors, config = load_file(FILE), json.loads((RECORDED / "config.json").read_text())
    change(tensors, config)
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(MisoError, match=words):
        load_vocoder("lfm2", tmp_path / "model.safetensors")


def test_config_json_must_be_beside_it(tmp_path, small_file):
    shutil.copy(FILE, tmp_path / "model.safetensors")
    with pytest.raises(MisoError, match="config.json is missing beside model.safetensors.*audio_detokenizer"):
        load_vocoder("auto", tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(MisoError, match="incomplete"):
        load_vocoder("auto", tmp_path / "model.safetensors")
    with pytest.raises(MisoError, match="contains no detokenizer"):
        load_vocoder("lfm2", small_file)
