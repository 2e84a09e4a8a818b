import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tests.textpro.conftest import SENTENCES
from textpro import bundle as bundles
from textpro.averaging import average
from textpro.bundle import Bundle, load_training
from textpro.config import BundleConfig
from textpro.errors import BundleError
from textpro.training.tokenizer import train_tokenizer
from textpro.training.whisperpro import FreshModel, fresh_whisper
from textpro.whisperpro import WhisperPro

SIZE = FreshModel(width=64, n_heads=2, encoder_layers=2, decoder_layers=4)
Make = Callable[..., Bundle]


@pytest.fixture
def make(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, config: BundleConfig) -> Make:
    """Saves an untrained bundle of the seed's weights, like the fixture `bundle` but for what is named."""

    def make(
        seed: int,
        size: FreshModel = SIZE,
        tokenizer: PreTrainedTokenizerBase = tokenizer,
        config: BundleConfig = config,
        with_reconstructor: bool = False,
    ) -> Bundle:
        torch.manual_seed(seed)
        model = WhisperPro(fresh_whisper(size, tokenizer), config, with_reconstructor=with_reconstructor)
        path = tmp_path / f"made-{seed}"
        return bundles.save(path, model.whisper, tokenizer, config, reconstructor=model.reconstructor)

    return make


def weights(bundle: Bundle) -> dict[str, Tensor]:
    return load_training(bundle, with_reconstructor=bundle.reconstructor_path is not None)[0].state_dict()


def test_every_weight_is_the_weighted_mean(make: Make, tmp_path: Path) -> None:
    parts = [make(seed, with_reconstructor=True) for seed in range(3)]
    mean = weights(average(list(zip(parts, (1.0, 2.0, 5.0), strict=True)), tmp_path / "mean"))
    first, second, third = map(weights, parts)
    assert any(name.startswith("reconstructor.") for name in mean)
    for name, value in mean.items():
        wanted = (first[name] + 2 * second[name] + 5 * third[name]) / 8
        torch.testing.assert_close(value, wanted, rtol=1e-3, atol=1e-6)  # what float16 rounds off


def test_the_mean_of_a_bundle_with_itself_is_itself(bundle: Bundle, tmp_path: Path) -> None:
    mean = average([(bundle, 0.3), (bundle, 1.7)], tmp_path / "mean")
    torch.testing.assert_close(weights(mean), weights(bundle), rtol=1e-3, atol=1e-6)


def test_only_the_proportion_of_the_weights_matters(make: Make, bundle: Bundle, tmp_path: Path) -> None:
    one = average([(bundle, 2.0), (make(1), 1.0)], tmp_path / "one")
    other = average([(bundle, 4.0), (make(1), 2.0)], tmp_path / "other")
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)


def test_a_mean_keeps_the_first_ones_settings_and_says_what_it_was_made_from(
    make: Make, bundle: Bundle, config: BundleConfig, tmp_path: Path
) -> None:
    other = make(1, config=dataclasses.replace(config, name="other", variable_length=False))
    mean = average([(bundle, 2.0), (other, 0.5)], tmp_path / "mean")
    made_from = {"mean": f"tiny {bundle.fingerprint} × 2, other {other.fingerprint} × 0.5"}
    assert mean.config == dataclasses.replace(config, made_from=made_from)


def test_the_reconstructor_is_left_out_where_one_part_has_none(make: Make, bundle: Bundle, tmp_path: Path) -> None:
    assert average([(make(1, with_reconstructor=True), 1), (bundle, 1)], tmp_path / "mean").reconstructor_path is None


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_weight_that_is_not_a_positive_number_is_refused(bundle: Bundle, tmp_path: Path, weight: float) -> None:
    with pytest.raises(BundleError, match="expected a positive number"):
        average([(bundle, 1.0), (bundle, weight)], tmp_path / "mean")


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_bundles_have_no_mean(bundle: Bundle, tmp_path: Path, count: int) -> None:
    with pytest.raises(BundleError, match=f"two bundles or more; there are {count}"):
        average([(bundle, 1.0)] * count, tmp_path / "mean")


@pytest.mark.parametrize(
    ("differing", "named"),
    [
        ({"size": dataclasses.replace(SIZE, width=128)}, "(its shape)"),
        ({"size": dataclasses.replace(SIZE, encoder_layers=3)}, "encoder.layers.2"),
        ({"size": dataclasses.replace(SIZE, n_heads=4)}, "attention heads"),
        ({"tokenizer": train_tokenizer(["a bb", *SENTENCES[1:]] * 4, vocabulary=320)}, "tokenizer"),
        ({"config": BundleConfig(name="tiny", tap="decoder.3", variable_length=True)}, "tap"),
    ],
    ids=["shapes", "layers", "heads", "tokenizer", "tap"],
)
def test_bundles_that_differ_in_more_than_their_weights_are_refused(
    make: Make, bundle: Bundle, tmp_path: Path, differing: dict[str, object], named: str
) -> None:
    other = make(1, **differing)
    with pytest.raises(BundleError) as refused:
        average([(bundle, 1.0), (other, 1.0)], tmp_path / "mean")
    assert f"{other.path} has no mean with {bundle.path}" in str(refused.value)
    assert named in str(refused.value)
    assert not (tmp_path / "mean").exists()
