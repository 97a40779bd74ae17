"""A vocoder that draws spectra: codes to sound at the rate of a spectrogram's hops, where a codec computes at that of samples.

Vocos (Siuzdak 2023, arXiv 2306.00814): ConvNeXt blocks, then magnitude and phase of every bin, then the inverse short-time Fourier
transform. Here it begins with a codec's own tables, and is causal but for one hop, so that it streams. It is several times cheaper than
the codec's decoder and, trained as long, sounds better.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import MisoError
from .files import open_tensors, read_header, write_tensors
from .mimi.config import MimiConfig
from .mimi.quantizer import SplitQuantizer

FORMAT = "miso.istft-vocoder/1"
_OVERLAP = 4  # windows that a sample lies in


@dataclass(frozen=True)
class IstftConfig:
    """Sizes, beside those of the codec (``MimiConfig``) whose codes it takes."""

    width: int = 384
    inner: int = 1024  # of a block's two linear layers
    frame_blocks: int = 2  # at the frame rate
    hop_blocks: int = 6  # at the hop rate
    hops: int = 8  # a frame


class IstftState(NamedTuple):
    """What decoding remembers of one stream; immutable."""

    pasts: tuple[Tensor, ...]  # what each block's convolution has yet to see again [B, width, reach]
    sums: Tensor  # [B, 3, hop]: of the hops that windows to come will add to
    begun: bool = False  # whether the hop before the first has been dropped


class Istft(nn.Module):
    """Codes [B, K, T] -> samples [B, 1, T * frame_size]."""

    def __init__(self, codec: MimiConfig, config: IstftConfig = IstftConfig(), codec_id: str = ""):
        super().__init__()
        self.codec, self.config, self.codec_id = codec, config, codec_id
        self.hop = codec.frame_size // config.hops
        width, inner, window = config.width, config.inner, _OVERLAP * self.hop
        self.quantizer = SplitQuantizer(codec, False)
        self.widen = nn.Linear(codec.dim, width)
        self.frame_blocks = nn.ModuleList(Block(width, inner, 3) for _ in range(config.frame_blocks))
        self.spread = nn.Linear(width, config.hops * width)
        self.hop_blocks = nn.ModuleList(Block(width, inner, 7) for _ in range(config.hop_blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, window + 2)  # log magnitude and phase of window / 2 + 1 bins
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    @property
    def look_ahead(self) -> int:
        """Samples that wait for the next frame: the first quarter of its first window lies on them."""
        return self.hop

    def start(self, batch: int) -> IstftState:
        """The state before the first frame, in the weights' dtype and on their device."""
        like = self.widen.weight
        pasts = tuple(like.new_zeros(batch, self.config.width, block.reach) for block in (*self.frame_blocks, *self.hop_blocks))
        return IstftState(pasts, like.new_zeros(batch, _OVERLAP - 1, self.hop, dtype=torch.float32))

    def forward(self, codes: Tensor) -> Tensor:
        """Samples [B, 1, T * frame_size] of whole codes [B, K, T], differentiable."""
        wave, state = self.step(codes, self.start(len(codes)))
        return torch.cat((wave, self.rest(state)), 2)

    def step(self, codes: Tensor, state: IstftState) -> tuple[Tensor, IstftState]:
        """The samples [B, 1, n] that further frames [B, K, t] settle: all but the last ``look_ahead`` of those there are."""
        pasts, left = [], iter(state.pasts)
        x = self.widen(self.quantizer.decode(codes).transpose(1, 2).to(self.widen.weight.dtype))
        for block in self.frame_blocks:
            x, past = block(x, next(left))
            pasts.append(past)
        x = self.spread(x).unflatten(2, (self.config.hops, -1)).flatten(1, 2)  # [B, hops, width]
        for block in self.hop_blocks:
            x, past = block(x, next(left))
            pasts.append(past)
        windows = self._windows(self.head(self.norm(x)))
        # hop n is the sum of the first quarter of window n, the second of window n - 1, ...
        summed = sum(F.pad(windows[:, :, i], (0, 0, i, _OVERLAP - 1 - i)) for i in range(_OVERLAP))  # [B, hops + 3, hop]
        summed = torch.cat((summed[:, :_OVERLAP - 1] + state.sums, summed[:, _OVERLAP - 1:]), 1)
        done = summed[:, 0 if state.begun else 1:windows.shape[1]]  # a window begins a hop before its own
        return done.flatten(1)[:, None], IstftState(tuple(pasts), summed[:, windows.shape[1]:], True)

    def rest(self, state: IstftState) -> Tensor:
        """The last ``look_ahead`` samples [B, 1, hop]."""
        return state.sums[:, :1]

    def _windows(self, x: Tensor) -> Tensor:
        """Windows [B, N, 4, hop] of what the head gives [B, N, window + 2]."""
        magnitude, phase = x.float().chunk(2, -1)
        spectrum = torch.polar(magnitude.clamp(max=7).exp(), phase)
        # squared Hann windows at a quarter's distance add up to 1.5
        return (torch.fft.irfft(spectrum, _OVERLAP * self.hop) * self.window / 1.5).unflatten(2, (_OVERLAP, -1))


class Block(nn.Module):
    """ConvNeXt's (Liu et al. 2022, arXiv 2201.03545), in time and causal: x + scale * linear(gelu(linear(norm(depthwise convolution))))."""

    def __init__(self, width: int, inner: int, kernel: int):
        super().__init__()
        self.reach = kernel - 1
        self.mix = nn.Conv1d(width, width, kernel, groups=width)
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, inner), nn.Linear(inner, width)
        self.scale = nn.Parameter(torch.full((width,), 0.2))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, N, width] after what came before it [B, width, reach]; the same, and what comes before the next."""
        seen = torch.cat((past.to(x.dtype), x.transpose(1, 2)), 2)
        y = self.norm(self.mix(seen).transpose(1, 2))
        return x + self.scale * self.down(F.gelu(self.up(y))), seen[:, :, -self.reach:]


def save_istft(path: str | os.PathLike, net: Istft, dtype: torch.dtype | None = None) -> None:
    about = {"format": FORMAT, "codec": net.codec_id, "mimi": net.codec.to_json(), "config": json.dumps(asdict(net.config))}
    write_tensors(path, {n: t.detach().to("cpu", dtype).contiguous() for n, t in net.state_dict().items()}, about)


def is_istft(path: str | os.PathLike) -> bool:
    """Whether a safetensors file holds such a vocoder. Raises MisoError for what is no safetensors file."""
    return read_header(path)[0].get("format") == FORMAT


def inspect_istft(path: str | os.PathLike) -> Istft:
    """What a file holds, as a network without weights. Raises MisoError for any file that ``save_istft`` didn't write."""
    metadata, entries = read_header(path)
    if metadata.get("format") != FORMAT:
        raise MisoError(f"{os.path.basename(path)} holds no ISTFT vocoder.", "Choose a file made for this backend, or the backend 'auto'.",
                        input="checkpoint")
    try:
        with torch.device("meta"):
            net = Istft(MimiConfig.from_json(metadata["mimi"]), IstftConfig(**json.loads(metadata["config"])), metadata["codec"])
    except (KeyError, TypeError, ValueError) as e:
        raise MisoError(f"The sizes in {os.path.basename(path)} can't be read ({e}).", "Get it again.", input="checkpoint") from e
    wrong = [n for n, t in net.state_dict().items() if n not in entries or entries[n].shape != tuple(t.shape)]
    if wrong:
        raise MisoError(f"{os.path.basename(path)} lacks {len(wrong)} tensors of its sizes, or has others ({', '.join(wrong[:5])}).",
                        "Get it again.", input="checkpoint")
    return net


def load_istft(path: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Istft:
    """Raises MisoError as ``inspect_istft`` does."""
    net = inspect_istft(path)
    with open_tensors(path) as file:
        net.load_state_dict({name: file.get_tensor(name).to(device, dtype, copy=True) for name in net.state_dict()}, assign=True)
    net.window = torch.hann_window(_OVERLAP * net.hop, device=device)
    return net.eval().requires_grad_(False)
