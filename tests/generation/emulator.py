"""The persistent kernel on a CPU: its own source, but for device.cuh, compiled as C++ with an emulated GPU (``emulated``)."""

import ctypes
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from miso.generation.persistent import compile as compiling
from miso.generation.persistent.program import FETCHERS, WARPS
from miso.generation.persistent.step import PersistentFrame

_HERE = Path(__file__).with_name("emulated")


class EmulatedFrame(PersistentFrame):
    """As ``PersistentFrame``, on a GPU of three multiprocessors with 160 KB of shared memory for each."""

    def _gpu(self) -> tuple[int, int]:
        return 3, 160 * 1024

    def _compiled(self, macros: dict[str, int], shared: int):
        kernel = "\n".join(
            (Path(compiling.__file__).parent / name).read_text()
            for name in compiling.FILES
            if name != "device.cuh"
        )
        kernel = kernel.replace("extern __shared__ __align__(128) u8 memory[];", "")
        source = "".join(f"#define {name} {value}\n" for name, value in macros.items())
        source += (_HERE / "device.h").read_text() + kernel + (_HERE / "launch.h").read_text()
        with TemporaryDirectory() as folder:
            library = Path(folder, "frame.so")
            command = ["g++", "-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-x", "c++", "-", "-o", library]
            subprocess.run(command, input=source, text=True, check=True)
            launch = ctypes.CDLL(str(library)).launch
        programs, _ = self._gpu()
        return lambda frame, stream: launch(ctypes.byref(frame), programs, 32 * (WARPS + FETCHERS), shared)

    def __call__(self, window=None):
        self._barrier.zero_()
        self.kernel(self._frame, None)
