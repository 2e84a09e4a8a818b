import copy

import pytest
import torch

from textpro.evaluation.forgetting import forgetting
from textpro.slm import TextProSLM

TEXTS = ["What is the capital of France?", "Hi!"]


def copied(slm: TextProSLM) -> TextProSLM:
    return TextProSLM(copy.deepcopy(slm.llm), slm.tokenizer, slm.projector)


def test_what_was_not_trained_forgot_nothing(slm: TextProSLM) -> None:
    assert forgetting(slm, copied(slm), TEXTS, max_tokens=6) == pytest.approx(0, abs=1e-5)


def test_the_further_the_weights_moved_the_more_is_forgotten(slm: TextProSLM) -> None:
    found = []
    for step in (0.01, 0.1):
        moved = copied(slm)
        with torch.no_grad():
            moved.llm.get_input_embeddings().weight.mul_(1 + step)
        found.append(forgetting(slm, moved, TEXTS, max_tokens=6))
    assert 0 < found[0] < found[1]


def test_the_projector_plays_no_part_in_typed_text(slm: TextProSLM) -> None:
    other = TextProSLM(slm.llm, slm.tokenizer, None)
    assert forgetting(slm, other, TEXTS, max_tokens=6) == pytest.approx(0, abs=1e-5)
