"""Files of a codec: all layouts, all faults."""

import json
import pickle
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from miso.errors import MisoError
from miso.files import read_header
from miso.vocoders.mimi import Mimi, MimiConfig, load_mimi, random_mimi, save_mimi
from miso.vocoders.mimi.layouts import to_hugging_face, to_published

NANO = MimiConfig(
    filters=24, dim=192, heads=3, encoder_layers=2, decoder_layers=2, ff=768, codebooks=8, codebook_dim=64
)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_layouts_round_trip_bit_for_bit(small_file, small):
    published = load_file(small_file)
    theirs = to_hugging_face(published, small.config.heads)
    back = to_published(theirs, small.config.heads)
    assert back.keys() == published.keys()
    assert all(torch.equal(back[name], published[name]) for name in published)
    assert any(name.endswith("q_proj.weight") for name in theirs) and not any(
        "in_proj_weight" in name for name in theirs
    )


def test_counts_of_the_published_files(full_file):
    published = read_header(full_file)[1]
    assert len(published) == 318
    tensors = {name: torch.empty(entry.shape, device="meta") for name, entry in published.items()}
    assert len(to_hugging_face(tensors, 8)) == 350


def test_our_own_layout_keeps_sizes_and_codec_id(small, small_file):
    loaded = load_mimi(small_file)
    assert loaded.config == small.config  # no shape shows a window of 20 and 2 heads
    assert loaded.codec == "mimi-small" and same(loaded, small)


def test_sizes_are_read_off_the_tensors(tmp_path):
    nano = random_mimi(NANO)
    save_mimi(tmp_path / "ours.safetensors", nano)
    published = load_file(tmp_path / "ours.safetensors")
    save_file(published, tmp_path / "bare.safetensors")
    save_file(to_hugging_face(published, 3), tmp_path / "model.safetensors", {"format": "pt"})
    for name in ("bare", "model"):
        loaded = load_mimi(tmp_path / f"{name}.safetensors")
        assert loaded.config == NANO and same(loaded, nano)
    other = MimiConfig(
        filters=4,
        ratios=(4, 3),
        dim=32,
        heads=1,
        residual_layers=2,
        residual_kernel=5,
        kernel=5,
        last_kernel=7,
        compress=4,
        encoder_layers=1,
        decoder_layers=3,
        ff=40,
        stride=3,
        codebooks=5,
        semantic=2,
        codebook_size=10,
        codebook_dim=6,
    )
    codec = random_mimi(other)
    save_mimi(tmp_path / "other.safetensors", codec)
    save_file(load_file(tmp_path / "other.safetensors"), tmp_path / "bare.safetensors")
    loaded = load_mimi(tmp_path / "bare.safetensors")
    assert loaded.config == other and same(loaded, codec)
    wave = torch.randn(1, 1, other.frame_size * 4)
    assert loaded.decode(loaded.encode(wave)).shape == wave.shape


def test_codebooks_are_divided_in_fp32(small, small_file, tmp_path):
    tensors = load_file(small_file)
    usage = torch.rand(64) + 0.5
    usage[3] = 0  # an entry never used
    prefix = "quantizer.rvq_rest.vq.layers.2._codebook."
    tensors[prefix + "cluster_usage"] = usage
    vectors = tensors[prefix + "embedding_sum"]
    save_file(tensors, tmp_path / "counts.safetensors", read_header(small_file)[0])
    loaded = load_mimi(tmp_path / "counts.safetensors", dtype=torch.bfloat16)
    assert torch.equal(loaded.quantizer.acoustic.tables[2], vectors / usage.clamp(min=1e-5)[:, None])


@pytest.mark.parametrize("nested", [False, True])
def test_names_as_transformers_has_them_in_memory(small, small_file, tmp_path, nested):
    tensors = to_hugging_face(load_file(small_file), 2)
    if nested:
        tensors = {
            re.sub(r"^(en|de)coder\.layers", r"\1coder.\1coder_seanet.layers", name): t
            for name, t in tensors.items()
        }
        tensors = {
            re.sub(r"^((en|de)coder)_transformer", r"\1.\1_transformer", name): t
            for name, t in tensors.items()
        }
        tensors = {
            name.replace("downsample", "encoder.downsample").replace("upsample", "decoder.upsample"): t
            for name, t in tensors.items()
        }
    save_file(tensors, tmp_path / "model.safetensors", read_header(small_file)[0])
    assert same(load_mimi(tmp_path / "model.safetensors"), small)


def test_a_file_with_a_decoder_only_decodes_and_says_so(small, small_file, tmp_path, draw):
    encoder = ("encoder.", "encoder_transformer.", "downsample.")
    kept = {name: t for name, t in load_file(small_file).items() if not name.startswith(encoder)}
    save_file(kept, tmp_path / "decoder.safetensors", read_header(small_file)[0])
    # the quantizer's projections alone are not an encoder
    assert not load_mimi(tmp_path / "decoder.safetensors").can_encode
    kept = {name: t for name, t in kept.items() if "input_proj" not in name}
    save_file(kept, tmp_path / "decoder.safetensors", read_header(small_file)[0])
    mimi = load_mimi(tmp_path / "decoder.safetensors")
    codes = draw(small, 5)
    assert torch.equal(mimi.decode(codes), small.decode(codes))
    with pytest.raises(MisoError, match="decoder only"):
        mimi.encode(torch.zeros(1, 1, 1920))
    save_mimi(tmp_path / "again.safetensors", mimi)
    assert not load_mimi(tmp_path / "again.safetensors").can_encode


def test_faults_are_listed_together(small_file, tmp_path):
    tensors, metadata = load_file(small_file), read_header(small_file)[0]
    del tensors["decoder.model.5.convtr.convtr.bias"], tensors["encoder.model.0.conv.conv.weight"]
    tensors["decoder.model.99.strange"] = torch.zeros(1)
    tensors["decoder.model.0.conv.conv.bias"] = torch.zeros(3)
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    with pytest.raises(MisoError) as error:
        load_mimi(tmp_path / "bad.safetensors")
    for part in (
        "bad.safetensors",
        "2 missing",
        "decoder.model.5.convtr.convtr.bias",
        "encoder.model.0.conv.conv.weight",
        "1 unknown (decoder.model.99.strange)",
        "decoder.model.0.conv.conv.bias is [3], not [128]",
    ):
        assert part in str(error.value)


def test_a_missing_key_is_named(small_file, tmp_path):
    tensors = to_hugging_face(load_file(small_file), 2)
    del tensors["decoder_transformer.layers.1.self_attn.k_proj.weight"]
    save_file(tensors, tmp_path / "bad.safetensors", read_header(small_file)[0])
    with pytest.raises(
        MisoError, match=r"1 missing \(decoder_transformer.layers.1.self_attn.k_proj.weight\)"
    ):
        load_mimi(tmp_path / "bad.safetensors")


def test_other_files_are_refused(small_file, tmp_path):
    path = tmp_path / "codec.safetensors"
    path.write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(MisoError, match="pickle"):
        load_mimi(path)
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(MisoError, match="pickle"):
        load_mimi(path)
    path.write_bytes(small_file.read_bytes()[:-100])
    with pytest.raises(MisoError, match="cut short"):
        load_mimi(path)
    save_file({"backbone.layers.0.attn.q_proj.weight": torch.zeros(1)}, path)
    with pytest.raises(MisoError, match="not a Mimi codec"):
        load_mimi(path)
    save_file(load_file(small_file), path, {"format": "miso.mimi", "config": '{"sorcery": 3}'})
    with pytest.raises(MisoError, match="metadata"):
        load_mimi(path)
    with pytest.raises(MisoError, match="can't be read"):
        load_mimi(tmp_path / "absent.safetensors")


def test_the_codec_id_is_in_a_published_name(small_file, tmp_path):
    metadata = {**read_header(small_file)[0]}
    del metadata["codec"]
    for name, codec in (
        ("tokenizer-e351c8d8-checkpoint125", "mimi-e351c8d8"),
        ("mimi-pytorch-dbaa9758@125", "mimi-dbaa9758"),
        ("model", "mimi-e351c8d8"),
    ):
        save_file(load_file(small_file), tmp_path / f"{name}.safetensors", metadata)
        assert load_mimi(tmp_path / f"{name}.safetensors").codec == codec


def test_a_whole_number_is_a_number(small, small_file, tmp_path):
    """As JSON writes 1.0 in some languages."""
    with safe_open(small_file, "pt") as file:
        metadata = file.metadata()
    metadata["config"] = json.dumps({**json.loads(metadata["config"]), "layer_scale": 1})
    save_file(load_file(small_file), tmp_path / "whole.safetensors", metadata)
    codes = torch.zeros(1, 2, 3, dtype=torch.int64)
    assert load_mimi(tmp_path / "whole.safetensors").decode(codes).equal(small.decode(codes))


def test_impossible_sizes_are_refused():
    for sizes in (
        {"dim": 65},
        {"codebooks": 0},
        {"ratios": ()},
        {"semantic": 9, "codebooks": 8},
        {"filters": 1.5},
    ):
        with pytest.raises(MisoError):
            MimiConfig(**sizes)
    assert MimiConfig.from_json(NANO.to_json()) == NANO
    assert (MimiConfig().frame_rate, MimiConfig().frame_size) == (12.5, 1920)


def test_casting_and_moving_apply_to_everything(small, draw):
    codes = draw(small, 20)
    expected = small.decode(codes)
    mimi = Mimi(small.config, "mimi-small")
    mimi.load_state_dict(small.state_dict())
    mimi.decode(codes)  # it must not leave cached tensors behind
    assert not list(mimi.buffers()) and {p.dtype for p in mimi.to(torch.float64).parameters()} == {
        torch.float64
    }
    assert (mimi.decode(codes) - expected).abs().max() < 1e-4
    mimi.to(torch.bfloat16)
    assert mimi.decode(codes).dtype == torch.float32
    with pytest.raises(MisoError, match="fp32 only"):
        mimi.encode(torch.zeros(1, 1, 1920))
    assert {p.device.type for p in mimi.to("meta").parameters()} == {"meta"}


@pytest.mark.parametrize(
    ("dtype", "least"), [(torch.bfloat16, 25), pytest.param(torch.float16, 45, marks=pytest.mark.slow)]
)
def test_half_precision_decodes_and_still_encodes_exactly(full, full_file, draw, dtype, least):
    codes = draw(full, 25)
    expected = full.decode(codes)
    half = load_mimi(full_file, dtype=dtype)
    noise = half.decode(codes) - expected
    ratio = 10 * torch.log10(expected.square().mean() / noise.square().mean())
    print(f"\n{dtype}: {ratio:.1f} dB")
    assert ratio > least
    wave = expected[..., :30_000]
    assert torch.equal(half.encode(wave), full.encode(wave))


def test_a_host_may_set_the_device_attribute(small):
    """ComfyUI's model patcher writes ``device`` onto the modules it manages."""
    mimi = Mimi(small.config)
    mimi.device = torch.device("cpu")
    assert mimi.device == torch.device("cpu")


def test_fp32_convolutions_stay_fp32_on_cuda():
    from miso.vocoders.tf32 import no_tf32

    before = torch.backends.cudnn.allow_tf32
    with no_tf32(torch.device("cuda")):
        assert not torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.enabled
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(full, full_file, draw):
    codes = draw(full, 300)
    mimi = load_mimi(full_file, "cuda")
    expected = full.decode(codes)
    assert (mimi.decode(codes.cuda()).cpu() - expected).abs().max() <= 1e-4
    state, parts = None, []
    for part in codes.cuda().split([1, 3, 46, 250], -1):
        wave, state = mimi.decode_step(part, state)
        parts.append(wave.cpu())
    assert (torch.cat(parts, -1) - expected).abs().max() <= 1e-4
    agreement = (mimi.encode(expected.cuda()).cpu() == full.encode(expected)).float().mean()
    assert agreement > 0.999  # another order of summation may change a near tie


def test_random_codecs_are_the_same_for_a_seed_and_loud_enough(small, draw):
    again = random_mimi(small.config, seed=1)
    assert same(again, small) and not same(random_mimi(small.config, seed=2), small)
    assert 0.03 < small.decode(draw(small, 20)).square().mean().sqrt() < 0.3
