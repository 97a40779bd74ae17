"""Backends of other packages leave the process as it was: variables, random numbers, warnings."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOAD = """
import os, sys, warnings
import torch
from miso.vocoders import load_vocoder
backend, path = sys.argv[1:]
before = dict(os.environ), torch.get_rng_state(), list(warnings.filters)
vocoder = load_vocoder(backend, path)
vocoder.decode(torch.zeros(1, 2, 3, dtype=torch.int64))
changed = {k: v for k, v in os.environ.items() if before[0].get(k) != v}
changed.pop("TORCHINDUCTOR_CACHE_DIR", None)  # torch's own, whoever imports its compiler
assert not changed and before[0].keys() <= os.environ.keys(), changed
assert torch.equal(torch.get_rng_state(), before[1])
assert warnings.filters == before[2], [f for f in warnings.filters if f not in before[2]]
"""


@pytest.mark.parametrize("backend", ["moshi", pytest.param("transformers", marks=pytest.mark.slow)])
def test_a_backend_leaves_the_process_as_it_was(backend, small_file):
    pytest.importorskip(backend)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, backend, small_file], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
