"""Batch Lines: many lines, each said alone, several at once.

The ``executed`` event carries what was said as ``output.miso_lines``, one object for each line: ``{line,
text, name, speaker, seconds, seed, stop, kept}``. ``stop`` is ``limit`` for a line that was cut; ``kept``
lines come from an earlier run.
"""

from collections.abc import Sequence

import comfy.model_management as mm
from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.errors import MisoError, counted
from ..miso.generation.batch import BatchLoop, Line
from ..miso.generation.lines import line_seeds, prepare_line
from ..miso.generation.turn_settings import TurnSettings
from ..miso.model.sampling import Sampling
from ..miso.text.conditioning import Segment, TextEncoder
from ..miso.text.length import expected_seconds
from ..miso.text.script import Turn, in_script, speaker_names
from ..miso.text.table import line_name
from ..miso.text.voice import Voice, cast_script, doubtful_names
from . import sockets, turns
from .depth import Depth
from .memory import Part, on_device, progress, run_bytes
from .schema import SPEAK, block
from .sockets import name_errors, show_on_node
from .stops import count_stop, stops
from .store import store

LINES = """Anna: Welcome back, traveller.
Anna: The gate is closed after dark.
Ben: Who goes there?
Ben: You may pass."""


class BatchLines(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoBatchLines",
            display_name="Batch Lines",
            category=SPEAK,
            # two equal nodes would otherwise share one result, and the second would show nothing
            not_idempotent=True,
            has_intermediate_output=True,
            description="Speaks many lines, each alone and into a file of its own, several at once. After a "
            "change, only the changed lines are said anew.",
            inputs=[
                *turns.model_inputs(),
                io.String.Input(
                    "script",
                    multiline=True,
                    default=LINES,
                    tooltip="A line for each file: 'Name: text', '[Name] text', '[0] text', or the text "
                    "alone. '#' begins a comment.",
                ),
                *turns.sampler_inputs("a line"),
                io.Int.Input(
                    "slots",
                    default=8,
                    min=1,
                    max=64,
                    tooltip="Lines said at once. More is faster until the device is busy, and takes memory. "
                    "The lines are the same, but for rounding.",
                ),
                io.String.Input(
                    "folder",
                    default="lines",
                    tooltip="Put before the names, for Save Audio: a folder in ComfyUI's output folder.",
                ),
                sockets.Voices.Input(
                    "voices",
                    optional=True,
                    tooltip="From Load Voice or Save Voice. A voice speaks the lines of its name; other "
                    "names get the voices left over, in order.",
                ),
            ],
            outputs=[
                sockets.Codes.Output(
                    "lines",
                    display_name="codes",
                    is_output_list=True,
                    tooltip="A list of codes, one a line. Vocoder Decode and Save Audio work on each.",
                ),
                io.String.Output(
                    "names",
                    display_name="names",
                    is_output_list=True,
                    tooltip="A name for each line, for Save Audio's filename_prefix: its number and first "
                    "words.",
                ),
            ],
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        backbone: Part,
        depth: Depth,
        text_encoder: TextEncoder,
        script: str,
        seed: int,
        max_seconds: float,
        temperature: float,
        top_k: int,
        slots: int,
        folder: str,
        voices: Sequence[Voice] = (),
    ):
        config, sampling = text_encoder.config, Sampling(temperature, top_k)
        written, speaking = cast_script(script, voices, taught=config.speakers)
        settings = TurnSettings(
            **depth.keys(backbone),
            sampling=sampling,
            depth_sampling=depth.sampling or sampling,
            codebooks=min(depth.codebooks or config.codebooks, config.codebooks),
            seed=seed,
            max_seconds=max_seconds,
        )
        seeds = line_seeds(seed, written)
        lines, keys = _prepare(text_encoder, written, seeds, settings, speaking)
        there = store()
        kept = {i: found[0] for i, key in enumerate(keys) if (found := there.get(key))}
        said = dict(kept)
        if new := [i for i in range(len(lines)) if i not in kept]:
            rows = max(lines[i].rows + lines[i].max_frames for i in new)
            takes = min(slots, len(new))
            model, decoder = on_device(backbone, depth.part, memory=run_bytes(backbone, config, takes, rows))
            loop = BatchLoop(
                model,
                depth.sampler(decoder, sampling),
                [lines[i] for i in new],
                slots=slots,
                sampling=sampling,
            )
            report = progress()
            try:
                report(*loop.progress)
                for ended in loop:
                    for number, codes in ended:
                        said[new[number]] = codes
                        there.put(keys[new[number]], codes)
                    report(*loop.progress)
            except mm.InterruptProcessingException:
                # ComfyUI clears the interrupt when it raises it: only raising it again ends the run.
                count_stop()
                raise
            finally:
                loop.close()
        spoken = [i for i in range(len(lines)) if said[i].frames]
        if not spoken:
            raise MisoError("Nothing was said: try another seed.", input="seed")
        _show(text_encoder, written, speaking, said, kept)
        place = f"{folder.strip().strip('/')}/" if folder.strip(" /") else ""
        names = [f"{place}{line_name(i + 1, turn.text)}" for i, turn in enumerate(written)]
        described = [_describe(i, turn, said[i], i in kept, names[i]) for i, turn in enumerate(written)]
        return io.NodeOutput(
            [said[i] for i in spoken], [names[i] for i in spoken], ui={"miso_lines": described}
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return stops()


def _prepare(
    encoder: TextEncoder,
    written: Sequence[Turn],
    seeds: Sequence[int],
    settings: TurnSettings,
    voices: Sequence[Voice],
) -> tuple[list[Line], list[str]]:
    """The lines, each in its speaker's voice, and their keys."""
    prompts: dict[int, Segment] = {voice.speaker: voice.segment() for voice in voices}
    prepared = []
    for turn, seed in zip(written, seeds):
        try:
            if turn.pause:
                raise MisoError("each line is alone, so there is no pause between lines.", input="script")
            prepared.append(prepare_line(encoder, turn, seed, settings, prompts.get(turn.speaker)))
        except MisoError as e:
            raise in_script(e, turn.line) from e
    return [line for line, _ in prepared], [key for _, key in prepared]


def _show(
    encoder: TextEncoder,
    written: Sequence[Turn],
    voices: Sequence[Voice],
    said: dict[int, Codes],
    kept: dict[int, Codes],
) -> None:
    """Say on the node what was said, and what a person should know of it."""
    seconds = sum(codes.seconds[0] for codes in said.values())
    shown = [
        f"{counted(len(said), 'line')}, {seconds:.1f} s: {len(said) - len(kept)} sampled, {len(kept)} kept."
    ]
    if names := speaker_names(tuple(written)):
        shown.append(f"{turns.who_speaks(names, voices)}.")
        shown += doubtful_names(names, voices, [*(voice.name for voice in voices), *encoder.config.speakers])
    taught = encoder.config.taught_seconds
    for wrong, what in (
        (lambda i: said[i].takes[0].stop == "limit", "Cut at the time limit: {}. Raise max_seconds."),
        (lambda i: not said[i].frames, "Nothing was said in {}, which is left out. Try another seed."),
        (
            lambda i: taught and expected_seconds(written[i].text) > taught,
            "Longer than the model was taught: {}. Use Long Text, or make it several lines.",
        ),
    ):
        if found := [written[i].line for i in sorted(said) if wrong(i)]:
            shown.append(what.format(turns.numbers(found, "line")))
    left_out = dict.fromkeys(x for turn in written for x in encoder.read(turn.text).left_out)
    if left_out:
        shown.append(f"Left out: {', '.join(left_out)}.")
    show_on_node(" ".join(shown))


def _describe(number: int, turn: Turn, codes: Codes, kept: bool, name: str) -> dict:
    take = codes.takes[0]
    return {
        "line": number,
        "text": turn.text,
        "name": name,
        "speaker": turn.speaker,
        "seconds": round(codes.seconds[0], 3),
        "seed": take.seed,
        "stop": take.stop,
        "kept": kept,
    }


NODES = [BatchLines]
