"""Which option the LLM finds likeliest: multiple choice by the log-likelihood of each option's text (paper 4.2).

The paper does not say how options of several tokens are compared. We take the sum over an option's tokens: the options
of our questions are alike in form and length, and a mean per token favours those with an article in front.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from tqdm import tqdm

from textpro.data.turns import Turn
from textpro.evaluation.results import Outcome
from textpro.prompt import ChatTemplate, Segment

CASES_PER_CALL = 64


class Scorer(Protocol):
    """Whatever can say how likely a continuation is. TextProSLM is one."""

    template: ChatTemplate

    def prompt(self, turn: Turn, prosody: Tensor | None) -> list[Segment]: ...

    def log_likelihoods(self, prompts: Sequence[list[Segment]], continuations: Sequence[Sequence[int]]) -> Tensor: ...


@dataclass(frozen=True)
class Case:
    """One decision: a turn with its prosody (N, W) or none, the texts to choose from, and which is right.

    labels: what the options stand for, where that is not their text.
    """

    id: str
    task: str
    turn: Turn
    prosody: Tensor | None
    options: tuple[str, ...]
    right: int
    labels: tuple[str, ...] = ()


def decide(scorer: Scorer, cases: Sequence[Case], *, per_token: bool = False) -> list[Outcome]:
    """The likeliest option of each case: by the sum over its tokens, or by their mean (`per_token`).

    Raises PromptError for a text that can't stand in a prompt.
    """
    outcomes: list[Outcome] = []
    for start in tqdm(range(0, len(cases), CASES_PER_CALL), unit="batch", leave=False):
        batch = cases[start : start + CASES_PER_CALL]
        for case, scores in zip(batch, option_scores(scorer, batch, per_token=per_token), strict=True):
            chosen = max(range(len(scores)), key=scores.__getitem__)
            outcomes.append(Outcome(case.id, case.task, case.right, chosen, len(scores)))
    return outcomes


def option_scores(scorer: Scorer, cases: Sequence[Case], *, per_token: bool = False) -> list[list[float]]:
    """The log-likelihood of each option of each case, without the template's end."""
    prompts: list[list[Segment]] = []
    continuations: list[list[int]] = []
    for case in cases:
        prompt = scorer.prompt(case.turn, case.prosody)
        prompts += [prompt] * len(case.options)  # the same object, so that its positions can be shared
        continuations += [scorer.template.tokenize(option) for option in case.options]
    totals = scorer.log_likelihoods(prompts, continuations).tolist()
    if per_token:
        totals = [total / len(tokens) for total, tokens in zip(totals, continuations, strict=True)]
    ends = [0]
    for case in cases:
        ends.append(ends[-1] + len(case.options))
    return [totals[start:end] for start, end in itertools.pairwise(ends)]
