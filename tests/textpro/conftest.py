"""A tiny untrained WhisperPro, saved as a bundle: the laws hold for any weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast, WhisperForConditionalGeneration

from textpro import bundle as bundles
from textpro.bundle import Bundle
from textpro.config import BundleConfig
from textpro.decoding import DecodingOptions, SpeechDecoder
from textpro.guards import OFF
from textpro.training.tokenizer import train_tokenizer
from textpro.training.whisperpro import FreshModel, fresh_whisper

SENTENCES = [
    "The kettle is on the stove.",
    "What time does the train leave?",
    "Yes.",
    "Please call me tomorrow morning.",
    "It is raining in the mountains again.",
]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(SENTENCES * 4, vocabulary=320)


@pytest.fixture(scope="session")
def whisper(tokenizer: PreTrainedTokenizerFast) -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    model = fresh_whisper(FreshModel(width=64, n_heads=2, encoder_layers=2, decoder_layers=4), tokenizer).eval()
    with torch.no_grad():
        for weight in model.parameters():  # far from the flat start, so that every part of the model matters
            weight.mul_(2.0) if weight.dim() > 1 else weight.add_(torch.randn_like(weight) * 0.1)
            weight.copy_(weight.half())  # what a bundle can hold
    end = tokenizer.get_vocab()["<|endoftext|>"]
    # An untrained model would write time tokens and never a word.
    model.generation_config.suppress_tokens = list(range(end + 1, model.config.vocab_size))
    return model


@pytest.fixture(scope="session")
def config() -> BundleConfig:
    return BundleConfig(name="tiny", tap="decoder.2", variable_length=True)


@pytest.fixture(scope="session")
def bundle(
    tmp_path_factory: pytest.TempPathFactory,
    whisper: WhisperForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    config: BundleConfig,
) -> Bundle:
    return bundles.save(tmp_path_factory.mktemp("bundle"), whisper, tokenizer, config, model_card="# Tiny\n")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def decoder(bundle: Bundle, cache: Path) -> SpeechDecoder:
    """A decoder that refuses nothing: what an untrained model writes would never pass."""
    return SpeechDecoder.load(bundle, cache=cache, options=DecodingOptions(guards=OFF))


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Something with changing pitch and loudness, (S,) float32; not words."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * 16_000)) / 16_000
    pitch = 120 + 40 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * t + seed)
    voice = sum(np.sin(k * np.cumsum(2 * np.pi * pitch / 16_000)) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(2, 5) * t), 0, 1)
    return (0.1 * voice * syllables + 0.002 * rng.standard_normal(len(t))).astype(np.float32)
