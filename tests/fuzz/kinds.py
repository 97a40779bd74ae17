"""What is fuzzed: each kind of input with how a case of it is drawn, and what the engine does with it."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from fuzz import samples
from fuzz.mutator import mutated_bytes, mutated_json, mutated_tensors
from hypothesis import strategies as st

from miso.audio.check import as_wave, remarks
from miso.audio.files import read_audio
from miso.audio.resampling import resample
from miso.checkpoints.checkpoint import Checkpoint
from miso.checkpoints.lora import AdaptedCheckpoint, Adapter
from miso.codes.arrays import read_array
from miso.codes.codes import Codes
from miso.codes.editing import apply
from miso.codes.editing.edits import FIELDS
from miso.codes.hidden import Hidden
from miso.codes.importing import DELAYED, import_codes
from miso.codes.layouts import LAYOUTS
from miso.codes.picture import draw_codes
from miso.codes.store import Store
from miso.errors import MisoError
from miso.model.config import PRESETS
from miso.text.chunks import text_turns
from miso.text.conditioning import Segment, TextEncoder
from miso.text.conversation import Conversation
from miso.text.pronunciations import Pronunciations
from miso.text.script import parse_script
from miso.text.table import read_table
from miso.text.tokenizer import ByteTokenizer, PhonemeTokenizer
from miso.text.voice import Voice
from miso.tools.info import info
from miso.vocoders import load_vocoder

Mutate = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Kind:
    """A row of the table. ``run(case, folder)`` may raise MisoError, and nothing else."""

    name: str
    cases: st.SearchStrategy
    run: Callable[[Any, Path], None]


def _file_kind(name: str, files: list[str], mutate: Mutate, use: Callable[[Path], None]) -> Kind:
    """Files of ``samples`` changed by a seed. All that lies beside a file is there as it was."""

    def run(seed: int, folder: Path) -> None:
        random = Random(seed)
        path = folder / random.choice(files)
        good = path.read_bytes()
        try:
            path.write_bytes(mutate(good, random))
            use(path)
        finally:
            path.write_bytes(good)

    return Kind(name, st.integers(0, 2**32 - 1), run)


def _json_bytes(content: bytes, random: Random) -> bytes:
    if random.random() < 0.2:
        return mutated_bytes(content, random)
    return json.dumps(mutated_json(json.loads(content), random)).encode()


def _either(content: bytes, random: Random) -> bytes:
    return (_json_bytes if content[:1] == b"{" else mutated_tensors)(content, random)


def _codes(path: Path) -> None:
    codes = Codes.load(path)
    info(path)
    draw_codes(codes)
    copy = path.with_name("copy.safetensors")
    codes.take(0).save(copy)
    assert Codes.load(copy).digest() == codes.take(0).digest()
    copy.unlink()


def _checkpoint(path: Path) -> None:
    checkpoint = Checkpoint(path.parent if path.suffix == ".json" else path)
    info(checkpoint.path)
    backbone, depth = checkpoint.load_backbone(), checkpoint.load_depth()
    assert backbone.config is checkpoint.config and depth.config is checkpoint.config
    text = TextEncoder(checkpoint.config, ByteTokenizer())
    text.rows(Segment("Hello."))


def _vocoder(path: Path) -> None:
    info(path)
    vocoder = load_vocoder("auto", path)
    ids = torch.zeros(1, vocoder.codebooks, 2, dtype=torch.int64)
    wave = vocoder.decode(ids)
    assert wave.shape == (1, 1, 2 * vocoder.frame_size)


_BASE: list[Checkpoint] = []  # the checkpoint that adapters are for; opened once


def _lora(path: Path) -> None:
    if not _BASE:
        _BASE.append(Checkpoint(path.parent.parent / "model.safetensors"))
    adapter = Adapter(path.with_name("adapter_model.safetensors"), _BASE[0].config)
    AdaptedCheckpoint(_BASE[0], ((adapter, 0.5),)).load_backbone()


def _store(path: Path) -> None:
    good = {file: file.read_bytes() for file in path.parent.iterdir()}
    store = Store(path.parent)
    try:
        store.list()
        if found := store.get(samples.KEY):
            found[0].digest()
        store.verify()
        store.prune()
    finally:
        for file, content in good.items():
            file.write_bytes(content)


def _sound(path: Path) -> None:
    found, rate = read_audio(path)
    wave, rate = as_wave({"waveform": found[None, None], "sample_rate": rate})
    remarks(resample(wave[0, 0], rate, 24_000), 24_000)


def _array(path: Path) -> None:
    array, _ = read_array(path)
    for layout in LAYOUTS:
        with contextlib.suppress(MisoError):  # one layout fits at most
            import_codes(array, layout, delays=DELAYED, text="Hello.")


def _table(case: bytes, folder: Path) -> None:
    path = folder / "case.csv"
    path.write_bytes(case)
    try:
        for line in read_table(path).lines:
            assert line.problem or line.text
    finally:
        path.unlink()


def _pronunciations(case: bytes, folder: Path) -> None:
    path = folder / "case.txt"
    path.write_bytes(case)
    try:
        Pronunciations.read(path).apply("Siobhan Nguyen said 10:30, <b>a</b> [x](/ə/).")
    finally:
        path.unlink()


def _script(text: str, folder: Path) -> None:
    for turn in parse_script(text, {"Anna": 1}):
        assert turn.text and 0 <= turn.speaker <= 255


_ENCODERS = (
    TextEncoder(PRESETS["nano"], PhonemeTokenizer()),
    TextEncoder(samples.MODEL, ByteTokenizer(), Pronunciations({"a": "b"})),
)


def _text(text: str, folder: Path) -> None:
    text_turns(text, 8.0, 0.0)
    for encoder in _ENCODERS:
        rows, mask = encoder.rows(Segment(text))
        assert rows.shape == mask.shape and rows.shape[1] == encoder.config.codebooks + 1


_CODES = samples.make_codes()


def _edits(edits: Any, folder: Path) -> None:
    silence = _CODES.like(_CODES.take(0).tensor[:, :, :1])
    edited = apply(_CODES, edits, _CODES.take(1), lambda: silence)
    assert edited.codes.codebooks <= 3


_ODD_TEXT = st.one_of(
    st.text(max_size=200),
    st.text("aA1:.,[]#-\n \t'\"!?/$€%½²", max_size=400),
    st.lists(
        st.sampled_from(
            "Anna:|[pause 1]|[2]|Hello.|$5.99|10:30|1990s|Dr.|https://x.y/z|[a](/ə/)|a-|😀|你好|\ud800|\x00|"
            "1,000,000|IV.|№|½|e.g.|\n|\n\n|#|(|)|'|—|00:00:00|1/2/3|-1e9|²³|٣٤|ﬁ|ß|%|@|_|=".split("|")
        ),
        max_size=60,
    ).map(" ".join),
    st.tuples(st.text(min_size=1, max_size=3), st.integers(1, 3000)).map(lambda pair: pair[0] * pair[1]),
)
_WHOLE = st.one_of(st.integers(0, 8), st.integers(-3, 2**70))
_OPERATION = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda op: st.fixed_dictionaries({"op": st.just(op), **{field: _WHOLE for field in FIELDS[op]}})
)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)
_EDITS = st.one_of(
    st.lists(_OPERATION, max_size=8),
    st.lists(_OPERATION, max_size=8).map(json.dumps),
    st.lists(st.one_of(_OPERATION, _JSON), max_size=5),
    _JSON.map(json.dumps),
    st.text(max_size=30),
)


def _text_files(good: str) -> st.SearchStrategy:
    """Bytes of text files: a good one changed, or odd text."""
    changed = st.integers(0, 2**32 - 1).map(lambda seed: mutated_bytes(good.encode(), Random(seed)))
    odd = _ODD_TEXT.map(lambda text: (good.splitlines()[0] + "\n" + text).encode("utf-8", "surrogatepass"))
    return st.one_of(changed, odd)


def kinds() -> list[Kind]:
    """All kinds but the blocks (see ``blocks``)."""
    weights = ["model.safetensors", "shards/a.safetensors", "shards/model.safetensors.index.json"]
    return [
        _file_kind("codes", ["codes.safetensors"], mutated_tensors, _codes),
        _file_kind("checkpoints", weights, _either, _checkpoint),
        _file_kind(
            "vocoders",
            ["codec.safetensors", "mimi.safetensors", "vocoder.safetensors"],
            mutated_tensors,
            _vocoder,
        ),
        *([_file_kind("vocoders of ONNX", ["codec.onnx"], mutated_bytes, _vocoder)] if samples.ONNX else []),
        _file_kind(
            "LoRA adapters", ["lora/adapter_model.safetensors", "lora/adapter_config.json"], _either, _lora
        ),
        _file_kind("voices", ["voice.safetensors"], mutated_tensors, lambda path: Voice.load(path).segment()),
        _file_kind(
            "conversations",
            ["conversation.safetensors"],
            mutated_tensors,
            Conversation.load,
        ),
        _file_kind("hidden states", ["hidden.safetensors"], mutated_tensors, Hidden.load),
        _file_kind("kept codes", [f"store/{samples.KEY}.safetensors"], mutated_tensors, _store),
        _file_kind(
            "sound files", ["sound.wav", "sound.flac", "sound.mp3", "sound.opus"], mutated_bytes, _sound
        ),
        _file_kind("arrays of codes", ["array.npy"], mutated_bytes, _array),
        _file_kind("codes of others", ["array.safetensors"], mutated_tensors, _array),
        Kind("tables", _text_files(samples.TABLE), _table),
        Kind("pronunciations", _text_files(samples.PRONUNCIATIONS), _pronunciations),
        Kind("scripts", _ODD_TEXT, _script),
        Kind("texts", _ODD_TEXT, _text),
        Kind("edit lists", _EDITS, _edits),
    ]
