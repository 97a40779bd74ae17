"""Text in the graph: Normalize Text, what Encode Text leaves out, and a user's pronunciations."""

from dataclasses import replace

import pytest
from harness.graphs import graph
from make_tiny import MODEL

from miso.checkpoints.build import canonical_shapes, random_tensors
from miso.checkpoints.checkpoint import save_checkpoint
from miso.model.config import PRESETS


def normalizing(text: str, pronunciations: str = "") -> dict:
    inputs = {"text": text, "language": "en", "pronunciations": pronunciations}
    return {
        "1": {"class_type": "MisoNormalizeText", "inputs": inputs},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }


@pytest.fixture
def preview(comfy):
    """ComfyUI's block that shows any value, so that the graph has an output."""
    comfy.load_blocks("nodes_preview_any.py")


def test_normalize_text(fresh, preview):
    done = fresh.run(normalizing("Siobhan paid $5.99 🙂", "Siobhan = shivawn"))
    assert done.ok, done.error
    said = "shivawn paid five dollars and ninety-nine cents"
    assert (fresh.value(1), fresh.value(1, 1)) == (said, "🙂 (emoji)")
    assert done.lines("1") == [f"Left out: 🙂 (emoji)\n{said}"]


def test_normalize_text_says_what_is_wrong(fresh, preview):
    done = fresh.run(normalizing("🙂"))
    assert not done.ok and done.error.startswith(
        "Normalize Text, text: There is nothing to be said in '🙂': emoji are left out."
    )
    done = fresh.run(normalizing("Hello.", "Siobhan"))
    assert not done.ok and "pronunciations, line 1: 'Siobhan' is not 'word = how it is said'" in done.error


def encoding(text: str) -> dict:
    """nano, one line, one frame."""
    return graph(
        n1__checkpoint="nano.safetensors", n2__text=text, n3__takes=1, n3__max_seconds=0.08,
        n4__checkpoint="nano-vocoder.safetensors", n4__backend="auto",
    )  # fmt: skip


def test_encode_text_says_what_it_leaves_out(fresh):
    done = fresh.run(encoding("It is 10:30 🙂"))
    assert done.ok, done.error
    assert done.lines("2") == ["Left out: 🙂 (emoji)."]
    done = fresh.run(encoding('"'))
    assert not done.ok and done.error.startswith("Encode Text, text: There is nothing to be said in '\"'")


def test_a_line_longer_than_the_checkpoint_was_taught_is_said_to_be(fresh):
    words = "Too long for one line of this checkpoint: about 14 s, it was taught up to 12 s"
    (line,) = fresh.run(encoding("The baker opened her shop before the sun came up. " * 5)).lines("2")
    assert words in line and "Use Long Text." in line
    (line,) = fresh.run(encoding("🙂 The baker opened her shop before the sun came up. " * 5)).lines("2")
    assert f"Left out: 🙂 (emoji). {words}" in line
    assert not fresh.run(encoding("The baker opened her shop before the sun came up.")).lines("2")


def test_encoding_a_long_text_can_be_stopped(fresh):
    def stop(value: int, total: int) -> None:
        if value > 1000:
            fresh.model_management.interrupt_current_processing()

    fresh.on_progress = stop
    try:
        done = fresh.run(encoding("Grkm brrtl zvonk pflk. " * 200))
    finally:
        fresh.on_progress = lambda value, total: None
        fresh.model_management.interrupt_current_processing(False)
    assert done.end == "execution_interrupted" and done.ran[-1] == "2"


def test_pronunciations_of_the_models_folder(fresh, base):
    """A changed file is read again, and its lines count wherever text is encoded."""
    path = base / "models" / "miso" / "pronunciations.txt"
    prompts = []
    try:
        for line in ("", "Siobhan = shivawn", "Siobhan = /ʃɪvˈɔn/"):
            path.write_text(line, encoding="utf-8")
            done = fresh.run(encoding("Siobhan."))
            assert done.ok, done.error
            conditioning = fresh.value(2)
            prompts.append(conditioning.encoder.rows(conditioning.line)[0][:, -1].tolist())
        assert len(set(map(tuple, prompts))) == 3
        path.write_text("nonsense", encoding="utf-8")
        done = fresh.run(encoding("Siobhan."))
        assert not done.ok and done.error.startswith(
            "Load Miso Model: pronunciations.txt, line 1: 'nonsense'"
        )
    finally:
        path.unlink()


@pytest.fixture
def named(fresh):
    """Makes a checkpoint, named.safetensors, whose speakers have these names."""
    path = fresh.base / "models" / "miso" / "named.safetensors"

    def make(*voices: str) -> None:
        config = replace(MODEL, voices=voices)
        read = random_tensors(config, seed=2)
        save_checkpoint(path, config, {name: read(name) for name in canonical_shapes(config)})

    yield make
    path.unlink(missing_ok=True)


def said_by(fresh, **changes) -> int:
    """The speaker of Encode Text's line; ``changes`` of its inputs."""
    prompt = graph(n1__checkpoint="named.safetensors", n3__takes=1, n3__max_seconds=0.08)
    prompt["2"]["inputs"] |= changes
    done = fresh.run(prompt)
    assert done.ok, done.error
    shown = f"{changes['voice']} is speaker" in " ".join(done.lines("2")) if "voice" in changes else False
    assert shown == (changes.get("voice", "by number") != "by number")
    return fresh.value(2).line.speaker


def test_a_voice_is_told_by_name(fresh, named):
    """The number is the connected checkpoint's, and another name is another line."""
    voices = fresh.nodes.NODE_CLASS_MAPPINGS["MisoEncodeText"].INPUT_TYPES()["optional"]["voice"]
    options = voices[1]["options"] if voices[0] == "COMBO" else voices[0]
    assert options == ["by number", *PRESETS["nano"].voices]
    named("bf_lily", "am_michael")
    assert said_by(fresh, speaker=7) == 7  # as saved workflows have it
    assert said_by(fresh, speaker=7, voice="by number") == 7
    assert said_by(fresh, speaker=7, voice="am_michael") == 1
    first = fresh.value(3).tensor
    assert said_by(fresh, speaker=7, voice="bf_lily") == 0
    assert said_by(fresh, speaker=1) == 1 and fresh.value(3).tensor.equal(first)


@pytest.mark.parametrize(
    "voices, remedy",
    [((), "choose by number, or connect a voice"), (("am_adam", "bf_emma"), "am_adam, bf_emma;")],
)
def test_a_voice_that_the_checkpoint_lacks_is_refused(fresh, named, voices, remedy):
    named(*voices)
    done = fresh.run(graph(n1__checkpoint="named.safetensors", n2__voice="af_heart"))
    assert done.error.startswith("Encode Text, voice: The checkpoint has no voice 'af_heart'."), done.error
    assert remedy in done.error
