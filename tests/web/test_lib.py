"""The pure parts of the page, without a browser: their own tests, and the page's replay of edits against the
server's."""

import random
from pathlib import Path

import pytest
import torch
from harness.node import call, node

from miso.codes import editing
from miso.codes.codes import Codes, as_takes
from miso.codes.editing.edits import NAMES


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_in_node(path):
    done = node("--test", path)
    assert done.returncode == 0, done.stdout + done.stderr


def random_case(draw: random.Random) -> dict:
    codebooks = draw.randint(1, 4)
    codes, other = (
        [[draw.randrange(64) for _ in range(n)] for _ in range(codebooks)]
        for n in (draw.randint(0, 12), draw.randint(1, 9))
    )
    edits = []
    for _ in range(draw.randint(1, 5)):
        a, b, c, d = (draw.randint(0, 10) for _ in range(4))
        start, end = min(a, b), max(a, b)
        edits.append(
            draw.choice(
                [
                    {"op": "delete", "start": start, "end": end},
                    {"op": "copy", "start": start, "end": end, "to": c},
                    {"op": "move", "start": start, "end": end, "to": c},
                    {"op": "repeat", "start": start, "end": end, "times": d % 3},
                    {"op": "insert", "at": c, "start": start, "end": end},
                    {"op": "keep_codebooks", "count": max(1, d % 5)},
                    {"op": "replace_codebooks", "start": start, "end": end, "first": d % 4, "from": c},
                ]
            )
        )
    return {
        "codes": codes,
        "other": other,
        "edits": edits,
        "stamp": draw.choice([None, "right", "wrong", "second"]),
    }


def as_codes(ids: list[list[int]]) -> Codes:
    return Codes(
        torch.tensor(ids, dtype=torch.int64).reshape(1, len(ids), -1), [len(ids[0])], "tiny", codebook_size=64
    )


def stamp(case: dict) -> list[dict]:
    """What the edits of a case were made for: its codes, other codes, or other second codes."""
    right, other = editing.made_on(as_codes(case["codes"])), editing.made_on(as_codes(case["other"]))
    case["about"] = {"codes": right, "other": other}
    return {
        None: [],
        "right": [{"op": "made_for", "codes": right, "other": other}],
        "wrong": [{"op": "made_for", "codes": other[::-1]}],
        "second": [{"op": "made_for", "codes": right, "other": right[::-1]}],
    }[case["stamp"]]


def test_the_page_knows_misfits_as_the_server_does():
    draw, cases = random.Random(6), []
    for _ in range(100):
        case = random_case(draw)
        cases.append(
            {**case, "edits": [*stamp(case), {"op": "keep_codebooks", "count": 1}], "about": case["about"]}
        )
    fits = call(
        "edits.js",
        """(cases, { fits }) => cases.map(({ edits, about }) => fits(edits[0].op === "made_for" ? edits[0] : null, about))""",
        cases,
    )
    misfits = [
        editing.apply(as_codes(case["codes"]), case["edits"], as_codes(case["other"])).misfit
        for case in cases
    ]
    assert fits == [not misfit for misfit in misfits] and 20 < sum(misfits) < 80


def test_the_page_replays_as_the_server_does():
    """Random edits on random codes: the page draws the codes that the server makes, and refuses what the
    server refuses."""
    draw = random.Random(5)
    cases = [random_case(draw) for _ in range(400)]
    replayed = call(
        "edits.js",
        """(cases, { strip, replay }) => cases.map(({ codes, other, edits }) => {
          const made = (c, second) => strip(Int16Array.from(c.flat()), c.length, second);
          const { codes: out, error } = replay(made(codes), edits, made(other, true));
          return { ids: [...out.ids], codebooks: out.codebooks, error }; })""",
        cases,
    )
    refused = 0
    for case, page in zip(cases, replayed):
        codes, other = as_codes(case["codes"]), as_codes(case["other"])
        done = 0
        try:
            for edit in case["edits"]:
                codes = editing.apply(codes, [edit], other).codes
                done += 1
        except ValueError:
            refused += 1
        assert bool(page["error"]) == (done < len(case["edits"])), (case["edits"], page["error"])
        if page["error"]:
            assert page["error"].startswith(f"Edit {done + 1} ({NAMES[case['edits'][done]['op']]})")
        assert page["codebooks"] == codes.codebooks
        ids = torch.tensor(page["ids"], dtype=torch.int64).reshape(-1, codes.codebooks)
        assert ids.T.equal(as_takes([codes]).tensor[0])
    assert 40 < refused < 360  # both kinds were tried
