"""Results on disk: what every system answered to every question, so that systems and seeds can be compared later.

A file is one run: `{"measure", "seed", …, "answers": [{"system", "form", "outcomes": [[id, task, right, chosen,
options], …]}, …]}`; numbers that come from no choice (`wer`, `probing`) stand as `results` of a `system`, with the
`settings` that they depend on.
"""

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

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
        entry = json.loads(path.read_text(encoding="utf-8"))
        answers = [
            Answers(row["system"], row["form"], tuple(Outcome(*outcome) for outcome in row["outcomes"]))
            for row in entry.get("answers", [])
        ]
        return Run(
            measure=entry["measure"],
            seed=entry["seed"],
            answers=tuple(answers),
            system=entry.get("system", ""),
            numbers=entry.get("results", {}),
            settings=entry.get("settings", {}),
            source=str(path),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(f"{path} holds no results of `textpro evaluate`: {error!r}") from error


def read_folder(folder: Path) -> list[Run]:
    """All runs under a folder, by file name. Raises ResultsError when there is none, or a file is no result."""
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise ResultsError(f"{folder} holds no results: `textpro evaluate … --json {folder}/NAME.json` writes them")
    return [read(path) for path in paths]
