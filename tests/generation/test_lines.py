"""Lines that are said alone: seeds that stay with the text, keys of all that decides the codes."""

import pytest
from make_tiny import MODEL

from miso.errors import MisoError
from miso.generation.lines import line_seeds, prepare_line
from miso.generation.turn_settings import TurnSettings
from miso.model.sampling import Sampling
from miso.text.conditioning import TextEncoder
from miso.text.length import most_seconds
from miso.text.script import Turn
from miso.text.tokenizer import ByteTokenizer


def settings(seconds: float = 0.0) -> TurnSettings:
    return TurnSettings("f", "fp32", Sampling(), Sampling(), 8, max_seconds=seconds)


@pytest.fixture
def encoder() -> TextEncoder:
    return TextEncoder(MODEL, ByteTokenizer())


def test_a_line_keeps_its_seed_wherever_it_stands():
    a, b, c = Turn("A."), Turn("B."), Turn("A.", 1)
    first = line_seeds(5, [a, b, a, c])
    assert len(set(first)) == 4 and line_seeds(5, [c, a, a, b]) == [first[3], first[0], first[2], first[1]]
    assert line_seeds(6, [a]) != first[:1]


def test_the_limit_follows_the_text_and_the_room(encoder):
    line, _ = prepare_line(encoder, Turn("Hello."), 0, settings())
    assert line.max_frames == round(12.5 * most_seconds("Hello.")) and line.expected < line.max_frames
    assert prepare_line(encoder, Turn("Hello."), 0, settings(2))[0].max_frames == 25
    long, _ = prepare_line(encoder, Turn("word " * 220), 0, settings())
    assert long.rows + long.max_frames == MODEL.positions
    with pytest.raises(MisoError, match="Text too long"):
        prepare_line(encoder, Turn("word " * 900), 0, settings())


def test_the_key_knows_text_speaker_seed_and_limit(encoder):
    keys = {
        prepare_line(encoder, turn, seed, settings(seconds))[1]
        for turn in (Turn("Hello."), Turn("Bye."), Turn("Hello.", 1))
        for seed in (0, 1)
        for seconds in (0, 3)
    }
    assert len(keys) == 12
