"""Manifests: one JSON object a line, one line a clip, next to the audio they name."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from textpro.errors import TextProError


class ManifestError(TextProError, ValueError):
    """A manifest line that cannot be read; the message begins with `file:line`."""


@dataclass(frozen=True)
class Clip:
    """One utterance: what was said, where its audio lies and what is known about how it was said.

    `audio` is relative to the manifest's folder; `duration_s` is in seconds.
    """

    id: str
    audio: str
    text: str
    duration_s: float
    labels: dict[str, str | float] = field(default_factory=dict)


def read(path: Path | str) -> list[Clip]:
    """Read every clip of a JSONL manifest, skipping blank lines.

    Raises `ManifestError` for a line that is not a clip and `OSError` when the file cannot be opened.
    """
    with Path(path).open("rb") as lines:
        return [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]


def append(path: Path | str, clips: Iterable[Clip]) -> None:
    """Add clips to the end of a manifest, in one write, making the file if there is none."""
    text = "".join(_line(clip) for clip in clips)
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


def write(path: Path | str, clips: Iterable[Clip]) -> None:
    """Write a manifest whole; a reader sees the old file or the new one, never a part."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(_line(clip) for clip in clips), encoding="utf-8")
    partial.replace(path)


def drop_torn_line(path: Path | str) -> None:
    """Cut off a last line without its newline, which an interrupted `append` may leave behind."""
    data = Path(path).read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def resolve(manifest_path: Path | str, clip: Clip) -> Path:
    """Return the path of the clip's audio."""
    return Path(manifest_path).parent / clip.audio


def _line(clip: Clip) -> str:
    return json.dumps(asdict(clip), ensure_ascii=False) + "\n"


def _parse(line: bytes, place: str) -> Clip:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{place}: not UTF-8: {error}") from error
    if not isinstance(entry, dict):
        raise ManifestError(f"{place}: expected a JSON object, found {type(entry).__name__}")
    for key in ("id", "audio", "text"):
        if not isinstance(entry.get(key), str):
            raise ManifestError(f'{place}: "{key}" must be a string, found {_found(entry, key)}')
    duration_s = entry.get("duration_s")
    if isinstance(duration_s, bool) or not isinstance(duration_s, int | float) or duration_s < 0:
        raise ManifestError(f'{place}: "duration_s" must be seconds, found {_found(entry, "duration_s")}')
    return Clip(entry["id"], entry["audio"], entry["text"], float(duration_s), _labels(entry, place))


def _labels(entry: dict[str, object], place: str) -> dict[str, str | float]:
    labels = entry.get("labels", {})
    if not isinstance(labels, dict):
        raise ManifestError(f'{place}: "labels" must be an object, found {_found(entry, "labels")}')
    for name, value in labels.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ManifestError(f'{place}: label "{name}" must be a string or a number, found {value!r}')
    return labels


def _found(entry: dict[str, object], key: str) -> str:
    return repr(entry[key]) if key in entry else "nothing"
