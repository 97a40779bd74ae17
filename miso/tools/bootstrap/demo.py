"""``python -m miso demo``: text to a sound file through a real ComfyUI; ``--serve`` keeps it running."""

import argparse
import signal
import sys
import time

from ...errors import MisoError
from . import HOME, ROOT, workflow
from .comfyui import PACK, fetch, find, make_base
from .environment import HOST, Environment
from .server import Server, free_port

WORKFLOW = ROOT / "workflows" / "text_to_speech.json"


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a killed demo takes its server along
    began = time.monotonic()
    port = options.port or free_port(8188)
    if free_port(port) != port:
        raise MisoError(f"Port {port} is in use.", "Give another with --port, or leave it out.")

    comfyui = find(options.comfyui) if options.comfyui else None
    environment = Environment(comfyui)
    environment.ensure(comfyui / "requirements.txt" if comfyui else HOST)
    comfyui = comfyui or fetch(environment)
    base = make_base(HOME / "base")
    accelerator = environment.output(
        "import torch; print(torch.cuda.is_available() or torch.backends.mps.is_available())"
    )

    print("Starting ComfyUI ...", flush=True)
    flags = [] if accelerator == "True" else ["--cpu"]
    with Server(environment.python, comfyui, base, HOME / "comfyui.log", *flags, port=port) as server:
        prompt = workflow.load(WORKFLOW, server.get("/object_info"))
        if options.text:
            set_text(prompt, options.text)
        queued = time.monotonic()
        print(f"Running {WORKFLOW.relative_to(ROOT)} ...", flush=True)
        outputs = server.queue(prompt)
        saved = [server.file(entry) for output in outputs.values() for entry in output.get("audio", ())]
        if not saved:
            raise MisoError(f"{WORKFLOW.name} ran but saved no audio.", f"See {server.log}.")
        print(f"\nSpoken in {time.monotonic() - queued:.1f} s, {time.monotonic() - began:.0f} s in all:")
        for path in saved:
            print(f"  {path}")
        print()
        if options.serve:
            # the page opens the template that its address names
            print(f"Open {server.url}/?template={WORKFLOW.stem}&source={PACK}", flush=True)
            print("Press Run there. Ctrl-C here stops ComfyUI.", flush=True)
            try:
                server.wait()
            except KeyboardInterrupt:
                print("\nStopped.")
        else:
            print("To open the graph in a browser: python -m miso demo --serve")
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m miso demo", description=__doc__.replace("``", ""))
    parser.add_argument(
        "--comfyui", metavar="DIR", help="run this ComfyUI, which is only read, instead of the pinned copy"
    )
    parser.add_argument("--serve", action="store_true", help="keep ComfyUI running afterwards, for a browser")
    parser.add_argument("--port", type=int, help="port for ComfyUI (default: 8188, or any free one)")
    parser.add_argument("--text", help="say this instead of the workflow's own text")
    return parser


def set_text(prompt: dict, text: str) -> None:
    """Put the text into the one Miso block that takes text."""
    takers = [
        node["inputs"]
        for node in prompt.values()
        if node["class_type"].startswith("Miso") and "text" in node["inputs"]
    ]
    if len(takers) != 1:
        raise MisoError(f"{WORKFLOW.name} has {len(takers)} blocks that take text; --text needs exactly one.")
    takers[0]["text"] = text
