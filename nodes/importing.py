"""Import Codes: codes that another model wrote."""

import re
from pathlib import Path

from comfy_api.latest import io

from ..miso.checkpoints.find import BUNDLED
from ..miso.codes.arrays import read_array
from ..miso.codes.importing import AXES, DELAYED, MODEL, UNDONE, USER, Codec, import_codes
from ..miso.codes.layouts import LAYOUTS, refuse_other_codec
from ..miso.errors import MisoError
from . import codes_files, sockets
from .memory import Part
from .schema import ADVANCED, CODES, block
from .sockets import name_errors, show_on_node
from .widgets import speaker_input

CHOOSE = "(choose)"
EXAMPLES, EXAMPLE = BUNDLED / "examples", " [example]"  # files of the pack, and how their choices end


class ImportCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoImportCodes",
            display_name="Import Codes",
            category=CODES,
            description="Opens codes that another model wrote: CSM, Moshi, Kyutai TTS and others that speak "
            "Mimi's codes.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=[*codes_files.choices(codes_files.FOREIGN), *_examples()],
                    tooltip="An .npy or .safetensors file in any folder of input or output, newest first. "
                    "Refresh finds new ones. [example]: three of nano's eight codebooks.",
                ),
                io.Combo.Input(
                    "layout",
                    options=[CHOOSE, *LAYOUTS],
                    default=CHOOSE,
                    tooltip="The model that wrote the file. plain: codes as a codec gives them, without "
                    "delays and special ids.",
                ),
                io.Combo.Input(
                    "delays",
                    options=[CHOOSE, DELAYED, UNDONE],
                    default=CHOOSE,
                    tooltip="Moshi, Kyutai TTS, VoXtream2 and Dia2 shift codebooks against each other. What "
                    "their generate functions return is mostly undone; steps caught one by one aren't.",
                ),
                io.Combo.Input(
                    "stream",
                    options=[MODEL, USER],
                    default=MODEL,
                    tooltip="Moshi writes two voices: its own, and that of the user it hears.",
                ),
                io.String.Input(
                    "transcript",
                    multiline=True,
                    default="",
                    tooltip="Exactly what it says, if you know. Kept with the codes.",
                ),
                speaker_input("Number of the speaker. Kept with the codes."),
                sockets.Vocoder.Input(
                    "vocoder",
                    optional=True,
                    tooltip="For plain codes of another codec than Mimi: a vocoder of that codec.",
                ),
                io.Combo.Input(
                    "axes",
                    options=["auto", *AXES],
                    default="auto",
                    optional=True,
                    tooltip="B takes, K codebooks, T frames. auto reads a shape that has one meaning.",
                    **ADVANCED,
                ),
                io.String.Input(
                    "tensor",
                    default="",
                    optional=True,
                    tooltip="Name of the tensor, if a .safetensors file has several that could be codes.",
                    **ADVANCED,
                ),
                io.String.Input(
                    "own_delays",
                    default="",
                    optional=True,
                    tooltip="Dia2 only: delay_pattern of its config.json, numbers with commas.",
                    **ADVANCED,
                ),
            ],
            outputs=[
                sockets.Codes.Output(
                    "codes", display_name="codes", tooltip="For Vocoder Decode, Hidden States or Save Codes."
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(
        cls,
        file: str,
        layout: str,
        delays: str,
        stream: str,
        transcript: str,
        speaker: int,
        vocoder: Part | None = None,
        axes: str = "auto",
        tensor: str = "",
        own_delays: str = "",
    ):
        if layout == CHOOSE:
            raise MisoError(
                "Choose the model that wrote the file: the same numbers mean other sounds in another layout.",
                f"There are {', '.join(LAYOUTS)}.",
                input="layout",
            )
        path = _examples().get(file) or codes_files.path_of(file, "file", codes_files.FOREIGN)
        array, words = read_array(path, tensor.strip())
        refuse_other_codec(words)
        codes = import_codes(
            array,
            layout,
            delays="" if delays == CHOOSE else delays,
            own_delays=_numbers(own_delays),
            stream=stream,
            axes=axes,
            codec=Codec() if vocoder is None else _codec(vocoder),
            text=transcript.strip(),
            speaker=speaker,
        )
        takes = f"{codes.batch} takes, the first " if codes.batch > 1 else ""
        show_on_node(f"{takes}{codes.seconds[0]:.1f} s, {codes.codebooks} codebooks of {codes.codec}")
        return io.NodeOutput(codes)

    @classmethod
    def validate_inputs(cls, file: str = ""):
        """Lets ``execute`` say what is missing: ComfyUI would only say that it isn't in the list."""
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str, **others):
        return None if file in _examples() else codes_files.modified(file, codes_files.FOREIGN)


def _examples() -> dict[str, Path]:
    """Choices and files of codes that come with the pack."""
    return {f"{path.name}{EXAMPLE}": path for path in sorted(EXAMPLES.glob("*.npy"))}


def _numbers(text: str) -> tuple[int, ...]:
    words = re.split(r"[\s,;\[\]]+", text.strip(" ,;[]\n"))
    try:
        return tuple(int(word) for word in words if word)
    except ValueError as e:
        raise MisoError(
            f"Write numbers with a comma between them, not '{text[:40]}'.",
            "16, 18, 18, ...",
            input="own_delays",
        ) from e


def _codec(vocoder: Part) -> Codec:
    loaded = vocoder.opened()
    return Codec(loaded.codec, loaded.codebook_size, loaded.frame_rate, loaded.codebooks)


NODES = [ImportCodes]
