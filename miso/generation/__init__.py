"""Generation: the frame loop, the paths that compute a frame, and depth decoding of codes sampled before."""

from .. import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    alignment="Aligned align",
    depth="DepthSampler redecode",
    keys="codes_key",
    loop="Frame FrameLoop",
    paths="pick_path",
)
