"""Schemas for every ComfyUI: what an older one lacks is left out, and the words people search for are found
in all."""

import dataclasses
import inspect
from typing import Any

from comfy_api.latest import io

LOAD, SPEAK, EDIT, CODES, FINISH = (f"Miso/{name}" for name in ("load", "speak", "edit", "codes", "finish"))

# node id -> words people search for. A ComfyUI without search aliases looks at names alone: there the words
# before the "|" stand in the name.
_WORDS = {
    "MisoLoadModel": "TTS, Sesame CSM | text to speech, speech, checkpoint, voice model",
    "MisoLoadVocoder": "| codec, mimi, vae, speech",
    "MisoEncodeText": "Text to Speech | tts, say, speak, prompt, dialogue",
    "MisoNormalizeText": "| numbers, dates, pronunciation, spell out, clean text, tts",
    "MisoBackboneSampler": "Speak, Say | tts, text to speech, speech, generate, ksampler",
    "MisoVoicePrompt": "Clone | voice cloning, speaker, reference audio",
    "MisoAddSegment": "Dialogue, Podcast | conversation, history, multi speaker",
    "MisoDialogue": "Podcast, Conversation | multi speaker, script, two voices, long text, tts",
    "MisoLongText": "Audiobook, Narrate | chapter, article, story, chunks, split text, tts",
    "MisoBatchLines": "Voice Lines, CSV | many lines, game dialogue, table, list, bulk, queue, tts",
    "MisoSpeakerTracks": "| stems, multitrack, separate speakers, podcast",
    "MisoSaveVoice": "| clone, speaker, narrator, character",
    "MisoLoadVoice": "Narrator, Character | clone, speaker",
    "MisoSaveConversation": "| dialogue, resume, history",
    "MisoLoadConversation": "| dialogue, resume, history",
    "MisoImportCodes": "| moshi, kyutai, csm, marvis, lfm2, dia2, npy, foreign, tokens",
    "MisoEncodeAudio": "| voice, clone, recording, audio to codes, speech to codes",
    "MisoLoadLora": "| adapter, peft, fine-tune, voice, style, finetune",
    "MisoDepthDecoder": "| acoustic, temperature",
    "MisoDepthRedecode": "| resample, variation",
    "MisoHiddenStates": "| upgrade codes, voice conversion, teacher forcing",
    "MisoAlignWords": "Word Timestamps | subtitles, captions, karaoke, srt, vtt, forced alignment, timing",
    "MisoReplaceWords": "Edit Speech by Text, Inpaint | fix a word, pronunciation, overdub, retake, tts",
    "MisoInsertSilence": "Pause | break, gap",
    "MisoCodeEditor": "| edit speech, cut audio, timeline, trim",
    "MisoBestTake": "| choose take, rank, score, word error rate, wer",
    "MisoBestOfN": "| best take, retry, until right, word error rate, wer, tts",
    "MisoLoadRecogniser": "Whisper | asr, stt, speech to text, recognizer",
    "MisoPrepareVoice": "Denoise | clean recording, noise, trim, voice cloning, reference audio",
    "MisoTranscribe": "Speech to Text | whisper, asr, stt, transcript, subtitles",
    "MisoTakePicker": "| choose take, compare, listen",
    "MisoVocoderDecode": "| speech, codes to audio, vae decode, tts",
    "MisoBlend": "| mix, crossfade, hybrid, layer, audio",
    "MisoLoudness": "| normalize, volume, LUFS, level, audio",
    "MisoTrimSilence": "| silence, cut, trim audio",
    "MisoCompare": "| spectrogram, difference, a/b, audio",
    "MisoStoredCodes": "| cache, history, saved speech",
}
# for an input that few people change; older ComfyUIs show it like any other
ADVANCED = {"advanced": True} if "advanced" in inspect.signature(io.Combo.Input).parameters else {}
_SUPPORTED = {field.name for field in dataclasses.fields(io.Schema)}


def block(node_id: str, display_name: str, **arguments: Any) -> io.Schema:
    """An ``io.Schema`` with its search words, without the arguments that this ComfyUI doesn't know."""
    named, _, others = _WORDS.get(node_id, "").partition("|")
    words = [word.strip() for word in f"{named},{others}".split(",") if word.strip()]
    if words and "search_aliases" in _SUPPORTED:
        arguments["search_aliases"] = words
    elif named.strip():
        display_name = f"{display_name} ({named.strip()})"
    known = {name: value for name, value in arguments.items() if name in _SUPPORTED}
    return io.Schema(node_id=node_id, display_name=display_name, **known)


def plain_name(schema: io.Schema) -> str:
    """The block's name without search words, for messages."""
    return schema.display_name.partition(" (")[0]
