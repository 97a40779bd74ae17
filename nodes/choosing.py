"""Best Take and Best of N: takes in the order in which they are worth hearing."""

from collections.abc import Sequence
from typing import Any

import comfy.model_management as mm
from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.codes.hidden import Hidden
from ..miso.codes.ranking import Ranked
from ..miso.codes.ranking import rank as rank_takes
from ..miso.codes.retired import other_codec
from ..miso.errors import MisoError
from ..miso.generation.choosing import Found, Heard, hear, seeds_of_passes
from . import sockets
from .listen import NO_VOCODER, bundled_vocoder
from .memory import Part, on_device, progress
from .parts import codes_output, hidden_input, hidden_output, pick_hidden
from .sampling import sample
from .schema import EDIT, SPEAK, block
from .sockets import name_errors, show_on_node
from .stops import count_stop, stops
from .widgets import longest_input, narrowing_inputs, sampling_inputs, seed_input, speaking_inputs


def _ranking_output() -> io.Output:
    return io.String.Output(
        "ranking", display_name="ranking", tooltip="All takes, the best first, and what was heard of them."
    )


def _hear(codes: Codes, vocoder: Part, recogniser: Part, text: str = "") -> list[Heard]:
    by_ear, ear = on_device(vocoder, recogniser)
    return hear(codes, by_ear, ear, text, progress())


def _lines(ranking: Sequence[Ranked], heard: Sequence[Heard] | None) -> str:
    """A numbered list, as text and as Markdown."""
    return "\n".join(
        f"{place}. Take {take + 1}: {why}{f': {heard[take].text}' if heard else ''}"
        for place, (take, why, _) in enumerate(ranking, 1)
    )


class BestTake(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoBestTake",
            display_name="Best Take",
            category=EDIT,
            description="Picks the take that is most likely right: one that ended by itself, in a time that "
            "fits its text, of which a recogniser understands most, and that the model finds likeliest.",
            inputs=[
                sockets.Codes.Input(
                    "codes", tooltip="Several takes, from Backbone Sampler with takes above 1."
                ),
                io.Int.Input(
                    "rank",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="1 picks the best, 2 the second best and so on.",
                ),
                hidden_input(),
                sockets.Recogniser.Input(
                    "recogniser",
                    optional=True,
                    tooltip="From Load Recogniser: hears every take, so that those with wrong words come "
                    "later.",
                ),
                sockets.Vocoder.Input(
                    "vocoder",
                    optional=True,
                    tooltip="A vocoder for these codes, for the recogniser to hear them by. Not needed for "
                    "codes of nano.",
                ),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="What the takes should say. Empty: the text that the codes carry.",
                ),
            ],
            outputs=[codes_output("best", tooltip="The picked take."), hidden_output(), _ranking_output()],
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        codes: Codes,
        rank: int,
        hidden: Hidden | None = None,
        recogniser: Part | None = None,
        vocoder: Part | None = None,
        text: str = "",
    ):
        if rank > codes.batch:
            raise MisoError(f"rank is {rank}; the codes have {codes.batch} takes.", input="rank")
        heard = None
        if recogniser is not None:
            if (vocoder := vocoder or bundled_vocoder(codes.codec)) is None:
                wanted = "Connect a vocoder, for the recogniser to hear the takes by."
                raise MisoError(*other_codec(codes.codec, NO_VOCODER, wanted), input="vocoder")
            heard = _hear(codes, vocoder, recogniser, text)
        ranking = rank_takes(codes, None if heard is None else [one.error for one in heard])
        take, why, _ = ranking[rank - 1]
        show_on_node(f"Take {take + 1} of {codes.batch}: {why}")
        return io.NodeOutput(codes.take(take), pick_hidden(hidden, codes, [take]), _lines(ranking, heard))


class BestOfN(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoBestOfN",
            display_name="Best of N",
            category=SPEAK,
            # as Backbone Sampler, whose run it is
            not_idempotent=True,
            has_intermediate_output=True,
            description="Speaks the text again and again until a recogniser understands it, and gives the "
            "best take.",
            inputs=[
                *speaking_inputs(),
                sockets.Recogniser.Input("recogniser", tooltip="From Load Recogniser: hears every take."),
                sockets.Vocoder.Input(
                    "vocoder", tooltip="A vocoder for the model's codes, for the recogniser to hear them by."
                ),
                seed_input("The takes have the seeds seed, seed + 1, ..."),
                io.Int.Input(
                    "takes",
                    default=4,
                    min=1,
                    max=64,
                    tooltip="Takes sampled at once, in each pass.",
                ),
                io.Int.Input(
                    "most_takes", default=16, min=1, max=256, tooltip="After this many takes it gives up."
                ),
                io.Float.Input(
                    "wrong_words",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=1.0,
                    tooltip="Percentage of wrong words up to which a take is good enough. A recogniser errs "
                    "too: raise it for names and numbers.",
                ),
                longest_input(),
                *sampling_inputs(),
                io.Boolean.Input(
                    "keep",
                    default=True,
                    optional=True,
                    tooltip="Reuse saved results: codes are kept on disk, and the same run later loads no "
                    "model to sample.",
                ),
                sockets.Vocoder.Input(
                    "preview",
                    optional=True,
                    tooltip="A vocoder that streams (mimi, source-filter): see and hear the first take of "
                    "each pass while it is made.",
                ),
                io.Boolean.Input(
                    "use_partial",
                    default=False,
                    optional=True,
                    tooltip="When you stop a run: off ends it here, on passes the best take so far to the "
                    "next blocks.",
                ),
                *narrowing_inputs(),
            ],
            outputs=[
                codes_output("best", tooltip="The best take."),
                sockets.Hidden.Output("hidden", display_name="hidden", tooltip="For Depth Redecode."),
                _ranking_output(),
            ],
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        recogniser: Part,
        vocoder: Part,
        seed: int,
        takes: int,
        most_takes: int,
        wrong_words: float,
        use_partial: bool = False,
        **settings: Any,  # of sample
    ):
        found, shown = Found(), {}
        for first, count in seeds_of_passes(seed, takes, most_takes):
            try:
                sampled = sample(seed=first, takes=count, use_partial=use_partial, **settings)
                shown = sampled.ui
                found.add(sampled.codes, sampled.hidden, _hear(sampled.codes, vocoder, recogniser))
            except mm.InterruptProcessingException:
                count_stop()
                if not (use_partial and found.takes):
                    raise
                break
            show_on_node(_summary(found, wrong_words))
            if sampled.stopped or found.good_enough(wrong_words / 100):
                break
        ranking = found.ranking
        codes, hidden = found.pick(ranking[0].take)
        return io.NodeOutput(codes, hidden, _lines(ranking, found.heard), ui=shown)

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return stops()


def _summary(found: Found, wrong_words: float) -> str:
    take, why, _ = found.ranking[0]
    enough = "" if found.good_enough(wrong_words / 100) else " None is good enough yet."
    return f"Take {take + 1} of {found.takes}: {why}.{enough}"


NODES = [BestTake, BestOfN]
