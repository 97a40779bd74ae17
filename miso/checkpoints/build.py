"""Building the networks of ``model`` from named tensors, and which tensors a model of given sizes has."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from ..errors import missing_package
from ..model.config import ModelConfig
from ..model.networks import Backbone, DepthDecoder, TextEmbeddings
from ..model.packed import pack
from ..progress import Progress
from .devices import Precision, has_fp8
from .quantize import Quantized, dequantized, field_name, field_specs, kind_of, quantize
from .quantized_linear import use_quantized

Network = TypeVar("Network", Backbone, DepthDecoder)
NetworkType: TypeAlias = type[Backbone] | type[DepthDecoder]
Read: TypeAlias = Callable[[str], Tensor | Quantized]  # a tensor by its published name

# the published prefix of each network's transformer
_STACKS: dict[NetworkType, str] = {Backbone: "backbone.", DepthDecoder: "decoder."}
TEXT = "text_embeddings.weight"
# the only tensor that is in no file: the audio embeddings, projected to the depth decoder's width
_CODE_TABLE = "code_table"


def canonical_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Published name and shape of every tensor of a model."""
    return {name: shape for network in _STACKS for name, shape in network_shapes(network, config).items()}


def network_shapes(network: NetworkType, config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Published name and shape of every tensor that files contain of a network."""
    with torch.device("meta"):
        state = network(config).state_dict()
    return {canonical: tuple(state[name].shape) for name, canonical in canonical_names(network, state)}


def canonical_names(network: NetworkType, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Of the names in a network's state dict those that files contain, each with its published name."""
    return ((name, _canonical(network, name)) for name in names if name != _CODE_TABLE)


def build(
    network: type[Network],
    config: ModelConfig,
    fingerprint: str,
    read: Read,
    *,
    device: str | torch.device,
    precision: Precision = Precision(),
    progress: Progress | None = None,
    on_cpu: int = 0,
) -> Network:
    """Build a network on the meta device and load its tensors one at a time with ``read(published name)``.

    With ``precision.weights`` the matrices are quantised, or kept as read if they already are; embeddings,
    norms and what is computed from weights have the precision's dtype. The weights of the last ``on_cpu``
    layers (backbone only) stay in the CPU's memory (see ``offload``). ``progress`` counts tensors.
    """
    dtype, keep_on_cpu = precision.dtype, _import_keep_on_cpu() if on_cpu else None
    with torch.device("meta"):
        module = network(config, fingerprint)
    shapes = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    kinds = {
        name: kind_of(canonical, shapes[name], precision.weights)
        for name, canonical in canonical_names(network, shapes)
    }
    with torch.device("meta"):
        use_quantized(module, kinds)
    layers = module.transformer.layers
    offloaded = tuple(f"transformer.layers.{i}." for i in range(max(0, len(layers) - on_cpu), len(layers)))

    def place(name: str) -> str | torch.device:
        if name.startswith(offloaded):
            return "cpu"
        return TextEmbeddings.place(torch.device(device)) if name == TEXT else device

    state = {}
    for done, (name, shape) in enumerate(shapes.items()):
        if progress:
            progress(done, len(shapes))
        if name == _CODE_TABLE:
            state[name] = _code_table(config, read, device, dtype)
        elif kind := kinds[name]:
            value = read(_canonical(network, name))
            if not (isinstance(value, Quantized) and value.kind == kind):
                value = quantize(_dequantized_on(device, value), kind)
            for field in field_specs(kind, shape):
                state[field_name(name, field)] = getattr(value, field).to(place(name))
        else:
            state[name] = _in_dtype(place(name), read(_canonical(network, name)), dtype)
    module.load_state_dict(state, assign=True)
    if keep_on_cpu and isinstance(module, Backbone):
        del state  # so that each tensor is in memory only once
        module.bytes_on_cpu = keep_on_cpu(layers[-on_cpu:])
    if progress:
        progress(len(shapes), len(shapes))
    return pack(module.to(device).eval().requires_grad_(False))


def _import_keep_on_cpu() -> Callable[[Iterable[nn.Module]], int]:
    try:
        from .offload import keep_on_cpu
    except ImportError as e:
        raise missing_package(
            "accelerate", "Keeping layers on the CPU, of a model larger than the device's memory,"
        ) from e
    return keep_on_cpu


def _dequantized_on(device: str | torch.device, value: Tensor | Quantized) -> Tensor:
    """The tensor on the device in its own dtype, or in fp32 if it was quantised."""
    if isinstance(value, Quantized) and value.kind == "fp8" and not has_fp8(torch.device(device)):
        return value.dequantize().to(device)
    return dequantized(value.to(device))


def _in_dtype(device: str | torch.device, value: Tensor | Quantized, dtype: torch.dtype) -> Tensor:
    """The tensor on the device in ``dtype``.

    Quantised matrices are rounded to fp16 on the way to a CPU's fp32: a 25th of the error that they have from
    quantising, and the CPU reads them at half the bytes (see ``model.packed``).
    """
    if isinstance(value, Quantized) and dtype == torch.float32 and torch.device(device).type == "cpu":
        return value.dequantize(torch.float16).float()
    return _dequantized_on(device, value).to(dtype)


def random_tensors(
    config: ModelConfig, seed: int, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Callable[[str], Tensor]:
    """A function from published name to random weights, scaled so that activations stay near 1.

    Each call of it generates the tensor anew, with the same values.
    """
    shapes = canonical_shapes(config)

    def tensor(name: str) -> Tensor:
        shape = shapes[name]
        if len(shape) == 1:
            return torch.ones(shape, device=device, dtype=dtype)
        generator = torch.Generator(device).manual_seed(seed ^ zlib.crc32(name.encode()))
        fan_in = 1 if "embeddings" in name else shape[1]
        return torch.empty(shape, device=device, dtype=dtype).normal_(0, fan_in**-0.5, generator=generator)

    return tensor


def _code_table(config: ModelConfig, read: Read, device: str | torch.device, dtype: torch.dtype) -> Tensor:
    """Audio embeddings of codebooks 0 to K-2, projected in fp32 one codebook at a time."""
    projection = _dequantized_on(device, read("projection.weight")).float()
    embeddings = dequantized(read("audio_embeddings.weight"))[: (config.codebooks - 1) * config.audio_vocab]
    parts = embeddings.split(config.audio_vocab)
    return torch.cat([(part.to(device, torch.float32) @ projection.T).to(dtype) for part in parts])


def _canonical(network: NetworkType, name: str) -> str:
    stack = _STACKS[network]
    return stack + name.removeprefix("transformer.") if name.startswith("transformer.") else name
