"""The networks of checkpoints as parts of ComfyUI's: the values of backbone sockets, and in depth sockets."""

from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch

from ..miso.checkpoints.devices import Precision
from ..miso.checkpoints.fit import network_bytes
from ..miso.checkpoints.lora import AdaptedCheckpoint, Adapters, adapted_fingerprint
from ..miso.checkpoints.summary import CheckpointSummary
from ..miso.model.networks import Backbone, DepthDecoder
from ..miso.progress import Progress
from .memory import Part


@dataclass(frozen=True, eq=False)
class Source:
    """What a network is loaded from. ``on_cpu`` layers of it stay in the CPU's memory."""

    network: type[Backbone] | type[DepthDecoder]
    summary: CheckpointSummary
    precision: Precision
    on_cpu: int = 0
    adapters: Adapters = ()

    @property
    def fingerprint(self) -> str:
        return adapted_fingerprint(self.summary.fingerprint, self.adapters, self.network)

    def load(self, progress: Progress, device: torch.device) -> Backbone | DepthDecoder:
        checkpoint = self.summary.checkpoint
        if self.adapters:
            checkpoint = AdaptedCheckpoint(checkpoint, self.adapters)
        if self.network is Backbone:
            return checkpoint.load_backbone(device, self.precision, progress, self.on_cpu)
        return checkpoint.load_depth(device, self.precision, progress)

    def size(self) -> int:
        return network_bytes(self.network, self.summary.config, self.precision, self.on_cpu)


class NetworkPart(Part):
    """A network, loaded when it is first used. ``source`` says from what."""

    def __init__(self, source: Source):
        super().__init__(
            source.load,
            size=source.size,
            fingerprint=source.fingerprint,
            precision=str(source.precision),
        )
        self.source = source


# Parts that are in use, by what they were loaded from: two loaders of one checkpoint share its weights.
_parts: WeakValueDictionary[tuple, NetworkPart] = WeakValueDictionary()


def network_part(source: Source) -> NetworkPart:
    """The network as a part; the same one for all that ask for it while it is in use."""
    key = source.network, source.summary.path, source.fingerprint, source.precision, source.on_cpu
    part = _parts.get(key)
    if part is None:
        part = _parts[key] = NetworkPart(source)
    return part
