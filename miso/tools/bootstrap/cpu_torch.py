"""Makes torchaudio and torchvision importable beside a CPU build of PyTorch. Run by the environment's Python.

Package indexes carry these two for Linux only as builds that link CUDA. Beside a CPU PyTorch, torchaudio
stops at its compiled library, which it can do without, and torchvision stops at operators that its library
would have declared. No installed package is edited: this file is copied into the environment under the name
``HOOK``, and a ``.pth`` file has every Python of that environment import the copy at start-up. The copy
adjusts the two modules in memory, after they are imported. Where both packages import as they are, nothing is
installed.
"""

import importlib.abc
import importlib.machinery
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HOOK = "miso_cpu_torch"


def skip_library(utils) -> None:
    """torchaudio then runs in Python alone, as it does where no compiled library was built."""
    utils._load_lib = lambda name: False


def declare_operators(extension) -> None:
    """Declare the operators whose fake kernels torchvision registers on import."""
    import torch

    if not extension._has_ops():
        extension._declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            extension._declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


ADJUSTMENTS = {"torchaudio._extension.utils": skip_library, "torchvision.extension": declare_operators}


class AdjustAfterImport(importlib.abc.MetaPathFinder):
    """Finds the modules of ``ADJUSTMENTS`` as usual and adjusts them once they have run."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in ADJUSTMENTS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                ADJUSTMENTS[fullname](module)

            spec.loader.exec_module = exec_module
        return spec


def imports(package: str) -> bool:
    """Whether a fresh process can import the package: a failed import leaves a process half initialised."""
    return subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True).returncode == 0


def main() -> None:
    import torch

    packages = ("torchaudio", "torchvision")
    if torch.version.cuda or torch.version.hip or all(map(imports, packages)):
        return
    site = Path(sysconfig.get_path("purelib"))
    shutil.copy(__file__, site / f"{HOOK}.py")
    (site / f"{HOOK}.pth").write_text(f"import {HOOK}\n")
    if broken := [package for package in packages if not imports(package)]:
        sys.exit(f"{' and '.join(broken)} cannot be imported beside PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
elif __name__ == HOOK:
    sys.meta_path.insert(0, AdjustAfterImport())
