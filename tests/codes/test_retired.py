"""Codes of a retired codec: every place that refuses them says whose they are, and none refuses its own."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from make_tiny import CODEC, MODEL

from miso.checkpoints.find import find_vocoder
from miso.codes.codes import Codes, as_takes
from miso.codes.retired import RETIRED_CODECS
from miso.errors import MisoError
from miso.generation.depth import DepthSampler, redecode
from miso.model.networks import DepthDecoder
from miso.text.conditioning import frames_of_take
from miso.training.finetune import finetune
from miso.vocoders import decode_codes
from miso.vocoders.backends.mimi import MimiVocoder
from miso.vocoders.mimi import random_mimi, save_mimi

OLD, NEW = "nano", "nano-2"


def codes_of(codec: str) -> Codes:
    tensor = torch.randint(0, 64, (1, 8, 4), generator=torch.Generator().manual_seed(1))
    return Codes(tensor, [4], codec, codebook_size=64)


def vocoder_of(codec: str) -> MimiVocoder:
    return MimiVocoder(random_mimi(CODEC, seed=1, codec=codec))


def redecoded(codes: Codes, codec: str) -> Codes:
    depth = DepthSampler(DepthDecoder(replace(MODEL, codec=codec)))
    return redecode(depth, SimpleNamespace(tensor=torch.zeros(1, 4, MODEL.backbone.dim)), codes)


def tuned(codes: Codes, codec: str):
    checkpoint = SimpleNamespace(config=replace(MODEL, codec=codec))
    finetune(checkpoint, SimpleNamespace(codec=codes.codec), None, None, torch.device("cpu"))


MEETINGS = {
    "decodes": lambda codes, codec: decode_codes(vocoder_of(codec), codes),
    "model speaks": lambda codes, codec: frames_of_take(codes, replace(MODEL, codec=codec)),
    "depth decoder draws": redecoded,
    "checkpoint samples": tuned,
    "first codes have": lambda codes, codec: as_takes([codes_of(codec), codes]),
    "Number 2 has": lambda codes, codec: as_takes([codes, codes_of(codec)]),
}


@pytest.mark.parametrize("words", MEETINGS)
def test_it_is_said_wherever_codes_meet_another_codec(words):
    for codec in (NEW, "mimi-e351c8d8"):
        with pytest.raises(MisoError) as e:
            MEETINGS[words](codes_of(OLD), codec)
        assert e.value.problem.startswith("These codes belong to the first edition of nano (codec 'nano')")
        assert f"{words} '{codec}'." in e.value.problem
        assert e.value.remedy.startswith("Sample or encode them again, or decode them with that edition's")
        assert RETIRED_CODECS[OLD][1] in e.value.remedy


@pytest.mark.parametrize("words", sorted(MEETINGS.keys() - {"Number 2 has", "first codes have"}))
def test_of_other_codecs_nothing_of_the_kind_is_said(words):
    with pytest.raises(MisoError) as e:
        MEETINGS[words](codes_of(NEW), OLD)
    assert "edition" not in str(e.value) and f"'{NEW}'" in str(e.value)


def test_those_who_keep_the_files_use_them(tmp_path):
    codes = codes_of(OLD)
    assert decode_codes(vocoder_of(OLD), codes).waveform.any()
    assert frames_of_take(codes, replace(MODEL, codec=OLD)).equal(codes.tensor[0].T)
    assert as_takes([codes, codes]).batch == 2
    with pytest.raises(MisoError, match="with 64 ids, it draws 'nano' with 60"):
        size = replace(MODEL, codec=OLD, codebook_size=60)
        depth = DepthSampler(DepthDecoder(size))
        redecode(depth, SimpleNamespace(tensor=torch.zeros(1, 4, MODEL.backbone.dim)), codes)
    save_mimi(tmp_path / "kept.safetensors", random_mimi(CODEC, seed=1, codec=OLD))
    assert find_vocoder(OLD, tmp_path, tmp_path)


def test_a_vocoder_that_is_nowhere_is_told_by_edition(tmp_path, monkeypatch):
    monkeypatch.setattr("miso.checkpoints.find.BUNDLED", tmp_path)
    with pytest.raises(MisoError, match=f"first edition of nano .*, but no file for them is in {tmp_path}"):
        find_vocoder(OLD, tmp_path, tmp_path)
    with pytest.raises(MisoError, match="No codec file for 'nano-2' is in"):
        find_vocoder(NEW, tmp_path, tmp_path)
