"""Save and Load Conversation: what was said, to go on from another day."""

from comfy_api.latest import io

from ..miso.errors import MisoError, counted
from ..miso.text.conversation import FORMAT, Conversation
from . import codes_files, sockets
from .saving import save
from .schema import CODES, block
from .sockets import name_errors, show_on_node

NOTHING = "(no conversation is saved yet)"


class SaveConversation(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoSaveConversation",
            display_name="Save Conversation",
            category=CODES,
            description="Saves a conversation in the output folder: every turn with its exact codes, and the "
            "voices. Load Conversation goes on from it.",
            inputs=[
                sockets.Conversation.Input("conversation", tooltip="From Dialogue or Long Text."),
                io.String.Input(
                    "filename_prefix",
                    default="conversations/miso",
                    tooltip="Subfolder of the output folder, and the beginning of the file name.",
                ),
            ],
            outputs=[
                sockets.Conversation.Output(
                    "saved", display_name="conversation", tooltip="The same conversation."
                )
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @name_errors
    def execute(cls, conversation: Conversation, filename_prefix: str):
        about = f": {_described(conversation)}"
        saved = save(filename_prefix, cls.hidden, conversation.save, about)
        return io.NodeOutput(conversation, ui={"conversations": saved})


class LoadConversation(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return block(
            node_id="MisoLoadConversation",
            display_name="Load Conversation",
            category=CODES,
            description="Loads a conversation that Save Conversation wrote, to go on from it.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=codes_files.choices(FORMAT) or [NOTHING],
                    tooltip="A conversation in any folder of input or output, newest first. Press R to see "
                    "new ones.",
                ),
            ],
            outputs=[
                sockets.Conversation.Output(
                    "conversation",
                    display_name="conversation",
                    tooltip="For the conversation input of Dialogue or Long Text.",
                )
            ],
        )

    @classmethod
    @name_errors
    def execute(cls, file: str):
        conversation = Conversation.load(codes_files.path_of(file, "file", FORMAT))
        show_on_node(_described(conversation))
        return io.NodeOutput(conversation)

    @classmethod
    def validate_inputs(cls, file: str = ""):
        """Lets ``execute`` say what is missing: ComfyUI would only say that it isn't in the list."""
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str):
        try:
            return codes_files.path_of(file, "file", FORMAT).stat().st_mtime_ns
        except (MisoError, OSError):
            return None


def _described(conversation: Conversation) -> str:
    turns = sum(not segment.voice for segment in conversation.segments)
    who = ", ".join(conversation.names)
    return f"{counted(turns, 'turn')}, {conversation.seconds:.1f} s" + (f", {who}" if who else "")


NODES = [LoadConversation, SaveConversation]
