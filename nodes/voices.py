"""Save Voice and Load Voice: voices as files in models/miso_voices, and as a list that blocks take."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..miso.codes.codes import Codes
from ..miso.errors import MisoError
from ..miso.files import can_be_file
from ..miso.text.voice import Voice
from . import folders, sockets
from .schema import LOAD, SPEAK, block
from .sockets import name_errors, show_on_node

_SHOWN = 60  # characters of its text
NOTHING = "(no voice is saved yet)"


def _others() -> io.Input:
    return sockets.Voices.Input(
        "voices", optional=True, tooltip="Voices from another such block: this one is added to them."
    )


def _voices() -> io.Output:
    return sockets.Voices.Output(
        "with_voice",
        display_name="voices",
        tooltip="For Dialogue, Long Text, or the next Load Voice or Save Voice.",
    )


class SaveVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoSaveVoice",
            display_name="Save Voice",
            category=SPEAK,
            description="Saves codes and what they say as a voice in models/miso_voices, to be chosen by "
            "name in Load Voice.",
            inputs=[
                sockets.Codes.Input(
                    "codes", tooltip="One take, 5 to 15 seconds: from Encode Audio, Load Codes or a sampler."
                ),
                io.String.Input("name", default="Anna", tooltip="Name of the voice, and in scripts."),
                io.String.Input(
                    "transcript",
                    multiline=True,
                    default="",
                    tooltip="Exactly what the codes say. Leave it empty if they were sampled here or encoded "
                    "with a transcript, and not cut since.",
                ),
                io.Int.Input(
                    "speaker",
                    default=-1,
                    min=-1,
                    max=255,
                    tooltip="Number of the speaker that goes with the voice; -1 takes that of the codes.",
                ),
                io.Boolean.Input(
                    "replace",
                    default=False,
                    tooltip="Whether another voice of this name may be overwritten.",
                ),
                _others(),
            ],
            outputs=[_voices()],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        codes: Codes,
        name: str,
        transcript: str,
        speaker: int,
        replace: bool,
        voices: Sequence[Voice] = (),
    ):
        voice = Voice.of(name, codes, transcript, None if speaker < 0 else speaker)
        if not can_be_file(voice.name):
            raise MisoError(f"Choose another name: '{voice.name}' can't be the name of a file.", input="name")
        path = Path(folder_paths.get_folder_paths(folders.VOICES)[0], f"{voice.name}.safetensors")
        if not replace and path.exists() and not _same(path, voice):
            raise MisoError(
                f"There is another voice '{voice.name}': choose another name, or turn on replace.",
                input="name",
            )
        voice.save(path)
        show_on_node(f"Saved as {path.parent.name}/{path.name}, {codes.seconds[0]:.1f} s")
        return io.NodeOutput((*voices, voice))


def _same(path: Path, voice: Voice) -> bool:
    try:
        there = Voice.load(path)
    except MisoError:
        return False
    same_codes = there.codes.tensor.equal(voice.codes.tensor) and there.codes.codec == voice.codes.codec
    return same_codes and (there.text, there.speaker) == (voice.text, voice.speaker)


class LoadVoice(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoLoadVoice",
            display_name="Load Voice",
            category=LOAD,
            description="Loads a saved voice for Dialogue, Long Text or Voice Prompt. Several in a row make "
            "a list.",
            inputs=[
                io.Combo.Input(
                    "voice",
                    options=folders.voices() or [NOTHING],
                    tooltip="A voice of nano, or a file in models/miso_voices. Press R to see new ones.",
                ),
                io.String.Input(
                    "name",
                    default="",
                    tooltip="Its name in the script, if another than the voice's own.",
                ),
                _others(),
            ],
            outputs=[
                _voices(),
                sockets.Codes.Output(
                    "codes",
                    display_name="codes",
                    tooltip="Its codes, which know their text: for Voice Prompt, or to hear it.",
                ),
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, voice: str, name: str, voices: Sequence[Voice] = ()):
        loaded = Voice.load(folders.voice_path(voice))
        text = loaded.text if len(loaded.text) <= _SHOWN else f"{loaded.text[:_SHOWN]}..."
        show_on_node(f"{loaded.codes.seconds[0]:.1f} s, codes of {loaded.codes.codec}: {text}")
        named = replace(loaded, name=" ".join(name.split()) or loaded.name)
        return io.NodeOutput((*voices, named), loaded.codes)

    @classmethod
    def validate_inputs(cls, voice: str = ""):
        """Lets ``execute`` say what is missing: ComfyUI would only say that it isn't in the list."""
        return True

    @classmethod
    def fingerprint_inputs(cls, voice: str, name: str = "", voices: Sequence[Voice] = ()):
        try:
            return folders.voice_path(voice).stat().st_mtime_ns
        except (MisoError, OSError):
            return None


NODES = [LoadVoice, SaveVoice]
