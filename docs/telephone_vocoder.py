"""A vocoder of your own: the sound of another one, as a telephone passes it on.

Copy this file into ComfyUI/custom_nodes, restart ComfyUI, and choose "telephone" in Load Vocoder.
"""

import torch

NODE_CLASS_MAPPINGS: dict = {}  # no blocks of its own; ComfyUI asks for this name


def telephone(miso):
    """``miso`` is the engine. Returns the loader of the backend."""

    class Telephone(miso.vocoders.Vocoder):
        name = "telephone"

        def __init__(self, inner):
            self.inner, self.module = inner, inner.module  # the module holds all weights
            self.codec, self.codebooks, self.codebook_size = inner.codec, inner.codebooks, inner.codebook_size
            self.sample_rate, self.frame_rate, self.frame_size = (
                inner.sample_rate,
                inner.frame_rate,
                inner.frame_size,
            )

        def _decode(self, codes, progress):  # [B, K, T] -> [B, 1, T * frame_size] on the CPU
            wave = self.inner.decode(codes, progress)
            frequencies = torch.fft.rfftfreq(wave.shape[-1], 1 / self.sample_rate)
            passed = (frequencies > 300) & (frequencies < 3400)
            return torch.fft.irfft(torch.fft.rfft(wave) * passed, wave.shape[-1])

    def load(checkpoint, device="cpu", dtype=None):
        return Telephone(miso.vocoders.load_vocoder("auto", checkpoint, device, dtype))

    return load


MISO_VOCODERS = {"telephone": telephone}
