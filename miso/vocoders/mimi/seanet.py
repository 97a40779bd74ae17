"""SEANet, Mimi's causal convolutions between samples and tokens.

The network is by Tagliasacchi et al. 2020 (SEANet) and Defossez et al. 2022 (EnCodec), arXiv 2210.13438, as
configured in Mimi.

Every stateful module is a function ``(x, past) -> (y, past)``; ``past=None`` is the beginning of the sound.
The past is not stored in the module and never modified, so one module serves any number of streams, and a
saved past can be restored.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import MimiConfig

Past = list[Tensor]  # one tensor per convolution, in order
# Up to this many inputs, upsampling is faster as a matrix product: on a CPU 2 ms instead of 31 for 2 tokens,
# 10 instead of 23 for 50.
FEW = 64


class CausalConv1d(nn.Module):
    """A causal convolution: [B, C, T] -> [B, C', T / stride], T a multiple of the stride."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
        replicate: bool = False,
    ):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, dilation=dilation, bias=bias)
        self.reach = (kernel - 1) * dilation + 1 - stride  # earlier inputs that an output depends on
        self.replicate = replicate  # pad the beginning with the first input instead of zeros

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The output, and the last ``reach`` inputs [B, C, reach], the past of the next call."""
        if self.reach:
            if past is None:
                first = x[..., :1] if self.replicate else torch.zeros_like(x[..., :1])
                past = first.expand(-1, -1, self.reach)
            x = torch.cat([past, x], -1)
        # Copy: a view would keep all of x in memory until the next chunk.
        return self.conv(x), x[..., x.shape[-1] - self.reach :].clone()


class CausalConvTranspose1d(nn.Module):
    """A causal upsampling convolution with a kernel of two strides: [B, C, T] -> [B, C', T * stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int = 1, bias: bool = True):
        super().__init__()
        self.convtr = nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride, groups=groups, bias=bias)
        self.stride = stride

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The output, and what the last input adds to the next outputs [B, C', stride]."""
        y = self._as_matmul(x) if x.shape[-1] <= FEW and self.convtr.groups == 1 else self.convtr(x)
        end = x.shape[-1] * self.stride
        y, tail = y[..., :end], y[..., end:]
        if self.convtr.bias is not None:
            tail = tail - self.convtr.bias[:, None]  # the next chunk adds it
        if past is not None:
            y = torch.cat([y[..., : self.stride] + past, y[..., self.stride :]], -1)
        return y, tail.clone()

    def _as_matmul(self, x: Tensor) -> Tensor:
        """``convtr`` as a matrix product [B, C', (T + 1) * stride]: overlapping outputs of two strides."""
        taps = x.transpose(1, 2) @ self.convtr.weight.flatten(1)
        first, second = (
            taps.unflatten(-1, (-1, 2, self.stride)).transpose(1, 2).unbind(-2)
        )  # [B, C', T, stride]
        y = (F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))).flatten(2)
        return y if self.convtr.bias is None else y + self.convtr.bias[:, None]


class ResidualBlock(nn.Module):
    """x plus two narrow convolutions of it: [B, C, T] -> [B, C, T]. Only the first one has a past."""

    def __init__(self, channels: int, config: MimiConfig, dilation: int):
        super().__init__()
        inner = channels // config.compress
        # Activations have places in the list because the published names count them.
        self.block = nn.ModuleList(
            [
                nn.ELU(),
                CausalConv1d(channels, inner, config.residual_kernel, dilation=dilation),
                nn.ELU(),
                CausalConv1d(inner, channels, 1),
            ]
        )

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        activation, first, activation2, second = self.block
        y, past = first(activation(x), past)
        return x + second(activation2(y))[0], past


class _Chain(nn.Module):
    """A sequence of modules, with one past for each that has one."""

    def __init__(self, modules: list[nn.Module]):
        super().__init__()
        self.model = nn.ModuleList(modules)

    def forward(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        pasts = iter(past) if past is not None else None
        new = []
        for module in self.model:
            if isinstance(module, nn.ELU):
                x = module(x)
            else:
                x, tail = module(x, next(pasts) if pasts is not None else None)
                new.append(tail)
        return x, new


def _residuals(channels: int, config: MimiConfig) -> list[nn.Module]:
    return [ResidualBlock(channels, config, config.dilation_base**j) for j in range(config.residual_layers)]


class SEANetEncoder(_Chain):
    """Samples [B, 1, N] -> tokens [B, dim, N / token_size]; N a multiple of token_size."""

    def __init__(self, config: MimiConfig):
        channels = config.filters
        modules: list[nn.Module] = [CausalConv1d(1, channels, config.kernel)]
        for ratio in reversed(config.ratios):
            modules += [
                *_residuals(channels, config),
                nn.ELU(),
                CausalConv1d(channels, 2 * channels, 2 * ratio, stride=ratio),
            ]
            channels *= 2
        super().__init__([*modules, nn.ELU(), CausalConv1d(channels, config.dim, config.last_kernel)])


class SEANetDecoder(_Chain):
    """Tokens [B, dim, T] -> samples [B, 1, T * token_size]."""

    def __init__(self, config: MimiConfig):
        channels = config.filters * 2 ** len(config.ratios)
        modules: list[nn.Module] = [CausalConv1d(config.dim, channels, config.kernel)]
        for ratio in config.ratios:
            modules += [
                nn.ELU(),
                CausalConvTranspose1d(channels, channels // 2, ratio),
                *_residuals(channels // 2, config),
            ]
            channels //= 2
        super().__init__([*modules, nn.ELU(), CausalConv1d(channels, 1, config.last_kernel)])
