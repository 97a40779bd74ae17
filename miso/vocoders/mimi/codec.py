"""Mimi: codes [B, K, T] to audio [B, 1, 1920 T] and back, whole, in chunks, or as a stream.

Mimi is by Defossez et al. 2024 ("Moshi", arXiv 2410.00037), its weights by Kyutai. It is strictly causal
without look-ahead: T frames give exactly T * frame_size samples, and there is nothing to flush. No finite
left context would make chunks exact (eight layers of 250 tokens each reach about a thousand frames back), so
the state is carried from chunk to chunk; then any chunking is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import MisoError
from ...progress import Progress
from ..tf32 import no_tf32
from .config import MimiConfig
from .quantizer import QuantizerOutput, SplitQuantizer
from .seanet import CausalConv1d, CausalConvTranspose1d, Past, SEANetDecoder, SEANetEncoder
from .transformer import Transformer, TransformerPast

CHUNK = 25  # frames (2 s) per chunk; larger chunks are no faster on a CPU and take more memory


class DecodeState(NamedTuple):
    """The state of decoding one stream, 8 MB per take at the published size. Immutable."""

    upsample: Tensor
    transformer: TransformerPast
    decoder: Past


class EncodeState(NamedTuple):
    """The state of encoding one stream."""

    encoder: Past
    transformer: TransformerPast
    downsample: Tensor


class Mimi(nn.Module):
    """The codec. It has no buffers, so ``.to(device or dtype)`` moves everything.

    Decoding computes in the dtype of the decoder's weights and returns fp32. Encoding is fp32 only: bf16
    would change one code in eight. Therefore ``decoder_to`` casts only what decodes.
    """

    def __init__(self, config: MimiConfig | None = None, codec: str = "", encoder: bool = True):
        super().__init__()
        self.config = config = config or MimiConfig()
        self.codec = codec  # codec id of its codes
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

    # differentiable

    def analyse(self, wave: Tensor, state: EncodeState | None = None) -> tuple[Tensor, EncodeState]:
        """Samples [B, 1, T * frame_size] -> the latent before quantization [B, dim, T], and the new state."""
        x, convolutions = self.encoder(wave, state and state.encoder)
        x, attention = self.encoder_transformer(x, state and state.transformer)
        x, last = self.downsample(x, state and state.downsample)
        return x, EncodeState(convolutions, attention, last)

    def synthesise(self, latent: Tensor, state: DecodeState | None = None) -> tuple[Tensor, DecodeState]:
        """Quantized latent [B, dim, T] -> samples [B, 1, T * frame_size], and the new state."""
        x, last = self.upsample(latent.to(self.upsample.convtr.weight.dtype), state and state.upsample)
        x, attention = self.decoder_transformer(x, state and state.transformer)
        x, convolutions = self.decoder(x, state and state.decoder)
        return x, DecodeState(last, attention, convolutions)

    def forward(self, wave: Tensor, codebooks: int | None = None) -> tuple[Tensor, QuantizerOutput]:
        """Encode, quantize and decode samples [B, 1, T * frame_size], for training.

        Gradients pass straight through the quantizer. ``codebooks``: use the first ones only (quantizer
        dropout).
        """
        latent, _ = self.analyse(wave)
        quantized = self.quantizer(latent, codebooks or self.config.codebooks)
        return self.synthesise(quantized.latent)[0], quantized

    # decoding

    def decode_step(self, codes: Tensor, state: DecodeState | None = None) -> tuple[Tensor, DecodeState]:
        """The next frames of a stream: codes [B, K, t] -> samples [B, 1, t * frame_size], and the new state.

        ``state``: that after the previous frames, None at the beginning. Any chunking gives the same samples.
        """
        with torch.no_grad(), no_tf32(codes.device):
            wave, state = self.synthesise(self.quantizer.decode(codes), state)
        return wave.float(), state

    def decode(self, codes: Tensor, progress: Progress | None = None, chunk: int = CHUNK) -> Tensor:
        """Codes [B, K, T] of the first K codebooks -> fp32 samples [B, 1, T * frame_size].

        Decodes ``chunk`` frames at a time, so memory besides the result doesn't depend on T. Ids must be
        within the codebooks (see ``vocoder.check_codes``).
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
        """The next samples of a stream [B, 1, t * frame_size] -> codes [B, K, t], and the new state."""
        if not self.can_encode:
            raise MisoError(
                "This codec file contains a decoder only: it can't turn audio into codes.",
                "Load a Mimi file with an encoder.",
            )
        if (weights := self.downsample.conv.weight).dtype != torch.float32:
            name = str(weights.dtype).removeprefix("torch.")
            raise MisoError(
                f"Mimi encodes in fp32 only, but its encoder is in {name}, which would change many codes.",
                "Load it in fp32, or cast only its decoder.",
            )
        with torch.no_grad(), no_tf32(wave.device):
            latent, state = self.analyse(wave.float(), state)
            return self.quantizer.encode(latent, codebooks or self.config.codebooks), state

    def encode(
        self, wave: Tensor, codebooks: int | None = None, progress: Progress | None = None, chunk: int = CHUNK
    ) -> Tensor:
        """Samples [B, 1, N] at the codec's rate -> int64 codes [B, ``codebooks``, ceil(N / frame_size)].

        The end is padded with zeros to a whole frame, because published encoders pad it differently.
        Raises MisoError if there is no encoder, or it isn't fp32.
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
        """Cast what only decoding uses; encoder and codebooks keep their dtype, so encoding stays exact."""
        for module in (self.upsample, self.decoder_transformer, self.decoder):
            module.to(dtype)
        return self
