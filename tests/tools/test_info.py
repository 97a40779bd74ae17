"""Descriptions of files from strangers."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from miso.codes.codes import Codes
from miso.codes.takes import Span, Take
from miso.tools.info import info, printable


@given(st.text())
def test_text_of_a_file_is_one_line_without_control_characters(text):
    assert printable(text).isprintable()


def test_a_text_can_forge_no_line(tmp_path):
    said = "\x1b[2J\x1b[31mred\nTake 2: 9 frames"
    codes = Codes(
        torch.ones(1, 8, 5, dtype=torch.int64), [5], "nano", takes=(Take(1, "eos", (Span(0, 5, said),)),)
    )
    codes.save(tmp_path / "codes.safetensors")
    described = info(tmp_path / "codes.safetensors")
    assert "\x1b" not in described and not any(line.startswith("Take 2") for line in described.splitlines())
    assert r"\x1b[2J\x1b[31mred Take 2: 9 frames" in described
