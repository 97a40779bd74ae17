"""Loading, speaking and unloading in a real ComfyUI on a GPU, with random weights of full size.

    python tests/measure_memory.py --comfyui DIR [--size 8b] [--precision bf16 int8 int4] [--limit GB ...]
        [--alternate N] [--flags="--lowvram"]

For each precision: seconds of the first run (cold), of the same run warm, of unloading (``/free``) and of the
run after it; memory of the GPU and of ComfyUI's process at each step; then how these figures stand after more
rounds of loading and unloading. With ``--limit``, ComfyUI may use that many GB of the GPU (as on a smaller
card), chooses the precision itself, and speaks with a preview, four takes, and after a long text. With
``--alternate N``, two checkpoints that don't fit the last limit together speak in turn N times. ``--flags``
are ComfyUI's, such as --lowvram.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import psutil  # noqa: E402
import torch  # noqa: E402
from harness.client import Client  # noqa: E402

from miso.checkpoints.build import canonical_shapes, random_tensors  # noqa: E402
from miso.checkpoints.checkpoint import save_checkpoint  # noqa: E402
from miso.model.config import MIMI, PRESETS  # noqa: E402
from miso.tools.bootstrap.comfyui import make_base  # noqa: E402
from miso.tools.bootstrap.server import Server  # noqa: E402
from miso.vocoders.mimi import random_mimi, save_mimi  # noqa: E402

# a hard limit for the whole process, where a run that needs more fails
LIMIT = "import torch; torch.cuda.is_available() and torch.cuda.set_per_process_memory_fraction({})"
SECONDS = 2.0  # of speech in a run


def prompt(
    precision: str,
    seed: int,
    text: str = "Hello there.",
    takes: int = 1,
    checkpoint: str = "big",
    preview: bool = False,
) -> dict:
    vocoder = {
        "class_type": "MisoLoadVocoder",
        "inputs": {"backend": "mimi", "checkpoint": "mimi.safetensors"},
    }
    sampler = {"seed": seed, "takes": takes, "max_seconds": SECONDS, "temperature": 0.9, "top_k": 50}
    return {
        "1": {
            "class_type": "MisoLoadModel",
            "inputs": {"checkpoint": f"{checkpoint}.safetensors", "precision": precision},
        },
        "2": {
            "class_type": "MisoEncodeText",
            "inputs": {"text_encoder": ["1", 2], "text": text, "speaker": 0},
        },
        "3": {
            "class_type": "MisoBackboneSampler",
            "inputs": {
                **{"backbone": ["1", 0], "depth": ["1", 1], "conditioning": ["2", 0], "keep": False},
                **sampler,
                **({"preview": ["5", 0]} if preview else {}),
            },
        },
        "4": {
            "class_type": "MisoSaveCodes",
            "inputs": {"codes": ["3", 0], "filename_prefix": "codes/memory"},
        },
        **({"5": vocoder} if preview else {}),
    }


class Host:
    """A running ComfyUI and what it holds."""

    def __init__(self, server: Server):
        self.client = Client(server.url)
        self.process = next(
            p for p in psutil.process_iter(["cmdline"]) if str(server.port) in (p.info["cmdline"] or [])
        )

    def run(self, *arguments, **keywords) -> dict:
        """Seconds of a run, and of it until sampling began."""
        times = {}

        def note(event: str, data: dict) -> None:
            if event == "executing" and data["node"] == "3":
                times["sampler"] = time.perf_counter()
            if event == "progress" and data["node"] == "3" and data["value"] > 0:
                times.setdefault(data["max"], time.perf_counter())

        began = time.perf_counter()
        done = self.client.run(prompt(*arguments, **keywords), note, seconds=300)
        if not done.ok:
            raise SystemExit(f"the run failed: {done.error}")
        ended = time.perf_counter()
        frames = round(SECONDS * 12.5)
        return {
            "seconds": ended - began,
            "first_frame": times.get(frames, ended) - times["sampler"],
            **self.memory(),
        }

    def free(self) -> dict:
        """Seconds until ComfyUI has given everything back."""
        before, began = self.memory()["gpu_gb"], time.perf_counter()
        self.client.post("/free", {"unload_models": True, "free_memory": False})
        while self.memory()["gpu_gb"] > before / 2 and time.perf_counter() - began < 60:
            time.sleep(0.01)
        return {"seconds": time.perf_counter() - began, **self.memory()}

    def memory(self) -> dict:
        """GB on the GPU, of all processes; of ComfyUI's process, its own and its peak with mapped files."""
        free, total = torch.cuda.mem_get_info()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").open())
        own, peak = (int(status[name].split()[0]) / 1e6 for name in ("RssAnon", "VmHWM"))
        return {"gpu_gb": (total - free) / 1e9, "own_gb": own, "peak_gb": peak}


def checkpoint(path: Path, size: str, seed: int = 0) -> None:
    # the tokenizer of a small family, since the published one's can't be had everywhere
    config = replace(PRESETS[size], family="bytes")
    tensor = random_tensors(config, seed, device="cuda", dtype=torch.bfloat16)
    save_checkpoint(path, config, {name: tensor(name).cpu() for name in canonical_shapes(config)})
    torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--comfyui", type=Path, required=True)
    parser.add_argument("--size", default="8b")
    parser.add_argument("--precision", nargs="*", default=["bf16", "int8", "int4"])
    parser.add_argument("--limit", nargs="*", type=float, default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alternate", type=int, default=0)
    parser.add_argument("--flags", default="")
    arguments = parser.parse_args()
    print(torch.cuda.get_device_name(), torch.__version__, flush=True)
    with TemporaryDirectory() as folder:
        base = make_base(Path(folder, "base"))
        (base / "models/miso").mkdir(parents=True)
        checkpoint(base / "models/miso/big.safetensors", arguments.size)
        flags = arguments.flags.split()
        for precision in arguments.precision:
            with host(arguments.comfyui, base, flags) as comfyui:
                report(precision, "before", comfyui.memory())
                report(precision, "cold", comfyui.run(precision, 0))
                report(precision, "warm", comfyui.run(precision, 1))
                report(precision, "free", comfyui.free())
                report(precision, "again", comfyui.run(precision, 2))
                for seed in range(arguments.rounds):
                    comfyui.free()
                    last = comfyui.run(precision, 3 + seed)
                report(precision, f"after {arguments.rounds} rounds", last)
        if arguments.limit:
            (base / "models/miso_vocoders").mkdir(parents=True, exist_ok=True)
            save_mimi(base / "models/miso_vocoders/mimi.safetensors", random_mimi(codec=MIMI))
        for limit in arguments.limit:
            name = f"limit {limit:g} GB"
            with host(arguments.comfyui, base, flags, limit) as comfyui:
                report(name, "one take", comfyui.run("auto", 0, preview=True))
                report(name, "four takes", comfyui.run("auto", 1, takes=4, preview=True))
                report(name, "1,500 rows", comfyui.run("auto", 2, text="word " * 300, preview=True))
        if arguments.alternate:
            checkpoint(base / "models/miso/other.safetensors", arguments.size, seed=1)
            with host(arguments.comfyui, base, flags, *arguments.limit[-1:]) as comfyui:
                for i in range(arguments.alternate):
                    pair = [comfyui.run("auto", i, checkpoint=which) for which in ("big", "other")]
                    if i in (1, arguments.alternate // 2, arguments.alternate - 1):
                        report("alternate", f"time {i + 1}", pair[-1])


@contextmanager
def host(comfyui: Path, base: Path, flags: list[str], limit: float | None = None) -> Iterator[Host]:
    search = os.environ.get("PYTHONPATH", "")
    with TemporaryDirectory() as folder:
        flags = ["--front-end-root", folder, *flags]  # no page is needed
        if limit is not None:
            total = torch.cuda.mem_get_info()[1] / 1e9
            Path(folder, "sitecustomize.py").write_text(LIMIT.format(limit / total))
            os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, [search])])
            flags += ["--disable-cuda-malloc", "--reserve-vram", str((total - limit) / 1.073741824)]
        try:
            with Server(Path(sys.executable), comfyui, base, Path(folder, "log"), *flags) as server:
                yield Host(server)
        finally:
            os.environ["PYTHONPATH"] = search
            log = Path(folder, "log").read_text(errors="replace").splitlines()
            print(*(f"    {line}" for line in log if "Miso:" in line or "Error" in line), sep="\n")


def report(what: str, step: str, figures: dict) -> None:
    print(f"{what:12} {step:16}", json.dumps({k: round(v, 2) for k, v in figures.items()}), flush=True)


if __name__ == "__main__":
    main()
