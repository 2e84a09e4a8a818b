"""The prompts of an English-only and of a multilingual Whisper."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

from tests.textpro.conftest import babble
from textpro import bundle as bundles
from textpro.bundle import Bundle
from textpro.config import BundleConfig
from textpro.decoding import DecodingOptions, SpeechDecoder
from textpro.errors import AudioError
from textpro.guards import OFF
from textpro.training.tokenizer import timestamps
from textpro.vocabulary import Vocabulary

TEXT_TOKENS = 400
LANGUAGES = ["en", "de", "fr", "ja", *(f"x{i:02d}" for i in range(95))]


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # CTranslate2 knows a multilingual Whisper by the empty token that ends its text tokens.
    words = [*alphabet, *(f"Ġword{i}" for i in range(TEXT_TOKENS - len(alphabet) - 1)), ""]
    backend = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{x}|>" for x in LANGUAGES), *tasks, *timestamps()]
    backend.add_special_tokens([AddedToken(token, special=True) for token in special])
    end = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=end, eos_token=end, unk_token=end, pad_token=end
    )
    return bundles.save(
        tmp_path_factory.mktemp("many"),
        _whisper(tokenizer.get_vocab()),
        tokenizer,
        BundleConfig(name="many", tap="decoder.1"),
    )


def _whisper(ids: dict[str, int]) -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_layers": 1}
    sizes |= {"decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_mel_bins": 128}
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    ends = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    model = WhisperForConditionalGeneration(WhisperConfig(vocab_size=len(ids), **sizes, **ends))
    model.generation_config = GenerationConfig(
        **ends,
        is_multilingual=True,
        no_timestamps_token_id=ids["<|notimestamps|>"],
        lang_to_id={f"<|{x}|>": ids[f"<|{x}|>"] for x in LANGUAGES},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        suppress_tokens=list(range(end, len(ids))),
        begin_suppress_tokens=[],
        alignment_heads=[[1, 0]],
    )
    return model


@pytest.fixture(scope="module")
def decoder(multilingual: Bundle, cache: Path) -> SpeechDecoder:
    return SpeechDecoder.load(multilingual, cache=cache, options=DecodingOptions(guards=OFF, tokens_at_least=5))


def test_an_english_model_is_prompted_without_language_and_task(bundle: Bundle) -> None:
    words = Vocabulary.of(bundle)
    assert not words.multilingual
    assert words.prompt("en") == [words.start, words.no_timestamps]


def test_an_english_model_ignores_the_language(bundle: Bundle) -> None:
    words = Vocabulary.of(bundle)
    words.check("de")
    assert words.prompt("de") == words.prompt("en")


def test_a_multilingual_model_is_prompted_with_language_and_task(multilingual: Bundle) -> None:
    words = Vocabulary.of(multilingual)
    assert words.prompt("de") == [words.start, words.languages["de"], words.transcribe, words.no_timestamps]


def test_the_language_is_detected_and_the_same_when_named(decoder: SpeechDecoder) -> None:
    (detected,) = decoder.decode([babble(1.0)])
    assert detected.language in LANGUAGES
    (named,) = decoder.decode([babble(1.0)], language=detected.language)
    assert named.text == detected.text
    np.testing.assert_allclose(named.prosody, detected.prosody, rtol=1e-4, atol=1e-5)


def test_a_named_language_reaches_the_model(decoder: SpeechDecoder) -> None:
    german, french = (decoder.decode([babble(1.0)], language=x)[0] for x in ("de", "fr"))
    assert (german.language, french.language) == ("de", "fr")
    assert not np.allclose(german.prosody[0], french.prosody[0], atol=1e-5)


def test_an_unknown_language_is_refused(decoder: SpeechDecoder) -> None:
    with pytest.raises(AudioError, match="'tlh' is not known"):
        decoder.decode([babble(1.0)], language="tlh")


def test_128_mels_are_made_for_a_model_of_128(decoder: SpeechDecoder) -> None:
    assert decoder.decode([babble(0.5)])[0].prosody.shape[1] == decoder.width == 16


def test_only_what_comes_before_end_of_text_is_text(bundle: Bundle) -> None:
    words = Vocabulary.of(bundle)
    ids = words.tokenizer.encode(" Yes.", add_special_tokens=False).ids
    assert all(words.is_text(id) for id in ids)
    assert not any(words.is_text(id) for id in (words.end, words.start, words.no_timestamps))
    assert words.text(ids) == "Yes."
    assert "".join(words.piece(id) for id in ids) == " Yes."
