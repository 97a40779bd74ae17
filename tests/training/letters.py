"""Coded speech whose codes spell its text, so that what a language model learnt can be read off them."""

import json
from dataclasses import replace

import torch

from miso.files import write_tensors
from miso.text.tokenizer import ByteTokenizer
from miso.training.coded import FORMAT, CodedSpeech
from miso.training.conversations import Conversations
from miso.training.presets import TINY_MODEL


def spell(text: str, voice: int) -> torch.Tensor:
    """A frame [4] for each letter: the letter, the voice, and two sums of both."""
    ids = torch.tensor([1 + (ord(c) - ord("a")) if c != " " else 0 for c in text])
    return torch.stack((ids, torch.full_like(ids, 10 + voice), (3 * ids + voice) % 32, (7 * ids + 5) % 32), 1)


def coded_speech(path, texts, voices=("a", "b"), unnamed=(), first_voice=0) -> CodedSpeech:
    """A file in which all voices say all texts; ``unnamed`` voices have no speaker number."""
    everyone = [*voices, *unnamed]
    pairs = [(text, voice) for text in texts for voice in everyone]
    frames = [spell(text, first_voice + everyone.index(voice)) for text, voice in pairs]
    lengths = torch.tensor([len(f) for f in frames])
    about = {
        "codec": "tiny",
        "codebook_size": 32,
        "frame_rate": 12.5,
        "voices": list(voices),
        "utterances": [(*pair, "validation" if i % 20 == 7 else "train") for i, pair in enumerate(pairs)],
    }
    places = torch.stack((lengths.cumsum(0) - lengths, lengths), 1)
    tensors = {"codes": torch.cat(frames).to(torch.int16), "places": places}
    write_tensors(path, tensors, {"format": FORMAT, "about": json.dumps(about)})
    return CodedSpeech(path)


def conversations(data, settings, **changes) -> Conversations:
    """Conversations of the training split, with changes of settings."""
    return Conversations(
        data, data.split("train"), TINY_MODEL, ByteTokenizer(), replace(settings, **changes), seed=5
    )
