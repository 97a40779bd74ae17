"""Decoding in chunks of any size, several streams at once, in constant memory."""

import dataclasses
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miso.vocoders.mimi import Mimi

TOLERANCE = 1e-4
ROOT = Path(__file__).parents[2]


def in_chunks(mimi, codes, sizes):
    state, parts = None, []
    for part in codes.split(sizes, -1):
        wave, state = mimi.decode_step(part, state)
        parts.append(wave)
    return torch.cat(parts, -1)


def ragged(total, seed=3):
    generator, sizes = torch.Generator().manual_seed(seed), []
    while sum(sizes) < total:
        sizes.append(min(int(torch.randint(1, 60, (), generator=generator)), total - sum(sizes)))
    return sizes


@pytest.fixture(scope="module")
def decoded(full):
    """``decoded(frames)``: codes of the published size, and their waveform decoded in a single pass."""

    @cache
    def decode(frames):
        codes = torch.randint(0, 2048, (1, 32, frames), generator=torch.Generator().manual_seed(11))
        return codes, full.decode(codes, chunk=frames)

    return decode


@pytest.mark.parametrize(
    "frames, sizes",
    [
        (150, ragged(150)),  # 300 tokens: past the window of 250
        *(pytest.param(400, sizes, marks=pytest.mark.slow) for sizes in (1, 3, 25, ragged(400))),
    ],
    ids=["ragged", "1", "3", "25", "long"],
)
def test_chunks_give_the_whole_at_the_published_size(full, decoded, frames, sizes):
    codes, whole = decoded(frames)
    assert (in_chunks(full, codes, sizes) - whole).abs().max() <= TOLERANCE
    assert whole.shape == (1, 1, frames * 1920) and whole.dtype == torch.float32


@pytest.mark.slow
def test_decode_gives_the_same_as_a_single_pass(full, decoded):
    codes, whole = decoded(400)
    assert (full.decode(codes) - whole).abs().max() <= TOLERANCE


@settings(max_examples=8, deadline=None)
@given(sizes=st.lists(st.integers(1, 23), min_size=1, max_size=8))
def test_any_chunks_give_the_whole(small, sizes):
    codes = torch.randint(0, 64, (2, 8, sum(sizes)), generator=torch.Generator().manual_seed(sum(sizes)))
    whole = small.decode(codes, chunk=10_000)
    assert (in_chunks(small, codes, sizes) - whole).abs().max() <= TOLERANCE
    assert (small.decode(codes) - whole).abs().max() <= TOLERANCE


@settings(max_examples=8, deadline=None)
@given(sizes=st.lists(st.integers(1, 23), min_size=1, max_size=5))
def test_any_chunks_encode_to_the_same_codes(small, sizes):
    wave = torch.randn(2, 1, 1920 * sum(sizes), generator=torch.Generator().manual_seed(sum(sizes)))
    state, parts = None, []
    for part in wave.split([1920 * n for n in sizes], -1):
        codes, state = small.encode_step(part, state)
        parts.append(codes)
    assert torch.equal(torch.cat(parts, -1), small.encode(wave, chunk=10_000))


def test_the_window_matters_and_is_kept(small, draw):
    """Otherwise comparisons past the window would prove nothing."""
    wide = Mimi(dataclasses.replace(small.config, window=40))
    wide.load_state_dict(small.state_dict())
    codes, samples = draw(small, 60), 10 * 1920  # 20 tokens, a window
    difference = (wide.decode(codes) - small.decode(codes)).abs()
    assert difference[..., :samples].max() <= TOLERANCE
    assert difference[..., samples:].max() > 100 * TOLERANCE


def test_streams_and_whole_decodes_are_independent(small, draw):
    first, second = draw(small, 40), draw(small, 40)
    states, parts = [None, None], [[], []]
    for t in range(40):
        for i, codes in enumerate((first, second)):
            wave, states[i] = small.decode_step(codes[..., t : t + 1], states[i])
            parts[i].append(wave)
        if t == 20:
            small.decode(first)
    for codes, waves in zip((first, second), parts, strict=True):
        assert (torch.cat(waves, -1) - small.decode(codes)).abs().max() <= TOLERANCE


def test_a_saved_state_can_be_restored(small, draw):
    codes = draw(small, 40)
    _, state = small.decode_step(codes[..., :30])
    one, _ = small.decode_step(codes[..., 30:], state)
    small.decode_step(draw(small, 5), state)
    again, _ = small.decode_step(codes[..., 30:], state)
    assert torch.equal(one, again)


def test_a_batch_is_its_takes(small, draw):
    codes = draw(small, 30, batch=3)
    together = small.decode(codes)
    for i in range(3):
        assert (small.decode(codes[i : i + 1]) - together[i]).abs().max() <= TOLERANCE


def test_decoding_is_causal_and_exact_in_length(small, draw):
    codes = draw(small, 30)
    changed = codes.clone()
    changed[..., 20:] = (changed[..., 20:] + 1) % 64
    one, other = small.decode(codes), small.decode(changed)
    assert one.shape[-1] == 30 * 1920
    assert torch.equal(one[..., : 20 * 1920], other[..., : 20 * 1920])  # nothing looks ahead
    assert (one[..., 20 * 1920 : 21 * 1920] != other[..., 20 * 1920 : 21 * 1920]).any()


def test_encoding_a_beginning_gives_the_beginning_of_the_codes(small):
    wave = torch.randn(1, 1, 50 * 1920 + 700, generator=torch.Generator().manual_seed(2))
    codes = small.encode(wave)
    assert codes.shape == (1, 8, 51)
    assert torch.equal(small.encode(wave[..., : 17 * 1920]), codes[..., :17])
    assert torch.equal(small.encode(wave, codebooks=3), codes[:, :3])


def test_progress_counts_frames_and_may_interrupt(small, draw):
    seen = []
    small.decode(draw(small, 60), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(25, 60), (50, 60), (60, 60)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.decode(draw(small, 60), progress=stop)


MEMORY = """
import re, sys, torch
from miso.vocoders.mimi import MimiConfig, random_mimi
torch.set_num_threads(1)
sizes = dict(filters=16, dim=64, heads=1, encoder_layers=1, decoder_layers=1, ff=64)
mimi = random_mimi(MimiConfig(**sizes, codebooks=4, codebook_dim=16))
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
for work in (mimi.decode, mimi.encode):
    for frames in map(int, sys.argv[1:]):
        decoding = work == mimi.decode
        work(torch.zeros(1, 4, frames, dtype=torch.int64) if decoding else torch.zeros(1, 1, 1920 * frames))
        print(peak())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads a process's peak memory from /proc")
@pytest.mark.parametrize("frames", [125, pytest.param(750, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_length(frames):
    """A sound ten times as long takes no more memory, besides the samples.

    A single pass would take 300 MB more for 2500 frames, and 900 MB for 7500.
    """
    # not getrusage: its peak would include that of this process
    command = [sys.executable, "-c", MEMORY, str(frames), str(10 * frames)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    decode_1, decode_10, encode_1, encode_10 = map(float, result.stdout.split())
    sound = 9 * frames * 1920 * 4 / 2**20  # MB of samples by which the longer sound exceeds the shorter one
    print(
        f"\npeak MB: decoding {decode_1:.0f}, {decode_10:.0f}, encoding {encode_1:.0f}, {encode_10:.0f}; "
        f"samples {sound:.0f}"
    )
    assert decode_10 - decode_1 < sound + 16
    assert encode_10 - decode_1 < 2 * sound + 16  # there may be a padded copy of it
