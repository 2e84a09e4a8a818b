"""ESD's English half: ten speakers say 350 sentences in five emotions each."""

import re
from collections.abc import Iterator
from pathlib import Path

from textpro.data.corpora import labels
from textpro.data.corpora.corpus import FROM_HEADER, CorpusError, CorpusFolder
from textpro.data.manifest import Clip

SPLITS = ("train", "evaluation", "test")
GENDERS = {f"{number:04d}": "female" if 15 <= number <= 19 else "male" for number in range(11, 21)}
EMOTIONS = {"Neutral": "neutral", "Angry": "angry", "Happy": "happy", "Sad": "sad", "Surprise": "surprised"}
PER_EMOTION, EVALUATION, TEST = 350, 20, 30  # of an emotion's sentences the first 20 are evaluation, the next 30 test
# Most lines are `name <tab> sentence <tab> emotion`; some have blanks for tabs, or no emotion.
LINE = re.compile(rf"(?P<name>\d{{4}}_\d{{6}})\s+(?P<text>.*?)(?:\s+(?:{'|'.join(EMOTIONS)}))?\s*", re.IGNORECASE)


def read(folder: CorpusFolder, splits: tuple[str, ...]) -> Iterator[Clip]:
    """`0011/Angry/0011_000351.wav`, or a folder train, evaluation or test in between; sentences in `0011/0011.txt`."""
    places = ("0011", "Emotion Speech Dataset/0011", "Emotional Speech Dataset (ESD)/Emotion Speech Dataset/0011")
    base = folder.part("the English speakers 0011 to 0020", *places).parent.relative_to(folder.root)
    for speaker, gender in GENDERS.items():
        table = folder.part("the speaker's sentences", f"{base}/{speaker}/{speaker}.txt")
        texts = dict(_sentences(table))
        for path in folder.files("WAV files", f"{base}/{speaker}/**/*.wav"):
            emotion = next((part for part in path.parts[::-1] if part in EMOTIONS), None)
            split = _split(path)
            if emotion is None:
                raise CorpusError(f"{path}: expected in a folder named {', '.join(EMOTIONS)}")
            if split in splits:
                told = labels.known(speaker=speaker, gender=gender, split=split)
                told |= labels.emotion(EMOTIONS, emotion)
                yield Clip(path.stem, str(path), texts.get(path.stem, ""), FROM_HEADER, told)


def _split(path: Path) -> str:
    if path.parent.name in SPLITS:
        return path.parent.name
    try:
        number = (int(path.stem.rpartition("_")[2]) - 1) % PER_EMOTION
    except ValueError as error:
        raise CorpusError(f"{path}: the name is not of the form 0011_000351.wav") from error
    return "evaluation" if number < EVALUATION else "test" if number < EVALUATION + TEST else "train"


def _sentences(path: Path) -> Iterator[tuple[str, str]]:
    for line in _decode(path.read_bytes()).splitlines():
        found = LINE.fullmatch(line.strip())
        if found is not None:
            yield found["name"], found["text"]


def _decode(data: bytes) -> str:
    """The speakers' files came in different encodings."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
