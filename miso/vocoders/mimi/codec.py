"""Mimi as a whole: codes [B, K, T] to sound [B, 1, 1920 T] and back, whole, in chunks, or as a stream.

Mimi is by Defossez et al. 2024 ("Moshi", arXiv 2410.00037), its weights by Kyutai. It is strictly causal with no look-ahead:
T frames give exactly T * frame_size samples, and nothing is held back that would have to be flushed. No window of left context
makes a chunk exact (eight layers, each of 250 tokens, reach about a thousand frames back), so the state is carried; then any
chunking is exact.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import MisoError
from ...progress import Progress
from .config import MimiConfig
from .quantizer import QuantizerOutput, SplitQuantizer
from .seanet import CausalConv1d, CausalConvTranspose1d, Past, SEANetDecoder, SEANetEncoder
from .transformer import Transformer, TransformerPast

CHUNK = 25  # frames at once: 2 s. Larger ones are no faster on a CPU; memory grows with them


class DecodeState(NamedTuple):
    """What decoding remembers of one stream: 8 MB a take at the published size. Immutable: keep one to go back to it."""

    upsample: Tensor
    transformer: TransformerPast
    decoder: Past


class EncodeState(NamedTuple):
    """What encoding remembers of one stream."""

    encoder: Past
    transformer: TransformerPast
    downsample: Tensor


class Mimi(nn.Module):
    """The codec. All of its state is parameters, so ``.to(device or dtype)`` moves everything.

    Decoding runs in the dtype of the decoder's weights and returns fp32. Encoding is fp32 only: bf16 would change one code
    in eight. ``decoder_to`` therefore casts the decoding half alone.
    """

    def __init__(self, config: MimiConfig | None = None, codec: str = "", encoder: bool = True):
        super().__init__()
        self.config = config = config or MimiConfig()
        self.codec = codec  # the codec id its codes carry
        if encoder:
            self.encoder = SEANetEncoder(config)
            self.encoder_transformer = Transformer(config, config.encoder_layers)
            self.downsample = CausalConv1d(
                config.dim, config.dim, 2 * config.stride, config.stride, bias=False, replicate=True
            )
        self.quantizer = SplitQuantizer(config, encoder)
        self.upsample = CausalConvTranspose1d(
            config.dim, config.dim, config.stride, groups=config.dim, bias=False
        )
        self.decoder_transformer = Transformer(config, config.decoder_layers)
        self.decoder = SEANetDecoder(config)
        self.can_encode = encoder

    # the differentiable pieces

    def analyse(self, wave: Tensor, state: EncodeState | None = None) -> tuple[Tensor, EncodeState]:
        """Samples [B, 1, T * frame_size] -> the latent before quantization [B, dim, T]."""
        x, convolutions = self.encoder(wave, state and state.encoder)
        x, attention = self.encoder_transformer(x, state and state.transformer)
        x, last = self.downsample(x, state and state.downsample)
        return x, EncodeState(convolutions, attention, last)

    def synthesise(self, latent: Tensor, state: DecodeState | None = None) -> tuple[Tensor, DecodeState]:
        """The quantized latent [B, dim, T] -> samples [B, 1, T * frame_size], in the decoder's dtype."""
        x, last = self.upsample(latent.to(self.upsample.convtr.weight.dtype), state and state.upsample)
        x, attention = self.decoder_transformer(x, state and state.transformer)
        x, convolutions = self.decoder(x, state and state.decoder)
        return x, DecodeState(last, attention, convolutions)

    def forward(self, wave: Tensor, codebooks: int | None = None) -> tuple[Tensor, QuantizerOutput]:
        """Through the bottleneck in one pass, for training: [B, 1, T * frame_size] -> the same, and the quantizer's side.

        Gradients pass straight through the quantizer. ``codebooks`` limits it, for quantizer dropout.
        """
        latent, _ = self.analyse(wave)
        quantized = self.quantizer(latent, codebooks or self.config.codebooks)
        return self.synthesise(quantized.latent)[0], quantized

    # decoding

    def decode_step(self, codes: Tensor, state: DecodeState | None = None) -> tuple[Tensor, DecodeState]:
        """The next t frames of a stream: codes [B, K, t], and the state after the frames before (None at the beginning)
        -> fp32 samples [B, 1, t * frame_size] and the state after these. Any t gives the same sound."""
        with torch.no_grad(), _no_tf32(codes.device):
            wave, state = self.synthesise(self.quantizer.decode(codes), state)
        return wave.float(), state

    def decode(self, codes: Tensor, progress: Progress | None = None, chunk: int = CHUNK) -> Tensor:
        """Codes [B, K, T] -> fp32 samples [B, 1, T * frame_size]; K may be fewer than all codebooks.

        Works through ``chunk`` frames at a time with the state carried, so memory beyond the result doesn't depend on T.
        Ids must be within the codebooks (``vocoder.check_codes`` says so in words).
        """
        frames, size = codes.shape[-1], self.config.frame_size
        result = torch.empty(codes.shape[0], 1, frames * size, device=codes.device, dtype=torch.float32)
        state = None
        for start in range(0, frames, chunk):
            wave, state = self.decode_step(codes[..., start : start + chunk], state)
            result[..., start * size : start * size + wave.shape[-1]] = wave
            if progress:
                progress(min(start + chunk, frames), frames)
        return result

    # encoding

    def encode_step(
        self, wave: Tensor, state: EncodeState | None = None, codebooks: int | None = None
    ) -> tuple[Tensor, EncodeState]:
        """The next samples of a stream [B, 1, t * frame_size] -> codes [B, K, t] and the state after them."""
        if not self.can_encode:
            raise MisoError(
                "This codec file holds a decoder only: it can turn codes into sound, not sound into codes.",
                "Load a Mimi file with an encoder.",
            )
        if (weights := self.downsample.conv.weight).dtype != torch.float32:
            name = str(weights.dtype).removeprefix("torch.")
            raise MisoError(
                f"Mimi encodes in fp32 only, but its encoder was cast to {name}, which would change many codes.",
                "Load it in fp32, or cast the decoding half alone.",
            )
        with torch.no_grad(), _no_tf32(wave.device):
            latent, state = self.analyse(wave.float(), state)
            return self.quantizer.encode(latent, codebooks or self.config.codebooks), state

    def encode(
        self, wave: Tensor, codebooks: int | None = None, progress: Progress | None = None, chunk: int = CHUNK
    ) -> Tensor:
        """Samples [B, 1, N] at the codec's rate -> codes [B, K, ceil(N / frame_size)] (int64), the first K codebooks.

        The end is filled up with zeros to a whole frame here: left to themselves, published encoders disagree about it.
        Raises MisoError without an encoder, or with one that isn't fp32.
        """
        size = self.config.frame_size
        wave = F.pad(wave, (0, -wave.shape[-1] % size))
        frames, codes, state = wave.shape[-1] // size, [], None
        for start in range(0, frames, chunk):
            ids, state = self.encode_step(wave[..., start * size : (start + chunk) * size], state, codebooks)
            codes.append(ids)
            if progress:
                progress(min(start + chunk, frames), frames)
        return torch.cat(codes, -1)

    def decoder_to(self, dtype: torch.dtype) -> Mimi:
        """Cast what only decoding uses; encoder and codebooks stay as they are, so that encoding stays exact."""
        for module in (self.upsample, self.decoder_transformer, self.decoder):
            module.to(dtype)
        return self


@contextlib.contextmanager
def _no_tf32(device: torch.device) -> Iterator[None]:
    """fp32 convolutions that are fp32: cuDNN's default would round their inputs to 10 bits."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    with cudnn.flags(cudnn.enabled, cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False):
        yield
