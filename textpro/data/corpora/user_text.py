"""Texts for distillation: what a user says, one JSON object a line."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from textpro.errors import TextProError


class UserTextError(TextProError, ValueError):
    """A line that is no text of a user; the message begins with `file:line`."""


@dataclass(frozen=True)
class UserText:
    """One user turn. `text` is all that is said, with the options where there are any; the rest belongs to multiple
    choice: the question alone, its options in order, and the right one ('' where the corpus keeps it secret)."""

    id: str
    text: str
    question: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""


def multiple_choice(id: str, question: str, options: Iterable[str], answer: str = "") -> UserText:
    """A question as it is read aloud: `Where is it? A. home. B. work.`"""
    options = tuple(options)
    listed = " ".join(f"{letter}. {option}." for letter, option in zip("ABCDEFGH", options, strict=False))
    return UserText(id, f"{question} {listed}", question, options, answer)


def read(path: Path) -> Iterator[UserText]:
    """The texts of a file, one at a time. Raises UserTextError for a line that is none, OSError without the file."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            yield _parse(line, f"{path}:{number}")


def append(path: Path, texts: Iterable[UserText]) -> None:
    """Adds texts to the end of a file, in one write; fields that say nothing are left out."""
    entries = ({key: value for key, value in asdict(text).items() if value} for text in texts)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))


def _parse(line: bytes, place: str) -> UserText:
    try:
        entry = json.loads(line)
        options = entry.get("options", [])
        text = UserText(**entry | {"options": tuple(options)})
    except (ValueError, TypeError, AttributeError) as error:
        raise UserTextError(f"{place}: no text of a user: {error}") from error
    for key, value in vars(text).items():
        if key != "options" and not isinstance(value, str):
            raise UserTextError(f'{place}: no text of a user: "{key}" must be a string, found {value!r}')
    if not (isinstance(options, list) and all(isinstance(option, str) for option in options)):
        raise UserTextError(f'{place}: no text of a user: "options" must be a list of strings, found {options!r}')
    return text
