"""Whether a ComfyUI that runs for hours stays as it was: many runs on the CPU, with and without a browser.

    python tests/measure_flat.py [--runs 500] [--browser]

Every run samples anew (tiny random weights, preview on), decodes, edits, saves sound and codes. After every
tenth part of them: memory, open files and threads of ComfyUI's process, and the page's own memory and nodes
(the page keeps the results of the last 64 runs). Exits with 1 if one of them still grows over the second half
by more than 5 %.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import psutil  # noqa: E402
from harness.client import Client  # noqa: E402
from harness.page import ARGUMENTS, Page, find_browser  # noqa: E402
from make_tiny import make_tiny_base  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

from miso.tools.bootstrap import HOME, workflow  # noqa: E402
from miso.tools.bootstrap.server import Server  # noqa: E402

GRAPH = ROOT / "workflows" / "edit_codes.json"
MOST_GROWTH = 1.05  # of a figure, from the middle of the runs to their end
TINY = {"MisoLoadModel": "tiny.safetensors", "MisoLoadVocoder": "tiny-codec.safetensors"}
SEED = """seed => { for (const node of app.graph.nodes) if (node.type === 'MisoBackboneSampler')
  node.widgets.find(w => w.name === 'seed').value = seed; }"""
PAGE = "() => [performance.memory.usedJSHeapSize, document.querySelectorAll('*').length]"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--browser", action="store_true", help="press Run in a page")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with TemporaryDirectory() as folder:
        base = make_tiny_base(Path(folder))
        python, runs = Path(sys.executable), max(20, args.runs // 10 * 10)
        with Server(python, HOME / "ComfyUI", base, base / "comfyui.log", "--cpu") as server:
            rows = with_browser(server, runs) if args.browser else measure(alone(server), dict, runs)
    middle, end = rows[len(rows) // 2], rows[-1]
    grown = [name for name in end if end[name] > MOST_GROWTH * middle[name]]
    print(f"\n{'grows: ' + ', '.join(grown) if grown else 'flat'}")
    return 1 if grown else 0


def alone(server: Server) -> Callable[[int], None]:
    """Queue the graph over HTTP."""
    client = Client(server.url)
    graph = workflow.load(GRAPH, client.get("/object_info"))
    for node in graph.values():
        if node["class_type"] in TINY:
            node["inputs"]["checkpoint"] = TINY[node["class_type"]]

    def run(seed: int) -> None:
        for node in graph.values():
            if node["class_type"] == "MisoBackboneSampler":
                node["inputs"] |= {"seed": seed, "max_seconds": 0.8}
        done = client.run(graph)
        assert done.ok, done.error

    return run


def with_browser(server: Server, runs: int) -> list[dict[str, float]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        page = Page(browser.new_page(viewport={"width": 1600, "height": 1000}), server.url)
        page.load_tiny(GRAPH)
        collector = page.page.context.new_cdp_session(page.page)

        def run(seed: int) -> None:
            page.page.evaluate(SEED, seed)
            end, detail = page.run()
            assert end == "execution_success", detail

        def figures() -> dict[str, float]:
            collector.send("HeapProfiler.collectGarbage")
            heap, nodes = page.page.evaluate(PAGE)
            return {"page, MB": heap / 2**20, "elements": nodes}

        rows = measure(run, figures, runs)
        browser.close()
    return rows


def measure(
    run: Callable[[int], None], figures: Callable[[], dict[str, float]], runs: int
) -> list[dict[str, float]]:
    """Run; a row of figures after the first and every tenth part."""
    process = next(child for child in psutil.Process().children() if "main.py" in child.cmdline())
    rows, began = [], time.monotonic()
    for i in range(1, runs + 1):
        run(i)
        if i % (runs // 10) and i != 1:
            continue
        row = {
            "RSS, MB": process.memory_info().rss / 2**20,
            "open files": process.num_fds(),
            "threads": process.num_threads(),
            **figures(),
        }
        if not rows:
            print("| runs | " + " | ".join(row) + " | seconds |\n" + "|---" * (len(row) + 2) + "|")
        rows.append(row)
        shown = " | ".join(f"{value:,.0f}" for value in row.values())
        print(f"| {i} | {shown} | {time.monotonic() - began:.0f} |", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
