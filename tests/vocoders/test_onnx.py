"""Codecs exported to ONNX: the same sound as ours, whole and as a stream, and refusal of other files."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miso.cli import main
from miso.errors import MisoError
from miso.tools.export import export_codec
from miso.tools.info import info
from miso.vocoders import check_codes, load_vocoder
from miso.vocoders.backends.onnx_file import read_metadata
from miso.vocoders.mimi import MimiConfig, random_mimi, save_mimi

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TOLERANCE = 1e-4
SIZES = MimiConfig(filters=4, dim=16, heads=1, decoder_layers=1, encoder_layers=1, ff=16, codebooks=3)


@pytest.fixture(scope="module")
def files(small_file, tmp_path_factory):
    """The small codec in both precisions."""
    folder = tmp_path_factory.mktemp("onnx")
    for precision in ("fp32", "int8"):
        export_codec(small_file, folder / f"{precision}.onnx", precision)
    return folder


@pytest.fixture(scope="module")
def vocoder(files):
    return load_vocoder("onnx", files / "fp32.onnx")


def in_chunks(vocoder, codes, sizes):
    stream = vocoder.stream(len(codes))
    return torch.cat([*(stream.push(part) for part in codes.split(sizes, -1)), stream.flush()], -1)


def snr(sound, expected):
    return 10 * torch.log10(expected.square().mean() / (sound - expected).square().mean()).item()


def test_it_describes_itself(vocoder, small):
    assert (vocoder.name, vocoder.codec, vocoder.sample_rate, vocoder.frame_rate) == (
        "onnx",
        "mimi-small",
        24_000,
        12.5,
    )
    assert (vocoder.codebooks, vocoder.codebook_size, vocoder.frame_size) == (8, 64, 1920)
    assert vocoder.exact_streaming and not vocoder.can_encode and vocoder.device.type == "cpu"
    with pytest.raises(MisoError, match="can't encode"):
        vocoder.encode(torch.zeros(1, 1, 1920))


@settings(max_examples=8, deadline=None)
@given(sizes=st.lists(st.integers(1, 23), min_size=1, max_size=8), count=st.integers(1, 8))
def test_any_chunks_and_codebooks_give_the_sound_of_our_own(vocoder, small, sizes, count):
    """With up to 184 frames, 368 tokens, past the window of 20."""
    draw = torch.Generator().manual_seed(sum(sizes))
    codes = torch.randint(0, 64, (2, count, sum(sizes)), generator=draw)
    expected = small.decode(codes)
    for sound in (in_chunks(vocoder, codes, sizes), vocoder.decode(codes)):
        assert sound.shape == expected.shape and sound.dtype == torch.float32
        assert (sound - expected).abs().max() <= TOLERANCE


def test_streams_are_independent_and_begin_again_after_a_flush(vocoder, small, draw):
    first, second = draw(small, 12, batch=2), draw(small, 12)
    one, other = vocoder.stream(2), vocoder.stream()
    waves = [(one.push(a), other.push(b)) for a, b in zip(first.split(1, -1), second.split(1, -1))]
    for i, codes in enumerate((first, second)):
        assert (torch.cat([pair[i] for pair in waves], -1) - small.decode(codes)).abs().max() <= TOLERANCE
    one.flush()
    assert (one.push(first) - small.decode(first)).abs().max() <= TOLERANCE


def test_positions_of_an_hour_stay_exact(vocoder, small, draw):
    """In fp32, angles of rotary positions would be wrong by 1e-3 after 10 minutes."""
    codes, position = draw(small, 30), 90_000
    ours, theirs = small.decode_step(codes[..., :20])[1], vocoder.stream()
    theirs.push(codes[..., :20])
    moved = ours._replace(transformer=ours.transformer._replace(position=position))
    theirs.state = {**theirs.state, "position": np.asarray(position)}
    expected, _ = small.decode_step(codes[..., 20:], moved)
    assert (theirs.push(codes[..., 20:]) - expected).abs().max() <= TOLERANCE


def test_int8_is_close_and_streams_as_it_decodes(files, small, draw):
    vocoder, codes = load_vocoder("auto", files / "int8.onnx"), draw(small, 40)
    assert vocoder.name == "onnx"
    assert snr(vocoder.decode(codes), small.decode(codes)) > 30
    # each step rounds by the range of its own values
    assert snr(in_chunks(vocoder, codes, 1), small.decode(codes)) > 30
    assert (files / "int8.onnx").stat().st_size < (files / "fp32.onnx").stat().st_size


@pytest.mark.slow
def test_the_published_size(full, full_file, tmp_path, draw):
    assert export_codec(full_file, tmp_path / "full.onnx") > 90
    vocoder, codes = load_vocoder("onnx", tmp_path / "full.onnx"), draw(full, 150)  # past the window
    expected = full.decode(codes)
    for sound in (vocoder.decode(codes), in_chunks(vocoder, codes, 1)):
        assert (sound - expected).abs().max() <= TOLERANCE
    assert vocoder.codec == "mimi-e351c8d8"


def test_codes_are_checked_before_the_graph_sees_them(vocoder, small, draw):
    """The graph itself would read a neighbouring codebook's row."""
    codes = draw(small, 6)
    codes[0, 3, 4] = 64
    for attempt in (vocoder.decode, vocoder.stream().push):
        with pytest.raises(MisoError, match="codebook 3, frame 4 .*holds the id 64"):
            attempt(codes)
    with pytest.raises(MisoError, match="belong to the codec 'mimi-dbaa9758'"):
        check_codes(vocoder, draw(small, 6), "mimi-dbaa9758")


def changed(source, path, change):
    model = onnx.load(source)
    change(model)
    onnx.save(model, path)
    return path


def _set(**metadata):
    def change(model):
        onnx.helper.set_model_props(model, {**{p.key: p.value for p in model.metadata_props}, **metadata})

    return change


def _outside(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def _outside_in_a_branch(model):
    """In a constant of a node of a branch, where a check of the weights alone wouldn't look."""
    tensor = onnx.TensorProto(dims=[1], data_type=onnx.TensorProto.FLOAT)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    constant = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
    branch = onnx.helper.make_graph([constant], "b", [], [onnx.helper.make_tensor_value_info("c", 1, [1])])
    model.graph.node.append(
        onnx.helper.make_node("If", ["codes"], ["d"], then_branch=branch, else_branch=branch)
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: model.ClearField("metadata_props"), "was not made by Miso.*miso export"),
        (_set(format="other"), "was not made by Miso"),
        (_set(codec=""), "was not made by Miso"),
        (_set(config="{}"), "doesn't fit what it says of itself: a codec of 32 codebooks.*miso export"),
        (_set(config="no JSON"), "can't be read|not valid JSON"),
        (lambda model: model.graph.output.pop(), "doesn't fit what it says of itself"),
        (_outside, "keeps weights in other files, which Miso doesn't open"),
        (_outside_in_a_branch, "keeps weights in other files"),
        (lambda model: setattr(model.graph.node[5], "op_type", "Nonsense"), "ONNX Runtime .* can't open"),
    ],
)
def test_other_files_are_refused(files, tmp_path, change, words):
    with pytest.raises(MisoError, match=words):
        load_vocoder("onnx", changed(files / "fp32.onnx", tmp_path / "changed.onnx", change))


def test_files_of_other_kinds_are_refused(files, small_file, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes((files / "fp32.onnx").read_bytes()[:-1000])
    empty = tmp_path / "empty.onnx"
    empty.touch()
    for wrong in (path, empty, small_file):
        with pytest.raises(MisoError, match="is not an ONNX file, or it is damaged.*miso export"):
            load_vocoder("onnx", wrong)
    with pytest.raises(MisoError, match="not a safetensors file"):
        load_vocoder("mimi", files / "fp32.onnx")


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), start=st.integers(0, 400))
def test_damaged_files_are_refused_whatever_they_hold(files, tmp_path_factory, data, start):
    """Bytes anywhere in a file's beginning, where its structure is."""
    path = tmp_path_factory.mktemp("damaged") / "damaged.onnx"
    whole = (files / "fp32.onnx").read_bytes()[:40_000]
    for content in (data, whole[:start] + data + whole[start + len(data) :]):
        path.write_bytes(content)
        with pytest.raises(MisoError):
            read_metadata(path)


def test_missing_packages_are_named(monkeypatch, files, small_file, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MisoError, match="pip install onnxruntime .unless onnxruntime-gpu is there"):
        load_vocoder("onnx", files / "fp32.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MisoError, match="Exporting to ONNX needs the Python package 'onnx'.*pip install"):
        export_codec(small_file, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path, capsys):
    """From a codec's file to one that `info` and `auto` know."""
    source, output = tmp_path / "codec.safetensors", tmp_path / "codec.onnx"
    save_mimi(source, random_mimi(SIZES, codec="mimi-tiny"))
    assert main(["export", str(source), str(output)]) == 0
    assert "dB below it" in capsys.readouterr().out
    assert "codes of 'mimi-tiny' in fp32, for ONNX Runtime" in info(output)
    assert load_vocoder("auto", output).codec == "mimi-tiny"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codec.onnx", "codec.safetensors"]
    for wrong, words in (
        (["x.bin"], "End its name in .onnx"),
        (["x.onnx", "--precision", "int4"], "Use fp32"),
    ):
        with pytest.raises(MisoError, match=words):
            main(["export", str(source), *wrong])
