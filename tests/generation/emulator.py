"""The persistent kernel on the CPU: its source without device.cuh, compiled as C++ with an emulated GPU."""

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from miso.generation.persistent import source as kernel_source
from miso.generation.persistent.limits import GpuLimits
from miso.generation.persistent.program import FETCHERS, WARPS
from miso.generation.persistent.step import PersistentFrame

PROGRAMS = 3  # multiprocessors of the emulated GPU
SHARED = 160 * 1024  # bytes of shared memory for each
_EMULATED = Path(__file__).with_name("emulated")

emulated = pytest.mark.skipif(shutil.which("g++") is None, reason="the emulated GPU is compiled by g++")


@cache
def compile_kernel(macros: tuple[tuple[str, int], ...]):
    """The C function ``launch`` of a kernel with these macros, whatever sampling and positions are."""
    sources = Path(kernel_source.__file__).parent
    kernel = "\n".join((sources / name).read_text() for name in kernel_source.FILES if name != "device.cuh")
    kernel = kernel.replace("extern __shared__ __align__(128) u8 memory[];", "")
    defines = "".join(f"#define {name} {value}\n" for name, value in macros)
    source = defines + (_EMULATED / "device.h").read_text() + kernel + (_EMULATED / "launch.h").read_text()
    with TemporaryDirectory() as folder:
        library = Path(folder, "frame.so")
        # _FORTIFY_SOURCE forbids longjmp from one stack to another
        flags = ["-std=c++17", "-O2", "-U_FORTIFY_SOURCE", "-w", "-shared", "-fPIC"]
        subprocess.run(["g++", *flags, "-x", "c++", "-", "-o", library], input=source, text=True, check=True)
        return ctypes.CDLL(str(library)).launch


class EmulatedFrame(PersistentFrame):
    """``PersistentFrame`` on the emulated GPU."""

    def _gpu(self) -> GpuLimits:
        return GpuLimits(PROGRAMS, SHARED)

    def _compiled(self, macros: dict[str, int], shared: int):
        launch = compile_kernel(tuple(macros.items()))
        return lambda frame, stream: launch(ctypes.byref(frame), PROGRAMS, 32 * (WARPS + FETCHERS), shared)

    def __call__(self, window=None):
        self._barrier.zero_()
        self.kernel(self._frame, None)
