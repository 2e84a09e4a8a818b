"""A corpus of tones, a tokenizer and a model small enough to train within a second."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from textpro.audio import SAMPLE_RATE
from textpro.config import BundleConfig, ReconstructorConfig
from textpro.data import manifest
from textpro.data.manifest import Clip
from textpro.data.turns import DISTILLATION, Turn, TurnsWriter, place
from textpro.training.tokenizer import train_tokenizer
from textpro.training.whisperpro import FreshModel, fresh_whisper
from textpro.whisperpro import WhisperPro

PROSODY_WIDTH = 6
TEXTS = ["Red sky.", "Blue water falls.", "Green hills roll on.", "A yellow bird sang."]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 12 clips of 0.5 to 1.6 s."""
    folder = tmp_path_factory.mktemp("corpus")
    clips = []
    for i in range(12):
        seconds = 0.5 + 0.1 * i
        t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        samples = (8000 * np.sin(2 * np.pi * (200 + 50 * i) * t)).astype("<i2")
        with wave.open(str(folder / f"{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(samples.tobytes())
        clips.append(Clip(str(i), f"{i}.wav", TEXTS[i % 4], seconds))
    manifest.write(folder / "manifest.jsonl", clips)
    return folder / "manifest.jsonl"


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, vocabulary=300)


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> WhisperPro:
    torch.manual_seed(0)
    size = FreshModel(width=32, n_heads=2, encoder_layers=1, decoder_layers=2)
    config = BundleConfig("tiny", "decoder.1", True, reconstructor=ReconstructorConfig(16, 2, 1, 1, 0.0))
    return WhisperPro(fresh_whisper(size, tokenizer), config, with_reconstructor=True)


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight distilled turns of different lengths, one of them typed."""
    folder = tmp_path_factory.mktemp("chats")
    random = torch.Generator().manual_seed(3)
    texts = ["Hi!", "Who are you?", "Is it late?", "Tell me all that you know of Paris, please.", "Why?", "Yes."]
    turns, prosody = [], {}
    for i in range(8):
        prosody[f"c{i}"] = torch.randn(1 + i, PROSODY_WIDTH, generator=random) * 3 + 10
        where = place(0, f"c{i}") if i != 5 else None
        turns.append(Turn(f"chat-{i}", DISTILLATION, texts[i % len(texts)], TEXTS[i % 4][: 3 + 2 * i], prosody=where))
    TurnsWriter(folder).add(0, turns, prosody)
    return folder


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve turns that ask for a voice: only prosody tells the two answers apart."""
    folder = tmp_path_factory.mktemp("voices")
    random = torch.Generator().manual_seed(4)
    turns, prosody = [], {}
    for i in range(12):
        sign = 1 if i % 2 else -1
        prosody[f"c{i}"] = sign + 0.1 * torch.randn(3, PROSODY_WIDTH, generator=random)
        answer = "man" if i % 2 else "woman"
        turns.append(Turn(f"voice-{i}", "gender", "Hi.", answer, question="Who?", prosody=place(0, f"c{i}")))
    TurnsWriter(folder).add(0, turns, prosody)
    return folder
