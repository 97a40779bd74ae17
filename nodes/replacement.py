"""Replace Words.

The ``executed`` event carries ``output.miso_replaced``, one object: ``{changes, sampled, takes, kept,
text}``. ``changes`` says which words became which, ``sampled`` counts the frames that each of ``takes`` was
sampled (0 if the result is ``kept`` from an earlier run), and ``text`` is what the codes said before.
"""

import comfy.model_management as mm
from comfy_api.latest import io

from ..miso.codes.codes import Codes, no_take
from ..miso.errors import MisoError, counted
from ..miso.generation.alignment import doubts
from ..miso.generation.attention import pass_bytes
from ..miso.generation.keys import replacement_key
from ..miso.generation.replacement import TAKES, plan_edits, replace_words
from ..miso.model.sampling import Sampling
from ..miso.text.conditioning import Conditioning, TextEncoder, text_said
from ..miso.text.pronunciations import Pronunciations
from . import sockets
from .depth import Depth
from .memory import Part, on_device, progress, run_bytes
from .schema import ADVANCED, EDIT, block
from .sockets import name_errors, show_on_node
from .stops import count_stop, stops
from .store import store
from .widgets import sampling_inputs, seed_input


class ReplaceWords(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoReplaceWords",
            display_name="Replace Words",
            category=EDIT,
            # two equal nodes would otherwise share one result, and the second would show nothing
            not_idempotent=True,
            description="Says other words in a take: type what it is to say, and only what differs is "
            "sampled. Every other frame stays exactly as it is.",
            inputs=[
                sockets.Backbone.Input("backbone", tooltip="From Load Miso Model."),
                sockets.Depth.Input("depth", tooltip="From Load Miso Model, or Depth Decoder."),
                sockets.Text.Input("text_encoder", tooltip="From the same Load Miso Model."),
                sockets.Codes.Input("codes", tooltip="One take of the model's codec, whose text is known."),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    tooltip="What the codes are to say: the whole text, with other words, more or fewer. "
                    "Left empty, it is filled with what they say now.",
                ),
                seed_input("The same seed gives the same words."),
                io.Int.Input(
                    "takes",
                    default=TAKES,
                    min=1,
                    max=64,
                    tooltip="Candidates sampled at once for each stretch that changes.",
                ),
                io.Int.Input(
                    "rank",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="1 is the candidate that fits best, 2 the second best and so on. Nothing is "
                    "sampled for another.",
                ),
                *sampling_inputs(),
                io.String.Input(
                    "pronunciations",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="Words to be said otherwise wherever they occur: lines 'word = respelling' or "
                    "'word = /phonemes/'.",
                ),
                io.String.Input(
                    "transcript",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="What the codes say now, word for word. Empty: the text that they carry.",
                    **ADVANCED,
                ),
                sockets.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="The conditioning that the codes were sampled with: its voice prompts and "
                    "history are used, its line isn't.",
                ),
            ],
            outputs=[
                sockets.Codes.Output(
                    "replaced", display_name="codes", tooltip="One take that says the new text."
                ),
                sockets.Codes.Output(
                    "candidates",
                    display_name="candidates",
                    tooltip="A take for each candidate, the best first, for Take Picker.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        backbone: Part,
        depth: Depth,
        text_encoder: TextEncoder,
        codes: Codes,
        text: str,
        seed: int,
        takes: int,
        rank: int,
        temperature: float,
        top_k: int,
        pronunciations: str = "",
        transcript: str = "",
        conditioning: Conditioning | None = None,
    ):
        reading = _reading(text_encoder, pronunciations)
        said = text_said(codes, transcript)
        edits = plan_edits(text_encoder, codes, text.strip() or said, transcript, reading)
        history = () if conditioning is None else conditioning.segments[:-1]
        sampling = Sampling(temperature, top_k)
        key = replacement_key(
            **depth.keys(backbone),
            codes=codes,
            edits=[edit.key for edit in edits],
            history=history,
            sampling=sampling,
            depth_sampling=depth.sampling or sampling,
            seed=seed,
            takes=takes,
        )
        changes = [about for edit in edits for about in edit.about]
        sampled, kept = 0, store().get(key) if changes else None
        if kept:
            found = kept[0]
        else:
            config = text_encoder.config
            heard = codes.frames + sum(segment.codes.frames for segment in history if segment.codes)
            rows = min(config.positions, 2 * heard + 256)
            # two places to end each take are tried beside the loop's own
            memory = run_bytes(backbone, config, 3 * takes, rows) + pass_bytes(config, rows)
            model, decoder = on_device(backbone, depth.part, memory=memory)
            try:
                replaced = replace_words(
                    model,
                    depth.sampler(decoder, sampling),
                    text_encoder,
                    codes,
                    edits,
                    reading=reading,
                    seed=seed,
                    takes=takes,
                    sampling=sampling,
                    history=history,
                    progress=progress(),
                )
            except mm.InterruptProcessingException:
                count_stop()
                raise
            found, sampled = replaced.codes, replaced.sampled
            store().put(key, found)
        if rank > found.batch:
            raise no_take(rank - 1, found.batch, "rank")
        chosen = found.take(rank - 1)
        line = _line(changes, sampled, found.batch, bool(kept), rank)
        show_on_node("\n".join((line, *doubts(chosen))))
        shown = {
            "changes": changes,
            "sampled": sampled,
            "takes": found.batch,
            "kept": bool(kept),
            "text": said,
        }
        return io.NodeOutput(chosen, found, ui={"miso_replaced": [shown]})

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return stops()


def _reading(encoder: TextEncoder, pronunciations: str) -> TextEncoder | None:
    """The encoder with the pronunciations of this block on top of its own; None without any."""
    if not pronunciations.strip():
        return None
    try:
        own = Pronunciations.parse(pronunciations)
    except MisoError as e:
        raise MisoError(e.problem, e.remedy, input="pronunciations") from e
    return encoder.with_pronunciations(Pronunciations({**encoder.pronunciations.words, **own.words}))


def _line(changes: list[str], sampled: int, takes: int, kept: bool, rank: int) -> str:
    if not changes:
        return "No word differs: the codes are as they were."
    said = "; ".join(changes)
    said += "" if said.endswith((".", "?", "!")) else "."
    if kept:
        return f"{said} Candidate {rank} of {takes}, kept from an earlier run."
    return f"{said} Candidate {rank} of {takes}: {counted(sampled, 'frame')} sampled for each."


NODES = [ReplaceWords]
