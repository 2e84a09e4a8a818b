"""What TextPro-SLM learns from: spoken user turns with the answer to give, and the prosody each was spoken with.

A folder of turns holds `turns.jsonl`, one JSON object a line, and `prosody-00000.safetensors`, …: a tensor (N, W) in
float16 for each clip. Many turns may ask about one clip.

Letters: N Whisper text tokens, W Whisper width.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from textpro.data.manifest import drop_torn_line
from textpro.errors import TextProError

TURNS_FILE = "turns.jsonl"
DISTILLATION = "chat"


class TurnsError(TextProError, ValueError):
    """A folder of turns that can't be read; the message names the file and line."""


@dataclass(frozen=True)
class Turn:
    """One example. The LLM reads the prosody, the transcript and, if there is one, the question; it learns the answer.

    task: `chat` where a teacher answered (distillation), else the attribute asked about (style, gender, age, …).
    prosody: `shard/clip`, where its tensor lies; None for a turn that was typed. options, label: of multiple choice.
    asked: what the teacher read, where that is not the transcript (source ASRQ_GTA; paper, app. F).
    """

    id: str
    task: str
    transcript: str
    answer: str
    question: str = ""
    prosody: str | None = None
    options: tuple[str, ...] = ()
    label: str = ""
    asked: str = ""


def read(folder: Path) -> list[Turn]:
    """All turns of a folder. Raises TurnsError for a line that is no turn, OSError when there is no such file."""
    path = folder / TURNS_FILE
    with path.open("rb") as lines:
        return [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]


class TurnsWriter:
    """Adds shards to a folder: first a shard's tensors, then its lines, so that an interrupted run loses one shard."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._path = folder / TURNS_FILE
        if self._path.exists():
            drop_torn_line(self._path)

    def keep(self, shards: int) -> None:
        """Cuts the lines off at the first that belongs to another than the first so many shards. Raises TurnsError."""
        if not self._path.exists():
            return
        size = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                prosody = _parse(line, f"{self._path}:{number}").prosody if line.strip() else None
                if prosody is not None and int(prosody.partition("/")[0]) >= shards:
                    break
                size += len(line)
        os.truncate(self._path, size)

    def add(self, shard: int, turns: Iterable[Turn], prosody: dict[str, Tensor]) -> None:
        """Writes one shard whole. prosody: clip -> (N, W); the turns name it as `shard/clip` (`place`)."""
        if prosody:
            tensors = {clip: rows.half().contiguous() for clip, rows in prosody.items()}
            file = self._folder / _shard_name(shard)
            partial = file.with_suffix(".partial")
            save_file(tensors, partial)
            partial.replace(file)
        with self._path.open("a", encoding="utf-8") as out:
            out.write("".join(json.dumps(asdict(turn), ensure_ascii=False) + "\n" for turn in turns))


def place(shard: int, clip: str) -> str:
    """A turn's `prosody`: where the tensor of a clip lies."""
    return f"{shard:05d}/{clip}"


class ProsodyStore:
    """The prosody tensors of a folder, read as they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[str, Any] = {}

    def __getitem__(self, where: str) -> Tensor:
        """`shard/clip` -> (N, W) float16. Raises TurnsError when it is not there."""
        shard, _, clip = where.partition("/")
        try:
            if shard not in self._shards:
                self._shards[shard] = safe_open(self._folder / _shard_name(int(shard)), framework="pt")
            return self._shards[shard].get_tensor(clip)
        except (OSError, ValueError, SafetensorError) as error:
            raise TurnsError(f"{self._folder}: no prosody {where!r}: {error}") from error


def _shard_name(shard: int) -> str:
    return f"prosody-{shard:05d}.safetensors"


def _parse(line: bytes, where: str) -> Turn:
    try:
        entry = json.loads(line)
        options = entry.get("options", [])
        turn = Turn(**entry | {"options": tuple(options)})
    except (ValueError, TypeError, AttributeError) as error:
        raise TurnsError(f"{where}: no turn: {error}") from error
    for key, value in vars(turn).items():
        if key != "options" and not isinstance(value, str) and (key, value) != ("prosody", None):
            raise TurnsError(f'{where}: no turn: "{key}" must be a string, found {value!r}')
    if not (isinstance(options, list) and all(isinstance(option, str) for option in options)):
        raise TurnsError(f'{where}: no turn: "options" must be a list of strings, found {options!r}')
    return turn
