"""Sentences to synthesise speech from: written ones, frames filled from word lists, splices of both, word drills."""

import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

from textpro.data.spoken import GENERATED, number_words
from textpro.errors import SynthesisError

Split = Literal["train", "dev", "test"]

WRITTEN_SHARE = 0.2
FRAME_SHARE = 0.2
SPLICE_SHARE = 0.1
DRILL_SHARE = 0.5
"""Words in any order, each as likely as any other: the rare ones are spelt right only when they were heard."""
HELD_OUT_WRITTEN_SHARE = 0.35
"""Of dev and test sentences, which otherwise are filled frames."""
SWAP_SHARE = 0.25
"""Part of the written share in which one word is swapped for another entry of its slot."""
SWAPS_PER_SENTENCE = 3
TEST_PERCENT = 4
DEV_PERCENT = 2
SPLICE_WORDS = (3, 20)
DRILL_WORDS = (3, 8)

TEXT_FOLDER = Path(__file__).parent / "text"
FRAMES_FILE = "frames.txt"

ALLOWED = re.compile(r"[A-Z](?:[A-Za-z' ,.?!]*[A-Za-z'])?[.?!]")
"""What a sentence may be made of: no digits, hyphens or other signs."""

_SLOT = re.compile(r"\{(a:)?([a-z_]+)\}")
_OWNED_SLOT = re.compile(r"\{([a-z_]+)\}'s")
_INNER_WORD = re.compile(r"(?<=[A-Za-z,'] )[A-Za-z](?:[A-Za-z']*[A-Za-z])?")
_WORD = re.compile(r"[A-Za-z](?:[A-Za-z']*[A-Za-z])?")
_DETERMINED = re.compile(r"(?:a|an|the|some|more|enough) |(?:some|more|enough)$")
_CONSONANT_SOUND = re.compile(r"(?:one|once|eu|ewe|ufo|uk|ura|uni(?!n|m)|us[aeu]|ute|uto|uti)", re.IGNORECASE)
_SILENT_H = re.compile(r"(?:hour|honest|honou?r|heir)", re.IGNORECASE)
_MAX_TRIES_PER_SENTENCE = 2000


@dataclass(frozen=True)
class Material:
    """What sentences are made from: written ones, frames with `{slot}` or `{a:slot}` in them, the slots' entries."""

    written: tuple[str, ...]
    frames: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]
    slots_of_word: dict[str, tuple[str, ...]]


def compose(n: int, seed: int = 0) -> list[str]:
    """Make `n` distinct sentences, the same ones for the same seed.

    The mixture is `WRITTEN_SHARE`, `FRAME_SHARE`, `SPLICE_SHARE` and `DRILL_SHARE`; once the written sentences are used
    up their share falls to the others. Distinct means that no two have the same `normalise`d text. Raises ValueError
    if there aren't that many.
    """
    return _Composer(material(), None, Random(seed)).take(n)


def compose_split(n: int, split: Split, seed: int = 0, *, natural: bool = False) -> list[str]:
    """Make `n` distinct sentences of one split, as `compose` does; dev and test hold neither splices nor drills.

    Training splices are cut from training sentences only, so no part of a held-out sentence is spliced into training.
    natural: without splices and drills, as in dev and test: what somebody might say.
    """
    return _Composer(material(), split, Random(seed), natural=natural).take(n)


def split_of(text: str) -> Split:
    """Tell the split of a sentence from its words alone, so that it is the same on every machine and in every run."""
    digest = hashlib.blake2s(normalise(text).encode()).digest()
    place = int.from_bytes(digest[:4], "big") % 100
    if place < TEST_PERCENT:
        return "test"
    return "dev" if place < TEST_PERCENT + DEV_PERCENT else "train"


def normalise(text: str) -> str:
    """Lower-case the text, drop its punctuation (apostrophes too) and collapse its white space."""
    return " ".join(re.sub(r"[^a-z\s]", "", text.lower()).split())


def words() -> set[str]:
    """Give every word (lower case, apostrophes kept) that `compose` can say."""
    source = material()
    texts = [*source.written, *(_SLOT.sub(" ", frame) for frame in source.frames)]
    texts += [entry for entries in source.slots.values() for entry in entries]
    owned = {name for frame in source.frames for name in _OWNED_SLOT.findall(frame)}
    texts += [f"{entry}'s" for name in owned for entry in source.slots[name]]
    return {word for text in texts for word in _WORD.findall(text.lower())} | {"a", "an"} | number_words()


@cache
def lexicon() -> list[str]:
    """Every word of `words` once, sorted, with the case it has inside a sentence."""
    source = material()
    texts = (*source.written, *(_SLOT.sub("it", frame) for frame in source.frames))
    inside = [word for entries in source.slots.values() for entry in entries for word in _WORD.findall(entry)]
    inside += [word for text in texts for word in _INNER_WORD.findall(text)]
    cased = {word.lower(): word for word in inside}
    return sorted(cased.get(word, word) for word in words())


def with_article(phrase: str) -> str:
    """Put `a` or `an` before a phrase, by the sound it begins with."""
    silent_h, consonant = _SILENT_H.match(phrase), _CONSONANT_SOUND.match(phrase)
    vowel = silent_h or (phrase[0].lower() in "aeiou" and not consonant)
    return f"{'an' if vowel else 'a'} {phrase}"


@cache
def material(folder: Path = TEXT_FOLDER) -> Material:
    """Read the frames, the slots and all other text files of a folder; lines with signs outside `ALLOWED` are dropped.

    Raises ValueError for a frame that names a slot which doesn't exist.
    """
    frames = tuple(_lines(folder / FRAMES_FILE))
    slots = {path.stem: tuple(_lines(path)) for path in sorted((folder / "slots").glob("*.txt"))}
    for frame in frames:
        for _, name in _SLOT.findall(frame):
            if name not in slots and name not in GENERATED:
                raise ValueError(f"frame {frame!r} names the slot {name!r}; there is no slots/{name}.txt")
    files = sorted(path for path in folder.glob("*.txt") if path.name != FRAMES_FILE)
    written = {normalise(line): line for path in files for line in _lines(path) if ALLOWED.fullmatch(line)}
    slots_of_word: dict[str, list[str]] = {}
    for name, entries in slots.items():
        for entry in entries:
            slots_of_word.setdefault(entry, []).append(name)
    by_word = {word: tuple(names) for word, names in slots_of_word.items() if " " not in word}
    return Material(tuple(written.values()), frames, slots, by_word)


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))


class _Composer:
    def __init__(self, source: Material, split: Split | None, rng: Random, *, natural: bool = False) -> None:
        self._source, self._split, self._rng = source, split, rng
        self._pool = [text for text in source.written if self._belongs(text)]
        # A swap may carry a sentence into another split: small splits take their swaps from all of the written ones.
        self._swap_pool = list(source.written if split in ("dev", "test") else self._pool)
        self._written = self._in_turn(self._pool, 1)
        self._swapped = self._in_turn(self._swap_pool, SWAPS_PER_SENTENCE)
        self._natural = natural or split in ("dev", "test")
        self._drill_words = self._endlessly(lexicon())

    def take(self, n: int) -> list[str]:
        found: dict[str, str] = {}
        tries = 0
        while len(found) < n:
            text = self._draw()
            key = normalise(text)
            if key not in found and self._belongs(text):
                found[key] = text
                tries = 0
            tries += 1
            if tries > _MAX_TRIES_PER_SENTENCE:
                raise ValueError(
                    f"found {len(found)} distinct sentences; {n} were asked for: add frames or slot entries"
                )
        return list(found.values())

    def _belongs(self, text: str) -> bool:
        return self._split is None or split_of(text) == self._split

    def _in_turn(self, pool: list[str], times: int) -> Iterator[str]:
        for _ in range(times):
            yield from self._rng.sample(pool, len(pool))

    def _endlessly(self, words: list[str]) -> Iterator[str]:
        # Every word once before any comes again: no word is left to chance.
        while True:
            yield from self._rng.sample(words, len(words))

    def _draw(self) -> str:
        if self._rng.random() < (HELD_OUT_WRITTEN_SHARE if self._natural else WRITTEN_SHARE):
            text = self._written_sentence()
            if text:
                return text
        if self._natural:
            return self._filled_frame()
        kinds = {self._filled_frame: FRAME_SHARE, self._splice: SPLICE_SHARE, self._drill: DRILL_SHARE}
        return self._rng.choices(list(kinds), list(kinds.values()))[0]()

    def _written_sentence(self) -> str | None:
        if self._rng.random() < SWAP_SHARE:
            text = next(self._swapped, None)
            return self._swap(text) if text else None
        return next(self._written, None)

    def _swap(self, text: str) -> str:
        # Not the first word: its capital hides whether it is a name.
        matches = list(_WORD.finditer(text))[1:]
        places = [match for match in matches if match[0] in self._source.slots_of_word]
        if not places:
            return text
        place = self._rng.choice(places)
        slot = self._rng.choice(self._source.slots_of_word[place[0]])
        entry = self._rng.choice(self._source.slots[slot])
        head, tail = text[: place.start()], text[place.end() :]
        article = re.search(r"\b([Aa])n? $", head)
        if article and not _DETERMINED.match(entry):
            entry = with_article(entry)
        if article:
            head = head[: article.start()]
            entry = entry if article[1] == "a" else entry[0].upper() + entry[1:]
        return f"{head}{entry}{tail}"

    def _filled_frame(self) -> str:
        used: set[str] = set()

        def fill(match: re.Match[str]) -> str:
            article, name = match.groups()
            entry = self._entry(name)
            while entry in used:
                entry = self._entry(name)
            used.add(entry)
            return with_article(entry) if article else entry

        text = _SLOT.sub(fill, self._rng.choice(self._source.frames))
        return text[0].upper() + text[1:]

    def _entry(self, slot: str) -> str:
        make = GENERATED.get(slot)
        return make(self._rng) if make else self._rng.choice(self._source.slots[slot])

    def _splice(self) -> str:
        least, most = SPLICE_WORDS
        while True:
            # The cut in the second avoids the start of a sentence, so its words keep the case they have mid-sentence.
            first, second = self._part().split(), self._part().split()
            cuts = [i for i in range(1, len(second)) if second[i - 1][-1] not in ".?!"]
            if len(first) < 2 or not cuts:
                continue
            head = first[: self._rng.randrange(1, len(first))]
            tail = second[self._rng.choice(cuts) :]
            if least <= len(head) + len(tail) <= most:
                text = " ".join([*head[:-1], head[-1].rstrip(",.?!"), *tail])
                return text[0].upper() + text[1:]

    def _drill(self) -> str:
        text = " ".join(itertools.islice(self._drill_words, self._rng.randint(*DRILL_WORDS)))
        return f"{text[0].upper()}{text[1:]}{self._rng.choice('.?')}"

    def _part(self) -> str:
        while True:
            from_written = self._pool and self._rng.random() < 0.5
            text = self._rng.choice(self._pool) if from_written else self._filled_frame()
            if self._belongs(text):
                return text


def read_lines(path: Path) -> list[str]:
    """A file's sentences, one a line, told apart by newlines alone: a text may hold U+2028.

    Raises SynthesisError for a file that is not UTF-8 or has none, OSError for one that is not there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SynthesisError(f"{path} is no text in UTF-8: {error}") from error
    if lines := [line.strip() for line in text.split("\n") if line.strip()]:
        return lines
    raise SynthesisError(f"{path} has no sentences; write one a line")
