"""How far a sound is from the true one: spectral distance, how differently it is understood, and critics that are taught beside it.

Critics join the others once those have done most of their work. Each loss's gradient at the sound is weighed by its norm, as
EnCodec's balancer does (Defossez et al. 2022, arXiv 2210.13438, section 3.4).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .discriminator import Critics, codec_losses, critics_loss
from .listener import Listener
from .presets import SoundSettings
from .run import adamw, autocast, pack_state, set_rate, unpack_state
from .spectral import MelLoss

_LEAD, _RAMP = (
    0.05,
    0.1,
)  # of the budget: how long the critics only learn, and then how long their weight takes to its full height:
# untaught ones are noise, and with gradients scaled to that of the mel loss it would be loud
_NORMS = 0.99  # decay of the running gradient norms


class Sounding:
    """The losses of whatever makes sound in frames of ``frame_size`` samples; with a ``listener``, that of being understood among them."""

    def __init__(
        self,
        settings: SoundSettings,
        sample_rate: int,
        frame_size: int,
        device: torch.device,
        listener: Listener | None = None,
    ):
        self.settings, self.device, self.frame_size, self.listener = settings, device, frame_size, listener
        self.critics = Critics(settings.windows, settings.disc_filters).to(
            device, memory_format=torch.channels_last
        )
        self.optimizer = adamw(self.critics.parameters(), settings.disc_rate, settings.betas, 0.01)
        self.mel = MelLoss(sample_rate, settings.scales).to(device)
        self.norms = torch.zeros(
            3, device=device
        )  # running gradient norms at the sound: mel, adversarial, features

    def begin(self, progress: float, rate: float) -> Tensor | None:
        """Before a step, at ``progress`` (0 to 1) of the budget: the critics' weight [] as a share of its full height, None where they don't take
        part yet. They learn at ``rate`` of their top learning rate."""
        set_rate(self.optimizer, self.settings.disc_rate * rate)
        begun = progress - self.settings.adversarial_from
        return (
            None
            if begun < 0
            else torch.full((), min(1.0, max(0.0, begun - _LEAD) / _RAMP), device=self.device)
        )

    def gradient(self, out: Tensor, real: Tensor, share: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradient at the sound ``out`` [B, 1, N] against ``real``, and the losses; teaches the critics too where ``share``, their
        weight [], is given. Nothing here waits for the device, and no size depends on values, so that a CUDA graph can hold it."""
        sound = (
            out.detach().float().requires_grad_()
        )  # a leaf: gradients are weighed against each other before they go on
        losses = {"mel": self.mel(sound, real)}
        mel = torch.autograd.grad(losses["mel"], sound)[0]
        gradient = mel.clone()
        if self.listener is not None:
            losses["heard"] = self.listener.distance(sound, real)
            heard = torch.autograd.grad(losses["heard"], sound)[0]
            gradient += self.settings.heard * mel.norm() / heard.norm().clamp(min=1e-12) * heard
        if share is not None:
            losses |= self._criticise(sound, real, mel, gradient, share)
        return gradient.to(out.dtype), losses

    def _criticise(
        self, sound: Tensor, real: Tensor, mel: Tensor, gradient: Tensor, share: Tensor
    ) -> dict[str, Tensor]:
        """Add the critics' gradients to ``gradient`` [B, 1, N] in place, each with its share of the ``mel`` loss's norm; then teach the critics."""
        c = self.settings
        length, batch = c.disc_frames * self.frame_size, min(c.disc_batch, len(sound))
        first = torch.randint(0, sound.shape[-1] - length + 1, (1,), device=self.device)
        index = first + torch.arange(length, device=self.device)
        fake, true = (w[:batch].detach().index_select(2, index) for w in (sound, real))
        fake.requires_grad_()
        with autocast(self.device):
            judged_real, judged_fake = self.critics(true), self.critics(fake)
        adversarial, features = codec_losses(judged_real, judged_fake)
        grads = [torch.autograd.grad(loss, fake, retain_graph=True)[0] for loss in (adversarial, features)]
        norms = torch.stack([g.norm() for g in (mel[:batch].index_select(2, index), *grads)])
        self.norms.copy_(torch.where(self.norms == 0, norms, self.norms.lerp(norms, 1 - _NORMS)))
        scale = share * self.norms[0] / self.norms[1:].clamp(min=1e-12)
        gradient[:batch].index_add_(
            2, index, c.adversarial * scale[0] * grads[0] + c.features * scale[1] * grads[1]
        )
        loss = critics_loss(judged_real, judged_fake)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.critics.parameters()))
        self.optimizer.step()
        return {"adversarial": adversarial, "features": features, "critics": loss}

    def pack(self) -> dict[str, Tensor]:
        return {**pack_state("critics", self.critics, self.optimizer), "norms": self.norms}

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "critics", self.critics, self.optimizer)
        self.norms.copy_(state["norms"])
