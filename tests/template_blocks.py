"""What workflows are written in: blocks with widgets and links, and those that most of them need."""

from dataclasses import dataclass, field

NANO = {"temperature": 0.25, "top_k": 50}  # nano's own sampling settings
SPEAKING = {
    "backbone": "model.backbone",
    "depth": "model.depth",
    "text_encoder": "model.text",
    "preview": "vocoder.vocoder",
}


@dataclass
class Block:
    type: str
    widgets: dict = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)  # input -> "block.output"
    title: str = ""


@dataclass
class Template:
    about: str  # one line
    note: str  # what to change and what to press
    blocks: dict[str, Block]
    rows: list[list[str]]  # of columns, which name the blocks that stand below each other
    groups: dict[str, str]  # title -> names of blocks
    recording: str = ""  # what nano says in place of the user's own recording


def load(codec: str = "") -> dict[str, Block]:
    blocks = {
        "model": Block("MisoLoadModel", {"checkpoint": "nano.safetensors"}),
        "vocoder": Block("MisoLoadVocoder", {"checkpoint": "nano-vocoder.safetensors"}),
    }
    if codec:
        blocks["codec"] = Block("MisoLoadVocoder", {"checkpoint": "nano-codec.safetensors"}, title=codec)
    return blocks


def text(line: str, title: str = "") -> Block:
    return Block("MisoEncodeText", {"text": line}, {"text_encoder": "model.text"}, title)


def sampler(conditioning: str, title: str = "", seed: int = 1, takes: int = 1, **links: str) -> Block:
    model = {"backbone": "model.backbone", "depth": "model.depth", "preview": "vocoder.vocoder"}
    widgets = {"seed": seed, "takes": takes, "max_seconds": 10.0, **NANO}
    return Block("MisoBackboneSampler", widgets, {**model, "conditioning": conditioning, **links}, title)


def decode(codes: str, title: str = "", vocoder: str = "vocoder") -> Block:
    return Block("MisoVocoderDecode", {}, {"codes": codes, "vocoder": f"{vocoder}.vocoder"}, title)


def save(audio: str, name: str) -> Block:
    return Block("SaveAudio", {"filename_prefix": f"audio/{name}"}, {"audio": f"{audio}.audio"})


def round_of(name: str, codes: str, title: str) -> dict[str, Block]:
    """Hidden States of ``codes`` in the voice of the prompt, and what Depth Redecode makes of them."""
    hears = {"backbone": "model.backbone", "conditioning": "prompt.conditioning", "codes": codes}
    draws = {"depth": "model.depth", "hidden": f"{name}_hidden.hidden", "codes": codes}
    return {
        f"{name}_hidden": Block("MisoHiddenStates", {}, hears, f"{title}: hear"),
        name: Block("MisoDepthRedecode", {"seed": 5, "keep": 1, **NANO}, draws, f"{title}: draw"),
    }
