"""Results on disk: what every system answered to every question, so that systems and seeds can be compared later.

A file is one run: `{"measure", "seed", …, "answers": [{"system", "form", "outcomes": [[id, task, right, chosen,
options], …]}, …]}`; numbers that come from no choice (`wer`, `probing`) stand as `results` of a `system`, with the
`settings` that they depend on.
"""

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, PositiveInt, ValidationError

from textpro.errors import TextProError

TOPLINE, CASCADE, OURS = "Text topline", "Cascade", "TextPro"
TYPED = ", typed"
"""Ends the name of a system that read the questions which others heard."""


class ResultsError(TextProError, ValueError):
    """A file that holds no results, a folder without any, or results that can't be had or stand in one table."""


@dataclass(frozen=True)
class Outcome:
    """What was chosen, None when an answer named none of the options. `right` is the option it is compared with."""

    id: str
    task: str
    right: int
    chosen: int | None
    options: int

    @property
    def hit(self) -> bool:
        return self.chosen == self.right


@dataclass(frozen=True)
class Answers:
    """One system's outcomes. form: how it was asked or scored (`letter`, `generated`, …)."""

    system: str
    form: str
    outcomes: tuple[Outcome, ...]

    @property
    def accuracy(self) -> float:
        """Over all outcomes alike."""
        return sum(outcome.hit for outcome in self.outcomes) / max(1, len(self.outcomes))


@dataclass(frozen=True)
class Run:
    """One file. answers: of measures with choices; numbers: of the others, by label, about one system.

    settings: what else the numbers depend on. source: the file.
    """

    measure: str
    seed: int
    answers: tuple[Answers, ...] = ()
    system: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)


class _Answers(BaseModel):
    system: str
    form: str
    outcomes: Annotated[list[tuple[str, str, int, int | None, PositiveInt]], Field(min_length=1)]


class _File(BaseModel):
    measure: str
    seed: int
    system: str = ""
    settings: dict[str, Any] = {}
    results: dict[str, dict[str, Any]] = {}
    answers: list[_Answers] = []


def write(path: Path, run: Run, **about: object) -> None:
    """Writes one run. about: what else is worth keeping, such as the bundle."""
    answers = [
        {"system": one.system, "form": one.form, "outcomes": [astuple(outcome) for outcome in one.outcomes]}
        for one in run.answers
    ]
    entry = {"measure": run.measure, "system": run.system, "seed": run.seed, **about}
    entry |= {"settings": run.settings, "results": run.numbers}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entry | ({"answers": answers} if answers else {})) + "\n", encoding="utf-8")


def read(path: Path) -> Run:
    """One file. Raises ResultsError when it is no result."""
    try:
        entry = _File.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ResultsError(f"{path} holds no results of `textpro evaluate`: {place}: {first['msg'].lower()}") from error
    answers = [
        Answers(row.system, row.form, tuple(Outcome(*outcome) for outcome in row.outcomes)) for row in entry.answers
    ]
    for one in answers:
        if len({outcome.id for outcome in one.outcomes}) < len(one.outcomes):
            raise ResultsError(f"{path}: {one.system} ({one.form}) has two answers to one question")
    return Run(
        measure=entry.measure,
        seed=entry.seed,
        answers=tuple(answers),
        system=entry.system,
        numbers=entry.results,
        settings=entry.settings,
        source=str(path),
    )


def read_folder(folder: Path) -> list[Run]:
    """All runs under a folder, by file name. Raises ResultsError when there is none, or a file is no result."""
    paths = sorted(path for path in folder.rglob("*.json") if path.is_file())
    if not paths:
        raise ResultsError(f"{folder} holds no results: `textpro evaluate … --json {folder}/NAME.json` writes them")
    return [read(path) for path in paths]
