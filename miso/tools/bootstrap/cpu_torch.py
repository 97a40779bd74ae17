"""Lets torchaudio and torchvision be imported beside a CPU build of PyTorch. Run by the environment's own Python.

Package indexes carry these two for Linux linked against CUDA only. Beside a CPU PyTorch torchaudio stops at its compiled
library, which it can do without (what ComfyUI and this pack use of it is plain Python); torchvision stops because
operators that it describes on import were never declared, so they are declared. Nothing is touched where both import.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

DECLARATION = """

# Added by miso.bootstrap.cpu_torch: declare the operators that the CUDA library would have, so that the import succeeds.
if not _has_ops():
    _declared = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _declared.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def imports(package: str) -> bool:
    """Tried in a fresh process: a failed import leaves this one half initialised."""
    return subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True).returncode == 0


def folder(package: str) -> Path:
    return Path(importlib.util.find_spec(package).origin).parent


def main() -> None:
    import torch

    if torch.version.cuda or torch.version.hip:
        return
    if not imports("torchaudio"):
        for library in (folder("torchaudio") / "lib").glob("*.so"):
            library.unlink()
    if not imports("torchvision"):
        extension = folder("torchvision") / "extension.py"
        text = extension.read_text(encoding="utf-8")
        if DECLARATION not in text:
            extension.write_text(text + DECLARATION, encoding="utf-8")
    broken = [package for package in ("torchaudio", "torchvision") if not imports(package)]
    if broken:
        sys.exit(f"{' and '.join(broken)} cannot be imported beside PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
