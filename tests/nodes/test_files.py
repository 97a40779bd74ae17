"""Files in the graph: found wherever they lie, named when they are missing, their place said when saved."""

import math
import os
import shutil

import pytest
import torch
from harness.graphs import graph, small_graph

from miso.codes.codes import Codes
from miso.codes.takes import Span, Take


@pytest.fixture
def fresh(comfy):
    comfy.reset()
    yield comfy
    for folder in (comfy.base / "output" / "elsewhere", comfy.base / "input" / "mine"):
        shutil.rmtree(folder, ignore_errors=True)


def options(comfy, node="MisoLoadCodes", name="file") -> list[str]:
    return comfy.nodes.NODE_CLASS_MAPPINGS[node].INPUT_TYPES()["required"][name][1]["options"]


def codes(text: str = "Hello.", takes: int = 1) -> Codes:
    """Codes of the tiny codec."""
    tensor = torch.randint(0, 64, (takes, 8, 6), generator=torch.Generator().manual_seed(len(text)))
    said = (Take(5, "eos", (Span(0, 6, text),)),) * takes
    return Codes(tensor, [6] * takes, "tiny", codebook_size=64, takes=said)


def save(path, age: float) -> None:
    codes().save(path)
    os.utime(path, (1_700_000_000 - age,) * 2)


def test_codes_files_of_any_folder_are_listed_newest_first(fresh):
    save(fresh.base / "output" / "elsewhere" / "deep" / "er" / "a.safetensors", 20)
    save(fresh.base / "input" / "mine" / "b.safetensors", 10)
    save(fresh.base / "output" / "elsewhere" / "c.safetensors", 30)
    (fresh.base / "output" / "elsewhere" / "model.safetensors").write_bytes(
        (fresh.base / "models" / "miso" / "tiny.safetensors").read_bytes()
    )
    listed = [name for name in options(fresh) if "elsewhere" in name or "mine" in name]
    assert listed == [
        "mine/b.safetensors",
        "elsewhere/deep/er/a.safetensors [output]",
        "elsewhere/c.safetensors [output]",
    ]
    for name in (listed[1], listed[1].replace("/", "\\")):  # a workflow from Windows
        done = fresh.run(loading(name))
        assert done.ok, done.error
    save(fresh.base / "output" / "elsewhere" / "deep" / "new.safetensors", 0)
    os.unlink(fresh.base / "input" / "mine" / "b.safetensors")
    listed = [name for name in options(fresh) if "elsewhere" in name or "mine" in name]
    assert listed[0] == "elsewhere/deep/new.safetensors [output]" and len(listed) == 3


def test_at_most_the_newest_are_listed(fresh, monkeypatch):
    monkeypatch.setattr(fresh.module("nodes.codes_files"), "MOST", 2)
    for i in range(4):
        save(fresh.base / "output" / "elsewhere" / f"{i}.safetensors", i - 10**9)
    assert options(fresh) == [f"elsewhere/{i}.safetensors [output]" for i in (0, 1)]


def test_a_folder_is_read_again_only_after_it_has_changed(fresh, monkeypatch):
    """ComfyUI asks for schemas for every link of a graph."""
    module = fresh.module("nodes.codes_files")
    save(fresh.base / "output" / "elsewhere" / "a.safetensors", 0)
    for folder, _, _ in [*os.walk(fresh.base / "output"), *os.walk(fresh.base / "input")]:
        os.utime(folder, (1_700_000_000,) * 2)
    before = options(fresh)

    def refuse(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(module.os, "scandir", refuse)
    monkeypatch.setattr(module, "read_header", refuse)
    assert options(fresh) == before and "elsewhere/a.safetensors [output]" in before


def loading(file: str, **inputs) -> dict:
    return {
        "1": {"class_type": "MisoLoadCodes", "inputs": {"file": file, **inputs}},
        "2": {"class_type": "MisoPreviewCodes", "inputs": {"codes": ["1", 0]}},
        "4": graph()["4"],
    }


def test_what_was_loaded_is_shown_and_can_be_heard(fresh, monkeypatch):
    codes("Two takes.", 2).save(fresh.base / "input" / "mine" / "two.safetensors")
    shown = fresh.run(loading("mine/two.safetensors")).outputs["1"]["miso_file"][0]
    assert (shown["file"], shown["takes"], shown["text"]) == ("mine/two.safetensors", 2, "Two takes.")
    assert shown["sound"] is None and "Connect a vocoder" in shown["silent"]
    shown = fresh.run(loading("mine/two.safetensors", preview=["4", 0])).outputs["1"]["miso_file"][0]
    assert (fresh.base / "temp" / "miso" / shown["sound"]["filename"]).is_file() and not shown["silent"]
    codec = fresh.module("nodes.listen").inspect_source_filter
    codec = codec(fresh.module("miso.checkpoints.find").BUNDLED / "nano-vocoder.safetensors").codec_id
    Codes(torch.ones(1, 8, 6, dtype=torch.int64), [6], codec).save(
        fresh.base / "input" / "mine" / "nano.safetensors"
    )
    done = fresh.run(loading("mine/nano.safetensors"))  # the pack's own vocoder does for nano's codes
    assert done.ok and done.outputs["1"]["miso_file"][0]["sound"]
    done = fresh.run(
        loading("mine/nano.safetensors", preview=["4", 0])
    )  # one that can't: codes come all the same
    assert done.ok and codec in done.outputs["1"]["miso_file"][0]["silent"]
    Codes(torch.ones(1, 8, 6, dtype=torch.int64), [6], "nano").save(
        fresh.base / "input" / "mine" / "first.safetensors"
    )
    monkeypatch.setattr(fresh.module("nodes.codes"), "bundled_vocoder", lambda codec: None)
    (shown,) = fresh.run(loading("mine/first.safetensors")).outputs["1"]["miso_file"]
    assert "first edition of nano" in shown["silent"] and "no vocoder of theirs" in shown["silent"]


def test_saving_says_where(fresh):
    done = fresh.run(graph(n7__filename_prefix="elsewhere/say"))
    assert done.ok and done.lines("7") == ["Saved as output/elsewhere/say_00001_.safetensors"]


@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"n1__checkpoint": "gone.safetensors"},
            ["checkpoint: File missing: put 'gone.safetensors'", "/miso,"],
        ),
        (
            {"n1__checkpoint": "MisoTTS-BF16\\misotts-bf16.safetensors"},
            ["checkpoint: File missing: choose 'miso-8b-bf16 (download, 16 GB)'"],
        ),
        (
            {"n4__checkpoint": "gone.safetensors"},
            ["checkpoint: File missing: put 'gone.safetensors'", "/miso_vocoders"],
        ),
        ({"n5__codes": ["8", 0]}, ["file: File missing: put 'gone.safetensors' into", "/output/codes"]),
    ],
)
def test_a_missing_file_is_named_with_its_place(fresh, change, words):
    prompt = graph(**change)
    if "n5__codes" in change:
        prompt["8"] = {"class_type": "MisoLoadCodes", "inputs": {"file": "codes/gone.safetensors [output]"}}
    error = fresh.run(prompt).error
    assert all(word in error for word in words), error


@pytest.mark.parametrize(
    "node, name",
    [
        ("MisoLoadCodes", "file"),
        ("MisoImportCodes", "file"),
        ("MisoLoadModel", "checkpoint"),
        ("MisoLoadVocoder", "checkpoint"),
        ("MisoStoredCodes", "kept"),
    ],
)
def test_a_newer_comfyui_leaves_the_check_of_the_choice_to_the_block(fresh, node, name):
    """It checks choices of lists before a run, unless the block's own check asks for the value."""
    check = fresh.nodes.NODE_CLASS_MAPPINGS[node].validate_inputs
    assert check(**{name: "gone"}) is True and check() is True


def test_published_checkpoints_show_what_they_would_download(fresh, monkeypatch):
    listed = options(fresh, "MisoLoadModel", "checkpoint")
    assert "miso-8b-bf16 (download, 16 GB)" in listed and "miso-8b-bf16" not in listed
    assert "mimi (download, 385 MB)" in options(fresh, "MisoLoadVocoder", "checkpoint")
    folders, asked = fresh.module("nodes.folders"), []
    tiny = fresh.base / "models" / "miso" / "tiny.safetensors"

    def fetch(name, *_, **__):
        asked.append(name)
        return tiny

    monkeypatch.setattr(folders, "fetch_file", fetch)
    # as chosen here, and as an earlier version has saved it
    for choice in ("miso-8b-bf16 (download, 16 GB)", "miso-8b-bf16"):
        fresh.reset()
        done = fresh.run(graph(n1__checkpoint=choice))
        assert done.ok, done.error
        assert done.lines("1")[0].startswith("Downloading 16 GB to ")
    assert asked == ["miso-8b-bf16"] * 2
    place = folders.PUBLISHED["miso-8b-bf16"].path(fresh.base / "models")
    place.parent.mkdir()
    place.write_bytes(tiny.read_bytes())
    try:
        listed = options(fresh, "MisoLoadModel", "checkpoint")
        assert "miso-8b-bf16" in listed and "miso-8b-bf16 (download, 16 GB)" not in listed
        done = fresh.run(graph(n1__checkpoint="miso-8b-bf16 (download, 16 GB)"))
        assert done.ok and len(asked) == 2, done.error
    finally:
        shutil.rmtree(place.parent)


def test_downloads_go_to_the_folder_that_the_user_made_the_default(fresh, monkeypatch, tmp_path):
    """``is_default`` in ``extra_model_paths.yaml``, whatever the folder is called."""
    import folder_paths

    folders, asked = fresh.module("nodes.folders"), []
    monkeypatch.setattr(folders, "show_on_node", asked.append)
    monkeypatch.setattr(folders, "fetch_file", lambda name, models, folder, **_: asked.append(folder))
    before = {name: list(paths) for name, (paths, _) in folder_paths.folder_names_and_paths.items()}
    folder_paths.add_model_folder_path("miso", str(tmp_path / "voices"), is_default=True)
    try:
        folders.find("miso", "miso-8b-bf16 (download, 16 GB)", "checkpoint")
        assert asked[1] == tmp_path / "voices" and str(tmp_path / "voices") in asked[0]
        place = folders.PUBLISHED["miso-8b-bf16"].below(tmp_path / "voices")
        place.parent.mkdir(parents=True)
        place.touch()
        assert folders.find("miso", "miso-8b-bf16 (download, 16 GB)", "checkpoint") == place
    finally:
        folder_paths.folder_names_and_paths["miso"][0][:] = before["miso"]


RATE = 24000
TONE = torch.sin(2 * math.pi * 440 * torch.arange(RATE) / RATE) * 0.5


def encoding(fresh, audio) -> dict:
    """A graph in which the sound that Encode Audio (5) gets is ``audio``."""
    codes().save(fresh.base / "input" / "mine" / "x.safetensors")
    prompt = loading("mine/x.safetensors")
    prompt["3"] = {"class_type": "MisoVocoderDecode", "inputs": {"codes": ["1", 0], "vocoder": ["4", 0]}}
    inputs = {"audio": ["3", 0], "vocoder": ["4", 0], "transcript": "", "speaker": 0}
    prompt["5"] = {"class_type": "MisoEncodeAudio", "inputs": inputs}
    prompt["6"] = {"class_type": "MisoPreviewCodes", "inputs": {"codes": ["5", 0]}}
    assert fresh.run(prompt).ok
    fresh.replace(3, audio)
    prompt["5"]["inputs"]["speaker"] = 1  # so that it runs again, on this sound
    return prompt


@pytest.mark.parametrize(
    "audio, words",
    [
        (None, "There is no sound. If it comes from a video"),
        ({"waveform": TONE[None, None]}, "no sample rate"),
        ({"waveform": TONE[None, None, None], "sample_rate": RATE}, "shape"),
    ],
)
def test_what_is_no_sound_is_refused_in_words(fresh, monkeypatch, audio, words):
    error = fresh.run(encoding(fresh, audio)).error
    assert error.startswith("Encode Audio, audio: ") and words in error, error


@pytest.mark.parametrize(
    "audio, words",
    [
        ({"waveform": TONE, "sample_rate": RATE}, "This doesn't sound like speech."),
        ({"waveform": (TONE[::3] * 20000).short().numpy(), "sample_rate": 8000}, "8 kHz"),
        ({"waveform": TONE[None] * 0.001, "sample_rate": RATE}, "very quiet"),
    ],
)
def test_an_odd_recording_is_said_on_the_node_and_encoded_as_it_is(fresh, monkeypatch, audio, words):
    done = fresh.run(encoding(fresh, audio))
    assert done.ok, done.error
    assert words in done.lines("5")[-1]
    (codec,) = fresh.module("nodes.memory").on_device(fresh.value(4))
    wave, rate = fresh.module("miso.audio.check").as_wave(audio)
    wave = fresh.module("miso.audio.resampling").resample(wave, rate, codec.sample_rate)
    assert fresh.value(5).tensor.equal(codec.encode(wave))


@pytest.mark.parametrize("prefix", ["../../x", "/etc/x", "a\0b", "\ud800", "a" * 5000])
def test_a_name_that_no_file_can_have_takes_nothing_from_the_blocks_after(fresh, other, prefix):
    prompt = small_graph("MisoPrefix", {"frames": 4})
    prompt["10"]["inputs"]["filename_prefix"] = prefix
    run = fresh.run(prompt)
    assert run.ok and run.lines("10")[-1].startswith("Not saved") and not run.outputs["10"]["codes"]


def test_widgets_of_another_type_and_values_in_place_of_links(fresh, other):
    prompt = small_graph("MisoPrefix", {"frames": 4})
    prompt["8"]["inputs"]["file"] = 5
    assert "Load Codes, file: The value is of the type int" in fresh.run(prompt).error
    prompt = small_graph("MisoPrefix", {"frames": 4})
    prompt["9"]["inputs"]["codes"] = 5
    assert "Connect codes: there is no link" in fresh.run(prompt).error
