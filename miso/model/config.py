"""Sizes of a model, and the conventions of its family that its tensors don't show.

One model definition serves every size: 8B, CSM-1B and the embedded nano model are entries of ``PRESETS``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ..errors import MisoError
from ..files import parse_json
from ..limits import MODEL, MODEL_NUMBERS, STACK, check_sizes, shown

# codec id of the Mimi that Miso, CSM, Marvis, Moshi and Kyutai's TTS share; the number is from its published
# file name
MIMI = "mimi-e351c8d8"
_LINE = 20.0  # seconds of a line for checkpoints that don't say what they were taught
# fields of a checkpoint's config that have defaults
_OPTIONAL = (
    "codec",
    "family",
    "positions",
    "frame_rate",
    "rope_base",
    "norm_eps",
    "temperature",
    "top_k",
    "longest_line",
    "voices",
)


@dataclass(frozen=True)
class StackConfig:
    """Sizes of one transformer (the backbone's or the depth decoder's)."""

    layers: int
    heads: int
    kv_heads: int
    dim: int
    inter: int  # width of the gated MLP

    def __post_init__(self):
        check_sizes("A transformer", vars(self), STACK)
        if self.dim % self.heads or self.head_dim % 2 or self.heads % self.kv_heads:
            raise MisoError(
                f"A transformer of dim {self.dim} can't have {self.heads} heads, {self.kv_heads} of them for "
                "keys and values: their size must be even."
            )

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


@dataclass(frozen=True)
class Family:
    """Conventions shared by checkpoints of one origin."""

    prompt: str  # format of a segment's text, with {speaker} and {text}
    strip: bool  # whether the text is left-stripped first
    tokenizer: str  # "llama3", "bytes" or "phonemes"
    normalize: bool = False  # whether numbers, signs and abbreviations are written in words first
    longest_line: float | None = None  # seconds of speech in the longest line that was taught, where known
    several_sentences: bool = True  # whether a line may have more than one
    memory: int | None = None  # turns of history that a turn should hear; None: all that there is room for


FAMILIES = {
    "miso": Family("[{speaker}] {text}", True, "llama3"),
    "csm": Family("[{speaker}]{text}", False, "llama3"),
    "nano": Family(
        "[{speaker}] {text}",
        True,
        "phonemes",
        normalize=True,
        longest_line=8.0,
        several_sentences=False,
        memory=1,
    ),
    "bytes": Family("[{speaker}] {text}", True, "bytes"),
}


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build a model: two stacks, vocabularies and the family."""

    backbone: StackConfig
    depth: StackConfig
    text_vocab: int
    audio_vocab: int  # rows per codebook in the embedding and head tables
    codebooks: int
    codebook_size: int  # ids of the codec; ids from here to audio_vocab - 1 are never drawn
    codec: str = MIMI  # id of the codec whose codes the model speaks
    family: str = "miso"
    positions: int = 2048  # rows of prompt and frames that the backbone was trained for
    frame_rate: float = 12.5
    rope_base: float = 500_000.0
    norm_eps: float = 1e-5
    temperature: float = 0.9  # default sampling of the checkpoint, with top_k
    top_k: int = 50
    longest_line: float = 0.0  # seconds of speech in the longest line that it was taught; 0: the family's
    voices: tuple[str, ...] = ()  # names of the speakers 0, 1, ..., where they have names

    def __post_init__(self):
        check_sizes("A model", vars(self), MODEL)
        check_sizes("A model", vars(self), MODEL_NUMBERS, whole=False)
        if self.codebook_size > self.audio_vocab:
            raise MisoError(
                f"A model of {self.audio_vocab} audio ids can't speak {self.codebook_size} of them."
            )
        if not isinstance(self.codec, str) or not self.codec:
            raise MisoError(f"A model's codec must be its id, not {shown(self.codec)}.")
        names = self.voices if isinstance(self.voices, (list, tuple)) else [None]  # JSON brings a list
        if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
            raise MisoError(
                f"A model's voices must be names, each once, not {shown(self.voices)}.",
                "The file is damaged or of another kind: get it again.",
            )
        object.__setattr__(self, "voices", tuple(names))
        if self.family not in tuple(FAMILIES):
            raise MisoError(
                f"The checkpoint is of the family {shown(self.family)}; known are {', '.join(FAMILIES)}.",
                "Update Miso, or choose another checkpoint.",
            )

    @property
    def speakers(self) -> dict[str, int]:
        """Numbers of the speakers by name, in lower case, with and without what is before the underscore."""
        numbers = {name.casefold(): i for i, name in enumerate(self.voices)}
        return {name.partition("_")[2] or name: i for name, i in numbers.items()} | numbers

    def speaker(self, voice: str, input: str = "voice") -> int:
        """The number of the speaker with this name. Raises MisoError, about ``input``, if there is none."""
        if (number := self.speakers.get(voice.casefold())) is None:
            raise MisoError(
                f"The checkpoint has no voice '{voice}'.",
                f"Choose one of: {', '.join(self.voices)}; or choose by number."
                if self.voices
                else "Its speakers have no names: choose by number, or connect a voice prompt.",
                input=input,
            )
        return number

    @property
    def taught_seconds(self) -> float | None:
        """Seconds of speech in the longest line that it was taught; None if that is not known."""
        return self.longest_line or self.conventions.longest_line

    @property
    def line_seconds(self) -> float:
        """Seconds of speech that a part of a long text should not exceed."""
        return self.taught_seconds or _LINE

    @property
    def joined_seconds(self) -> float:
        """Seconds of speech up to which sentences of a long text share a part; 0 if each is a part."""
        return self.line_seconds if self.conventions.several_sentences else 0.0

    @property
    def conventions(self) -> Family:
        return FAMILIES[self.family]

    def to_json(self) -> str:
        described = asdict(self)
        for name in (
            "longest_line",
            "voices",
        ):  # earlier versions didn't write them: fingerprints stay the same
            if not described[name]:
                del described[name]
        return json.dumps(described)

    @staticmethod
    def from_json(text: str) -> ModelConfig:
        """Read a checkpoint's ``config`` metadata, or the short form of the golden fixtures.

        Raises MisoError if it can't be read or is of an unknown family.
        """
        raw = parse_json(text, "The checkpoint's config")
        try:
            audio_vocab = raw["audio_vocab"]
            return ModelConfig(
                backbone=_stack(raw["backbone"]),
                depth=_stack(raw.get("depth") or raw["decoder"]),
                text_vocab=raw["text_vocab"],
                audio_vocab=audio_vocab,
                codebooks=raw.get("codebooks") or raw["K"],
                codebook_size=raw.get("codebook_size", audio_vocab),
                **{name: raw[name] for name in _OPTIONAL if name in raw},
            )
        except (KeyError, TypeError, AttributeError) as e:
            raise MisoError(
                f"The checkpoint's config can't be read ({type(e).__name__}: {e}).",
                "Write it again with this version of Miso.",
            ) from e


def _stack(raw: dict) -> StackConfig:
    return StackConfig(
        layers=raw["layers"],
        heads=raw["heads"],
        kv_heads=raw.get("kv_heads") or raw["kv"],
        dim=raw["dim"],
        inter=raw["inter"],
    )


PRESETS = {
    "8b": ModelConfig(
        backbone=StackConfig(layers=32, heads=32, kv_heads=8, dim=4096, inter=14336),
        depth=StackConfig(layers=8, heads=24, kv_heads=6, dim=1536, inter=6912),
        text_vocab=128_256,
        audio_vocab=2051,
        codebooks=32,
        codebook_size=2048,
    ),
    "csm-1b": ModelConfig(
        backbone=StackConfig(layers=16, heads=32, kv_heads=8, dim=2048, inter=8192),
        depth=StackConfig(layers=4, heads=8, kv_heads=2, dim=1024, inter=8192),
        text_vocab=128_256,
        audio_vocab=2051,
        codebooks=32,
        codebook_size=2048,
        family="csm",
    ),
    "nano": ModelConfig(
        backbone=StackConfig(layers=8, heads=5, kv_heads=1, dim=320, inter=880),
        depth=StackConfig(layers=3, heads=4, kv_heads=2, dim=192, inter=512),
        text_vocab=320,
        audio_vocab=2051,
        codebooks=8,
        codebook_size=2048,
        codec="nano-2",
        family="nano",
        temperature=0.25,
        longest_line=12.0,
        voices=(
            *("af_heart", "am_michael", "af_alloy", "af_aoede", "af_bella", "af_jessica", "af_kore"),
            *("af_nicole", "af_nova", "af_river", "af_sarah", "af_sky", "am_adam", "am_echo", "am_eric"),
            *("am_fenrir", "am_liam", "am_onyx", "am_puck", "am_santa", "bf_alice", "bf_emma"),
            *("bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_george", "bm_lewis"),
        ),
    ),
}
