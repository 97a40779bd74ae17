"""Parity with recorded outputs of the published model definition, and between checkpoint layouts."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from miso.checkpoints.build import build
from miso.checkpoints.checkpoint import Checkpoint
from miso.checkpoints.devices import Precision
from miso.checkpoints.layouts import LAYOUTS
from miso.cli import main
from miso.errors import MisoError
from miso.generation.depth import DepthSampler
from miso.generation.loop import FrameLoop
from miso.model.config import PRESETS
from miso.model.networks import Backbone, DepthDecoder
from miso.model.sampling import Sampling
from miso.text.conditioning import Prompt, Segment
from miso.tools.parity import parity

ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def test_golden(golden_paths):
    result = parity(*golden_paths)
    assert result.within(1e-4), result
    assert result.codes == 32 * 16
    assert {"backbone_hidden", "c0_logits", "depth_logits", "train_loss"} <= result.differences.keys()


def test_command_fails_beyond_its_tolerance(golden_paths, tmp_path, capsys):
    assert main(["parity", *map(str, golden_paths)]) == 0
    assert "512 of 512 the same" in capsys.readouterr().out
    wrong = load_file(golden_paths[1])
    wrong["depth_logits"][2, 3, 4] += 1e-3
    save_file(wrong, tmp_path / "wrong.safetensors")
    assert main(["parity", str(golden_paths[0]), str(tmp_path / "wrong.safetensors")]) == 1
    wrong = load_file(golden_paths[1])
    wrong["c0_logits"][0, 0] = float("nan")
    save_file(wrong, tmp_path / "wrong.safetensors")
    assert main(["parity", str(golden_paths[0]), str(tmp_path / "wrong.safetensors")]) == 1
    with pytest.raises(MisoError, match="not a parity fixture: it lacks"):
        parity(golden_paths[0], golden_paths[0])


def _models_equal(a: Checkpoint, b: Checkpoint):
    for load in ("load_backbone", "load_depth"):
        x, y = getattr(a, load)().state_dict(), getattr(b, load)().state_dict()
        assert x.keys() == y.keys() and all(torch.equal(x[n], y[n]) for n in x)


def test_the_published_layout_with_a_prefix_and_in_bf16(golden_paths, checkpoint, tmp_path):
    tensors = load_file(golden_paths[0])
    metadata = {"config": checkpoint.metadata["config"]}
    save_file({f"module.{n}": t for n, t in tensors.items()}, tmp_path / "wrapped.safetensors", metadata)
    _models_equal(Checkpoint(tmp_path / "wrapped.safetensors"), checkpoint)
    save_file({n: t.bfloat16() for n, t in tensors.items()}, tmp_path / "bf16.safetensors", metadata)
    half = Checkpoint(tmp_path / "bf16.safetensors").load_backbone(precision=Precision(torch.bfloat16))
    assert half.codebook0_head.weight.equal(tensors["codebook0_head.weight"].bfloat16())
    assert half.transformer.rope.table.dtype == torch.float32  # always fp32


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A small CsmForConditionalGeneration, saved by transformers in shards, and the model itself."""
    transformers = pytest.importorskip("transformers")
    from transformers import CsmConfig, CsmForConditionalGeneration

    depth = {
        "num_codebooks": 8,
        "backbone_hidden_size": 64,
        "vocab_size": 67,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "max_position_embeddings": 9,
        "pad_token_id": None,
        "rope_parameters": ROPE,
    }
    config = CsmConfig(
        num_codebooks=8,
        vocab_size=67,
        text_vocab_size=300,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        depth_decoder_config=depth,
        pad_token_id=0,
        bos_token_id=1,
        audio_token_id=2,
        audio_eos_token_id=3,
        codebook_pad_token_id=66,
        rope_parameters=ROPE,
        codec_config={
            "num_filters": 4,
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "intermediate_size": 32,
            "codebook_dim": 8,
            "codebook_size": 64,
            "num_quantizers": 8,
            "head_dim": 16,
            "vector_quantization_hidden_dimension": 8,
            "upsample_groups": 32,
            "upsampling_ratios": [8, 6, 5, 4],
        },
    )
    torch.manual_seed(0)
    model = CsmForConditionalGeneration(config).eval()
    # as the published one is; transformers 5.20 doesn't tie them in a new model
    model.depth_decoder.model.embed_tokens.weight = (
        model.backbone_model.embed_tokens.embed_audio_tokens.weight
    )
    folder = tmp_path_factory.mktemp("csm")
    model.save_pretrained(folder, max_shard_size="100KB")
    assert transformers and json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    return folder, model


@torch.inference_mode()
def test_the_hugging_face_layout_agrees_with_transformers(hugging_face):
    folder, model = hugging_face
    checkpoint = Checkpoint(folder)
    assert checkpoint.layout.name == "transformers" and checkpoint.config.codebooks == 8
    backbone, depth = checkpoint.load_backbone(), checkpoint.load_depth()
    codes = torch.randint(0, 64, (1, 20, 8), generator=torch.Generator().manual_seed(1))
    rows = torch.cat((codes, torch.zeros(1, 20, 1, dtype=torch.int64)), -1)
    mask = torch.ones_like(rows, dtype=torch.bool)
    mask[..., -1] = False
    hidden = backbone(backbone.embed(rows, mask))
    theirs = model.backbone_model(input_ids=codes).last_hidden_state
    assert (hidden - theirs).abs().max() < 1e-4
    assert (backbone.codebook0_head(hidden) - model.lm_head(theirs)).abs().max() < 1e-4
    frame = codes[0, :5]
    ours = depth.teacher_forced(hidden[0, :5], frame)
    ids = torch.nn.functional.pad(frame[:, :-1], (1, 0))
    theirs = model.depth_decoder(input_ids=ids, backbone_last_hidden_state=hidden[0, :5], use_cache=False)
    assert (ours - theirs.logits).abs().max() < 1e-4


def test_a_depth_decoder_with_embeddings_of_its_own_is_refused(hugging_face, tmp_path):
    folder, _ = hugging_face
    tensors = {n: t for file in folder.glob("*.safetensors") for n, t in load_file(file).items()}
    shutil.copy(folder / "config.json", tmp_path)
    names = LAYOUTS[1].sources("audio_embeddings.weight")
    tensors |= dict.fromkeys(names, next(tensors[name] for name in names if name in tensors))
    save_file({n: t.clone() for n, t in tensors.items()}, tmp_path / "model.safetensors")
    assert Checkpoint(tmp_path).config.codebooks == 8
    tensors[names[1]] = tensors[names[1]] + 1
    save_file({n: t.clone() for n, t in tensors.items()}, tmp_path / "model.safetensors")
    with pytest.raises(MisoError, match="audio embeddings of its own"):
        Checkpoint(tmp_path)


@pytest.mark.slow  # 9 GB of memory
@torch.inference_mode()
def test_csm_1b_says_what_transformers_says():
    """Random weights of the true sizes: logits, and the codes of a few frames after a text."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    published = transformers.CsmConfig(rope_parameters=ROPE, depth_decoder_config={"rope_parameters": ROPE})
    model = transformers.CsmForConditionalGeneration(published).eval()
    config, layout, state = PRESETS["csm-1b"], LAYOUTS[1], model.state_dict()

    def read(canonical: str) -> torch.Tensor:
        name = next(name for name in layout.sources(canonical) if name in state)
        stack = config.depth if canonical.startswith("decoder.") else config.backbone
        return layout.convert(canonical, state[name], stack.head_dim)

    backbone, depth = (build(network, config, "", read, device="cpu") for network in (Backbone, DepthDecoder))
    text = torch.randint(0, config.text_vocab, (9,), generator=torch.Generator().manual_seed(1))
    rows = torch.zeros(9, config.codebooks + 1, dtype=torch.int64)
    rows[:, -1] = text
    prompt = Prompt(rows, rows.new_zeros(rows.shape, dtype=torch.bool), Segment(""))
    prompt.mask[:, -1] = True
    greedy = Sampling(0)
    loop = FrameLoop(
        backbone,
        DepthSampler(depth, greedy),
        prompt,
        seeds=[0],
        max_frames=3,
        sampling=greedy,
        keep_hidden=True,
    )
    list(loop)

    embeds, size = model.embed_text_tokens(text)[None], config.codebook_size
    for t in range(3):
        hidden = model.backbone_model(inputs_embeds=embeds, use_cache=False).last_hidden_state[:, -1]
        ours = loop.hidden.tensor[:, t]
        assert (backbone.codebook0_head(ours) - model.lm_head(hidden)).abs().max() < 1e-3
        ids = torch.stack((torch.tensor(0), model.lm_head(hidden)[0, :size].argmax()))[None]
        while ids.shape[1] <= config.codebooks:
            out = model.depth_decoder(input_ids=ids, backbone_last_hidden_state=hidden, use_cache=False)
            ids = torch.cat((ids, out.logits[:, -1:, :size].argmax(-1)), 1)
        codes = ids[:, 1:]
        assert torch.equal(loop.codes.tensor[:, :, t], codes)
        forced = depth.teacher_forced(ours, codes)
        assert (forced - out.logits).abs().max() < 1e-3
        embeds = torch.cat((embeds, model.backbone_model.embed_tokens(codes[:, None])), 1)
