"""Who is asked what: questions about the voices of a labelled manifest, every answer as often as its alternatives."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from textpro.data.captions import describe
from textpro.data.manifest import Clip
from textpro.data.paralinguistic import (
    ATTRIBUTES,
    LETTERS,
    Attribute,
    ParalinguisticError,
    Question,
    Split,
    asked_aloud,
    attribute,
    is_asked_aloud,
    layouts,
    option_alone,
    option_line,
    with_options,
)

Choosing = Literal["letter", "words"]
OPEN_SHARE, CHOICE_SHARE, EITHER_OR_SHARE = 0.4, 0.4, 0.2
"""Of the typed questions about an attribute."""
MOST_REPEATS = 4
"""A clip of a rare label is asked at most so many times as often as clips are on average."""
SHOWN_VALUES = 5


@dataclass(frozen=True)
class Asked:
    """One question to one clip (its place in the manifest) and the answer; `Turn` says what the other fields are.

    question: empty when the clip itself asks it.
    """

    clip: int
    task: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    label: str = ""


def ask(
    clips: Sequence[Clip],
    names: Iterable[str] = (),
    *,
    split: Split,
    per_clip: int,
    seed: int,
    choose_by: Choosing = "letter",
    briefly: bool = False,
) -> list[Asked]:
    """Questions about the attributes named (default: all that the clips' labels tell), in the order of the clips.

    per_clip: how many on average, all attributes together. Clips whose sentence is itself a question of the split are
    asked no other one; those of the other split's questions are left out. The same seed asks the same.
    choose_by: whether multiple choice is answered `B. Sad` or `Sad.`; a small LLM can't tie a letter to its meaning.
    briefly: what is open is answered by the bare label or description (`A calm woman.`), in no sentence.
    Raises ParalinguisticError for an attribute that does not exist or of which the clips show less than two labels.
    """
    chosen = [attribute(name) for name in dict.fromkeys(attribute(name).name for name in names)]
    labelled = {about.name: _labelled(about, clips) for about in chosen or map(attribute, ATTRIBUTES)}
    told = {name: labels for name, labels in labelled.items() if len(set(labels.values())) > 1}
    if missing := [about.name for about in chosen if about.name not in told] or ([] if told else list(labelled)):
        keys = ", ".join(key for name in missing for key in attribute(name).keys)
        raise ParalinguisticError(f"no question about {', '.join(missing)}: it needs clips with two labels of {keys}")
    asked: list[Asked] = []
    for name, labels in told.items():
        one = _Interview(attribute(name), clips, labels, split, per_clip, choose_by, briefly, Random(f"{seed}/{name}"))
        asked += itertools.chain(one.typed(1 / len(told)), one.aloud())
    return sorted(asked, key=lambda one: one.clip)


def unknown_values(clips: Sequence[Clip], names: Iterable[str] = ()) -> Iterator[str]:
    """A sentence a key of the attributes named (default: all) on the values that no question can be asked about."""
    for about in map(attribute, dict.fromkeys(attribute(name).name for name in names or ATTRIBUTES)):
        silent = [clip for clip in clips if about.label_of(clip.labels) is None]
        for key in about.keys:
            found = Counter(str(clip.labels[key]) for clip in silent if clip.labels.get(key))
            if found:
                shown = [f"{value!r} ({times})" for value, times in found.most_common(SHOWN_VALUES)]
                others = ["…"] if len(found) > SHOWN_VALUES else []
                listed, known = ", ".join(shown + others), ", ".join(about.labels)
                yield f"{key} of {found.total()} clips is no value known: {listed}; known are {known}"


def outcome(clips: Sequence[Clip], asked: Sequence[Asked]) -> Iterator[str]:
    """Sentences on how many clips are asked something, and which labels are too rare to be the answer as often."""
    yield f"asked {len({one.clip for one in asked})} of {len(clips)} clips"
    opened = Counter((one.task, one.label) for one in asked if one.label and one.question and not one.options)
    for name in dict.fromkeys(task for task, _ in opened):
        by_label = {label: times for (task, label), times in opened.items() if task == name}
        for label in (label for label, times in by_label.items() if times < max(by_label.values())):
            there = sum(attribute(name).label_of(clip.labels) == label for clip in clips)
            yield f"{name} {label!r} has only {there} clips: it is the answer less often than the others"


def _labelled(about: Attribute, clips: Sequence[Clip]) -> dict[int, str]:
    """The clips that can be asked, with the label; captions are made of the other labels where there is none."""
    found = (
        (i, about.label_of(c.labels) or (None if about.labels else describe(c.labels))) for i, c in enumerate(clips)
    )
    return {i: label for i, label in found if label is not None}


@dataclass(frozen=True)
class _Cell:
    """Clips to which the same answer is right."""

    answer: str
    clips: list[int] = field(hash=False)


class _Interview:
    """All questions about one attribute."""

    def __init__(
        self,
        about: Attribute,
        clips: Sequence[Clip],
        labels: dict[int, str],
        split: Split,
        per_clip: int,
        choose_by: Choosing,
        briefly: bool,
        rng: Random,
    ) -> None:
        self._about, self._clips, self._labels = about, clips, labels
        self._split: Split = split
        self._choose_by: Choosing = choose_by
        self._per_clip, self._briefly, self._rng = per_clip, briefly, rng
        self._names = sorted(set(labels.values())) if about.labels else [""]

    def typed(self, share: float) -> Iterator[Asked]:
        """Questions behind a transcript; `share` of all that is asked."""
        silent = [i for i in self._labels if not is_asked_aloud(self._clips[i].text)]
        total = self._per_clip * len(silent) * share
        phrases = self._about.phrases[self._split].typed
        plain = [question for question in phrases if not question.offers]
        by_label = self._by_label(silent)
        if not self._about.labels:
            yield from self._fill(by_label, total, lambda i, _: self._open(i, self._rng.choice(plain).text))
            return
        yield from self._fill(by_label, total * OPEN_SHARE, lambda i, _: self._open(i, self._rng.choice(plain).text))
        yield from self._fill(
            by_label, total * CHOICE_SHARE, lambda i, _: self._choice(i, self._rng.choice(plain).text)
        )
        pairs = [(question, cells) for question in phrases if (cells := self._by_offer(question, silent))]
        for question, cells in pairs:
            each = total * EITHER_OR_SHARE / len(pairs)
            yield from self._fill(
                cells, each, lambda i, offer, q=question: self._either(i, q.text, q, offer), even=True
            )

    def aloud(self) -> Iterator[Asked]:
        """Clips whose sentence is the question."""
        asking: dict[Question, list[int]] = {}
        for i in self._labels:
            for name, question in asked_aloud(self._clips[i].text, self._split):
                if name == self._about.name:
                    asking.setdefault(question, []).append(i)
        plain = [i for question, clips in asking.items() if not question.offers for i in clips]
        yield from self._fill(
            self._by_label(sorted(plain)), self._per_clip * len(plain), lambda i, _: self._open(i, "")
        )
        for question, clips in asking.items():
            cells = self._by_offer(question, clips)
            total = self._per_clip * sum(len(cell.clips) for cell in cells)
            yield from self._fill(cells, total, lambda i, offer, q=question: self._either(i, "", q, offer), even=True)

    def _by_label(self, clips: Sequence[int]) -> list[_Cell]:
        if not self._about.labels:
            return [_Cell("", list(clips))]
        cells = [_Cell(name, [i for i in clips if self._labels[i] == name]) for name in self._names]
        return [cell for cell in cells if cell.clips]

    def _by_offer(self, question: Question, clips: Sequence[int]) -> list[_Cell]:
        """Nothing where an offer is right for no clip: the question would have one answer only."""
        meant = {offer: self._about.covered(offer) for offer in question.offers}
        cells = [_Cell(offer, [i for i in clips if self._labels[i] in labels]) for offer, labels in meant.items()]
        return cells if all(cell.clips for cell in cells) else []

    def _fill(
        self, cells: Sequence[_Cell], total: float, make: Callable[[int, str], Asked], *, even: bool = False
    ) -> Iterator[Asked]:
        """`total` questions, as many for each cell; its clips take turns. A rare one has fewer, and the others more.

        even: all have as few as the rarest, for a question whose answer is always the same is not listened to.
        """
        most = [MOST_REPEATS * self._per_clip * len(cell.clips) for cell in cells]
        if even:
            most = [min(most, default=0)] * len(cells)
        for cell, times in zip(cells, _shares(total, most), strict=True):
            order = self._rng.sample(cell.clips, len(cell.clips))
            for i in itertools.islice(itertools.cycle(order), times):
                yield make(i, cell.answer)

    def _open(self, i: int, question: str) -> Asked:
        label = self._labels[i]
        answer = option_alone(label) if self._briefly else self._about.say(self._rng.choice(self._about.answers), label)
        if self._about.labels:
            return Asked(i, self._about.name, question, answer, label=label)
        told = self._clips[i].labels
        own = [caption for key in self._about.keys if (caption := str(told.get(key, "")).strip())]
        return Asked(i, self._about.name, question, self._rng.choice(own) if own else answer)

    def _choice(self, i: int, question: str) -> Asked:
        label = self._labels[i]
        others = [name for name in self._names if name != label]
        options = [label, *self._rng.sample(others, min(len(others), len(LETTERS) - 1))]
        self._rng.shuffle(options)
        text = with_options(self._rng.choice(layouts(self._split)), question, options)
        answer = option_line(options, label) if self._choose_by == "letter" else option_alone(label)
        return Asked(i, self._about.name, text, answer, tuple(options), label)

    def _either(self, i: int, text: str, question: Question, offer: str) -> Asked:
        answer = self._about.say(self._rng.choice(self._about.answers), offer)
        return Asked(i, self._about.name, text, answer, question.offers, offer)


def _shares(total: float, most: Sequence[int]) -> list[int]:
    """A total split evenly, at least one each; whoever takes only so many leaves the rest to the others."""
    shares = list(most)
    rising = sorted(range(len(most)), key=most.__getitem__)
    for left, i in zip(range(len(most), 0, -1), rising, strict=True):
        if most[i] >= total / left:
            for other in rising[-left:]:
                shares[other] = max(1, round(total / left))
            break
        total -= most[i]
    return shares
