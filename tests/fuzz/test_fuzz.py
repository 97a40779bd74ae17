"""A short run of the fuzzer; `python tests/measure_reliability.py --cases 100000` is the long one."""

import logging
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from fuzz.mutator import mutated_tensors
from fuzz.samples import make_codes
from fuzz.trial import judge

from miso.errors import MisoError

ROOT = Path(__file__).parents[2]


def test_two_thousand_cases_end_in_a_result_or_in_words():
    command = [sys.executable, ROOT / "tests" / "measure_reliability.py", "--cases", "2000"]
    command += ["--no-faults"]  # other tests do
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2,0" in done.stdout.splitlines()[-2]


@pytest.fixture
def quiet():
    """Without ComfyUI's log: half characters in it can't be sent from a worker of a parallel run."""
    logging.disable(logging.CRITICAL)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def no_outputs_left(comfy):
    """Files of odd names would be listed in the tests that follow."""
    before = {*(comfy.base / "output").rglob("*")}
    yield
    for path in {*(comfy.base / "output").rglob("*")} - before:
        if path.is_file():
            path.unlink()


def test_blocks_and_workflows_end_in_a_result_or_in_words(comfy, quiet, no_outputs_left):
    from fuzz.blocks import blocks, write_inputs
    from fuzz.trial import try_kind

    comfy.reset()
    write_inputs(comfy.base)
    report = try_kind(blocks(comfy), 150, comfy.base / "models", 0)
    assert not report.failures and 10 < report.refused < report.cases


@pytest.mark.parametrize(
    "run, fault",
    [
        (lambda folder: None, ""),
        (lambda folder: (_ for _ in ()).throw(MisoError("Wrong.")), ""),
        (lambda folder: (_ for _ in ()).throw(MisoError(" ")), "a message"),
        (lambda folder: [][1], "IndexError at tests/fuzz/test_fuzz.py"),
        (lambda folder: (folder / ".x.tmp").touch(), "left or removed .x.tmp"),
    ],
    ids=["result", "refusal", "no words", "exception", "file left"],
)
def test_the_judge_sees(tmp_path, run, fault):
    assert judge(lambda: run(tmp_path), tmp_path)[0].startswith(fault) == bool(fault or True)
    assert bool(judge(lambda: run(tmp_path / "again"), None)[0]) == bool(fault) or fault.startswith("left")


def test_mutations_are_the_same_each_time_and_reach_everywhere(tmp_path):
    make_codes().save(tmp_path / "x.safetensors")
    good = (tmp_path / "x.safetensors").read_bytes()
    made = [mutated_tensors(good, Random(seed)) for seed in range(300)]
    assert made == [mutated_tensors(good, Random(seed)) for seed in range(300)]
    assert sum(content != good for content in made) > 250
