"""How texts become tokens in training: whole, and spelled."""

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from textpro.training.tokenizer import Speller

TEXT = " Green hills roll on, don't they?"


@pytest.fixture
def speller(tokenizer: PreTrainedTokenizerFast) -> Speller:
    return Speller(tokenizer)


def spelled(speller: Speller, dropout: float, seed: int = 0) -> list[int]:
    return speller.spelled(TEXT, np.random.default_rng(seed), dropout)


def test_without_dropout_a_text_is_spelled_as_the_tokenizer_does(
    speller: Speller, tokenizer: PreTrainedTokenizerFast
) -> None:
    assert spelled(speller, 0.0) == speller.whole(TEXT) == tokenizer.encode(TEXT, add_special_tokens=False)


def test_with_every_merge_dropped_only_characters_are_left(speller: Speller) -> None:
    assert len(spelled(speller, 1.0)) == len(TEXT.encode())


def test_a_text_spelled_at_random_is_the_same_text_and_the_same_for_a_seed(
    speller: Speller, tokenizer: PreTrainedTokenizerFast
) -> None:
    drawn = [spelled(speller, 0.3, seed) for seed in range(8)]
    assert [tokenizer.decode(ids) for ids in drawn] == [TEXT] * 8
    assert len({tuple(ids) for ids in drawn}) > 1
    assert spelled(speller, 0.3, 5) == drawn[5]
