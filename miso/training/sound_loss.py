"""Losses of generated sound: spectral distance, the listener's distance, and discriminators.

The discriminators take part in the later part of training. The gradient of each loss with respect to the
sound is normalised, as in EnCodec's balancer (Defossez et al. 2022, arXiv 2210.13438, section 3.4).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .discriminator import Discriminators, discriminator_loss, generator_losses
from .listener import Listener
from .run import adamw, autocast, pack_state, set_rate, unpack_state
from .settings import SoundSettings
from .spectral import MelLoss

# shares of the budget in which the discriminators only learn, and in which their weight rises: their first
# gradients are noise, which the balancer would scale up
_LEAD, _RAMP = 0.05, 0.1
_NORMS_DECAY = 0.99  # of the running gradient norms


class SoundLoss:
    """Losses of generated sound, and the training of the discriminators; ``listener`` adds its distance."""

    def __init__(
        self,
        settings: SoundSettings,
        sample_rate: int,
        frame_size: int,
        device: torch.device,
        listener: Listener | None = None,
    ):
        self.settings, self.device, self.frame_size, self.listener = settings, device, frame_size, listener
        critics = Discriminators(settings.windows, settings.disc_filters).to(device)
        self.critics = critics.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in stubs
        self.optimizer = adamw(self.critics.parameters(), settings.disc_rate, settings.betas, 0.01)
        self.mel = MelLoss(sample_rate, settings.scales).to(device)
        # running norms of the gradients of the mel, adversarial and feature losses
        self.norms = torch.zeros(3, device=device)

    def adversarial_share(self, progress: float, rate: float) -> Tensor | None:
        """Share [] of the full weight of the discriminators' losses; None before they take part.

        Also sets their learning rate to the share ``rate`` of its maximum. ``progress`` (0 to 1) is that of
        the budget.
        """
        set_rate(self.optimizer, self.settings.disc_rate * rate)
        elapsed = progress - self.settings.adversarial_from
        if elapsed < 0:
            return None
        return torch.full((), min(1.0, max(0.0, elapsed - _LEAD) / _RAMP), device=self.device)

    def gradient(self, out: Tensor, real: Tensor, share: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradient with respect to the sound ``out`` [B, 1, N] against ``real``, and the losses.

        Also trains the discriminators if their share (see ``adversarial_share``) is given. For CUDA graphs,
        nothing here synchronises with the device, and no size depends on values.
        """
        # a leaf, because gradients are balanced before they propagate further
        sound = out.detach().float().requires_grad_()
        losses = {"mel": self.mel(sound, real)}
        mel = torch.autograd.grad(losses["mel"], sound)[0]
        gradient = mel.clone()
        if self.listener is not None:
            losses["heard"] = self.listener.distance(sound, real)
            heard = torch.autograd.grad(losses["heard"], sound)[0]
            gradient += self.settings.heard * mel.norm() / heard.norm().clamp(min=1e-12) * heard
        if share is not None:
            losses |= self._discriminate(sound, real, mel, gradient, share)
        return gradient.to(out.dtype), losses

    def _discriminate(
        self, sound: Tensor, real: Tensor, mel: Tensor, gradient: Tensor, share: Tensor
    ) -> dict[str, Tensor]:
        """Add the discriminators' gradients to ``gradient`` [B, 1, N], then train the discriminators.

        ``mel`` [B, 1, N] is the gradient of the mel loss, to whose norm the others are scaled.
        """
        c = self.settings
        length, batch = c.disc_frames * self.frame_size, min(c.disc_batch, len(sound))
        first = torch.randint(0, sound.shape[-1] - length + 1, (1,), device=self.device)
        index = first + torch.arange(length, device=self.device)
        fake, true = (w[:batch].detach().index_select(2, index) for w in (sound, real))
        fake.requires_grad_()
        with autocast(self.device):
            real_scores, fake_scores = self.critics(true), self.critics(fake)
        adversarial, features = generator_losses(real_scores, fake_scores)
        grads = [torch.autograd.grad(loss, fake, retain_graph=True)[0] for loss in (adversarial, features)]
        norms = torch.stack([g.norm() for g in (mel[:batch].index_select(2, index), *grads)])
        self.norms.copy_(torch.where(self.norms == 0, norms, self.norms.lerp(norms, 1 - _NORMS_DECAY)))
        scale = share * self.norms[0] / self.norms[1:].clamp(min=1e-12)
        gradient[:batch].index_add_(
            2, index, c.adversarial * scale[0] * grads[0] + c.features * scale[1] * grads[1]
        )
        loss = discriminator_loss(real_scores, fake_scores)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.critics.parameters()))
        self.optimizer.step()
        return {"adversarial": adversarial, "features": features, "critics": loss}

    def pack(self) -> dict[str, Tensor]:
        return {**pack_state("critics", self.critics, self.optimizer), "norms": self.norms}

    def unpack(self, state: dict[str, Tensor]) -> None:
        unpack_state(state, "critics", self.critics, self.optimizer)
        self.norms.copy_(state["norms"])
