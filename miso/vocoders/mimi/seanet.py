"""SEANet, Mimi's convolutions between samples and tokens, causal and with their past handed in and out.

The network is that of Tagliasacchi et al. 2020 (SEANet) and Defossez et al. 2022 (EnCodec), arXiv 2210.13438, as Mimi sets it up.

Every stateful module here is a function ``(x, past) -> (y, past)``. ``past=None`` is the beginning of the sound. The past is
never kept in the module and never written to, so one module serves any number of streams, and an old past can be gone back to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import MimiConfig

Past = list[Tensor]  # one tensor for each convolution, in order
FEW = 64  # inputs up to which upsampling is faster as a matrix product: on a CPU 2 ms for 31 at 2 tokens, 10 for 23 at 50


class CausalConv1d(nn.Module):
    """A convolution that sees nothing later than its output: [B, C, T] -> [B, C', T / stride], T a multiple of the stride."""

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
        self.reach = (kernel - 1) * dilation + 1 - stride  # earlier inputs that an output still sees
        self.replicate = replicate  # before the beginning: the first input again instead of zeros

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The output, and the last ``reach`` inputs [B, C, reach] as the next call's past."""
        if self.reach:
            if past is None:
                past = (
                    x[..., :1].expand(-1, -1, self.reach)
                    if self.replicate
                    else x.new_zeros(*x.shape[:2], self.reach)
                )
            x = torch.cat([past, x], -1)
        # a copy: a view would keep all of x alive until the next chunk
        return self.conv(x), x[..., x.shape[-1] - self.reach :].clone()


class CausalConvTranspose1d(nn.Module):
    """An upsampling convolution that sees nothing later: [B, C, T] -> [B, C', T * stride]. Its kernel is two strides long."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int = 1, bias: bool = True):
        super().__init__()
        self.convtr = nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride, groups=groups, bias=bias)
        self.stride = stride

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The output, and what the last input adds to the outputs that come next [B, C', stride]."""
        y = self._as_matmul(x) if x.shape[-1] <= FEW and self.convtr.groups == 1 else self.convtr(x)
        end = x.shape[-1] * self.stride
        y, tail = y[..., :end], y[..., end:]
        if self.convtr.bias is not None:
            tail = tail - self.convtr.bias[:, None]  # the next chunk's own bias covers these samples
        if past is not None:
            y = torch.cat([y[..., : self.stride] + past, y[..., self.stride :]], -1)
        return y, tail.clone()

    def _as_matmul(self, x: Tensor) -> Tensor:
        """The same [B, C', (T + 1) * stride]: each input's two strides of output by one matrix, then added where they overlap."""
        taps = (
            (x.transpose(1, 2) @ self.convtr.weight.flatten(1))
            .unflatten(-1, (-1, 2, self.stride))
            .transpose(1, 2)
        )
        y = F.pad(taps[..., 0, :], (0, 0, 0, 1)) + F.pad(
            taps[..., 1, :], (0, 0, 1, 0)
        )  # [B, C', T + 1, stride]
        y = y.flatten(2)
        return y if self.convtr.bias is None else y + self.convtr.bias[:, None]


class ResidualBlock(nn.Module):
    """x + narrow convolutions of x: [B, C, T] -> [B, C, T]. Only the first of the two looks back."""

    def __init__(self, channels: int, config: MimiConfig, dilation: int):
        super().__init__()
        inner = channels // config.compress
        # the published names count the activations, so they have places here
        self.block = nn.ModuleList(
            [
                nn.ELU(),
                CausalConv1d(channels, inner, config.residual_kernel, dilation=dilation),
                nn.ELU(),
                CausalConv1d(inner, channels, 1),
            ]
        )

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        before, widen, after, narrow = self.block
        y, past = widen(before(x), past)
        return x + narrow(after(y))[0], past


class _Chain(nn.Module):
    """Modules one after the other, with one past for each that keeps one."""

    def __init__(self, modules: list[nn.Module]):
        super().__init__()
        self.model = nn.ModuleList(modules)

    def forward(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        old = iter(past) if past is not None else None
        new = []
        for module in self.model:
            if isinstance(module, nn.ELU):
                x = module(x)
            else:
                x, tail = module(x, next(old) if old is not None else None)
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
