"""What Dialogue and Long Text share: their inputs, and a run of the turn loop as the graph sees it.

The ``executed`` event carries what was said as ``output.miso_turns``, one object for each turn:

    turn, text, name, speaker
    nth          how often the same speaker has said the same before
    start, end   seconds in the codes, and in the sound of ``output.miso_preview`` (see nodes/preview.py)
    seed, stop   of its take; ``limit`` is a turn that was cut
    kept         whether it comes from an earlier run
    attempt      how often it was said anew by choice
    locked       whether it was to stay as it was
    codes        digest of its codes, to lock it by

``output.miso_seed`` is the seed of the run.

What a person chooses in the panel of turns is the value of the widget ``choices`` (type ``MISO_TURNS``): see
miso/generation/choices.py.
"""

from collections.abc import Mapping, Sequence

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.codes.store import LATEST, Store
from ..miso.errors import MisoError, counted
from ..miso.generation.choices import read_choices
from ..miso.generation.turn_settings import TurnSettings
from ..miso.generation.turns import TurnLoop
from ..miso.model.networks import Backbone
from ..miso.model.sampling import Sampling
from ..miso.text.conditioning import Segment, TextEncoder
from ..miso.text.conversation import Conversation
from ..miso.text.script import Turn
from ..miso.text.voice import Voice
from . import sockets
from .depth import Depth, DepthSampler
from .editing import silence_of, why_no_silence
from .memory import Part, on_device, progress, run_bytes
from .preview import Preview, stream_for
from .sockets import show_on_node
from .stops import count_stop
from .store import store
from .widgets import sampling_inputs, seed_input

Turns = io.Custom("MISO_TURNS")  # a widget: JSON of the choices about turns
_LISTED = 8  # turns on the node


def model_inputs() -> list:
    return [
        sockets.Backbone.Input("backbone", tooltip="From Load Miso Model."),
        sockets.Depth.Input("depth", tooltip="From Load Miso Model, or Depth Decoder."),
        sockets.Text.Input("text_encoder", tooltip="From Load Miso Model."),
    ]


def sampler_inputs(what: str) -> list:
    """Seed, limit and sampling; ``what`` is said at once: a turn, or a part of the text."""
    return [
        seed_input("The same seed gives the same speech."),
        io.Float.Input(
            "max_seconds",
            default=0.0,
            min=0.0,
            max=163.0,
            step=0.08,
            tooltip=f"Longest {what} may get; 0 follows its text.",
        ),
        *sampling_inputs(),
    ]


def optional_inputs(voices: str) -> list:
    return [
        io.Boolean.Input(
            "only_changed",
            default=False,
            optional=True,
            tooltip="After a change of the text. Off: what changed and all after it is said anew, so that it "
            "fits together. On: only what changed.",
        ),
        Turns.Input(
            "choices",
            optional=True,
            extra_dict={"default": "[]"},
            tooltip="Which turns are said anew with another seed, and which are locked, as JSON.",
        ),
        sockets.Voices.Input("voices", optional=True, tooltip=voices),
        sockets.Conversation.Input(
            "conversation",
            optional=True,
            tooltip="What was said before, to go on from: from Load Conversation, or another such block.",
        ),
        sockets.Vocoder.Input(
            "preview",
            optional=True,
            tooltip="A vocoder that streams (mimi, source-filter): see and hear the speech while it is made. "
            "A codec also makes the silence of pauses.",
        ),
    ]


def outputs(id: str) -> list:
    return [
        sockets.Codes.Output(
            id,
            display_name="codes",
            tooltip="All of it as one take: for Vocoder Decode, Speaker Tracks, the editor or Save Codes.",
        ),
        sockets.Conversation.Output(
            "continued",
            display_name="conversation",
            tooltip="What was said with its exact codes: for Save Conversation, or another such block.",
        ),
        io.String.Output(
            "subtitles", display_name="subtitles", tooltip="Subtitles in the SRT format, a cue for each turn."
        ),
    ]


def history_of(voices: Sequence[Voice], conversation: Conversation | None) -> list[Segment]:
    """Voice prompts, and what was said before; a voice takes the place of an earlier one of its speaker."""
    prompts = [voice.segment() for voice in voices]
    given = {prompt.speaker for prompt in prompts}
    before = () if conversation is None else conversation.segments
    return [*prompts, *(s for s in before if not (s.voice and s.speaker in given))]


def run(
    turns: Sequence[Turn],
    history: Sequence[Segment],
    *,
    backbone: Part,
    depth: Depth,
    text_encoder: TextEncoder,
    seed: int,
    max_seconds: float,
    temperature: float,
    top_k: int,
    only_changed: bool = False,
    choices: str = "[]",
    preview: Part | None = None,
) -> tuple[TurnLoop, dict]:
    """Say the turns, with progress and a live preview; what is kept from earlier runs isn't sampled again.

    Also returns what the panel shows at the end, for ``ui``.
    """
    config, sampling = text_encoder.config, Sampling(temperature, top_k)
    codebooks = min(depth.codebooks or config.codebooks, config.codebooks)
    settings = TurnSettings(
        **depth.keys(backbone),
        sampling=sampling,
        depth_sampling=depth.sampling or sampling,
        codebooks=codebooks,
        seed=seed,
        max_seconds=max_seconds,
    )
    others = [] if preview is None else [preview]

    def networks(rows: int) -> tuple[Backbone, DepthSampler]:
        model, decoder, *_ = on_device(
            backbone, depth.part, *others, memory=run_bytes(backbone, config, takes=1, rows=rows)
        )
        return model, depth.sampler(decoder, sampling)

    nothing = Codes(torch.zeros(1, codebooks, 0, dtype=torch.int64), torch.zeros(1), config.codec)
    pauses = any(turn.pause for turn in turns) and not why_no_silence(preview, nothing)
    kept = store()
    loop = TurnLoop(
        text_encoder,
        turns,
        networks,
        settings,
        history=history,
        store=kept,
        latest=Store(kept.folder / LATEST),
        only_changed=only_changed,
        choices=read_choices(choices),
        silence=silence_of(preview, nothing) if pauses else None,
    )
    stream = None
    if preview is not None:
        stream = stream_for(on_device(preview)[0], config.codec, config.frame_rate, codebooks)
    report, live = progress(), Preview(0, sum(loop.expected), config.frame_rate, stream)
    try:
        report(*loop.progress)
        for event in loop:
            live.frame(event.frame)
            report(*loop.progress)
        report(*loop.progress)
    except mm.InterruptProcessingException:
        # ComfyUI clears the interrupt when it raises it: only raising it again ends the run.
        count_stop()
        if loop.begun:
            live.end(loop.codes)
        raise
    finally:
        loop.close()
    if not loop.codes.frames:
        raise MisoError("Nothing was said: try another seed.", input="seed")
    return loop, live.end(loop.codes)


def describe(loop: TurnLoop) -> dict:
    """What the page and programs are told of the turns, for ``ui``."""
    rate, position, described = loop.encoder.config.frame_rate, 0, []
    for i, said in enumerate(loop.said):
        end, take = position + said.codes.frames, said.codes.takes[0]
        described.append(
            {
                "turn": i,
                "text": said.turn.text,
                "name": said.turn.name,
                "speaker": said.turn.speaker,
                "start": round(position / rate, 3),
                "end": round(end / rate, 3),
                "seed": take.seed,
                "stop": take.stop,
                "kept": said.kept,
                "nth": said.nth,
                "attempt": said.choice.attempt,
                "locked": bool(said.choice.locked),
                "codes": said.codes.digest(),
            }
        )
        position = end + (round(said.turn.pause * rate) if loop.pauses else 0)
    return {"miso_turns": described, "miso_seed": (loop.settings.seed,)}


def show(loop: TurnLoop, what: str, *remarks: str) -> None:
    """Say on the node what was said, and what a person should know of it; ``what`` is a turn, or a part."""
    kept = sum(said.kept for said in loop.said)
    lines = [
        f"{counted(len(loop.said), what)}, {loop.codes.seconds[0]:.1f} s{f', {kept} kept' if kept else ''}."
    ]
    lines += [remark if remark.endswith("?") else f"{remark}." for remark in remarks if remark]
    if cut := [i for i, said in enumerate(loop.said, 1) if said.cut]:
        lines.append(f"Cut at the time limit: {numbers(cut, what)}. Raise max_seconds, or try another seed.")
    if unlocked := [i for i, said in enumerate(loop.said, 1) if said.unlocked]:
        lines.append(
            f"Not as it was locked: {numbers(unlocked, what)}, because those codes are no longer kept here."
        )
    if silent := [i for i, said in enumerate(loop.said, 1) if not said.codes.frames]:
        lines.append(f"Nothing was said in {numbers(silent, what)}. Try another seed.")
    if dropped := loop.said[-1].dropped:
        lines.append(
            f"No room in the model's memory for the {counted(dropped, f'oldest {what}')} at the end."
        )
    if loop.left_out:
        lines.append(f"Left out: {', '.join(loop.left_out)}.")
    if any(said.turn.pause for said in loop.said) and not loop.pauses:
        lines.append("Without pauses: connect a codec, such as mimi, to preview.")
    show_on_node(" ".join(lines))


def numbers(which: Sequence[int], what: str) -> str:
    """Some of them by number, as in "turns 2, 5"."""
    shown = ", ".join(map(str, which[:_LISTED])) + (", ..." if len(which) > _LISTED else "")
    return f"{what}{'s' if len(which) > 1 else ''} {shown}"


def who_speaks(names: Mapping[str, int], voices: Sequence[Voice]) -> str:
    """The speakers of a script, with their numbers and voices."""
    voiced = {voice.speaker: voice.name for voice in voices}
    return ", ".join(
        f"{name}: speaker {number}" + (f" (voice {voiced[number]})" if number in voiced else "")
        for name, number in names.items()
    )
