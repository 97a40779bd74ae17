"""How far a sound is from the true one: spectral distance, and critics that are taught beside it.

Critics join the spectral distance once it has done most of its work. Each loss's gradient at the sound is weighed by its norm, as
EnCodec's balancer does (Defossez et al. 2022, arXiv 2210.13438, section 3.4).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .discriminator import Critics, codec_losses, critics_loss
from .presets import SoundSettings
from .run import adamw, autocast, pack_state, set_rate, unpack_state
from .spectral import MelLoss

_LEAD, _RAMP = 0.05, 0.1  # of the budget: how long the critics only learn, and then how long their weight takes to its full height:
# untaught ones are noise, and with gradients scaled to that of the mel loss it would be loud
_NORMS = 0.99  # decay of the running gradient norms


class Sounding:
    """The losses of whatever makes sound in frames of ``frame_size`` samples."""

    def __init__(self, settings: SoundSettings, sample_rate: int, frame_size: int, device: torch.device):
        self.settings, self.device, self.frame_size = settings, device, frame_size
        self.critics = Critics(settings.windows, settings.disc_filters).to(device, memory_format=torch.channels_last)
        self.optimizer = adamw(self.critics.parameters(), settings.disc_rate, settings.betas, 0.01)
        self.mel = MelLoss(sample_rate, settings.scales).to(device)
        self.norms = torch.zeros(3, device=device)  # running gradient norms at the sound: mel, adversarial, features

    def gradient(self, out: Tensor, real: Tensor, progress: float, rate: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradient at the sound ``out`` [B, 1, N] against ``real``, and the losses; teaches the critics, at ``rate`` of their top
        learning rate, once ``progress`` (0 to 1) is far enough."""
        c, losses = self.settings, {}
        sound = out.detach().float().requires_grad_()  # a leaf: gradients are weighed against each other before they go on
        losses["mel"] = self.mel(sound, real)
        gradient = torch.autograd.grad(losses["mel"], sound)[0]
        if progress >= c.adversarial_from:
            ramp = min(1.0, max(0.0, progress - c.adversarial_from - _LEAD) / _RAMP)
            losses |= self._criticise(sound, real, gradient, ramp, rate)
        return gradient.to(out.dtype), losses

    def _criticise(self, sound: Tensor, real: Tensor, gradient: Tensor, ramp: float, rate: float) -> dict[str, Tensor]:
        """Add the critics' gradients to ``gradient`` [B, 1, N] in place, each with its share of the mel loss's norm; then teach the critics."""
        c = self.settings
        length = c.disc_frames * self.frame_size
        first = int(torch.randint(0, sound.shape[-1] - length + 1, ()))
        part = (slice(0, c.disc_batch), slice(None), slice(first, first + length))
        fake = sound[part].detach().requires_grad_()
        with autocast(self.device):
            judged_real, judged_fake = self.critics(real[part]), self.critics(fake)
        adversarial, features = codec_losses(judged_real, judged_fake)
        grads = [torch.autograd.grad(loss, fake, retain_graph=True)[0] for loss in (adversarial, features)]
        norms = torch.stack([g.norm() for g in (gradient[part], *grads)])
        self.norms = torch.where(self.norms == 0, norms, self.norms.lerp(norms, 1 - _NORMS))
        shares = ramp * torch.tensor([c.adversarial, c.features], device=self.device) * self.norms[0] / self.norms[1:].clamp(min=1e-12)
        gradient[part] += shares[0] * grads[0] + shares[1] * grads[1]
        loss = critics_loss(judged_real, judged_fake)
        set_rate(self.optimizer, c.disc_rate * rate)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.critics.parameters()))
        self.optimizer.step()
        return {"adversarial": adversarial, "features": features, "critics": loss}

    def pack(self) -> dict[str, Tensor]:
        return {**pack_state("critics", self.critics, self.optimizer), "norms": self.norms}

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "critics", self.critics, self.optimizer)
        self.norms = state["norms"].to(self.device)
