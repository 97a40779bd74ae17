"""Vocoders turn codes into a waveform; a codec is a vocoder that also encodes.

vocoder = load_vocoder("auto", "mimi.safetensors", device="cuda")
wave, samples = decode_codes(vocoder, codes)  # [B, 1, N] and the number of samples of each take
stream = vocoder.stream(); stream.push(frame); stream.flush()
"""

from .. import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    decode="Decoded decode_codes",
    encode="encode_codes",
    registry="DEFAULT list_backends load_vocoder register",
    silence="coded_silence",
    vocoder="Stream Vocoder check_codes",
)
