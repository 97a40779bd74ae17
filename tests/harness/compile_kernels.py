"""Compile every kernel that a frame of the 8B model launches, for a GPU that isn't there: ``python compile_kernels.py ARCHITECTURE HELD TAKES``.

Launches are caught and compiled ahead of time from their arguments' types; nothing is run. Prints a line for each kernel.
"""

import sys
from dataclasses import replace

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from miso.config import PRESETS
from miso.depth import DepthSampler
from miso.fused import matvec
from miso.fused.step import FusedFrame
from miso.model import Backbone, DepthDecoder
from miso.quantize import kind_of, use_quantized
from miso.sampling import Sampling
from miso.step import FrameState
from miso.weights import canonical_names

TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int8: "*i8", torch.uint8: "*u8", torch.int64: "*i64"}


def compile_launches(architecture: int) -> dict[tuple, str]:
    """From now on a launch compiles its kernel, unless it has been; returns the assembly of all of them, by kernel and arguments."""
    compiled: dict[tuple, str] = {}

    def run(self, *args, grid, warmup, num_warps=4, launch_pdl=False, **named):
        signature, constants, aligned = {}, {}, {}
        for i, (parameter, value) in enumerate(zip(self.params, (*args, *(named[p.name] for p in self.params[len(args):])))):
            name = parameter.name
            if parameter.is_constexpr or (isinstance(value, int) and value == 1 and not parameter.do_not_specialize):  # as Triton does
                signature[name], constants[name] = "constexpr", value
            elif isinstance(value, torch.Tensor):
                signature[name] = TYPES[value.dtype]
                if value.storage_offset() * value.element_size() % 16 == 0:
                    aligned[(i,)] = [["tt.divisibility", 16]]
            else:
                signature[name] = "i32" if isinstance(value, int) else "fp32"
        key = self.fn.__name__, str(signature), str(constants), num_warps
        if key not in compiled:
            kernel = triton.compile(ASTSource(self, signature, constants, aligned), target=GPUTarget("cuda", architecture, 32),
                                    options={"num_warps": num_warps, "launch_pdl": launch_pdl})
            compiled[key] = kernel.asm["ptx"]

    JITFunction.run = run
    return compiled


def shell(kind: type, config, held: str):
    """A part of the model whose weights hold no values."""
    with torch.device("meta"):
        part = kind(config)
        shapes = {name: tuple(t.shape) for name, t in part.state_dict().items()}
        use_quantized(part, {name: kind_of(canonical, shapes[name], held) for name, canonical in canonical_names(kind, shapes)})
    part = part.to_empty(device="cpu")
    for p in part.parameters():
        p.data = p.data.bfloat16()
    return part


def main(architecture: int, held: str, takes: int) -> None:
    config = PRESETS["8b"]
    config = replace(config, backbone=replace(config.backbone, layers=1), depth=replace(config.depth, layers=1), text_vocab=16)
    backbone, depth = shell(Backbone, config, held), DepthSampler(shell(DepthDecoder, config, held), codebooks=3)
    chosen = matvec.blocks
    matvec.blocks = lambda m, rows, **options: {**(b := chosen(m, rows, **options)), "DOT": min(b["DOT"], 1)}  # as on a GPU, not as interpreted
    frame = FusedFrame(backbone, depth, Sampling(), FrameState.make(backbone, depth, takes, 2048, 2048), overlap=architecture >= 90)
    compiled = compile_launches(architecture)
    frame()
    for (name, *_), assembly in compiled.items():
        print(name, "waits" if "griddepcontrol.wait" in assembly else "", "wide" if ".v4.b32" in assembly else "", sep="\t")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
