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
from textpro.training.tokenizer import train_tokenizer
from textpro.training.whisperpro import FreshModel, fresh_whisper
from textpro.whisperpro import WhisperPro

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
