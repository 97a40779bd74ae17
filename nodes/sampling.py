"""Backbone Sampler, and its run as other blocks use it."""

from typing import Any, NamedTuple

import comfy.model_management as mm
from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.codes.hidden import Hidden
from ..miso.generation.alignment import with_words
from ..miso.generation.attention import pass_bytes
from ..miso.generation.keys import codes_key
from ..miso.generation.loop import FrameLoop
from ..miso.generation.paths import PATHS
from ..miso.generation.runaway import STILL, RunawayWatch
from ..miso.model.sampling import Sampling
from ..miso.speech import frames_for, take_seeds
from ..miso.text.conditioning import Conditioning
from ..miso.text.words import spelled_words
from . import sockets
from .depth import Depth
from .memory import Part, on_device, progress, run_bytes
from .preview import Preview, send_kept, stream_for
from .schema import ADVANCED, SPEAK, block
from .sockets import name_errors, show_on_node
from .stops import count_stop, stops
from .store import store
from .widgets import longest_input, narrowing_inputs, sampling_inputs, seed_input, speaking_inputs

_LONGEST = 30.0  # seconds of a take whose words are found


class Sampled(NamedTuple):
    """What a run of the sampler made, and what the page shows of it."""

    codes: Codes
    hidden: Hidden
    ui: dict
    stopped: bool  # by a person, who wants what was made so far


def sample(
    *,
    backbone: Part,
    depth: Depth,
    conditioning: Conditioning,
    seed: int,
    takes: int,
    max_seconds: float,
    temperature: float,
    top_k: int,
    keep: bool = True,
    prefix: Codes | None = None,
    preview: Part | None = None,
    use_partial: bool = False,
    path: str = "auto",
    top_p: float = 1.0,
    min_p: float = 0.0,
    min_seconds: float = 0.0,
    repetition_penalty: float = 1.0,
    words: bool = True,
) -> Sampled:
    """Sample takes with progress and a live preview, or find them among the kept ones.

    With ``words``, one take comes with the places of its words. A take that gets no further in its text is
    ended. A run that was stopped ends here unless ``use_partial`` is set and it has made something.
    """
    encoder, sampling = conditioning.encoder, Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    config = encoder.config
    frames, seeds = frames_for(max_seconds, config.frame_rate), take_seeds(seed, takes)
    least = frames_for(min_seconds, config.frame_rate) if min_seconds else 0
    prefix_frames = 0 if prefix is None else prefix.frames
    prompt = conditioning.prompt(prefix_frames + frames, prefix_frames)
    key = codes_key(
        **depth.keys(backbone),
        prompt=prompt,
        sampling=sampling,
        depth_sampling=depth.sampling or sampling,
        seeds=seeds,
        max_frames=frames,
        codebooks=depth.codebooks or config.codebooks,
        prefix=prefix,
        min_frames=least,
    )
    rows = len(prompt.rows) + prefix_frames + frames
    line_rows = rows - max(prompt.history, default=0)
    if keep and (found := store().get(key)) and (hidden := found[1]) is not None:
        codes = found[0]
        if words and _lacks_words(codes, conditioning):  # kept by a run without them
            [model] = on_device(backbone, memory=pass_bytes(config, line_rows))
            codes = with_words(model, encoder, codes)
            store().put(key, codes, hidden)
        shown = send_kept(codes, prefix_frames, frames, preview)
        return Sampled(codes, hidden, {"miso_kept": (True,), **shown}, False)

    vocoders = [] if preview is None else [preview]
    memory = run_bytes(backbone, config, takes, rows) + pass_bytes(config, line_rows)
    model, decoder, *vocoder = on_device(backbone, depth.part, *vocoders, memory=memory)
    loop = FrameLoop(
        model,
        depth.sampler(decoder, sampling),
        prompt,
        seeds=seeds,
        max_frames=frames,
        sampling=sampling,
        prefix=prefix,
        keep_hidden=True,
        path=path,
        min_frames=least,
    )
    lines = [depth.beside(backbone.fingerprint)]
    lines += [f"Path {loop.path}: {loop.because}."] if loop.device.type != "cpu" else []
    if said := " ".join(filter(None, lines)):
        show_on_node(said)
    stream = (
        stream_for(vocoder[0], config.codec, config.frame_rate, loop.depth.codebooks) if vocoder else None
    )
    watch = RunawayWatch(loop, encoder)
    report, live = progress(), Preview(loop.first, frames, config.frame_rate, stream, prefix)
    stopped = False
    try:
        report(0, frames)
        for frame in loop:
            live.frame(frame)
            report(frame.index - loop.first + 1, frames)
            for take in watch.frame(frame):
                lines.append(_ran_on(take, frame.index / config.frame_rate))
                show_on_node(" ".join(filter(None, lines)))
    except mm.InterruptProcessingException:
        # ComfyUI clears the interrupt when it raises it: only raising it again ends the run.
        count_stop()
        if loop.codes.frames == loop.first:
            raise
        if not use_partial:
            live.end(loop.codes)
            raise
        stopped = True
    codes, hidden = loop.codes, loop.hidden
    if words and _worth_words(codes):
        codes = with_words(model, encoder, codes)
    shown = live.end(codes)
    if keep:
        store().put(key, codes, hidden)
    return Sampled(codes, hidden, {"miso_kept": (False,), **shown}, stopped)


def _worth_words(codes: Codes) -> bool:
    """Whether finding words takes less than about a twentieth of the run.

    Takes sampled together would each need as long as one alone.
    """
    return codes.batch == 1 and codes.seconds[0] <= _LONGEST


def _lacks_words(codes: Codes, conditioning: Conditioning) -> bool:
    """Whether there are words to be found that aren't known; not in a text such as "&"."""
    unknown = _worth_words(codes) and not codes.takes[0].words
    return unknown and bool(spelled_words(conditioning.encoder, conditioning.line))


def _ran_on(take: int, seconds: float) -> str:
    return (
        f"Take {take + 1} was ended after {seconds:.1f} s: for {STILL:g} s it got no further in its text. "
        "Try another seed, or raise min_seconds to let it go on."
    )


class BackboneSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoBackboneSampler",
            display_name="Backbone Sampler",
            category=SPEAK,
            # Two equal nodes would otherwise share one result, and the second would show nothing. It finds
            # its codes in the store.
            not_idempotent=True,
            has_intermediate_output=True,
            description="Speaks the text. Codes come out; Vocoder Decode turns them into sound.",
            inputs=[
                *speaking_inputs(),
                seed_input("The same seed gives the same take."),
                io.Int.Input(
                    "takes",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Alternatives sampled at once, with the seeds seed, seed + 1, ...",
                ),
                longest_input(),
                *sampling_inputs(),
                io.Boolean.Input(
                    "keep",
                    default=True,
                    optional=True,
                    tooltip="Reuse saved results: codes are kept on disk, and the same run later, even "
                    "after a restart, loads no model.",
                ),
                sockets.Codes.Input(
                    "prefix", optional=True, tooltip="The beginning of a take, to be continued."
                ),
                sockets.Vocoder.Input(
                    "preview",
                    optional=True,
                    tooltip="A vocoder that streams (mimi, source-filter): see and hear the first take "
                    "while it is made.",
                ),
                io.Boolean.Input(
                    "use_partial",
                    default=False,
                    optional=True,
                    tooltip="When you stop a run: off ends it here, on passes what was made so far to the "
                    "next blocks.",
                ),
                io.Combo.Input(
                    "path",
                    options=["auto", *PATHS],
                    default="auto",
                    optional=True,
                    tooltip="What computes a frame. auto: on an NVIDIA GPU the faster of persistent (one "
                    "kernel, tried once on your card) and graph (PyTorch as a CUDA graph), otherwise plain "
                    "PyTorch. The codes are the same but for rounding.",
                    **ADVANCED,
                ),
                *narrowing_inputs(),
                io.Float.Input(
                    "min_seconds",
                    default=0.0,
                    min=0.0,
                    max=163.0,
                    step=0.08,
                    optional=True,
                    tooltip="A take can't end before this. Raise it if endings are cut off; 0 lets the model "
                    "decide.",
                    **ADVANCED,
                ),
                io.Float.Input(
                    "repetition_penalty",
                    default=1.0,
                    min=1.0,
                    max=3.0,
                    step=0.05,
                    optional=True,
                    tooltip="Above 1, sounds of the last 2 s are less likely to come again: 1.1 to 1.3 "
                    "against takes that get stuck or drag on. Too much makes words wrong.",
                    **ADVANCED,
                ),
                io.Boolean.Input(
                    "words",
                    default=True,
                    optional=True,
                    tooltip="Find where each word lies in the take, for the editor, Replace Words and "
                    "subtitles. Of several takes, Align Words finds them.",
                    **ADVANCED,
                ),
            ],
            outputs=[
                sockets.Codes.Output(
                    "codes", display_name="codes", tooltip="For Vocoder Decode, the editor or Save Codes."
                ),
                sockets.Hidden.Output("hidden", display_name="hidden", tooltip="For Depth Redecode."),
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, **settings: Any):
        sampled = sample(**settings)
        return io.NodeOutput(sampled.codes, sampled.hidden, ui=sampled.ui)

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return stops()


NODES = [BackboneSampler]
