"""A folder of turns that is made shard by shard: an interrupted run goes on with the first shard that is not whole."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor
from tqdm import tqdm

from textpro.data.turns import TURNS_FILE, Turn, TurnsError, TurnsWriter

RUN_FILE = "run.json"
SHARD = 256
T = TypeVar("T")


def check_heard_by(folder: Path, encoder: str) -> None:
    """Raises TurnsError when a folder has no turns, or notes that another encoder heard them; folders that older
    versions made note none. encoder: a bundle's `encoder_fingerprint`."""
    if not (folder / TURNS_FILE).is_file():
        raise TurnsError(f"{folder} is no folder of turns: it has no {TURNS_FILE}")
    run = folder / RUN_FILE
    heard_by = json.loads(run.read_text())["settings"].get("encoder", encoder) if run.exists() else encoder
    if heard_by != encoder:
        raise TurnsError(
            f"{folder} was heard by the encoder {heard_by}, the bundle's is {encoder}; name the bundle that heard it"
        )


class ShardedRun:
    """What a run has made so far, and how it was called.

    `run.json` in the folder holds the settings, the number of whole shards and what was dropped, by reason.
    """

    def __init__(self, out: Path, settings: Mapping[str, str | int | float], *, size: int = SHARD) -> None:
        """size: items in a shard. Raises TurnsError when the folder holds another run's turns."""
        self.dropped: Counter[str] = Counter()
        self._writer = TurnsWriter(out)
        self._path = out / RUN_FILE
        self._settings = {**settings, "shard": size}
        self._size, self._whole = size, 0
        if self._path.exists():
            found = json.loads(self._path.read_text())
            self._whole, self.dropped = found["shards"], Counter(found["dropped"])
            if any(self._settings.get(name) != value for name, value in found["settings"].items()):
                raise TurnsError(f"{out} holds the turns of another run: {found['settings']}; choose an empty folder")
            # What a process wrote that died before its shard was whole: heard again, a clip may say something else.
            self._writer.keep(self._whole)
        elif (out / TURNS_FILE).exists():
            raise TurnsError(f"{out} holds turns but no {RUN_FILE}; choose an empty folder")
        else:
            self._save()

    def shards(self, items: Sequence[T]) -> Iterator[tuple[int, Sequence[T]]]:
        """The shards that are still to be made, with a progress bar over the items."""
        first = min(self._whole * self._size, len(items))
        with tqdm(total=len(items), initial=first, unit="clip") as progress:
            for start in range(first, len(items), self._size):
                chosen = items[start : start + self._size]
                yield start // self._size, chosen
                progress.update(len(chosen))

    def add(self, shard: int, turns: Iterable[Turn], prosody: Mapping[str, Tensor], dropped: Counter[str]) -> None:
        """Writes a shard whole."""
        self._writer.add(shard, turns, dict(prosody))
        self._whole, self.dropped = shard + 1, self.dropped + dropped
        self._save()

    def _save(self) -> None:
        state = {"settings": self._settings, "shards": self._whole, "dropped": dict(sorted(self.dropped.items()))}
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(state, indent=2, ensure_ascii=False) + "\n")
        partial.replace(self._path)
