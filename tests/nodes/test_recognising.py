"""Load Recogniser and Transcribe in ComfyUI, with nano to listen to."""

import shutil

import huggingface_hub
from harness.graphs import CLEAR, heard_graph

from miso.audio.word_errors import words


def test_it_writes_down_what_is_said(fresh, recogniser):
    done = fresh.run(heard_graph(recogniser))
    assert done.ok, done.error
    assert words(fresh.value(21)) == words(CLEAR) and done.lines("21") == [fresh.value(21)]
    part = fresh.value(20)
    assert part.model_size() > 50e6  # what ComfyUI is told of the weights
    fresh.model_management.unload_all_models()
    assert part.loaded is None
    english = heard_graph(recogniser)
    english["20"]["inputs"]["language"] = "de"
    assert "Transcribe, language: This recogniser knows English only" in fresh.run(english).error


def test_silence_says_nothing(fresh, recogniser):
    prompt = heard_graph(recogniser)
    empty = {"duration": 0.5, "sample_rate": 24000, "channels": 2}
    prompt["5"] = {"class_type": "EmptyAudio", "inputs": empty}
    assert "Transcribe, audio: No speech was heard" in fresh.run(prompt).error


def test_transcribing_can_be_interrupted(fresh, recogniser):
    fresh.run(heard_graph(recogniser))  # from here on nothing is loaded
    prompt = heard_graph(recogniser, n5__vocoder=["4", 0])
    prompt["21"]["inputs"]["audio"] = ["22", 0]
    prompt["22"] = {
        "class_type": "MisoTrimSilence",
        "inputs": {"audio": ["5", 0], "keep": 0.2, "threshold": -40.0},
    }

    def interrupt(value: int, total: int) -> None:
        fresh.model_management.interrupt_current_processing()

    fresh.on_progress = interrupt
    try:
        assert fresh.run(prompt).end == "execution_interrupted"
    finally:
        fresh.on_progress = lambda value, total: None
    assert fresh.run(prompt).ok and words(fresh.value(21)) == words(CLEAR)


def test_models_of_other_packs_are_offered(fresh, whisper):
    folders = fresh.module("nodes.folders")
    place = fresh.base / "models" / "whisper" / "openai" / "tiny"
    place.parent.mkdir(parents=True)
    place.symlink_to(whisper)
    try:
        assert "openai/tiny" in folders.recognisers()
        assert folders.recogniser_path("openai\\tiny") == place  # chosen on Windows
    finally:
        shutil.rmtree(place.parent.parent)


def test_a_model_is_downloaded_only_when_it_is_chosen(fresh, monkeypatch):
    asked = []

    def download(repository, file, *, local_dir, **options):
        asked.append(repository)
        raise OSError("no connection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    (choice,) = [name for name in fresh.module("nodes.folders").recognisers() if "small" in name]
    assert choice == "whisper-small (download, 967 MB)" and not asked
    prompt = heard_graph(choice)
    error = fresh.run(prompt).error
    assert asked == ["openai/whisper-small"] and "can't be fetched" in error
    assert (
        "Load Recogniser, recogniser: File missing: put 'none' into" in fresh.run(heard_graph("none")).error
    )


def test_a_recording_is_prepared_before_it_is_encoded(fresh, recogniser):
    prompt = heard_graph(recogniser)
    settings = {"audio": ["5", 0], "seconds": 12.0, "lufs": -20.0, "denoise": 0.0, "trim": True}
    prompt["22"] = {"class_type": "MisoPrepareVoice", "inputs": settings}
    prompt["21"]["inputs"]["audio"] = ["22", 0]
    done = fresh.run(prompt)
    assert done.ok, done.error
    assert words(fresh.value(21)) == words(CLEAR)
    assert fresh.value(22)["waveform"].shape[:2] == (1, 1) and fresh.value(22)["sample_rate"] == 24_000
    assert "to -20.0 LUFS." in fresh.value(22, 1) and done.lines("22") == [fresh.value(22, 1)]
