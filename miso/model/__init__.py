"""The two networks of a CSM-family model, their sizes, and how codes are drawn from logits."""

from .. import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    config="PRESETS ModelConfig StackConfig",
    networks="Backbone DepthDecoder",
    sampling="Sampling",
)
