import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor, AutoTokenizer, PreTrainedTokenizerFast, WhisperForConditionalGeneration

from tests.textpro.conftest import babble
from textpro import bundle as bundles
from textpro.bundle import Bundle
from textpro.config import BundleConfig
from textpro.decoding import DecodingOptions, SpeechDecoder
from textpro.errors import BundleError
from textpro.evaluation.transcribers import FasterWhisper
from textpro.guards import OFF
from textpro.whisperpro import WhisperPro


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle directory that a test may break."""
    return Path(shutil.copytree(bundle.path, tmp_path / "copy"))


def test_what_was_saved_is_loaded(
    bundle: Bundle, whisper: WhisperForConditionalGeneration, config: BundleConfig
) -> None:
    assert bundle.config == config
    model, tokenizer = bundles.load_training(bundle)
    assert model.reconstructor is not None
    for name, weight in model.whisper.state_dict().items():
        torch.testing.assert_close(weight, whisper.state_dict()[name], rtol=0, atol=0)
    assert tokenizer.decode(tokenizer.encode(" Yes.", add_special_tokens=False)) == " Yes."


def test_a_reconstructor_goes_to_disk_and_back(
    tmp_path: Path, whisper: WhisperForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, config: BundleConfig
) -> None:
    model = WhisperPro(whisper, config, with_reconstructor=True)
    assert model.reconstructor is not None
    saved = bundles.save(tmp_path / "b", whisper, tokenizer, config, reconstructor=model.reconstructor)
    again = bundles.load_training(saved)[0].reconstructor
    assert again is not None
    for name, weight in again.state_dict().items():
        torch.testing.assert_close(weight, model.reconstructor.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_a_bundle_holds_no_pickles_and_half_precision_weights(bundle: Bundle) -> None:
    files = [path for path in bundle.path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md"}
    assert {str(w.dtype) for w in load_file(bundle.encoder_path / "model.safetensors").values()} == {"torch.float16"}


def test_saving_does_not_change_the_model(bundle: Bundle, whisper: WhisperForConditionalGeneration) -> None:
    assert {weight.dtype for weight in whisper.parameters()} == {torch.float32}


def test_transformers_reads_the_encoder_directory(bundle: Bundle) -> None:
    path = str(bundle.encoder_path)
    assert WhisperForConditionalGeneration.from_pretrained(path).config.d_model == 64
    assert AutoTokenizer.from_pretrained(path).decode([], skip_special_tokens=True) == ""
    assert AutoFeatureExtractor.from_pretrained(path).feature_size == 80


def test_stock_faster_whisper_hears_what_we_hear_in_a_full_window(bundle: Bundle, cache: Path) -> None:
    audio = babble(30.0, 5)
    decoder = SpeechDecoder.load(bundle, cache=cache, options=DecodingOptions(guards=OFF))
    theirs = FasterWhisper(bundle, cache=cache).transcribe([audio])[0]
    assert theirs
    assert decoder.transcribe([audio])[0][:40] == theirs[:40]


def test_a_plain_whisper_directory_is_a_bundle_with_the_tap_in_the_middle(bundle: Bundle) -> None:
    plain = Bundle.load(bundle.encoder_path)
    assert plain.encoder_path == bundle.encoder_path
    assert (plain.config.tap, plain.config.variable_length) == ("decoder.2", False)
    assert not plain.has_projector
    assert plain.adapter_path is plain.llm_path is None


def test_the_fingerprint_follows_weights_and_settings_and_nothing_else(bundle: Bundle, copy: Path) -> None:
    assert Bundle.load(copy).fingerprint == bundle.fingerprint
    (copy / "MODEL_CARD.md").write_text("other words")
    save_file({"x": torch.zeros(1)}, copy / "reconstructor.safetensors")
    assert Bundle.load(copy).fingerprint == bundle.fingerprint
    save_file({"w": torch.zeros(1)}, copy / "projector.safetensors")
    projected = Bundle.load(copy)
    assert projected.has_projector
    assert projected.fingerprint != bundle.fingerprint
    dataclasses.replace(bundle.config, layout="interleaved").save(copy / "textpro.json")
    assert Bundle.load(copy).fingerprint not in (projected.fingerprint, bundle.fingerprint)


def test_the_encoder_s_fingerprint_follows_its_weights_and_the_tap_alone(bundle: Bundle, copy: Path) -> None:
    save_file({"w": torch.zeros(1)}, copy / "projector.safetensors")
    assert Bundle.load(copy).encoder_fingerprint == bundle.encoder_fingerprint
    assert bundle.tapped("encoder.1").encoder_fingerprint != bundle.encoder_fingerprint
    save_file({"w": torch.zeros(1)}, copy / "encoder" / "model.safetensors")
    assert Bundle.load(copy).encoder_fingerprint != bundle.encoder_fingerprint


def test_the_ctranslate2_twin_is_made_once(bundle: Bundle, cache: Path) -> None:
    first = bundle.ct2_path("float32", cache=cache)
    made = (first / "model.bin").stat().st_mtime_ns
    again = Bundle.load(bundle.path).ct2_path("float32", cache=cache)
    assert again == first
    assert (again / "model.bin").stat().st_mtime_ns == made
    assert not list(first.parent.glob(".making-*"))


def test_int8_hears_with_prosody_too(bundle: Bundle, cache: Path) -> None:
    decoder = SpeechDecoder.load(bundle, cache=cache, compute_type="int8", options=DecodingOptions(guards=OFF))
    (decoded,) = decoder.decode([babble(1.0)])
    assert decoded.prosody.shape == (len(decoded.tokens), 64)
    assert np.isfinite(decoded.prosody).all()


def test_a_description_is_json(bundle: Bundle) -> None:
    told = json.loads(json.dumps(bundle.describe()))
    assert told["fingerprint"] == bundle.fingerprint
    assert (told["width"], told["layers"], told["has"]) == (64, [2, 4], [])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"reconstructor": {"depth": 3}}, "does not describe a bundle"),
        ({"wings": 2}, "unknown keys: wings"),
        ({"tap": "decoder.9"}, "the decoder has 4 layers"),
        ({"tap": "memory.1"}, "unknown tap"),
    ],
)
def test_settings_that_make_no_sense_are_refused(copy: Path, broken: dict, message: str) -> None:
    path = copy / "textpro.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | broken))
    with pytest.raises(BundleError, match=message):
        Bundle.load(copy)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(copy: Path, missing: str) -> None:
    (copy / "encoder" / missing).unlink()
    with pytest.raises(BundleError, match=r"config\.json|tokenizer\.json|no \.safetensors"):
        Bundle.load(copy)


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": {"a": 1}}'])
def test_an_index_of_weights_that_is_broken_is_named(copy: Path, index: str) -> None:
    weights = copy / "encoder" / "model.safetensors"
    weights.unlink()
    weights.with_name("model.safetensors.index.json").write_text(index)
    with pytest.raises(BundleError, match=r"model\.safetensors\.index\.json does not name the weights' files"):
        Bundle.load(copy)


def test_a_model_that_is_no_whisper_is_refused(copy: Path) -> None:
    (copy / "encoder" / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(BundleError, match="'llama' model; expected a Whisper"):
        Bundle.load(copy)


def test_an_empty_directory_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "not a model!"])
def test_a_name_that_stands_for_nothing_is_refused(name: str) -> None:
    with pytest.raises(BundleError, match="no bundle"):
        Bundle.load(name)
