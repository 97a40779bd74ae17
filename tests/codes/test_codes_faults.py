"""Files of codes that are damaged, or hold something else, are refused in words."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from miso.codes.codes import FORMAT, Codes
from miso.codes.takes import Span, Take
from miso.errors import MisoError
from miso.files import read_header, write_tensors


def test_bad_files_are_refused(tmp_path, golden_paths):
    with pytest.raises(MisoError, match="does not contain Miso codes"):
        Codes.load(golden_paths[0])
    path = tmp_path / "x.safetensors"
    Codes(torch.zeros(1, 2, 3, dtype=torch.int64), [3], "nano").save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(MisoError, match="cut short"):
        Codes.load(path)
    path.write_bytes(whole)
    with safe_open(path, "pt") as file:
        tensors, metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()
    for change in ({"codec": None}, {"takes": [{}]}, {"takes": None}):
        about = {k: v for k, v in {**json.loads(metadata["about"]), **change}.items() if v is not None}
        save_file(tensors, path, {**metadata, "about": json.dumps(about)})
        with pytest.raises(MisoError, match="damaged|provenance"):
            Codes.load(path)
    save_file({**tensors, "codes": tensors["codes"] + 5000}, path, metadata)
    with pytest.raises(MisoError, match="holds the id 5000"):
        Codes.load(path)


def rewritten(path, tmp_path, change, tensors=None):
    """A codes file with a changed description, or changed tensors."""
    metadata, _ = read_header(path)
    about = json.loads(metadata["about"])
    change(about)
    write_tensors(
        tmp_path / "changed.safetensors", tensors or load_file(path), {**metadata, "about": json.dumps(about)}
    )
    return tmp_path / "changed.safetensors"


WORD = {"text": "Hello", "start": 1.5, "end": 2.25, "confidence": 0.5}
BAD_WORDS = [
    *(("text", value) for value in (" ", 5, None)),
    *(("start", value) for value in (-1, 2.5, "0", float("nan"))),
    *(("end", value) for value in (1, 1e12, None)),
    *(("confidence", value) for value in (-0.1, 1.1, "x", None)),
]


@pytest.mark.parametrize(
    "where, value",
    [
        *(("frame_rate", value) for value in (0, -1, 1e-300, 1e300, "12.5", None, True, float("nan"))),
        *(("codebook_size", value) for value in (0, 2.5, "2048", 2**40)),
        *(("codec", value) for value in ("", 5, None)),
        *(("source", value) for value in ([], "x", 5)),
        *(("takes", value) for value in ([], [{}], 5, None, ["x"])),
        *(("seed", value) for value in (1.5, "7", True, 2**70)),
        *(("stop", value) for value in ("later", 5, ["eos"])),
        *(("log_probability", value) for value in ("x", float("inf"), float("nan"), [])),
        *(
            ("spans", value)
            for value in (5, ["x"], [{"start": 0}], [{"start": 0, "end": 1, "colour": "red"}])
        ),
        *(("start", value) for value in (-1, 2.5, "0", 10**12)),
        *(("end", value) for value in (-1, "3", 10**12)),
        *(("text", value) for value in (5, None, ["x"])),
        *(("speaker", value) for value in (-1, "a", 2**40)),
        *(("exact", value) for value in (0, "no", None)),
        *(("words", value) for value in (5, ["x"], [{"text": "a"}], None)),
        *(("words", [WORD | {name: value}]) for name, value in BAD_WORDS),
        ("words", [WORD, WORD | {"start": 0.5}]),
    ],
)
def test_a_damaged_description_is_refused(tmp_path, where, value):
    take = Take(7, "eos", (Span(0, 3, "Hello.", 0),), -2.5)
    codes = Codes(torch.ones(1, 2, 3, dtype=torch.int64), [3], "tiny", takes=(take,))
    codes.save(tmp_path / "good.safetensors")

    def change(about):
        first = about["takes"][0]
        in_take = where in first or where == "words"
        owner = about if where in about else first if in_take else first["spans"][0]
        owner[where] = value

    path = rewritten(tmp_path / "good.safetensors", tmp_path, change)
    with pytest.raises(MisoError, match="changed.safetensors are damaged"):
        Codes.load(path)


def test_damaged_tensors_and_deep_descriptions_are_refused(tmp_path):
    codes = Codes(torch.ones(1, 2, 3, dtype=torch.int64), [3], "tiny")
    codes.save(tmp_path / "good.safetensors")
    good = load_file(tmp_path / "good.safetensors")
    for name, tensor in (
        ("codes", good["codes"][0]),
        ("codes", good["codes"].float()),
        ("lengths", good["codes"]),
    ):
        path = rewritten(
            tmp_path / "good.safetensors", tmp_path, lambda about: None, {**good, name: tensor.clone()}
        )
        with pytest.raises(MisoError, match="are damaged"):
            Codes.load(path)
    write_tensors(tmp_path / "deep.safetensors", good, {"format": FORMAT, "about": "[" * 100_000})
    with pytest.raises(MisoError, match="nested too deeply"):
        Codes.load(tmp_path / "deep.safetensors")
