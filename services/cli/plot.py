"""Draws a training run's metrics.jsonl as RUN/metrics.svg."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from textpro.errors import TrainingError

if TYPE_CHECKING:  # the command line must stay instant
    from xml.etree.ElementTree import Element

MAX_POINTS = 400  # a line; more are averaged
ALONE = ("lr", "norm")  # of another size than the losses
NOT_DRAWN = ("step", "seconds", "clips", "turns")


def configure(parser: argparse.ArgumentParser) -> None:
    """`textpro plot`'s arguments."""
    parser.add_argument("folder", metavar="RUN", type=Path, help="the --out of a training")
    parser.add_argument("--out", type=Path, help="(default: RUN/metrics.svg)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the picture and prints its path."""
    from textpro.evaluation.chart import svg

    path = args.out or args.folder / "metrics.svg"
    path.write_text(svg(*charts(args.folder)))
    print(path)
    return 0


def charts(folder: Path) -> "list[Element]":
    """The losses in one chart, learning rate and gradient norm in one each. Raises TrainingError without metrics."""
    from textpro.evaluation.chart import line_chart

    lines: dict[str, list[tuple[float, float]]] = {}
    for row in read_metrics(folder / "metrics.jsonl"):
        for name, value in row.items():
            if name not in NOT_DRAWN:
                lines.setdefault(name, []).append((row["step"], value))
    losses = {name: thinned(points) for name, points in lines.items() if name not in ALONE}
    drawn = [line_chart(f"{folder.resolve().name}: losses", losses, x_label="update")]
    for name in ALONE:
        if name in lines:
            drawn.append(line_chart(name, {name: thinned(lines[name])}, x_label="update"))
    return drawn


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows in order of steps; what a resumed run did again replaces the first."""
    if not path.is_file():
        raise TrainingError(f"{path} does not exist: is {path.parent} the --out of a training?")
    rows: dict[int, dict[str, float]] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            row = json.loads(line)
            if rows and row["step"] <= next(reversed(rows)):
                rows = {step: kept for step, kept in rows.items() if step < row["step"]}
            rows[row["step"]] = row
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path}:{number} is no line of metrics: {error}") from error
    if not rows:
        raise TrainingError(f"{path} holds no metrics yet")
    return list(rows.values())


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS, each the mean of as many neighbours."""
    size = -(-len(points) // MAX_POINTS)
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]
