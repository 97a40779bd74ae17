"""From named tensors to the modules of ``model``: which tensors a size needs, and how each part is built of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import missing_package
from ..model.config import ModelConfig
from ..model.networks import Backbone, DepthDecoder, TextEmbeddings
from ..progress import Progress
from .devices import Precision, has_fp8
from .quantize import Quantized, field_name, field_specs, kind_of, quantize, use_quantized

Part = TypeVar("Part", Backbone, DepthDecoder)

_STACKS = {
    Backbone: "backbone.",
    DepthDecoder: "decoder.",
}  # what published names put in front of a part's transformer
TEXT = "text_embeddings.weight"
_TABLE = (
    "code_table"  # the only tensor that no file holds: the audio embeddings as the depth decoder sees them
)


def canonical_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Published name and shape of every tensor of a model."""
    shapes = {}
    for kind in _STACKS:
        with torch.device("meta"):
            module = kind(config)
        state = module.state_dict()
        shapes.update(
            {canonical: tuple(state[name].shape) for name, canonical in canonical_names(kind, state)}
        )
    return shapes


def canonical_names(kind: type[Part], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Of a part's own names of tensors those that files hold, each with its published name."""
    return ((name, _canonical(kind, name)) for name in names if name != _TABLE)


def build(
    kind: type[Part],
    config: ModelConfig,
    fingerprint: str,
    tensor: Callable[[str], Tensor | Quantized],
    *,
    device: str | torch.device,
    precision: Precision = Precision(),
    progress: Progress | None = None,
    on_cpu: int = 0,
) -> Part:
    """A part of the model, made on the meta device and filled from ``tensor(published name)`` one tensor at a time, each on its device at once.

    With ``precision.weights`` the matrices are quantised, or taken as they are where they come so; embeddings, norms and what is
    computed stay in the precision's dtype. The weights of the last ``on_cpu`` layers stay in the CPU's memory (see ``offload``).
    """
    dtype, keep_on_cpu = precision.dtype, _offload() if on_cpu else None
    with torch.device("meta"):
        module = kind(config, fingerprint)
    shapes = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    held = {
        name: kind_of(canonical, shapes[name], precision.weights)
        for name, canonical in canonical_names(kind, shapes)
    }
    with torch.device("meta"):
        use_quantized(module, held)
    layers = module.transformer.layers
    kept = tuple(f"transformer.layers.{i}." for i in range(max(0, len(layers) - on_cpu), len(layers)))
    state = {}
    for done, (name, shape) in enumerate(shapes.items()):
        if progress:
            progress(done, len(shapes))
        place = (
            "cpu"
            if name.startswith(kept)
            else TextEmbeddings.place(torch.device(device))
            if name == TEXT
            else device
        )
        if name == _TABLE:
            state[name] = _code_table(config, tensor, device, dtype)
        elif held[name]:
            value = tensor(_canonical(kind, name))
            if not (isinstance(value, Quantized) and value.kind == held[name]):
                value = quantize(_whole(value, device), held[name])
            state |= {
                field_name(name, field): getattr(value, field).to(place)
                for field in field_specs(held[name], shape)
            }
        else:
            state[name] = _whole(tensor(_canonical(kind, name)), place).to(place, dtype)
    module.load_state_dict(state, assign=True)
    if keep_on_cpu:
        del state  # else there would be two of each
        module.bytes_on_cpu = keep_on_cpu(layers[-on_cpu:])
    if progress:
        progress(len(shapes), len(shapes))
    return module.to(device).eval().requires_grad_(False)


def _offload() -> Callable[[Iterable[torch.nn.Module]], int]:
    try:
        from .offload import keep_on_cpu
    except ImportError as e:
        raise missing_package(
            "accelerate", "Keeping layers on the CPU, of a model larger than the device's memory,"
        ) from e
    return keep_on_cpu


def _whole(value: Tensor | Quantized, device: str | torch.device) -> Tensor:
    """On the device, in the type it comes in; what is quantised in fp32."""
    if not isinstance(value, Quantized):
        return value.to(device)
    if value.kind == "fp8" and not has_fp8(torch.device(device)):
        return value.dequantize().to(device)
    return Quantized(*(t if t is None else t.to(device) for t in value)).dequantize()


def random_tensors(
    config: ModelConfig, seed: int, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Callable[[str], Tensor]:
    """Random weights by published name, made where they are used, at a scale that keeps activations near 1."""
    shapes = canonical_shapes(config)

    def tensor(name: str) -> Tensor:
        shape = shapes[name]
        if len(shape) == 1:
            return torch.ones(shape, device=device, dtype=dtype)
        generator = torch.Generator(device).manual_seed(
            seed ^ zlib.crc32(name.encode())
        )  # the same each time it is asked for
        fan_in = 1 if "embeddings" in name else shape[1]
        return torch.empty(shape, device=device, dtype=dtype).normal_(0, fan_in**-0.5, generator=generator)

    return tensor


def _code_table(config: ModelConfig, tensor: Callable[[str], Tensor | Quantized], device, dtype) -> Tensor:
    """Audio embeddings of codebooks 0..K-2, projected in fp32 a codebook at a time."""
    projection = _whole(tensor("projection.weight"), device).float()
    parts = tensor("audio_embeddings.weight")[: (config.codebooks - 1) * config.audio_vocab].split(
        config.audio_vocab
    )
    return torch.cat([(part.to(device, torch.float32) @ projection.T).to(dtype) for part in parts])


def _canonical(kind: type, name: str) -> str:
    return _STACKS[kind] + name[len("transformer.") :] if name.startswith("transformer.") else name
