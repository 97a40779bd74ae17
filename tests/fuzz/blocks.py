"""Workflows in a real ComfyUI, in this process, with odd widget values and broken links."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from fuzz.kinds import Kind
from fuzz.mutator import mutated_json
from harness.graphs import edit_graph, graph, small_graph
from harness.in_process import InProcess
from hypothesis import strategies as st

from miso.codes.codes import Codes
from miso.codes.takes import Span, Take
from miso.errors import MisoError

_LINE = {"text_encoder": ["1", 2], "backbone": ["1", 0], "depth": ["1", 1]}


def _graphs() -> list[dict]:
    """Small graphs, each with most of its widgets written out."""
    speech = graph(n3__max_seconds=0.2)
    model = {"1": speech["1"]}
    small = {
        "MisoPickTake": {"take": 0},
        "MisoTrimCodes": {"start": 1, "frames": 3},
        "MisoKeepCodebooks": {"count": 2},
        "MisoDeleteCodes": {"start": 1, "end": 3},
        "MisoRepeatCodes": {"start": 1, "end": 3, "times": 2},
        "MisoPrefix": {"frames": 4},
        "MisoTakePicker": {"chosen": "0"},
        "MisoCodeEditor": {"edits": '[{"op": "delete", "start": 1, "end": 3}]'},
    }
    return [
        speech,
        edit_graph([{"op": "delete", "start": 0, "end": 1}], n3__max_seconds=0.2),
        *(small_graph(kind, inputs) for kind, inputs in small.items()),
        {
            "1": {
                "class_type": "MisoNormalizeText",
                "inputs": {"text": "It is 10:30.", "pronunciations": "a = b"},
            }
        }
        | {"2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}},
        model
        | {
            "2": {
                "class_type": "MisoDialogue",
                "inputs": {
                    **_LINE,
                    "script": "Anna: Hi. [pause 0.1]\nBen: Ho.",
                    "seed": 1,
                    "max_seconds": 0.2,
                }
                | {"temperature": 0.9, "top_k": 5},
            },
            "3": {"class_type": "MisoSaveCodes", "inputs": {"codes": ["2", 0], "filename_prefix": "codes/a"}},
        },
        {
            "8": {"class_type": "MisoLoadCodes", "inputs": {"file": "edit_other.safetensors"}},
            "9": {"class_type": "MisoPreviewCodes", "inputs": {"codes": ["8", 0]}},
        },
    ]


def write_inputs(base: Path) -> None:
    """The files that the graphs load."""
    tensor = torch.randint(0, 64, (1, 8, 12), generator=torch.Generator().manual_seed(1))
    take = Take(5, "eos", (Span(0, 12, "Another line.", 1),))
    Codes(tensor, [12], "tiny", codebook_size=64, takes=(take,)).save(
        base / "input" / "edit_other.safetensors"
    )


def blocks(comfy: InProcess) -> Kind:
    """A kind of cases for ``trial.try_kind``. What ComfyUI itself refuses counts as refused."""
    graphs = _graphs()

    def run(seed: int, folder: Path) -> None:
        random = Random(seed)
        prompt = random.choice(graphs)
        for _ in range(random.choice((1, 1, 2))):
            node = random.choice(list(prompt))
            inputs = mutated_json(prompt[node]["inputs"], random)
            prompt = {**prompt, node: {**prompt[node], "inputs": inputs if isinstance(inputs, dict) else {}}}
        _run(comfy.run, prompt)

    return Kind("blocks and workflows", st.integers(0, 2**32 - 1), run)


def _run(run: Callable, prompt: dict) -> None:
    try:
        done = run(prompt)
    except Exception as e:
        place, last = e.__traceback__, ""
        while place:
            last, place = place.tb_frame.f_code.co_filename, place.tb_next
        if "miso-codes" in last:
            raise
        raise MisoError(f"ComfyUI refused it: {type(e).__name__}") from e
    if done.end == "rejected":
        raise MisoError(f"ComfyUI refused it: {done.error[:200]}")
    if not done.ok:
        kind = done.detail.get("exception_type", "")
        if "MisoError" not in kind:
            where = [line for line in done.detail.get("traceback", []) if "miso-codes" in line]
            raise AssertionError(f"{kind} {done.error[:80]} {where[-1] if where else ''}")
        raise MisoError(done.error)
