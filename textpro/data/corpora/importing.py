"""From a published corpus to a manifest, or to texts: what all corpora share once their layout is read."""

import itertools
import wave
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from textpro.data import manifest
from textpro.data.corpora import CORPORA, user_text
from textpro.data.corpora.corpus import FROM_HEADER, CorpusError, CorpusFolder
from textpro.data.corpora.user_text import UserText
from textpro.data.manifest import Clip

MANIFEST, TEXTS = "manifest.jsonl", "texts.jsonl"
BATCH = 1_000  # lines in a write
GIT_LFS_POINTER = b"version https://git-lfs"
GIT_LFS_MOST_BYTES = 1024  # of a pointer
NOT_PULLED = "a Git LFS pointer; `git lfs pull` fetches the recording"


class BrokenAudio(CorpusError):
    """A recording that its corpus names is missing, unreadable or empty."""


@dataclass
class Imported:
    """What an import wrote. hours: of the recordings; skipped: clips whose audio is missing or unreadable."""

    path: Path
    items: int = 0
    hours: float = 0.0
    skipped: int = 0


def import_corpus(
    name: str,
    root: Path,
    out: Path,
    *,
    splits: Collection[str] = (),
    having: Collection[str] = (),
    limit: int | None = None,
    skip_broken: bool = False,
) -> Imported:
    """Reads the corpus in `root` and writes `out/manifest.jsonl` (absolute audio paths) or `out/texts.jsonl`.

    splits: the publisher's names, default as the paper used them. having: only clips with these labels. limit: stop
    after so many. The file appears when all is written; one that is already there is not touched.

    Raises MissingPart for a file or folder of the corpus that is not there, BrokenAudio for a recording (unless
    `skip_broken`, which leaves such clips out), CorpusError for anything else that can't be read.
    """
    corpus = CORPORA[name]
    if limit is not None and limit < 1:
        raise CorpusError(f"the limit is {limit}, expected at least 1")
    items: Iterator[Any] = corpus.read(CorpusFolder(corpus, root), corpus.chosen(tuple(splits)))
    first = next(items, None)
    if first is None:
        raise CorpusError(f"{corpus.title}: nothing to read in {root}")
    items = itertools.chain([first], items)
    is_text = isinstance(first, UserText)
    if is_text and having:
        raise CorpusError(f"{corpus.title} is text without labels; clips can't be chosen by {', '.join(having)}")
    done = Imported(out / (TEXTS if is_text else MANIFEST))
    if done.path.exists():
        raise CorpusError(f"{done.path} exists; choose another folder, or delete it")
    if is_text:
        chosen = itertools.islice(items, limit)
    else:
        wanted = (clip for clip in items if all(label in clip.labels for label in having))
        chosen = itertools.islice(_clips(wanted, name, done, skip_broken=skip_broken), limit)
    out.mkdir(parents=True, exist_ok=True)
    _write(chosen, user_text.append if is_text else manifest.append, done)
    return done


def _write(items: Iterator[Any], append: Callable[[Path, Iterable[Any]], None], done: Imported) -> None:
    partial = done.path.with_name(f".{done.path.name}.partial")
    partial.unlink(missing_ok=True)
    seen: set[str] = set()
    with tqdm(unit="item") as progress:
        while batch := list(itertools.islice(items, BATCH)):
            for item in batch:
                if item.id in seen:
                    raise CorpusError(f"{item.id} comes twice: do the splits overlap, or is the corpus there twice?")
                seen.add(item.id)
            append(partial, batch)
            done.items += len(batch)
            done.hours += sum(item.duration_s for item in batch if isinstance(item, Clip)) / 3600
            progress.update(len(batch))
    if not done.items:
        raise CorpusError(f"{done.path} would be empty: no clip was left ({done.skipped} had no readable audio)")
    partial.replace(done.path)


def _clips(clips: Iterable[Clip], corpus: str, done: Imported, *, skip_broken: bool) -> Iterator[Clip]:
    for clip in clips:
        try:
            duration_s = _checked_duration_s(clip)
        except BrokenAudio:
            if not skip_broken:
                raise
            done.skipped += 1
            continue
        yield replace(clip, duration_s=round(duration_s, 3), labels={"corpus": corpus, **clip.labels})


def _checked_duration_s(clip: Clip) -> float:
    path = Path(clip.audio)
    if not path.is_file():
        raise BrokenAudio(f"{path}: the recording of {clip.id} is not there; --skip-broken leaves such clips out")
    if clip.duration_s == FROM_HEADER:
        return duration_s(path)
    size = path.stat().st_size
    if not size:
        raise _empty(path)
    if size <= GIT_LFS_MOST_BYTES and _is_pointer(path):
        raise BrokenAudio(f"{path}: {NOT_PULLED}; --skip-broken leaves such clips out")
    return clip.duration_s


def duration_s(path: Path) -> float:
    """A recording's length in seconds, from its header. Raises BrokenAudio when it has none."""
    try:
        with wave.open(str(path), "rb") as file:
            seconds = file.getnframes() / file.getframerate()
    except (wave.Error, EOFError):  # another format than PCM in WAV
        seconds = _container_duration_s(path)
    if seconds <= 0:
        raise _empty(path)
    return seconds


def _container_duration_s(path: Path) -> float:
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            if stream.duration is not None and stream.time_base is not None:
                return float(stream.duration * stream.time_base)
            return (container.duration or 0) / av.time_base
    except (FFmpegError, IndexError) as error:
        why = NOT_PULLED if _is_pointer(path) else f"no audio ({error})"
        raise BrokenAudio(f"{path}: {why}; --skip-broken leaves such clips out") from error


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GIT_LFS_POINTER)) == GIT_LFS_POINTER


def _empty(path: Path) -> BrokenAudio:
    return BrokenAudio(f"{path}: the recording is empty; --skip-broken leaves such clips out")
