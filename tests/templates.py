"""The workflows that ship: blocks, and where they stand.

``make_workflows.py`` has ComfyUI's own page build and save them.
"""

from template_blocks import NANO, SPEAKING, Block, Template, decode, load, round_of, sampler, save, text

CHAPTER = """The river begins as a spring under a stone. It is so small that a child can step over it. Nobody
would think that it carries ships.

Further down it turns a mill, and the mill feeds a village. The miller says that the water has never failed
him, although his father saw it freeze.

In the evening the boats come home. Their lamps draw long lines on the water, and the people on the bank count
them until the last one is there."""

SOURCE_LINE = "The north wind and the sun could not agree which of them was the stronger."  # what heart says
FEW_CODES = "A few codes carry the words, and many more carry the sound."  # what the example says

TEMPLATES = {
    "text_to_speech": Template(
        "Speak a text.",
        """**Type your text below and press Run.**

*voice* offers nano's voices by name. Another seed gives another take. *Sound on* in the sampler plays
it while it is made.

For Miso 8B or CSM, choose it in *Load Miso Model*, choose `mimi` in *Load Vocoder*, and set the
temperature to 0.9.""",
        {
            **load(),
            "text": text("Hello there. Every word you hear was first a handful of codes."),
            "sampler": sampler("text.conditioning"),
            "decode": decode("sampler.codes"),
            "save": save("decode", "miso"),
            "codes": Block("MisoSaveCodes", {}, {"codes": "sampler.codes"}),
        },
        [["model vocoder", "note text", "sampler", "decode save codes"]],
        {"Load": "model vocoder", "Speak": "note text sampler", "Sound": "decode save codes"},
    ),
    "own_voice": Template(
        "Speak in the voice of your own recording.",
        """**Upload a recording of 5 to 15 seconds. Type exactly what it says, type your text, and press
Run.**

nano knows 28 voices and follows others only roughly. For Miso 8B or CSM, choose `mimi` in both
vocoder blocks.""",
        {
            **load(codec="Load codec (it encodes)"),
            "recording": Block("LoadAudio", title="Your recording"),
            "encode": Block(
                "MisoEncodeAudio",
                {"transcript": "This is how I sound when I am at ease."},
                {"audio": "recording.AUDIO", "vocoder": "codec.vocoder"},
            ),
            "text": text("And this is something else, said in the same voice."),
            "voice": Block(
                "MisoVoicePrompt", {}, {"conditioning": "text.conditioning", "codes": "encode.codes"}
            ),
            "sampler": sampler("voice.conditioning"),
            "decode": decode("sampler.codes"),
            "save": save("decode", "own_voice"),
        },
        [["model vocoder codec", "note recording", "encode text", "voice sampler", "decode save"]],
        {
            "Load": "model vocoder codec",
            "Your voice and text": "note recording encode text",
            "Speak": "voice sampler",
            "Sound": "decode save",
        },
        recording="This is how I sound when I am at ease.",
    ),
    "voice_prompt": Template(
        "Speak in the voice of another line.",
        """**Press Run. Then change the second text and run again:** the first line isn't sampled again.

The second line is said in the voice of the first.""",
        {
            **load(),
            "first_text": text("This is how I sound when I am at ease.", "First line"),
            "second_text": text("And this is something else, said in the same voice.", "Second line"),
            "first": sampler("first_text.conditioning", "Sample the first line"),
            "voice": Block(
                "MisoVoicePrompt", {}, {"conditioning": "second_text.conditioning", "codes": "first.codes"}
            ),
            "second": sampler("voice.conditioning", "Sample the second line", 2),
            "decode": decode("second.codes"),
            "save": save("decode", "voice_prompt"),
        },
        [
            ["model", "vocoder", "note", "first_text"],
            ["first", "second_text voice", "second", "decode save"],
        ],
        {
            "Load": "model vocoder",
            "First line": "note first_text",
            "The voice": "first",
            "Speak": "second_text voice second",
            "Sound": "decode save",
        },
    ),
    "continue_take": Template(
        "Keep the beginning of a take and have the rest said anew.",
        """**Press Run. Then change *frames* in *Keep the first 2 seconds* and the seed of the second
sampler, and run again.**

A second has 12.5 frames. The beginning stays exactly as it was.""",
        {
            **load(),
            "text": text(
                "The beginning of this sentence stays as it is, and the rest is said in another way."
            ),
            "first": sampler("text.conditioning", "Sample the whole line"),
            "prefix": Block(
                "MisoPrefix", {"frames": 25}, {"codes": "first.codes"}, "Keep the first 2 seconds"
            ),
            "second": sampler("text.conditioning", "Say the rest anew", 7, prefix="prefix.prefix"),
            "decode_a": decode("first.codes", "Decode the whole line"),
            "save_a": save("decode_a", "whole"),
            "decode_b": decode("second.codes", "Decode with another ending"),
            "save_b": save("decode_b", "continued"),
        },
        [
            ["model", "vocoder", "note", "text"],
            ["first", "prefix decode_a save_a", "second", "decode_b save_b"],
        ],
        {
            "Load": "model vocoder",
            "Text": "note text",
            "The whole line": "first prefix decode_a save_a",
            "Another ending": "second decode_b save_b",
        },
    ),
    "second_half": Template(
        "Mark a place on a timeline and have what follows said anew.",
        """**Press Run. In the editor, click where the new ending is to begin, press *Resample from here*,
and run again.**

Another seed in the second sampler gives another ending.""",
        {
            **load(),
            "text": text("You can keep the first half of a line, and say the second half again."),
            "first": sampler("text.conditioning", "Sample the line"),
            "editor": Block(
                "MisoCodeEditor",
                {"edits": '[{"op": "resample_from", "frame": 24}]'},
                {"codes": "first.codes", "vocoder": "vocoder.vocoder"},
            ),
            "second": sampler("text.conditioning", "Say the second half anew", 5, prefix="editor.prefix"),
            "decode": decode("second.codes"),
            "save": save("decode", "second_half"),
        },
        [["model", "vocoder", "note", "text", "decode save"], ["first", "editor", "second"]],
        {
            "Load": "model vocoder",
            "Text": "note text",
            "Speak": "first",
            "Mark": "editor",
            "Say it anew": "second",
            "Sound": "decode save",
        },
    ),
    "edit_codes": Template(
        "Choose one of several takes and edit it on a timeline.",
        """**Press Run, choose a take, edit it on the timeline, and run again:** nothing is sampled again.

Drag to select, then press Delete, R (repeat) or S (silence).""",
        {
            **load(),
            "text": text("Pick the take you like, then cut, move and repeat it as you please."),
            "sampler": sampler("text.conditioning", takes=3),
            "picker": Block("MisoTakePicker", {}, {"codes": "sampler.codes", "vocoder": "vocoder.vocoder"}),
            "editor": Block("MisoCodeEditor", {}, {"codes": "picker.codes", "vocoder": "vocoder.vocoder"}),
            "decode": decode("editor.codes"),
            "save": save("decode", "edited"),
        },
        [["model", "vocoder", "note", "text", "decode save"], ["sampler", "picker", "editor"]],
        {
            "Load": "model vocoder",
            "Text": "note text",
            "Speak": "sampler",
            "Choose": "picker",
            "Edit": "editor",
            "Sound": "decode save",
        },
    ),
    "takes": Template(
        "Have a recogniser choose the best of several takes.",
        """**Type your text below and press Run.** The first run downloads Whisper (151 MB).

Six takes are sampled at once. Those that ended by themselves and in which a recogniser understands every word
come first, then the likeliest. *rank* 2 gives the second best; that samples and hears nothing again.

To sample until a take is right, put *Best of N* in the place of the sampler and *Best Take*.""",
        {
            **load(),
            "recogniser": Block("MisoLoadRecogniser", {"recogniser": "whisper-tiny.en", "language": "en"}),
            "text": text("She opened the door and went in, although the house had been sold."),
            "sampler": sampler("text.conditioning", takes=6),
            "best": Block(
                "MisoBestTake",
                {},
                {
                    "codes": "sampler.codes",
                    "recogniser": "recogniser.recogniser",
                    "vocoder": "vocoder.vocoder",
                },
            ),
            "decode": decode("best.codes"),
            "save": save("decode", "best_take"),
            "ranking": Block("PreviewAny", {}, {"source": "best.ranking"}, "All takes"),
        },
        [["model vocoder recogniser", "note text", "sampler", "best ranking", "decode save"]],
        {
            "Load": "model vocoder recogniser",
            "Speak": "note text sampler",
            "Choose": "best ranking",
            "Sound": "decode save",
        },
    ),
    "replace_words": Template(
        "Say other words in a take, and keep all the rest.",
        """**Press Run. Then change words in *Replace Words* and run again:** only what differs is sampled.

Leave the text empty to have it filled with what the take says. *rank* chooses another candidate. Click a word
in the editor to select it, double-click to hear it.""",
        {
            **load(),
            "text": text("The baker opened her shop before the sun came up."),
            "sampler": sampler("text.conditioning"),
            "replace": Block(
                "MisoReplaceWords",
                {"text": "The baker opened her kitchen before the sun came up.", "seed": 1, **NANO},
                {
                    "backbone": "model.backbone",
                    "depth": "model.depth",
                    "text_encoder": "model.text",
                    "codes": "sampler.codes",
                },
            ),
            "editor": Block("MisoCodeEditor", {}, {"codes": "replace.codes", "vocoder": "vocoder.vocoder"}),
            "decode_a": decode("sampler.codes", "Decode as sampled"),
            "save_a": save("decode_a", "as_sampled"),
            "decode_b": decode("editor.codes", "Decode with other words"),
            "save_b": save("decode_b", "replaced"),
        },
        [["model vocoder note", "text", "sampler", "replace decode_a save_a", "editor decode_b save_b"]],
        {
            "Load": "model vocoder note",
            "Speak": "text sampler",
            "Other words": "replace",
            "Look, hear, edit": "editor",
            "Sound": "decode_b save_b",
            "As sampled": "decode_a save_a",
        },
    ),
    "swap_vocoder": Template(
        "Hear the same codes through several vocoders.",
        """**Press Run. Then change a vocoder or the number of codebooks and run again:** nothing is sampled
again.

All three sounds are made of the same codes.""",
        {
            **load(codec="Load codec"),
            "text": text("The same codes, through one vocoder and another."),
            "sampler": sampler("text.conditioning"),
            "decode_a": decode("sampler.codes", "Decode with the vocoder"),
            "save_a": save("decode_a", "vocoder"),
            "decode_b": decode("sampler.codes", "Decode with the codec", "codec"),
            "save_b": save("decode_b", "codec"),
            "keep": Block("MisoKeepCodebooks", {"count": 4}, {"codes": "sampler.codes"}),
            "decode_c": decode("keep.codes", "Decode 4 codebooks"),
            "save_c": save("decode_c", "four_codebooks"),
        },
        [
            [
                "model vocoder codec",
                "note text",
                "sampler",
                "decode_a save_a decode_b save_b",
                "keep decode_c save_c",
            ]
        ],
        {
            "Load": "model vocoder codec",
            "Speak": "note text sampler",
            "The same codes": "decode_a save_a decode_b save_b",
            "Fewer codebooks": "keep decode_c save_c",
        },
    ),
    "redecode_depth": Template(
        "Keep the words, draw the detail of the sound again.",
        """**Press Run. Then change the seed of *Depth Redecode* and run again.**

Words and rhythm stay, the detail of the sound changes, and the backbone doesn't run.""",
        {
            **load(),
            "text": text("The words stay, the grain of the sound is drawn again."),
            "sampler": sampler("text.conditioning"),
            "redecode": Block(
                "MisoDepthRedecode",
                {"seed": 100, **NANO},
                {"depth": "model.depth", "hidden": "sampler.hidden", "codes": "sampler.codes"},
            ),
            "decode_a": decode("sampler.codes", "Decode as sampled"),
            "save_a": save("decode_a", "as_sampled"),
            "decode_b": decode("redecode.codes", "Decode redecoded"),
            "save_b": save("decode_b", "redecoded"),
        },
        [["model vocoder", "note text", "sampler", "redecode decode_b save_b", "decode_a save_a"]],
        {
            "Load": "model vocoder",
            "Speak": "note text sampler",
            "New detail": "redecode decode_b save_b",
            "As sampled": "decode_a save_a",
        },
    ),
    "dialogue": Template(
        "Speak a dialogue of two speakers, with their voices.",
        """**Type a line for each turn and press Run. Then change a turn and run again:** those before it are
not sampled again.

`Name: text` is a turn, `[pause 0.5]` silence, `#` a comment. Each turn hears the one before it. Without the
two voices, the speakers have the numbers 0 and 1.""",
        {
            **load(),
            "anna": Block("MisoLoadVoice", {"voice": "heart", "name": "Anna"}, title="Anna's voice"),
            "ben": Block(
                "MisoLoadVoice",
                {"voice": "michael", "name": "Ben"},
                {"voices": "anna.voices"},
                "Ben's voice",
            ),
            "dialogue": Block(
                "MisoDialogue",
                {"seed": 1, **NANO},
                {**SPEAKING, "voices": "ben.voices"},
            ),
            "decode": decode("dialogue.codes"),
            "save": save("decode", "dialogue"),
            "tracks": Block(
                "MisoSpeakerTracks", {}, {"codes": "dialogue.codes", "vocoder": "vocoder.vocoder"}
            ),
            "save_tracks": Block(
                "SaveAudio",
                {"filename_prefix": "audio/speaker"},
                {"audio": "tracks.audio"},
                "Save one file a speaker",
            ),
        },
        [["model vocoder note", "anna ben", "dialogue", "decode save tracks save_tracks"]],
        {
            "Load": "model vocoder note",
            "Voices": "anna ben",
            "Speak": "dialogue",
            "Sound": "decode save tracks save_tracks",
        },
    ),
    "batch": Template(
        "Speak many lines, a file each, several at once.",
        """**Type a line for each file and press Run. Then change a line and run again:** only that one is
sampled.

`Name: text` is a line, `#` a comment. No line hears another: for a talk, open *dialogue*. The names of the
files come from *Batch Lines*. For a table with thousands of lines: `python -m miso batch`.""",
        {
            **load(),
            "anna": Block("MisoLoadVoice", {"voice": "heart", "name": "Anna"}, title="Anna's voice"),
            "ben": Block(
                "MisoLoadVoice",
                {"voice": "michael", "name": "Ben"},
                {"voices": "anna.voices"},
                "Ben's voice",
            ),
            "batch": Block(
                "MisoBatchLines",
                {"seed": 1, **NANO},
                {
                    "backbone": "model.backbone",
                    "depth": "model.depth",
                    "text_encoder": "model.text",
                    "voices": "ben.voices",
                },
            ),
            "decode": decode("batch.codes"),
            "save": Block(
                "SaveAudio",
                {},
                {"audio": "decode.audio", "filename_prefix": "batch.names"},
                "Save a file for each line",
            ),
        },
        [["model vocoder note", "anna ben", "batch", "decode save"]],
        {
            "Load": "model vocoder note",
            "Voices": "anna ben",
            "Speak": "batch",
            "Sound": "decode save",
        },
    ),
    "long_text": Template(
        "Speak a text of any length.",
        """**Paste your text and press Run.** It is cut into parts that the model can say, each going on
from the one before.

Press Stop and Run: it goes on where it was. Blank lines separate paragraphs.""",
        {
            **load(),
            "text": Block("MisoLongText", {"seed": 1, "text": CHAPTER, **NANO}, SPEAKING),
            "decode": decode("text.codes"),
            "save": save("decode", "long_text"),
        },
        [["model vocoder note", "text", "decode save"]],
        {"Load": "model vocoder note", "Speak": "text", "Sound": "decode save"},
    ),
    "voice_conversion": Template(
        "Say codes in another voice.",
        """**Press Run. Then choose other voices, type what the first one says, and run again.**

Codebook 0 of the first voice stays, the rest is drawn in the second. Twice, because the first round hears one
codebook only. With nano the result is near the second voice, not equal to it, and about one word in twelve is
no longer understood. From *keep* 2 on, nano stays in the first voice.""",
        {
            **load(),
            "source": Block("MisoLoadVoice", {"voice": "heart", "name": "Source"}, title="What is said"),
            "target": Block("MisoLoadVoice", {"voice": "michael", "name": "Target"}, title="In whose voice"),
            "text": Block(
                "MisoEncodeText",
                {"text": SOURCE_LINE, "speaker": 1},
                {"text_encoder": "model.text"},
                "What the first voice says",
            ),
            "prompt": Block(
                "MisoVoicePrompt",
                {"speaker": 1},
                {"conditioning": "text.conditioning", "codes": "target.codes"},
            ),
            "keep": Block("MisoKeepCodebooks", {"count": 1}, {"codes": "source.codes"}),
            **round_of("first", "keep.codes", "First round"),
            **round_of("second", "first.codes", "Second round"),
            "decode_a": decode("source.codes", "Decode the first voice"),
            "save_a": save("decode_a", "first_voice"),
            "decode_b": decode("second.codes", "Decode in the second voice"),
            "save_b": save("decode_b", "converted"),
        },
        [
            [
                "model vocoder note",
                "source target",
                "text prompt keep",
                "first_hidden first",
                "second_hidden second",
                "decode_b save_b decode_a save_a",
            ]
        ],
        {
            "Load": "model vocoder note",
            "Voices": "source target",
            "What is said": "text prompt keep",
            "First round": "first_hidden first",
            "Second round": "second_hidden second",
            "Sound": "decode_b save_b decode_a save_a",
        },
    ),
    "hybrid": Template(
        "Fill up codes with few codebooks, and blend two vocoders.",
        """**Press Run. Then change the range of *Blend Sounds* and run again:** nothing is drawn again.

The file has three of nano's eight codebooks. The other five are drawn from what is said. To do this with
codes of Moshi or LFM2-Audio (8 codebooks), load Miso 8B or CSM and `mimi`, and set *keep* to 8.""",
        {
            **load(codec="Load codec"),
            "import": Block(
                "MisoImportCodes",
                {"file": "three_codebooks.npy [example]", "layout": "plain", "transcript": FEW_CODES},
                {"vocoder": "vocoder.vocoder"},
            ),
            "text": text(FEW_CODES, "What the codes say"),
            "hidden": Block(
                "MisoHiddenStates",
                {},
                {"backbone": "model.backbone", "conditioning": "text.conditioning", "codes": "import.codes"},
            ),
            "redecode": Block(
                "MisoDepthRedecode",
                {"seed": 1, "keep": 3, **NANO},
                {"depth": "model.depth", "hidden": "hidden.hidden", "codes": "import.codes"},
                "Fill up to all codebooks",
            ),
            "decode_a": decode("redecode.codes", "Decode with the vocoder"),
            "decode_b": decode("redecode.codes", "Decode with the codec", "codec"),
            "blend": Block(
                "MisoBlend",
                {"share": 1.0, "start": 1.0, "end": 2.0},
                {"a": "decode_a.audio", "b": "decode_b.audio"},
            ),
            "compare": Block("MisoCompare", {}, {"a": "decode_a.audio", "b": "decode_b.audio"}),
            "save": save("blend", "hybrid"),
        },
        [
            [
                "model vocoder codec",
                "note text",
                "import",
                "hidden redecode",
                "decode_a decode_b compare",
                "blend save",
            ]
        ],
        {
            "Load": "model vocoder codec",
            "What they say": "note text",
            "Codes from elsewhere": "import",
            "Fill up": "hidden redecode",
            "Two vocoders": "decode_a decode_b compare",
            "One sound": "blend save",
        },
    ),
}
