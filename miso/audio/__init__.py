"""Waveforms: sound files, resampling, pitch, and how audible a join between two pieces of speech is."""

from .. import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    check="as_wave remarks",
    files="read_audio write_audio",
    resampling="resample",
)
