"""Compile CUDA source by NVRTC and launch it by the CUDA driver, through ctypes.

NVRTC comes with PyTorch, so nothing has to be installed.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from functools import lru_cache
from pathlib import Path

_MAX_DYNAMIC_SHARED_SIZE = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


@lru_cache
def _nvrtc() -> ctypes.CDLL:
    windows = sys.platform == "win32"
    pattern = "nvrtc64_*_0.dll" if windows else "libnvrtc.so.1*"
    found = []
    for site in map(Path, sys.path):
        for folder in (
            "nvidia/cu13/lib",
            "nvidia/cu13/bin/x86_64",
            "nvidia/cu13/bin",
            "nvidia/cuda_nvrtc/lib",
            "nvidia/cuda_nvrtc/bin",
            "torch/lib",
        ):
            found += sorted((site / folder).glob(pattern), reverse=True)
    for name in [*map(str, found), *(() if windows else ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"))]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise RuntimeError("NVRTC was not found; it comes with PyTorch for CUDA")


@lru_cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


def driver_version() -> int:
    """The newest CUDA version that the driver supports, such as 12040."""
    version = c_int()
    _check(_driver().cuDriverGetVersion(byref(version)))
    return version.value


@lru_cache
def missing() -> str | None:
    """Why nothing can be compiled on this machine; None if it can."""
    try:
        _nvrtc(), _driver()
    except (OSError, RuntimeError) as e:
        return str(e)
    return None


@lru_cache(maxsize=8)
def cubin(
    source: str, architecture: str, macros: tuple[tuple[str, int], ...], *options: str
) -> tuple[bytes, str]:
    """The source compiled for sm_``architecture``, and the compiler's log. Raises RuntimeError on failure."""
    nvrtc = _nvrtc()
    nvrtc.nvrtcGetErrorString.restype = c_char_p

    def check(code: int, log: str = "") -> None:
        if code:
            raise RuntimeError(f"NVRTC: {nvrtc.nvrtcGetErrorString(code).decode()}{log}")

    def read(name: str) -> bytes:
        size = c_size_t()
        check(nvrtc[f"nvrtcGet{name}Size"](program, byref(size)))
        buffer = ctypes.create_string_buffer(max(size.value, 1))
        check(nvrtc[f"nvrtcGet{name}"](program, buffer))
        return buffer.raw

    program = c_void_p()
    check(nvrtc.nvrtcCreateProgram(byref(program), source.encode(), b"kernel.cu", 0, None, None))
    try:
        arguments = [
            f"--gpu-architecture=sm_{architecture}",
            "--std=c++17",
            "-default-device",
            *(f"--define-macro={name}={value}" for name, value in macros),
            *options,
        ]
        encoded = (c_char_p * len(arguments))(*(argument.encode() for argument in arguments))
        code = nvrtc.nvrtcCompileProgram(program, len(arguments), encoded)
        log = read("ProgramLog").rstrip(b"\0").decode(errors="replace")
        check(code, f"\n{log}")
        return read("CUBIN"), log
    finally:
        nvrtc.nvrtcDestroyProgram(byref(program))


def _check(code: int) -> None:
    if code:
        text = c_char_p()
        _driver().cuGetErrorString(c_int(code), byref(text))
        raise RuntimeError(f"CUDA driver: {(text.value or b'unknown error').decode()} ({code})")


class Kernel:
    """The function ``name`` of a cubin, loaded into the current CUDA context.

    Its only parameter is a structure. ``shared``: bytes of dynamic shared memory; ``threads``: threads of a
    thread block; ``cooperative``: all thread blocks must run at once.
    """

    def __init__(self, binary: bytes, name: str, *, threads: int, shared: int = 0, cooperative: bool = False):
        driver = _driver()
        self.shared, self.threads = shared, threads
        self._module, self._function = c_void_p(), c_void_p()
        _check(driver.cuModuleLoadData(byref(self._module), c_char_p(binary)))
        _check(driver.cuModuleGetFunction(byref(self._function), self._module, name.encode()))
        _check(driver.cuFuncSetAttribute(self._function, c_int(_MAX_DYNAMIC_SHARED_SIZE), c_int(shared)))
        self._launch = driver.cuLaunchCooperativeKernel if cooperative else driver.cuLaunchKernel
        self._more = () if cooperative else (None,)  # cuLaunchKernel has one more argument
        self._launch.argtypes = [
            c_void_p,
            *[c_uint] * 7,
            c_void_p,
            POINTER(c_void_p),
            *[c_void_p for _ in self._more],
        ]
        self._launch.restype = c_int

    def __call__(self, parameter: ctypes.Structure, blocks: int, stream: int) -> None:
        arguments = (c_void_p * 1)(ctypes.addressof(parameter))
        grid, block = (blocks, 1, 1), (self.threads, 1, 1)
        _check(
            self._launch(self._function, *grid, *block, self.shared, c_void_p(stream), arguments, *self._more)
        )
