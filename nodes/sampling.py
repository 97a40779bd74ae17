"""Depth Decoder, Backbone Sampler and Depth Redecode."""

from collections import Counter
from dataclasses import dataclass

import comfy.model_management as mm
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context

from ..miso.generation.depth import DepthSampler, redecode
from ..miso.generation.keys import codes_key
from ..miso.generation.loop import FrameLoop
from ..miso.model.sampling import Sampling
from ..miso.speech import frames_for, take_seeds
from . import sockets
from .memory import Part, on_device, progress
from .preview import Preview, send_kept, stream_for
from .sockets import CATEGORY, name_errors
from .store import store

SEED_MAX = 2**63 - 1
_interruptions: Counter[str] = Counter()  # by node id


@dataclass(frozen=True)
class Depth:
    """What goes through a MISO_DEPTH socket: the decoder's weights, and its own settings where a block gave it some."""

    part: Part
    sampling: Sampling | None = None
    codebooks: int | None = None

    def sampler(self, decoder, otherwise: Sampling) -> DepthSampler:
        codebooks = self.codebooks and min(self.codebooks, decoder.config.codebooks)
        return DepthSampler(decoder, self.sampling or otherwise, codebooks)


def _sampling_inputs() -> list:
    return [
        io.Float.Input(
            "temperature",
            default=0.9,
            min=0.0,
            max=5.0,
            step=0.01,
            tooltip="0 is greedy. Lower is steadier, higher livelier.",
        ),
        io.Int.Input(
            "top_k",
            default=50,
            min=0,
            max=4096,
            tooltip="How many of the likeliest codes to choose among; 0 for all.",
        ),
    ]


class DepthDecoder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoDepthDecoder",
            display_name="Depth Decoder",
            category=CATEGORY,
            description="Gives the depth decoder its own sampling, or fewer codebooks: faster and coarser.",
            inputs=[
                sockets.Depth.Input("depth"),
                *_sampling_inputs(),
                io.Int.Input(
                    "codebooks",
                    default=32,
                    min=1,
                    max=32,
                    tooltip="Codebooks to make; at most what the model has.",
                ),
            ],
            outputs=[sockets.Depth.Output("decoder", display_name="depth")],
        )

    @classmethod
    @name_errors
    def execute(cls, depth: Depth, temperature: float, top_k: int, codebooks: int):
        return io.NodeOutput(Depth(depth.part, Sampling(temperature, top_k), codebooks))


class BackboneSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoBackboneSampler",
            display_name="Backbone Sampler",
            category=CATEGORY,
            not_idempotent=True,  # two alike would share one result, and the second show nothing: it finds its codes in the store instead
            description="Samples codes frame by frame: the backbone draws codebook 0, the depth decoder the others. "
            "Interrupt it, and what was made so far goes on to the blocks after it.",
            inputs=[
                sockets.Backbone.Input("backbone"),
                sockets.Depth.Input("depth"),
                sockets.Conditioning.Input("conditioning"),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=SEED_MAX,
                    control_after_generate=True,
                    tooltip="The same seed gives the same take.",
                ),
                io.Int.Input(
                    "takes",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Alternatives at once, with the seeds seed, seed + 1, ...",
                ),
                io.Float.Input(
                    "max_seconds",
                    default=30.0,
                    min=0.08,
                    max=163.0,
                    step=0.08,
                    tooltip="Limit of each take; speech ends by itself before.",
                ),
                *_sampling_inputs(),
                io.Boolean.Input(
                    "keep",
                    default=True,
                    optional=True,
                    tooltip="Keep the codes on disk, and use kept ones: what was sampled before, even before a restart, "
                    "loads no model.",
                ),
                sockets.Codes.Input("prefix", optional=True, tooltip="A beginning to continue: one take."),
                sockets.Vocoder.Input(
                    "preview",
                    optional=True,
                    tooltip="A vocoder that streams, such as mimi: see and hear the first take while it is made.",
                ),
            ],
            outputs=[
                sockets.Codes.Output("codes", display_name="codes"),
                sockets.Hidden.Output("hidden", display_name="hidden", tooltip="For Depth Redecode."),
            ],
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        backbone: Part,
        depth: Depth,
        conditioning,
        seed: int,
        takes: int,
        max_seconds: float,
        temperature: float,
        top_k: int,
        keep: bool = True,
        prefix=None,
        preview: Part | None = None,
    ):
        config, sampling = conditioning.encoder.config, Sampling(temperature, top_k)
        frames, seeds = frames_for(max_seconds, config.frame_rate), take_seeds(seed, takes)
        room = frames + (prefix.frames if prefix is not None else 0)
        prompt = conditioning.prompt(room)
        key = codes_key(
            fingerprint=f"{backbone.fingerprint} {depth.part.fingerprint}",
            precision=f"{backbone.precision} {depth.part.precision}",
            prompt=prompt,
            sampling=sampling,
            depth_sampling=depth.sampling or sampling,
            seeds=seeds,
            max_frames=frames,
            codebooks=depth.codebooks or config.codebooks,
            prefix=prefix,
        )
        if keep and (found := store().get(key)) and found[1] is not None:
            send_kept(found[0], prefix.frames if prefix is not None else 0, frames, preview)
            return io.NodeOutput(*found, ui={"miso_kept": (True,)})
        stack, rows = config.backbone, len(prompt.rows) + room
        cache_bytes = (
            2 * 2 * takes * rows * stack.layers * stack.kv_heads * stack.head_dim
        )  # keys and values of 2 bytes
        model, decoder, *vocoder = on_device(
            backbone, depth.part, *([preview] if preview else []), memory=cache_bytes
        )
        loop = FrameLoop(
            model,
            depth.sampler(decoder, sampling),
            prompt,
            seeds=seeds,
            max_frames=frames,
            sampling=sampling,
            prefix=prefix,
            keep_hidden=True,
        )
        stream = (
            stream_for(*vocoder, config.codec, config.frame_rate, loop.depth.codebooks) if vocoder else None
        )
        report, live = progress(), Preview(loop.first, frames, config.frame_rate, stream, prefix)
        try:
            report(0, frames)
            for frame in loop:
                live.frame(frame)
                report(frame.index - loop.first + 1, frames)
        except mm.InterruptProcessingException:
            # ComfyUI forgets the interrupt as it raises it, so the blocks after this one run, on what there is
            _interruptions[get_executing_context().node_id] += 1
            if loop.codes.frames == loop.first:
                raise
        codes, hidden = loop.codes, loop.hidden
        live.end(codes)
        if keep:
            store().put(key, codes, hidden)
        return io.NodeOutput(codes, hidden, ui={"miso_kept": (False,)})

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        """What an interrupted run gave isn't what its inputs stand for: the next run samples again."""
        return _interruptions[get_executing_context().node_id]


class DepthRedecode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="MisoDepthRedecode",
            display_name="Depth Redecode",
            category=CATEGORY,
            description="Draws the acoustic codebooks of all frames again. The backbone isn't needed: words and rhythm stay, sound detail changes.",
            inputs=[
                sockets.Depth.Input("depth"),
                sockets.Hidden.Input("hidden"),
                sockets.Codes.Input("codes", tooltip="Of the same run as hidden, unedited."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=SEED_MAX,
                    control_after_generate=True,
                    tooltip="The run's own seed gives its own codes again.",
                ),
                io.Int.Input(
                    "keep",
                    default=1,
                    min=1,
                    max=32,
                    tooltip="How many codebooks stay as they are; 1 keeps the words and the rhythm.",
                ),
                *_sampling_inputs(),
                io.Int.Input(
                    "start",
                    default=0,
                    min=0,
                    max=100_000,
                    optional=True,
                    tooltip="Frames before this one stay as they are; the Code Editor's redecode_from fits.",
                ),
            ],
            outputs=[sockets.Codes.Output("redecoded", display_name="codes")],
        )

    @classmethod
    @name_errors
    def execute(
        cls, depth: Depth, hidden, codes, seed: int, keep: int, temperature: float, top_k: int, start: int = 0
    ):
        (decoder,) = on_device(depth.part)
        sampler = depth.sampler(decoder, Sampling(temperature, top_k))
        return io.NodeOutput(
            redecode(
                sampler,
                hidden,
                codes,
                keep=keep,
                start=start,
                seeds=take_seeds(seed, codes.batch),
                progress=progress(),
            )
        )


NODES = [DepthDecoder, BackboneSampler, DepthRedecode]
