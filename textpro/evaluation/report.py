"""The tables and charts of an evaluation, Markdown and SVG, from the results of several systems and seeds."""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from textpro.evaluation.bootstrap import Interval, StatisticsError, interval
from textpro.evaluation.chart import bar_chart, svg
from textpro.evaluation.results import CASCADE, OURS, TOPLINE, TYPED, Outcome, ResultsError, Run

MODALITY_GAP, PARALINGUISTIC, PROBING, WER = "modality-gap", "paralinguistic", "probing", "wer"
TITLES = {
    MODALITY_GAP: "Modality gap",
    PARALINGUISTIC: "Paralinguistic understanding",
    PROBING: "Probing",
    WER: "Word error rate",
}
LIKELIHOOD, GENERATED, TONE, FACTS = "likelihood", "generated", "tone", "facts"
FORMS = {
    "continuation": "options as continuations",
    "letter": "options by letter",
    LIKELIHOOD: "options by likelihood",
    GENERATED: "in its own words",
    TONE: "the answer about the voice follows the prosody",
    FACTS: "the answer about facts stays",
}
AVERAGE = "average of attributes"
CHANCE = "chance"
DIFFERENCE = f"difference to {OURS}"


@dataclass(frozen=True)
class Table:
    """Cells in a unit, with so many digits behind the point; None where nothing was measured.

    drawn: whether it is a chart too, a group a column.
    """

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, Sequence[Interval | None]]
    note: str = ""
    drawn: bool = True
    unit: str = "%"
    digits: int = 1

    def markdown(self) -> str:
        head = ["", *self.columns]
        lines = [f"### {self.title}", "", _row(head), _row(["---", *["---:"] * len(self.columns)])]
        lines += [_row([name, *(_cell(cell, self.digits) for cell in cells)]) for name, cells in self.rows.items()]
        return "\n".join([*lines, *(["", self.note] if self.note else []), ""])

    def chart(self) -> Element:
        """Without chance, what was typed and differences, which the table has."""
        columns = [column for column in self.columns if column != DIFFERENCE]
        rows = {
            name: [cell for column, cell in zip(self.columns, cells, strict=True) if column in columns]
            for name, cells in self.rows.items()
            if name != CHANCE and not name.endswith(TYPED)
        }
        bars = {name: [cell.mean if cell else None for cell in cells] for name, cells in rows.items()}
        whiskers = {name: [(c.low, c.high) if c else None for c in cells] for name, cells in rows.items()}
        return bar_chart(self.title, columns, bars, intervals=whiskers, y_label=self.unit)


@dataclass(frozen=True)
class Hits:
    """What one system got right in one form. hits: (S, n), a row a seed; ids, tasks and options (how many there were):
    n, in the same order."""

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    tasks: tuple[str, ...]
    options: tuple[int, ...]
    hits: np.ndarray

    def accuracy(self, *, task: str | None = None) -> Interval:
        return interval([self.hits[:, self._of(task)]]).times(100)

    def average(self) -> Interval:
        """Every task counts the same."""
        return interval([self.hits[:, self._of(task)] for task in dict.fromkeys(self.tasks)]).times(100)

    def chance(self, *, task: str | None = None) -> float:
        """The accuracy of guesses, in percent."""
        return 100 * float(np.mean(1 / np.array(self.options)[self._of(task)]))

    def gap(self, topline: "Hits") -> Interval | None:
        """The topline's accuracy minus ours, question by question. Raises StatisticsError for other questions."""
        if self.ids != topline.ids:
            raise StatisticsError("the topline was asked other questions; evaluate both on the same speech")
        return topline.difference(self)

    def difference(self, other: "Hits", *, by_task: bool = False, of_one_training: bool = False) -> Interval | None:
        """Our accuracy minus another's on the questions that both answered; None where there is none.

        by_task: every task counts the same. of_one_training: a seed is the same weights on both sides, and drawn for
        both. Raises StatisticsError where the same ids mean other questions.
        """
        ours, theirs = self._asked(other.ids), other._asked(self.ids)
        if (ours.tasks, ours.options) != (theirs.tasks, theirs.options):
            raise StatisticsError("questions of the same ids are not the same; keep other test sets in other folders")
        if not ours.ids:
            return None
        chosen = [ours._of(task) for task in (dict.fromkeys(ours.tasks) if by_task else [None])]
        if of_one_training and (seeds := [seed for seed in self.seeds if seed in other.seeds]):
            alike = ours._trained(seeds) - theirs._trained(seeds)
            return interval([alike[:, c] for c in chosen]).times(100)
        return interval([ours.hits[:, c] for c in chosen], minus=[theirs.hits[:, c] for c in chosen]).times(100)

    def _asked(self, ids: Sequence[str]) -> "Hits":
        common = np.isin(self.ids, ids)
        kept, tasks = (tuple(itertools.compress(row, common)) for row in (self.ids, self.tasks))
        return Hits(self.seeds, kept, tasks, tuple(itertools.compress(self.options, common)), self.hits[:, common])

    def _trained(self, seeds: Sequence[int]) -> np.ndarray:
        return self.hits[[self.seeds.index(seed) for seed in seeds]]

    def _of(self, task: str | None) -> np.ndarray:
        return np.array([task in (None, own) for own in self.tasks], dtype=bool)


def collect(runs: Iterable[Run], measure: str) -> dict[str, dict[str, Hits]]:
    """The hits of each form and system, its seeds as rows.

    Topline and cascade have no training and so no seed: they count once. Raises ResultsError where they differ between
    runs, a seed is there twice, or a system's seeds were asked other questions.
    """
    found: dict[str, dict[str, dict[int, Sequence[Outcome]]]] = {}
    for run in runs:
        for answers in run.answers if run.measure == measure else ():
            seeds = found.setdefault(answers.form, {}).setdefault(answers.system, {})
            if answers.system not in (TOPLINE, CASCADE):
                _add(seeds, answers.outcomes, run, f"{answers.system}, {answers.form}")
            elif seeds.setdefault(0, answers.outcomes) != answers.outcomes:
                raise ResultsError(
                    f"{run.source}: its {answers.system} ({answers.form}) answered otherwise than another result's; "
                    "results of one LLM, one encoder and the same questions stand in one folder"
                )
    return {
        form: {name: _hits(systems[name], f"{name}, {form}") for name in sorted(systems, key=_order)}
        for form, systems in found.items()
    }


def _add(seeds: dict[int, Any], value: object, run: Run, what: str) -> None:
    if run.seed in seeds:
        raise ResultsError(
            f"{run.source}: {what}, seed {run.seed} is in another result too: remove one, or measure again with the "
            "--seed of its training or another --name"
        )
    seeds[run.seed] = value


def _order(system: str) -> tuple[int, str]:
    first = (TOPLINE, CASCADE, OURS)
    return (first.index(system) if system in first else len(first)), system


def _hits(outcomes: Mapping[int, Sequence[Outcome]], what: str) -> Hits:
    seeds = {seed: sorted(found, key=lambda outcome: outcome.id) for seed, found in outcomes.items()}
    asked = {seed: [(one.id, one.task, one.options) for one in found] for seed, found in seeds.items()}
    (first, questions), *others = asked.items()
    for seed, found in others:
        if found != questions:
            raise ResultsError(
                f"{what}: seed {seed} was not asked the {len(questions)} questions of seed {first} ({len(found)}, of "
                f"which {len(set(found) & set(questions))} are the same); measure both with the same ones"
            )
    ids, tasks, options = zip(*questions, strict=True)
    hits = np.array([[one.hit for one in found] for found in seeds.values()], dtype=float)
    return Hits(tuple(seeds), ids, tasks, options, hits)


def modality_gap(runs: Sequence[Run]) -> list[Table]:
    """Accuracy and gap of each system, in whole and by topic (paper table 3)."""
    tables: list[Table] = []
    for form, systems in collect(runs, MODALITY_GAP).items():
        topline = systems.get(TOPLINE)
        rows = {name: [hits.accuracy(), _gap(hits, topline)] for name, hits in systems.items()}
        rows[CHANCE] = [_exactly(_largest(systems).chance()), None]
        tables.append(_compared(f"Modality gap, {FORMS.get(form, form)}", ("accuracy", "gap"), rows, systems))
        topics = {topic: None for hits in systems.values() for topic in hits.tasks}
        columns = tuple(systems)
        by_topic = {
            topic: [hits.accuracy(task=topic) if topic in hits.tasks else None for hits in systems.values()]
            for topic in sorted(topics)
        }
        tables.append(Table(f"Accuracy by topic, {FORMS.get(form, form)}", columns, by_topic, drawn=False))
    return tables


def _gap(hits: Hits, topline: Hits | None) -> Interval | None:
    return hits.gap(topline) if topline is not None and hits is not topline else None


def paralinguistic(runs: Sequence[Run]) -> list[Table]:
    """Accuracy of each system for each attribute (paper table 5), and the exchange test."""
    tables: list[Table] = []
    for form, systems in collect(runs, PARALINGUISTIC).items():
        title = FORMS.get(form, form)
        if form == FACTS:  # of knowledge, not of attributes
            rows: dict[str, list[Interval | None]] = {name: [hits.accuracy()] for name, hits in systems.items()}
            rows[CHANCE] = [_exactly(_largest(systems).chance())]
            tables.append(_compared(f"Exchanged prosody: {title}", ("all",), rows, systems))
            continue
        tasks = sorted({task for hits in systems.values() for task in hits.tasks})
        rows = {
            name: [*(hits.accuracy(task=task) if task in hits.tasks else None for task in tasks), hits.average()]
            for name, hits in systems.items()
        }
        chances = [next(hits.chance(task=task) for hits in systems.values() if task in hits.tasks) for task in tasks]
        rows[CHANCE] = [_exactly(chance) for chance in (*chances, float(np.mean(chances)))]
        heading = "Exchanged prosody" if form == TONE else TITLES[PARALINGUISTIC]
        tables.append(_compared(f"{heading}: {title}", (*tasks, AVERAGE), rows, systems, by_task=True))
    return tables


def _compared(
    title: str,
    columns: tuple[str, ...],
    rows: Mapping[str, list[Interval | None]],
    systems: Mapping[str, Hits],
    *,
    by_task: bool = False,
) -> Table:
    """A table of systems, with a column more where TextPro and others are among them."""
    ours = systems.get(OURS)
    if ours is not None and len(systems) > 1:
        columns = (*columns, DIFFERENCE)
        differences: dict[str, Interval | None] = {
            name: hits.difference(ours, by_task=by_task, of_one_training=name == OURS + TYPED)
            for name, hits in systems.items()
            if name != OURS
        }
        rows = {name: [*cells, differences.get(name)] for name, cells in rows.items()}
    return Table(title, columns, rows, _note(systems))


def _largest(systems: Mapping[str, Hits]) -> Hits:
    """That of the most questions."""
    return max(systems.values(), key=lambda hits: len(hits.ids))


def _exactly(value: float) -> Interval:
    return Interval(value, value, value)


def measured(
    runs: Sequence[Run],
    measure: str,
    title: str,
    value: Callable[[Mapping[str, float]], float],
    *,
    unit: str = "%",
    digits: int = 1,
) -> list[Table]:
    """A measure without choices: a system's number for each label, with the range over its seeds.

    Runs of one system with other settings are rows of their own. Raises ResultsError where a seed is there twice, or
    has no such number.
    """
    runs = [run for run in runs if run.measure == measure and run.numbers]
    found: dict[str, dict[str, dict[int, float]]] = {}
    for run in runs:
        name = _with_settings(run, [other for other in runs if other.system == run.system])
        for label, numbers in run.numbers.items():
            try:
                number = value(numbers)
            except (KeyError, TypeError) as error:
                raise ResultsError(f"{run.source}: {label} is no {title.lower()}: {error!r}") from error
            _add(found.setdefault(name, {}).setdefault(label, {}), number, run, f"{name}, {label}")
    labels = tuple(dict.fromkeys(label for row in found.values() for label in row))
    rows = {
        name: [_range(found[name][label].values()) if label in found[name] else None for label in labels]
        for name in sorted(found, key=_order)
    }
    note = "± is half the range over runs here."
    return [Table(title, labels, rows, note, unit=unit, digits=digits)] if rows else []


def _with_settings(run: Run, alike: Sequence[Run]) -> str:
    """A run's system with those of its settings that others of that name don't share."""
    told = [
        f"{key} {value}"
        for key, value in run.settings.items()
        if value is not None and any(other.settings.get(key) != value for other in alike)
    ]
    return ", ".join([run.system, *told])


def _range(values: Collection[float]) -> Interval:
    return Interval(float(np.mean(list(values))), min(values), max(values))


def tables(runs: Sequence[Run]) -> dict[str, list[Table]]:
    """All that the runs tell, by measure."""
    made = {
        MODALITY_GAP: modality_gap(runs)
        + measured(
            runs, MODALITY_GAP, "What changed for typed text", lambda numbers: numbers["kl"], unit="nats", digits=3
        ),
        PARALINGUISTIC: paralinguistic(runs),
        PROBING: measured(runs, PROBING, "Probing: accuracy", lambda numbers: 100 * numbers["accuracy"]),
        WER: measured(runs, WER, "Word error rate", lambda numbers: 100 * numbers["wer"]),
    }
    return {measure: found for measure, found in made.items() if found}


def write(runs: Sequence[Run], out: Path) -> Path:
    """Writes `report.md` and a picture a measure into a folder; returns the path of the first.

    Raises ResultsError where there is nothing to show, or results can't stand in one table.
    """
    made = tables(runs)
    if not made:
        raise ResultsError(f"there is nothing to show in {', '.join(run.source for run in runs)}")
    out.mkdir(parents=True, exist_ok=True)
    parts = ["# Results", "", "Percent, ± half of the 95 % interval (bootstrap over questions and seeds),"]
    parts += ["where a table says nothing else.", ""]
    for measure, found in made.items():
        picture = out / f"{measure}.svg"
        picture.write_text(svg(*(table.chart() for table in found if table.drawn)), encoding="utf-8")
        parts += [f"## {TITLES[measure]}", "", *(table.markdown() for table in found)]
        parts += [f"![{TITLES[measure]}]({picture.name})", ""]
    path = out / "report.md"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _note(systems: Mapping[str, Hits]) -> str:
    seeds = ", ".join(f"{name} {len(hits.hits)}" for name, hits in systems.items())
    counts = {name: len(hits.ids) for name, hits in systems.items()}
    most = max(counts.values())
    fewer = "".join(f", {name} {count}" for name, count in counts.items() if count < most)
    return f"{most} questions{fewer}. Runs: {seeds}."


def _cell(value: Interval | None, digits: int) -> str:
    if value is None:
        return "–"
    width = f" ± {(value.high - value.low) / 2:.{digits}f}" if value.high > value.low else ""
    return f"{value.mean:.{digits}f}{width}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
