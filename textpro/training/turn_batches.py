"""Folders of turns -> the batches of each update of TextPro-SLM, drawn from (seed, step), so that a run resumes where
it stopped and any number of processes reads the same turns.

Letters: B turns of a batch, A answer positions, L positions, G turns of an update.
"""

import math
import resource
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from textpro.data import turns as turns_file
from textpro.data.turns import DISTILLATION, ProsodyStore, Turn
from textpro.errors import TrainingError
from textpro.packing import Packed, buckets, pack
from textpro.prompt import ProsodyRows, Segment, TextSpan, n_positions
from textpro.slm import TextProSLM
from textpro.training.interruption import spare_worker


@dataclass(frozen=True)
class TurnSource:
    """A folder of turns; each of them comes `weight` times in an epoch, on the average. Raises TrainingError for a
    weight that is not positive."""

    folder: Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise TrainingError(f"the weight of {self.folder} is {self.weight}; expected more than 0")


@dataclass(frozen=True)
class TurnPlan:
    """How updates are drawn: G turns each, in batches of at most so many padded positions a process; longer answers
    than max_answer tokens are cut. conversation: up to so many turns follow one another, in each update as many; of
    single turns alone a small LLM learns to give the answer it gave before. exchange: the share of distilled turns that
    get another clip's prosody, for what a teacher answered to the words is right in any voice."""

    global_batch: int = 64
    positions: int = 4096
    max_answer: int = 512
    seed: int = 0
    conversation: int = 1
    exchange: float = 0.0


@dataclass(frozen=True)
class Questioned:
    """Prompts with their answers, and the places (A,) in (B * L) that foretell an answer's tokens."""

    packed: Packed
    places: Tensor

    def to(self, device: torch.device) -> "Questioned":
        return Questioned(self.packed.to(device), self.places.to(device, non_blocking=True))


@dataclass(frozen=True)
class TurnBatch:
    """What one forward pass learns from. labels (A,); weights (A,), 1 over the length of each position's answer, so
    that turns count alike (paper eq. 25); owners (A,), the turn of each position; tasks, B names; n_turns, of this
    process in the whole update. teacher: the distilled turns alone, as text; None when no process has one."""

    student: Questioned
    labels: Tensor
    weights: Tensor
    owners: Tensor
    distilled: Tensor
    tasks: list[str]
    n_turns: int
    teacher: Questioned | None = None

    def __len__(self) -> int:
        return len(self.tasks)

    def to(self, device: torch.device) -> "TurnBatch":
        names = ("student", "labels", "weights", "owners", "distilled", "teacher")
        parts = {name: getattr(self, name) for name in names}
        return replace(self, **{name: part.to(device) for name, part in parts.items() if part is not None})


@dataclass(frozen=True)
class _Example:
    """A conversation, mostly of one turn. prompt: its last turn's; starts: where the answers begin."""

    turns: list[Turn]
    prompt: list[Segment]
    starts: list[int]
    answers: list[list[int]]
    distilled: list[bool]

    @property
    def length(self) -> int:
        return n_positions(self.prompt) + len(self.answers[-1])

    @property
    def read(self) -> list[Segment]:
        """All that the LLM reads: the last answer is no part of its prompt, and its last token foretells nothing."""
        ends = bool(self.starts) and self.starts[-1] == n_positions(self.prompt)
        return [*self.prompt, TextSpan(tuple(self.answers[-1][:-1]))] if ends else self.prompt


class TurnBatches(Dataset[list[TurnBatch]]):
    """Item number `step` is one process's share of that update: batches of like length, equally many for each."""

    def __init__(
        self,
        sources: Sequence[TurnSource],
        slm: TextProSLM,
        plan: TurnPlan,
        *,
        with_teacher: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Raises TrainingError without turns, or when an update can't be shared evenly; TurnsError for a bad folder."""
        self._slm, self.plan, self._with_teacher = slm, plan, with_teacher
        self._rank, self._world = rank, world
        self._turns = [
            (source, turn) for source in range(len(sources)) for turn in turns_file.read(sources[source].folder)
        ]
        self._stores = [ProsodyStore(source.folder) for source in sources]
        self._voices = [(source, turn.prosody) for source, turn in self._turns if turn.prosody is not None]
        self._counts = np.bincount([source for source, _ in self._turns], minlength=len(sources))
        self._drawn_counts = [round(s.weight * n) for s, n in zip(sources, self._counts, strict=True)]
        if not sum(self._drawn_counts):
            raise TrainingError(f"there is nothing to learn from in {', '.join(str(s.folder) for s in sources)}")
        if not 0 <= plan.exchange <= 1:
            raise TrainingError(f"the share of turns that get another clip's prosody is 0 to 1, not {plan.exchange}")
        if plan.global_batch % world:
            raise TrainingError(f"{world} processes can't share {plan.global_batch} turns an update evenly")
        self._order = lru_cache(maxsize=2)(self._epoch)

    @property
    def turns_per_epoch(self) -> int:
        return sum(self._drawn_counts)

    @property
    def prosody_width(self) -> int | None:
        """W, or None when all turns were typed."""
        if not self._voices:
            return None
        source, place = self._voices[0]
        return self._stores[source][place].shape[1]

    def drawn(self, step: int) -> list[int]:
        """The G turns of an update, all processes together. Those of a conversation stand together."""
        size, total = self.plan.global_batch, self.turns_per_epoch
        return [int(self._order(n // total)[n % total]) for n in range(step * size, (step + 1) * size)]

    def prosody_rows(self, limit: int) -> Tensor:
        """What the projector will read of the first `limit` turns drawn: (R, W) float32."""
        prompts = [self._example([int(i)], 0).prompt for i in self._order(0)[:limit]]
        rows = [segment.rows for prompt in prompts for segment in prompt if isinstance(segment, ProsodyRows)]
        if not rows:
            raise TrainingError("none of the turns drawn has prosody; there is nothing a projector could learn")
        return torch.cat(rows).float()

    def loader(self, first_step: int, last_step: int, workers: int = 0) -> DataLoader[list[TurnBatch]]:
        """The updates from `first_step` until before `last_step`, made ahead by so many processes."""
        steps = range(first_step, last_step)
        if workers:  # each tensor of an update on its way from one is an open file
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return DataLoader(
            self,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,  # what reads the turns can't be sent to a process
            collate_fn=lambda made: made,
            worker_init_fn=spare_worker,
        )

    def __getitem__(self, step: int) -> list[TurnBatch]:
        turns, size = self.drawn(step), self._conversation(step)
        conversations = [turns[at : at + size] for at in range(0, len(turns), size)]
        examples = sorted((self._example(indices, step) for indices in conversations), key=lambda e: -e.length)
        # Dealt out by length: the first process has the longest of each round, so its cuts keep every process's bound.
        mine = examples[self._rank :: self._world]
        cuts = buckets([e.length for e in examples[:: self._world]], self.plan.positions)
        everyones = (examples[cut[0] * self._world : (cut[-1] + 1) * self._world] for cut in cuts)
        taught = [any(any(e.distilled) for e in part) for part in everyones]
        return [self._batch([mine[i] for i in cut], has) for cut, has in zip(cuts, taught, strict=True)]

    def _epoch(self, number: int) -> np.ndarray:
        """The indices of an epoch's turns in their order."""
        parts, offset = [], 0
        for source, (n, count) in enumerate(zip(self._counts, self._drawn_counts, strict=True)):
            # A source is an endless row of shuffled passes; each epoch takes the next `count` of it.
            start = number * count
            passes = range(start // n, -(-(start + count) // n)) if count else range(0)
            row = [np.random.default_rng([self.plan.seed, source + 1, p]).permutation(n) for p in passes]
            if row:
                skip = start - passes.start * n
                parts.append(offset + np.concatenate(row)[skip : skip + count])
            offset += n
        return np.random.default_rng([self.plan.seed, 0, number]).permutation(np.concatenate(parts))

    def _conversation(self, step: int) -> int:
        """How many turns follow one another in an update: any number that shares its turns evenly."""
        turns = self.plan.global_batch // self._world
        sizes = [size for size in range(1, self.plan.conversation + 1) if turns % size == 0]
        return int(np.random.default_rng([self.plan.seed, step]).choice(sizes)) if len(sizes) > 1 else 1

    def _example(self, indices: list[int], step: int) -> _Example:
        turns = [self._turns[index][1] for index in indices]
        prosody = [self._prosody(index, step) for index in indices]
        answers = [self._slm.answer(turn)[: self.plan.max_answer] for turn in turns]
        distilled = [self._with_teacher and turn.task == DISTILLATION for turn in turns]
        return _Example(turns, *self._slm.conversation(turns, prosody), answers, distilled)

    def _prosody(self, index: int, step: int) -> Tensor | None:
        """What a turn's voice is in this update: its own, or another's."""
        source, turn = self._turns[index]
        if turn.prosody is None:
            return None
        rng = np.random.default_rng([self.plan.seed, step, index])
        if turn.task == DISTILLATION and rng.random() < self.plan.exchange:
            source, place = self._voices[rng.integers(len(self._voices))]
            return self._stores[source][place]
        return self._stores[source][turn.prosody]

    def _batch(self, examples: list[_Example], taught: bool) -> TurnBatch:
        answers = [answer for e in examples for answer in e.answers]
        lengths = torch.tensor([len(answer) for answer in answers])
        owners = torch.repeat_interleave(lengths)
        as_text = [self._as_text(e) for e in examples if any(e.distilled)]
        if taught and not as_text:
            # A teacher whose weights are shared is run by all processes or by none: here for nothing.
            as_text = [replace(self._as_text(examples[0]), starts=[], answers=[])]
        return TurnBatch(
            student=_questioned(examples),
            labels=torch.tensor([token for answer in answers for token in answer]),
            weights=(1 / lengths)[owners],
            owners=owners,
            distilled=torch.tensor([distilled for e in examples for distilled in e.distilled])[owners],
            tasks=[turn.task for e in examples for turn in e.turns],
            n_turns=self.plan.global_batch // self._world,
            teacher=_questioned(as_text) if as_text else None,
        )

    def _as_text(self, example: _Example) -> _Example:
        """What a teacher reads: the words that it answered; only the distilled turns' answers are asked for."""
        turns = [replace(turn, transcript=turn.asked or turn.transcript) for turn in example.turns]
        prompt, starts = self._slm.conversation(turns, [None] * len(turns))
        taught = [i for i, distilled in enumerate(example.distilled) if distilled]
        return replace(
            example, prompt=prompt, starts=[starts[i] for i in taught], answers=[example.answers[i] for i in taught]
        )


def _questioned(examples: list[_Example]) -> Questioned:
    packed = pack([e.read for e in examples])
    length = packed.ids.shape[1]
    places: list[int] = []
    for row, e in enumerate(examples):
        for start, answer in zip(e.starts, e.answers, strict=True):
            if packed.ids[row, start : start + len(answer) - 1].tolist() != answer[:-1]:
                raise TrainingError(f"the chat template does not repeat the answer to {e.turns[0].id} as it was given")
            places += range(row * length + start - 1, row * length + start - 1 + len(answer))
    return Questioned(packed, torch.tensor(places, dtype=torch.long))
