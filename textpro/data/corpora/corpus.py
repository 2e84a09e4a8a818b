"""What a reader of a published corpus is given and gives: the corpus's name and origin, its folder, its rows."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textpro.data.corpora.user_text import UserText
from textpro.data.manifest import Clip
from textpro.errors import TextProError

FROM_HEADER = 0.0  # duration_s of a clip whose corpus publishes none
PARQUET_ROWS = 1_000


class CorpusError(TextProError, ValueError):
    """A published corpus that can't be read; the message names the file, and the line where there is one."""


class MissingPart(CorpusError):
    """A file or folder of a corpus is not where its publisher puts it."""


@dataclass(frozen=True)
class Corpus:
    """A published corpus.

    source: where it is to be had, in words. splits: the names its publisher gave, () when there are none.
    default: those that are read unless others are named, the paper's where it says (Table 1), else all.
    """

    name: str
    title: str
    source: str
    read: Callable[["CorpusFolder", tuple[str, ...]], Iterator[Clip] | Iterator[UserText]]
    splits: tuple[str, ...] = ()
    default: tuple[str, ...] = ()

    def chosen(self, splits: tuple[str, ...]) -> tuple[str, ...]:
        """The splits to read. Raises CorpusError for one that the corpus does not have, or that is named twice."""
        for split in splits:
            if split not in self.splits:
                raise CorpusError(f"{self.title} has no split {split!r}; it has: {', '.join(self.splits) or 'none'}")
            if splits.count(split) > 1:
                raise CorpusError(f"the split {split!r} is named twice")
        return splits or self.default or self.splits


class CorpusFolder:
    """A corpus on disk. Its paths are absolute; what is asked for and not there raises MissingPart."""

    def __init__(self, corpus: Corpus, root: Path) -> None:
        self.corpus = corpus
        self.root = root.absolute()
        if not self.root.is_dir():
            raise MissingPart(f"{corpus.title}: there is no folder {self.root}; the corpus comes from {corpus.source}")

    def part(self, what: str, *places: str) -> Path:
        """The first of these places, relative to the root, that exists; releases differ in how deep they nest."""
        for place in places:
            if (self.root / place).exists():
                return self.root / place
        raise self.missing(what, *places)

    def files(self, what: str, *patterns: str) -> list[Path]:
        """Every file that matches one of the glob patterns, sorted; resource forks of macOS (`._name`) are left out."""
        found = {path for pattern in patterns for path in self.root.glob(pattern) if not path.name.startswith(".")}
        if not found:
            raise self.missing(what, *patterns)
        return sorted(found)

    def missing(self, what: str, *places: str) -> MissingPart:
        """The error that says what was expected where, and whence the corpus comes."""
        title, source = self.corpus.title, self.corpus.source
        return MissingPart(
            f"{title}: {what} expected at {self.root / ' or '.join(places)}; {title} comes from {source}"
        )


@dataclass(frozen=True)
class Row:
    """One row of a table; `place` is `file:line`."""

    place: str
    values: dict[str, Any]

    def text(self, *columns: str) -> str:
        """The first of these columns that the table has, as text without outer blanks; a null is ''.

        Raises CorpusError when the table has none of them.
        """
        for column in columns:
            if column in self.values:
                value = self.values[column]
                return "" if value is None else str(value).strip()
        there = ", ".join(map(str, self.values))
        raise CorpusError(f"{self.place}: no column {' or '.join(columns)}; there are: {there}")

    def number(self, *columns: str) -> float:
        """The same as a number; a null is 0. Raises CorpusError for anything else."""
        text = self.text(*columns)
        try:
            return float(text or 0)
        except ValueError as error:
            raise CorpusError(f"{self.place}: {columns[0]} must be a number, found {text!r}") from error


def rows(path: Path) -> Iterator[Row]:
    """The rows of a .jsonl (or one-object-a-line .json), .tsv, .csv or .parquet file, one at a time.

    Raises CorpusError for a file that is not of its kind, and for Parquet without pyarrow.
    """
    try:
        yield from _parquet_rows(path) if path.suffix == ".parquet" else _text_rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path}: not a readable {path.suffix} file ({error})") from error


def _text_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        if path.suffix == ".tsv":
            # Quotation marks in a sentence are its own.
            table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            yield from (Row(f"{path}:{table.line_num}", row) for row in table)
        elif path.suffix == ".csv":
            table = csv.DictReader(lines)
            yield from (Row(f"{path}:{table.line_num}", row) for row in table)
        else:
            yield from (_json_row(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())


def _json_row(line: str, place: str) -> Row:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(values, dict):
        raise CorpusError(f"{place}: expected a JSON object, found {type(values).__name__}")
    return Row(place, values)


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException  # pyright: ignore[reportMissingImports]
        from pyarrow.parquet import ParquetFile  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise CorpusError(f"{path}: reading Parquet needs pyarrow; pip install pyarrow") from error
    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(PARQUET_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(f"{path}:{number}", values)
    except ArrowException as error:
        raise CorpusError(f"{path}: not a readable Parquet file ({error})") from error
