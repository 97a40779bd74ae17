"""A vocoder of a source and filters.

It computes at the rate of a spectrogram's hops, where a codec computes at the sample rate. As in a human
voice, pulses at a pitch and noise each pass through a filter. A network of ConvNeXt blocks after the codec's
own tables, as in Vocos (Siuzdak 2023, arXiv 2306.00814), predicts pitch and filters from the codes. The
phases of pulses and noise are given, not learned, so a spectral loss alone suffices for training (Engel et
al. 2020, "DDSP", arXiv 2001.04643; Morise et al. 2016, "WORLD"); discriminators refine them. Filters are
applied in short-time Fourier transforms. The look-ahead is three hops, so it streams.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import MisoError
from ..files import open_tensors, parse_json, read_header, write_tensors
from ..limits import SOURCE_FILTER, check_sizes
from ..model.packed import pack
from .mimi.config import MimiConfig
from .mimi.quantizer import SplitQuantizer

FORMAT = "miso.source-filter/2"
_OVERLAP = 4  # windows that cover a sample
MIDDLE = 150.0  # Hz: the pitch that is 0 octaves
_BANDWIDTH = 4000.0  # Hz at which a pulse's spectrum has fallen to 0.6


@dataclass(frozen=True)
class SourceFilterConfig:
    """Sizes, besides those of the codec (``MimiConfig``) whose codes are decoded."""

    width: int = 384
    inner: int = 1024  # width between a block's two linear layers
    frame_blocks: int = 2  # at the frame rate
    hop_blocks: int = 6  # at the hop rate
    hops: int = 8  # per frame
    sample_rate: int = 0  # Hz of the sound; 0: the codec's

    def __post_init__(self):
        check_sizes("A source-filter vocoder", vars(self), SOURCE_FILTER)


class SourceFilterState(NamedTuple):
    """The state of one stream; immutable."""

    pasts: tuple[Tensor, ...]  # the last inputs of each block's convolution [B, width, reach]
    sums: Tensor  # [B, 3, hop]: sums of the hops to which later windows will add
    source: Tensor  # [B, 2, 3 * hop]: the last pulses and noise, with which the next windows begin
    phase: Tensor  # [B, 2]: the pitch period's phase in turns, and the pitch in Hz; 0 before the first hop
    hops: int  # hops done


class SourceFilter(nn.Module):
    """Codes [B, K, T] -> samples [B, 1, T * frame_size]."""

    window: Tensor
    noise: Tensor

    def __init__(
        self, codec: MimiConfig, config: SourceFilterConfig = SourceFilterConfig(), codec_id: str = ""
    ):
        super().__init__()
        self.codec, self.config, self.codec_id = codec, config, codec_id
        self.sample_rate = config.sample_rate or codec.sample_rate
        self.frame_size, rest = divmod(codec.frame_size * self.sample_rate, codec.sample_rate)
        if rest:
            raise MisoError(
                f"A sound of {self.sample_rate} Hz doesn't divide into frames of this codec.",
                f"Use {codec.sample_rate} or {2 * codec.sample_rate} Hz.",
            )
        self.hop, rest = divmod(self.frame_size, config.hops)
        if rest:
            raise MisoError(
                f"A frame of {self.frame_size} samples doesn't divide into {config.hops} hops.",
                "The file is damaged or of another kind: get it again.",
            )
        width, inner, window = config.width, config.inner, _OVERLAP * self.hop
        self.quantizer = SplitQuantizer(codec, False)
        self.widen = nn.Linear(codec.dim, width)
        self.frame_blocks = nn.ModuleList(Block(width, inner, 3) for _ in range(config.frame_blocks))
        self.spread = nn.Linear(width, config.hops * width)
        self.hop_blocks = nn.ModuleList(Block(width, inner, 7) for _ in range(config.hop_blocks))
        self.norm = nn.LayerNorm(width)
        bins = window // 2 + 1  # of log magnitudes for pulses, for noise, and the pulses' phase in radians
        self.filters = nn.Linear(width, 3 * bins)
        self.pitch = nn.Linear(width, 1)  # octaves above MIDDLE
        nn.init.zeros_(self.filters.weight[2 * bins :])
        nn.init.zeros_(self.filters.bias[2 * bins :])
        nn.init.constant_(self.filters.bias[: 2 * bins], -4.0)
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        self.register_buffer("noise", _noise(), persistent=False)

    @property
    def look_ahead(self) -> int:
        """Samples that wait for the next frame, because later windows add to them."""
        return (_OVERLAP - 1) * self.hop

    def start(self, batch: int) -> SourceFilterState:
        """The state before the first frame, in the weights' dtype and on their device."""
        like = self.widen.weight
        pasts = tuple(
            like.new_zeros(batch, self.config.width, block.reach)
            for block in (*self.frame_blocks, *self.hop_blocks)
        )
        silence = like.new_zeros(batch, _OVERLAP - 1, self.hop, dtype=torch.float32)
        return SourceFilterState(
            pasts, silence, silence.new_zeros(batch, 2, self.look_ahead), silence.new_zeros(batch, 2), 0
        )

    def forward(self, codes: Tensor, pitch: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Codes [B, K, T] -> samples [B, 1, T * frame_size] and pitch [B, hops] in octaves above ``MIDDLE``.

        ``pitch`` [B, hops], in Hz at the end of each hop, replaces the predicted pitch, in training. The
        samples are differentiable, but not with respect to the pitch.
        """
        return self.synthesise(self.quantizer.decode(codes), pitch)

    def synthesise(self, latent: Tensor, pitch: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As ``forward``, of a quantized latent [B, dim, T]."""
        state = self.start(len(latent))
        x, _ = self._features(latent, state)
        octaves = self.pitch(x)[..., 0].float()
        wave, state = self._sound(x, self._hertz(octaves) if pitch is None else pitch, state)
        return torch.cat((wave, self.rest(state)), 2), octaves

    def step(self, codes: Tensor, state: SourceFilterState) -> tuple[Tensor, SourceFilterState]:
        """The next frames [B, K, t] -> samples [B, 1, n]: all so far except the last ``look_ahead``."""
        x, pasts = self._features(self.quantizer.decode(codes), state)
        return self._sound(x, self._hertz(self.pitch(x)[..., 0].float()), state._replace(pasts=pasts))

    def rest(self, state: SourceFilterState) -> Tensor:
        """The last ``look_ahead`` samples [B, 1, n]."""
        return state.sums.flatten(1)[:, None]

    def _features(self, latent: Tensor, state: SourceFilterState) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features of each hop [B, hops, width], and the blocks' past inputs."""
        pasts, before = [], iter(state.pasts)
        x = self.widen(latent.transpose(1, 2).to(self.widen.weight.dtype))
        for block in self.frame_blocks:
            x, past = block(x, next(before))
            pasts.append(past)
        x = self.spread(x).unflatten(2, (self.config.hops, -1)).flatten(1, 2)
        for block in self.hop_blocks:
            x, past = block(x, next(before))
            pasts.append(past)
        return self.norm(x), tuple(pasts)

    @staticmethod
    def _hertz(octaves: Tensor) -> Tensor:
        return MIDDLE * octaves.clamp(-2, 2).exp2()

    def _sound(self, x: Tensor, hertz: Tensor, state: SourceFilterState) -> tuple[Tensor, SourceFilterState]:
        """Filter the sources by features x [B, hops, width]. A hop is the last quarter of its window."""
        source, phase_after = self._source(hertz.detach(), state)
        source = torch.cat((state.source, source), 2)  # [B, 2, (hops + 3) * hop]
        spectra = torch.fft.rfft(
            source.unfold(2, _OVERLAP * self.hop, self.hop) * self.window
        )  # [B, 2, hops, bins]
        pulses, noise, phase = self.filters(x).float().unflatten(2, (3, -1)).unbind(2)
        pulses = _minimum_phase(pulses.clamp(max=5)) * torch.polar(torch.ones_like(phase), phase)
        filtered = pulses * spectra[:, 0] + noise.clamp(max=5).exp() * spectra[:, 1]
        windows = torch.fft.irfft(filtered, _OVERLAP * self.hop) * self.window
        # Squared Hann windows, a quarter of a window apart, add up to 1.5.
        quarters = windows.unflatten(2, (_OVERLAP, -1)) / 1.5
        # hop n is the sum of the last quarter of window n, the third of window n + 1, ...: [B, hops + 3, hop]
        shifted = [F.pad(quarters[:, :, i], (0, 0, i, _OVERLAP - 1 - i)) for i in range(_OVERLAP)]
        summed = sum(shifted[1:], shifted[0])
        summed = torch.cat((summed[:, : _OVERLAP - 1] + state.sums, summed[:, _OVERLAP - 1 :]), 1)
        hops = windows.shape[1]
        # the first window begins three hops before the first sample
        done = summed[:, max(0, _OVERLAP - 1 - state.hops) : hops]
        last = source[:, :, -self.look_ahead :]
        state = SourceFilterState(state.pasts, summed[:, hops:], last, phase_after, state.hops + hops)
        return done.flatten(1)[:, None], state

    def _source(self, hertz: Tensor, state: SourceFilterState) -> tuple[Tensor, Tensor]:
        """Pulses and noise [B, 2, hops * hop], and the state's ``phase`` after them.

        ``hertz`` [B, hops]: the pitch at the end of each hop; it changes linearly within a hop.
        """
        last = state.phase[:, 1:]
        before = torch.cat((torch.where(last > 0, last, hertz[:, :1]), hertz[:, :-1]), 1)
        along = torch.arange(1, self.hop + 1, device=hertz.device) / self.hop
        every = (before[..., None] + (hertz - before)[..., None] * along).flatten(1)  # [B, samples]
        turns = (state.phase[:, :1] + (every / self.sample_rate).cumsum(1)) % 1
        narrow = (_BANDWIDTH / every).square()
        # exp(cos - 1), written without cancellation: a pulse whose spectrum falls smoothly, at any pitch; its
        # power is 1
        pulses = (4 * torch.pi * narrow) ** 0.25 * (-2 * narrow * (torch.pi * turns).sin().square()).exp()
        first, end = state.hops * self.hop, (state.hops + hertz.shape[1]) * self.hop
        noise = self.noise[torch.arange(first, end, device=hertz.device) % len(self.noise)]
        phase = torch.stack((turns[:, -1], hertz[:, -1]), 1)
        return torch.stack((pulses, noise.expand_as(pulses)), 1), phase


def _noise() -> Tensor:
    """Three seconds of fixed noise: the same codes give the same samples, also in a stream."""
    return torch.randn(72_000, generator=torch.Generator().manual_seed(0))


def _minimum_phase(levels: Tensor) -> Tensor:
    """Log magnitudes [..., bins] -> the complex spectrum of minimum phase, whose impulse response is causal.

    By folding the cepstrum (Oppenheim and Schafer, "Discrete-time signal processing", 13.5).
    """
    size = 2 * (levels.shape[-1] - 1)
    cepstrum = torch.fft.irfft(levels, size)
    n = torch.arange(size, device=levels.device)
    fold = 2.0 * ((n > 0) & (n < size // 2)) + 1.0 * (n % (size // 2) == 0)
    return torch.fft.rfft(cepstrum * fold).exp()


class Block(nn.Module):
    """A causal ConvNeXt block in time (Liu et al. 2022, arXiv 2201.03545): [B, N, width] -> the same."""

    def __init__(self, width: int, inner: int, kernel: int):
        super().__init__()
        self.reach = kernel - 1
        self.mix = nn.Conv1d(width, width, kernel, groups=width)
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, inner), nn.Linear(inner, width)
        self.scale = nn.Parameter(torch.full((width,), 0.2))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, N, width] and the inputs before it [B, width, reach] -> y [B, N, width] and the next past."""
        inputs = torch.cat((past.to(x.dtype), x.transpose(1, 2)), 2)
        y = self.norm(self.mix(inputs).transpose(1, 2))
        return x + self.scale * self.down(F.gelu(self.up(y))), inputs[:, :, -self.reach :]


def save_source_filter(path: str | os.PathLike, net: SourceFilter, dtype: torch.dtype | None = None) -> None:
    """Write a vocoder with its sizes and codec id in the metadata."""
    metadata = {
        "format": FORMAT,
        "codec": net.codec_id,
        "mimi": net.codec.to_json(),
        "config": json.dumps(asdict(net.config)),
    }
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in net.state_dict().items()}
    write_tensors(path, tensors, metadata)


def is_source_filter(path: str | os.PathLike) -> bool:
    """Whether a safetensors file contains such a vocoder. Raises MisoError if it isn't a safetensors file."""
    return read_header(path)[0].get("format") == FORMAT


def inspect_source_filter(path: str | os.PathLike) -> SourceFilter:
    """The network of a file, on the meta device. Raises MisoError for any other kind of file."""
    metadata, entries = read_header(path)
    if metadata.get("format") != FORMAT:
        raise MisoError(
            f"{os.path.basename(path)} contains no source-filter vocoder.",
            "Choose a file made for this backend, or the backend 'auto'.",
            input="checkpoint",
        )
    try:
        with torch.device("meta"):
            net = SourceFilter(
                MimiConfig.from_json(metadata["mimi"]),
                SourceFilterConfig(**parse_json(metadata["config"], "The description of the vocoder")),
                metadata["codec"],
            )
    except (KeyError, TypeError, ValueError, RuntimeError) as e:  # torch refuses sizes below 0
        raise MisoError(
            f"The sizes in {os.path.basename(path)} can't be read ({e}).",
            "Get the file again.",
            input="checkpoint",
        ) from e
    wrong = [n for n, t in net.state_dict().items() if n not in entries or entries[n].shape != tuple(t.shape)]
    if wrong:
        raise MisoError(
            f"{os.path.basename(path)} lacks {len(wrong)} tensors, or they have other shapes "
            f"({', '.join(wrong[:5])}).",
            "Get the file again.",
            input="checkpoint",
        )
    return net


def load_source_filter(
    path: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> SourceFilter:
    """Load a vocoder of ``save_source_filter``. Raises MisoError as ``inspect_source_filter`` does."""
    net = inspect_source_filter(path)
    with open_tensors(path) as file:
        net.load_state_dict(
            {name: file.get_tensor(name).to(device, dtype, copy=True) for name in net.state_dict()},
            assign=True,
        )
    net.window, net.noise = torch.hann_window(_OVERLAP * net.hop, device=device), _noise().to(device)
    return pack(net.eval().requires_grad_(False))
