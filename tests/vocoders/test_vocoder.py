"""The interface of vocoders, checks of codes, the registry, and the backends of other packages."""

import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from miso.codes.codes import Codes
from miso.errors import MisoError
from miso.files import read_header
from miso.vocoders import Vocoder, check_codes, decode_codes, list_backends, load_vocoder, register


@pytest.fixture(scope="module")
def vocoder(small_file):
    return load_vocoder("mimi", small_file)


def backend(name, path):
    if name != "mimi":
        pytest.importorskip(name)
    return load_vocoder(name, path)


def test_importing_needs_no_torch():
    code = "import sys, miso.vocoders, miso.vocoders.mimi; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_vocoder_describes_itself(vocoder):
    assert (vocoder.name, vocoder.codec, vocoder.sample_rate, vocoder.frame_rate, vocoder.frame_size) == (
        "mimi",
        "mimi-small",
        24_000,
        12.5,
        1920,
    )
    assert (vocoder.codebooks, vocoder.codebook_size, vocoder.look_ahead) == (8, 64, 0)
    assert vocoder.exact_streaming and vocoder.can_encode and isinstance(vocoder.module, torch.nn.Module)


@pytest.mark.parametrize("name", ["mimi", "moshi", "transformers"])
def test_all_backends_agree_on_the_same_file(name, vocoder, small, small_file, tmp_path, draw):
    from miso.vocoders.mimi.layouts import to_hugging_face

    other = tmp_path / "model.safetensors"
    save_file(to_hugging_face(load_file(small_file), 2), other, read_header(small_file)[0])
    codes = draw(small, 40, batch=2)
    expected = vocoder.decode(codes)
    wave = expected[..., :-777]
    for path in (small_file, other):
        candidate = backend(name, path)
        seen = {}
        sound = candidate.decode(codes, seen.__setitem__)  # progress(done, total)
        assert (sound - expected).abs().max() <= 1e-4 and sound.dtype == torch.float32 and seen[40] == 40
        assert (
            candidate.decode(codes[:, :3].to(torch.int16)) - vocoder.decode(codes[:, :3])
        ).abs().max() <= 1e-4
        assert torch.equal(candidate.encode(wave), vocoder.encode(wave))
        assert torch.equal(candidate.encode(wave, 3), vocoder.encode(wave)[:, :3])
        assert (candidate.codec, candidate.codebooks, candidate.frame_size) == ("mimi-small", 8, 1920)


@pytest.mark.parametrize("name", ["mimi", "moshi"])
def test_simultaneous_streams_are_independent(name, small, small_file, vocoder, draw):
    candidate = backend(name, small_file)
    frames = 9  # 18 tokens, within the window of 20, where moshi's stream is exact
    first, second = draw(small, frames, batch=2), draw(small, frames)
    one, other = candidate.stream(2), candidate.stream()
    waves = []
    for t in range(frames):
        waves.append((one.push(first[..., t : t + 1]), other.push(second[..., t : t + 1])))
        candidate.decode(first)
    ends = one.flush(), other.flush()
    for i, codes in enumerate((first, second)):
        assert ends[i].shape == (len(codes), 1, 0)
        assert (torch.cat([pair[i] for pair in waves], -1) - vocoder.decode(codes)).abs().max() <= 1e-4
    assert (one.push(first) - vocoder.decode(first)).abs().max() <= 1e-4  # after a flush, a new sound begins


def test_the_stream_of_moshi_is_declared_inexact(small, small_file, vocoder, draw):
    candidate = backend("moshi", small_file)
    assert not candidate.exact_streaming
    codes = draw(small, 40)
    stream, ours = candidate.stream(), vocoder.stream()
    theirs = torch.cat([stream.push(codes[..., t : t + 1]) for t in range(40)], -1)
    exact = torch.cat([ours.push(codes[..., t : t + 1]) for t in range(40)], -1)
    assert (exact - vocoder.decode(codes)).abs().max() <= 1e-4 < (theirs - exact).abs().max()


def test_transformers_moves_and_casts_completely(small, small_file, draw, vocoder):
    candidate = backend("transformers", small_file)
    with pytest.raises(MisoError, match="can't decode a stream.*'mimi'"):
        candidate.stream()
    codes = draw(small, 10)
    candidate.decode(codes)
    candidate.module.to(torch.float64)
    assert (candidate.decode(codes) - vocoder.decode(codes)).abs().max() <= 1e-4
    with pytest.raises(MisoError, match="fp32 only"):
        candidate.encode(torch.zeros(1, 1, 1920))


def test_missing_packages_are_explained(monkeypatch, small_file):
    monkeypatch.setitem(sys.modules, "moshi", None)
    monkeypatch.setitem(sys.modules, "moshi.models", None)
    with pytest.raises(MisoError, match="pip install --no-deps moshi"):
        load_vocoder("moshi", small_file)
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "4.57.6" if name == "transformers" else real(name))
    with pytest.raises(MisoError, match="transformers 4.57.6 decodes Mimi wrongly.*transformers>=5.3"):
        load_vocoder("transformers", small_file)

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(MisoError, match="'transformers', which is not installed"):
        load_vocoder("transformers", small_file)


def test_the_registry_lists_backends_and_accepts_more(small_file, vocoder):
    known = ["auto", "mimi", "source-filter", "onnx", "lfm2", "moshi", "transformers"]
    assert list(list_backends())[: len(known)] == known
    with pytest.raises(MisoError, match=f"no vocoder backend 'wavenet'.*{', '.join(known)}") as error:
        load_vocoder("wavenet", small_file)
    assert error.value.input == "backend"
    with pytest.raises(MisoError, match="built in"):
        register("mimi", lambda checkpoint, device, dtype: vocoder)
    register("mine", lambda checkpoint, device, dtype: vocoder)
    assert load_vocoder("mine", small_file) is vocoder


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (torch.zeros(8, 10, dtype=torch.int64), r"\[takes, codebooks, frames\].*\[8, 10\]"),
        (torch.zeros(1, 8, 0, dtype=torch.int64), "none of them 0"),
        (torch.zeros(1, 0, 5, dtype=torch.int64), "none of them 0"),
        (torch.zeros(1, 8, 5), "integers; these are float32"),
        (torch.zeros(1, 8, 5, dtype=torch.bool), "integers; these are bool"),
        (torch.zeros(1, 9, 5, dtype=torch.int64), "9 codebooks.*at most 8"),
    ],
)
def test_codes_of_a_wrong_shape_or_dtype_are_refused(vocoder, codes, words):
    for attempt in (
        lambda: check_codes(vocoder, codes),
        lambda: vocoder.decode(codes),
        lambda: vocoder.stream().push(codes),
    ):
        with pytest.raises(MisoError, match=words):
            attempt()


@pytest.mark.parametrize("bad", [-1, 64, 2050])
def test_ids_out_of_range_are_named(vocoder, draw, small, bad):
    codes = draw(small, 6, batch=2)
    codes[1, 3, 4] = codes[1, 5, 1] = bad
    with pytest.raises(
        MisoError, match=f"Take 2, codebook 3, frame 4 .*holds the id {bad}; ids of 'mimi-small' are 0 to 63"
    ):
        vocoder.decode(codes)


def test_codes_of_another_codec_or_rate_are_refused(vocoder):
    codes = torch.zeros(1, 8, 5, dtype=torch.int64)
    with pytest.raises(MisoError, match="codec 'mimi-dbaa9758'.*decodes 'mimi-small'"):
        check_codes(vocoder, codes, "mimi-dbaa9758")
    with pytest.raises(MisoError, match="25 frames a second.*12.5"):
        check_codes(vocoder, codes, "mimi-small", 25.0)
    check_codes(vocoder, codes, "mimi-small", 12.5)
    with pytest.raises(MisoError, match="codebooks of 2048 entries"):
        decode_codes(vocoder, Codes(codes, [5], "mimi-small"))


def test_each_take_is_decoded_to_its_length(vocoder, small, draw):
    tensor = draw(small, 30, batch=3)
    codes = Codes(tensor, [30, 12, 0], "mimi-small", codebook_size=64)
    wave, samples = decode_codes(vocoder, codes)
    assert wave.shape == (3, 1, 30 * 1920) and samples == [30 * 1920, 12 * 1920, 0]
    assert not wave[1, :, 12 * 1920 :].any() and not wave[2].any()
    alone = vocoder.decode(tensor[1:2, :, :12])
    assert (wave[1:2, :, : 12 * 1920] - alone).abs().max() <= 1e-4
    assert wave[1, 0, 12 * 1920 - 1] != 0  # to the last sample


def test_padding_is_ignored(vocoder, small, draw):
    """A container made elsewhere may have anything beyond the end of a take."""
    tensor = draw(small, 10, batch=2)
    tensor[1, :, 4:] = 2050
    codes = SimpleNamespace(
        tensor=tensor, lengths=torch.tensor([10, 4]), codec="mimi-small", frame_rate=12.5, codebook_size=64
    )
    assert decode_codes(vocoder, codes).samples == [19200, 7680]
    codes.lengths[1] = 5
    with pytest.raises(MisoError, match="Take 2, codebook 0, frame 4"):
        decode_codes(vocoder, codes)


@pytest.mark.parametrize(
    ("wave", "words"),
    [
        (torch.zeros(1, 2, 1920), "mono"),
        (torch.zeros(1920), "mono"),
        (torch.zeros(1, 1, 1920, dtype=torch.int16), "mono"),
        (torch.zeros(1, 1, 0), "no samples"),
        (torch.full((1, 1, 1920), float("nan")), "not numbers"),
    ],
)
def test_audio_that_cannot_be_encoded_is_refused(vocoder, wave, words):
    with pytest.raises(MisoError, match=words):
        vocoder.encode(wave)


def test_a_wrong_number_of_codebooks_is_refused(vocoder):
    with pytest.raises(MisoError, match="1 to 8 codebooks, not 9"):
        vocoder.encode(torch.zeros(1, 1, 1920), codebooks=9)


def test_a_custom_vocoder_implements_only_decoding(small):
    """Checks of codes are inherited, and streaming and encoding are refused."""

    class Silence(Vocoder):
        name, codec = "silence", "mimi-small"
        sample_rate, frame_rate, frame_size, codebooks, codebook_size = 24_000, 12.5, 1920, 8, 64

        def _decode(self, codes, progress):
            return torch.zeros(len(codes), 1, codes.shape[-1] * self.frame_size)

    silence = Silence()
    assert silence.decode(torch.zeros(1, 8, 2, dtype=torch.int64)).shape == (1, 1, 3840)
    with pytest.raises(MisoError, match="Take 1,"):
        silence.decode(torch.full((1, 8, 2), 64))
    with pytest.raises(MisoError, match="can't decode a stream"):
        silence.stream()
    with pytest.raises(MisoError, match="can't encode"):
        silence.encode(torch.zeros(1, 1, 1920))
