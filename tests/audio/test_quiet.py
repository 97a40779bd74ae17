"""Quiet places are found, and pieces cover the sound."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from miso.audio.quiet import quiet_pieces, quiet_place

RATE = 1000


def test_the_cut_is_in_the_pause():
    wave = torch.rand(1, 10 * RATE, generator=torch.Generator().manual_seed(0)) - 0.5
    wave[:, 7200:7400] *= 0.001
    assert 7200 < quiet_place(wave, RATE, 6000, 9000) < 7400
    (_, cut), (start, end) = quiet_pieces(wave, RATE, 9)
    assert 7200 < cut == start < 7400 and end == 10 * RATE


@given(st.integers(0, 5000), st.floats(0.2, 3), st.integers(0, 9))
def test_pieces_cover_the_sound_and_are_short_enough(samples, seconds, seed):
    wave = torch.rand(2, samples, generator=torch.Generator().manual_seed(seed)) - 0.5
    pieces = quiet_pieces(wave, RATE, seconds)
    assert pieces[0][0] == 0 and pieces[-1][1] == samples
    assert all(a[1] == b[0] for a, b in zip(pieces, pieces[1:]))
    assert all(end - start <= round(seconds * RATE) for start, end in pieces)
    assert len(pieces) <= 1 + samples / (0.5 * seconds * RATE)
