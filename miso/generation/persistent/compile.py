"""CUDA C++ to a function of the GPU's: NVRTC and the driver, by ctypes, so that no compiler has to be installed."""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from functools import lru_cache
from pathlib import Path

FILES = (
    "device.cuh",
    "plan.cuh",
    "stream.cuh",
    "numbers.cuh",
    "products.cuh",
    "drawing.cuh",
    "attention.cuh",
    "inputs.cuh",
    "frame.cu",
)
_MOST_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


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
    raise RuntimeError("NVRTC, which comes with PyTorch for CUDA, wasn't found")


@lru_cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


def source() -> str:
    folder = Path(__file__).parent
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in FILES)


@lru_cache
def missing() -> str | None:
    """Why nothing can be compiled here, or None."""
    try:
        _nvrtc(), _driver()
    except (OSError, RuntimeError) as e:
        return str(e)
    return None


@lru_cache(maxsize=8)
def cubin(architecture: str, macros: tuple[tuple[str, int], ...], *more: str) -> tuple[bytes, str]:
    """The kernel for sm_``architecture``, and what the compiler said."""
    nvrtc = _nvrtc()
    nvrtc.nvrtcGetErrorString.restype = c_char_p

    def check(code: int) -> None:
        if code:
            raise RuntimeError(f"NVRTC: {nvrtc.nvrtcGetErrorString(code).decode()}")

    program = c_void_p()
    check(nvrtc.nvrtcCreateProgram(byref(program), source().encode(), b"frame.cu", 0, None, None))
    try:
        options = [
            f"--gpu-architecture=sm_{architecture}",
            "--std=c++17",
            "-default-device",
            *(f"--define-macro={k}={v}" for k, v in macros),
            *more,
        ]
        code = nvrtc.nvrtcCompileProgram(
            program, len(options), (c_char_p * len(options))(*(o.encode() for o in options))
        )
        size = c_size_t()
        check(nvrtc.nvrtcGetProgramLogSize(program, byref(size)))
        log = ctypes.create_string_buffer(max(size.value, 1))
        check(nvrtc.nvrtcGetProgramLog(program, log))
        said = log.value.decode(errors="replace")
        if code:
            raise RuntimeError(f"NVRTC: {nvrtc.nvrtcGetErrorString(code).decode()}\n{said}")
        check(nvrtc.nvrtcGetCUBINSize(program, byref(size)))
        binary = ctypes.create_string_buffer(size.value)
        check(nvrtc.nvrtcGetCUBIN(program, binary))
        return binary.raw, said
    finally:
        nvrtc.nvrtcDestroyProgram(byref(program))


def _check(code: int) -> None:
    if code:
        text = c_char_p()
        _driver().cuGetErrorString(c_int(code), byref(text))
        raise RuntimeError(f"CUDA driver: {(text.value or b'?').decode()} ({code})")


class Kernel:
    """The function ``frame`` of a cubin, loaded in the context that is current, with ``shared`` bytes of shared memory."""

    def __init__(self, binary: bytes, shared: int, programs: int, threads: int):
        driver = _driver()
        self.shared, self.programs, self.threads = shared, programs, threads
        self._module, self._function = c_void_p(), c_void_p()
        _check(driver.cuModuleLoadData(byref(self._module), c_char_p(binary)))
        _check(driver.cuModuleGetFunction(byref(self._function), self._module, b"frame"))
        _check(driver.cuFuncSetAttribute(self._function, c_int(_MOST_SHARED), c_int(shared)))
        self._launch = driver.cuLaunchCooperativeKernel
        self._launch.argtypes = [c_void_p, *[c_uint] * 7, c_void_p, POINTER(c_void_p)]
        self._launch.restype = c_int

    def __call__(self, parameter: ctypes.Structure, stream: int) -> None:
        arguments = (c_void_p * 1)(ctypes.addressof(parameter))
        _check(
            self._launch(
                self._function,
                self.programs,
                1,
                1,
                self.threads,
                1,
                1,
                self.shared,
                c_void_p(stream),
                arguments,
            )
        )
