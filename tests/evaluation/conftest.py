"""LLMs to evaluate: a tiny real one, and one that can be looked through."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from textpro.data.turns import Turn
from textpro.projector import Projector
from textpro.prompt import ChatTemplate, Segment, TextSpan
from textpro.slm import TextProSLM

WIDTH = 4
Score = Callable[[Turn, Tensor | None, str], float]


class Clear:
    """Finds the likelihoods with a function of the turn, the prosody's mean (or None) and the option's text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, score: Score) -> None:
        self.template, self._tokenizer, self._score = ChatTemplate(tokenizer), tokenizer, score
        self._asked: list[tuple[Turn, Tensor | None]] = []
        self.reply: Callable[[Turn], str] = lambda turn: turn.answer

    def prompt(self, turn: Turn, prosody: Tensor | None) -> list[Segment]:
        self._asked.append((turn, None if prosody is None else prosody.mean(0)))
        return [TextSpan((len(self._asked) - 1,))]

    def log_likelihoods(self, prompts: Sequence[list[Segment]], continuations: Sequence[Sequence[int]]) -> Tensor:
        texts = [str(self._tokenizer.decode(list(tokens))) for tokens in continuations]
        return torch.tensor([self._score(*self._of(p), text) for p, text in zip(prompts, texts, strict=True)])

    def generate(self, prompts: Sequence[list[Segment]], max_tokens: int) -> list[str]:
        return [self.reply(self._of(prompt)[0]) for prompt in prompts]

    def _of(self, prompt: list[Segment]) -> tuple[Turn, Tensor | None]:
        (place,) = cast(TextSpan, prompt[0]).token_ids
        return self._asked[place]


@pytest.fixture
def clear(tiny_llm: Path) -> Callable[[Score], Clear]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llm)
    return lambda score: Clear(tokenizer, score)


@pytest.fixture
def slm(tiny_llm: Path) -> TextProSLM:
    torch.manual_seed(1)
    llm = AutoModelForCausalLM.from_pretrained(tiny_llm, dtype=torch.float32)
    return TextProSLM(llm, AutoTokenizer.from_pretrained(tiny_llm), Projector(WIDTH, 16)).eval()
