"""How well the LLM hears a voice: questions about its attributes, by likelihood and in its own words (paper 4.2.3)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor
from tqdm import tqdm

from textpro.data import turns
from textpro.data.paralinguistic import attribute, option_alone, option_line, read_label
from textpro.data.turns import ProsodyStore, Turn, TurnsError
from textpro.evaluation.multiple_choice import CASES_PER_CALL, Case, Scorer
from textpro.evaluation.results import Outcome
from textpro.prompt import Segment

MAX_TOKENS = 24


class Answerer(Scorer, Protocol):
    """A Scorer that can also answer. TextProSLM is one."""

    def generate(self, prompts: Sequence[list[Segment]], max_tokens: int) -> list[str]: ...


def cases(folder: Path) -> list[Case]:
    """The labelled questions of a folder of turns, as `textpro data paralinguistic` makes it.

    The options of a question are its own, or for an open one all labels that its attribute has in the folder.
    Raises TurnsError when the folder has none, and what reading it raises.
    """
    labelled = [turn for turn in turns.read(folder) if turn.label]
    if not labelled:
        raise TurnsError(f"{folder} has no question whose right answer has a label")
    store = ProsodyStore(folder)
    prosody = {turn.prosody: store[turn.prosody] for turn in labelled if turn.prosody is not None}
    known: dict[str, list[str]] = {}
    for task in {turn.task for turn in labelled}:
        known[task] = sorted({turn.label for turn in labelled if turn.task == task and not turn.options})
    return [_case(turn, prosody[turn.prosody] if turn.prosody else None, known[turn.task]) for turn in labelled]


def _case(turn: Turn, prosody: Tensor | None, known: Sequence[str]) -> Case:
    labels = turn.options or tuple(known)
    about = attribute(turn.task)
    if turn.options and turn.answer == option_line(turn.options, turn.label):
        texts = tuple(option_line(labels, label) for label in labels)
    elif turn.options and turn.answer == option_alone(turn.label):
        texts = tuple(map(option_alone, labels))
    else:
        # One and the same sentence around every label: their likelihoods differ by the label alone.
        texts = tuple(about.say(about.answers[0], label) for label in labels)
    return Case(turn.id, turn.task, turn, prosody, texts, labels.index(turn.label), labels)


def say(answerer: Answerer, cases: Sequence[Case], *, max_tokens: int = MAX_TOKENS) -> list[Outcome]:
    """What the LLM answers in its own words, greedily, and which label that names."""
    outcomes: list[Outcome] = []
    for start in tqdm(range(0, len(cases), CASES_PER_CALL), unit="batch", leave=False):
        batch = cases[start : start + CASES_PER_CALL]
        replies = answerer.generate([answerer.prompt(case.turn, case.prosody) for case in batch], max_tokens)
        for case, reply in zip(batch, replies, strict=True):
            label = read_label(reply, case.task, case.turn.options)
            chosen = case.labels.index(label) if label in case.labels else None
            outcomes.append(Outcome(case.id, case.task, case.right, chosen, len(case.options)))
    return outcomes
