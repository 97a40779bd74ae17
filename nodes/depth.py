"""Depth Decoder and Depth Redecode, and the value of a MISO_DEPTH socket."""

from dataclasses import dataclass, replace

from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.codes.hidden import Hidden
from ..miso.generation.depth import DepthSampler, redecode
from ..miso.model.networks import DepthDecoder as DepthNetwork
from ..miso.model.sampling import Sampling
from ..miso.speech import take_seeds
from . import sockets
from .memory import Part, on_device, progress
from .schema import SPEAK, block
from .sockets import name_errors, show_on_node
from .widgets import narrowing_inputs, sampling_inputs, seed_input


@dataclass(frozen=True)
class Depth:
    """The value of a MISO_DEPTH socket: the decoder's weights, and the settings of a Depth Decoder block.

    ``checkpoint`` is the name of its file.
    """

    part: Part
    sampling: Sampling | None = None
    codebooks: int | None = None
    checkpoint: str = ""

    def keys(self, backbone: Part) -> dict[str, str]:
        """Of this decoder and a backbone, what ``codes_key`` needs to know of the weights."""
        return {
            "fingerprint": f"{backbone.fingerprint} {self.part.fingerprint}",
            "precision": f"{backbone.precision} {self.part.precision}",
        }

    def beside(self, fingerprint: str) -> str:
        """Whose decoder it is, for people, if hidden states of this fingerprint are another checkpoint's."""
        return "" if fingerprint == self.part.fingerprint else f"Depth decoder of {self.checkpoint}."

    def sampler(self, decoder: DepthNetwork, default: Sampling) -> DepthSampler:
        codebooks = self.codebooks and min(self.codebooks, decoder.config.codebooks)
        return DepthSampler(decoder, self.sampling or default, codebooks)


class DepthDecoder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoDepthDecoder",
            display_name="Depth Decoder",
            category=SPEAK,
            description="Makes the detail of the sound steadier or livelier than the words, or coarser and "
            "faster with fewer codebooks.",
            inputs=[
                sockets.Depth.Input("depth", tooltip="From Load Miso Model."),
                *sampling_inputs(),
                io.Int.Input(
                    "codebooks",
                    default=32,
                    min=1,
                    max=32,
                    tooltip="Codebooks to make; at most what the model has.",
                ),
                *narrowing_inputs(),
            ],
            outputs=[
                sockets.Depth.Output(
                    "decoder", display_name="depth", tooltip="For Backbone Sampler or Depth Redecode."
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        depth: Depth,
        temperature: float,
        top_k: int,
        codebooks: int,
        top_p: float = 1.0,
        min_p: float = 0.0,
    ):
        sampling = Sampling(temperature, top_k, top_p, min_p)
        return io.NodeOutput(replace(depth, sampling=sampling, codebooks=codebooks))


class DepthRedecode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoDepthRedecode",
            display_name="Depth Redecode",
            category=SPEAK,
            description="Keeps words and rhythm and draws the detail of the sound again, faster than "
            "speaking anew.",
            inputs=[
                sockets.Depth.Input("depth", tooltip="From Load Miso Model, or Depth Decoder."),
                sockets.Hidden.Input(
                    "hidden", tooltip="From the sampler that made the codes, or Hidden States."
                ),
                sockets.Codes.Input("codes", tooltip="Codes of the same run as hidden, not edited."),
                seed_input("The sampler's own seed gives its own codes again."),
                io.Int.Input(
                    "keep",
                    default=1,
                    min=1,
                    max=32,
                    tooltip="Number of codebooks that stay as they are; 1 keeps words and rhythm. Codes that "
                    "have fewer than the model are filled up.",
                ),
                *sampling_inputs(),
                io.Int.Input(
                    "start",
                    default=0,
                    min=0,
                    max=100_000,
                    optional=True,
                    tooltip="Frames before this one stay as they are. Connect the Code Editor's "
                    "redecode_from here.",
                ),
            ],
            outputs=[
                sockets.Codes.Output(
                    "redecoded", display_name="codes", tooltip="The same words with new acoustic detail."
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        depth: Depth,
        hidden: Hidden,
        codes: Codes,
        seed: int,
        keep: int,
        temperature: float,
        top_k: int,
        start: int = 0,
    ):
        if other := depth.beside(hidden.fingerprint):
            show_on_node(other)
        (decoder,) = on_device(depth.part)
        sampler = depth.sampler(decoder, Sampling(temperature, top_k))
        seeds = take_seeds(seed, codes.batch)
        return io.NodeOutput(
            redecode(sampler, hidden, codes, keep=keep, start=start, seeds=seeds, progress=progress())
        )


NODES = [DepthDecoder, DepthRedecode]
