"""CREMA-D, SAVEE and TESS: actors say given sentences; the file's name tells who, what and in which emotion."""

import re
from collections.abc import Iterator
from pathlib import Path

from textpro.data.corpora import labels
from textpro.data.corpora.corpus import FROM_HEADER, CorpusError, CorpusFolder, rows
from textpro.data.manifest import Clip

CREMA_D_NAME = re.compile(r"(?P<actor>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>[A-Z]{1,2})")
CREMA_D_SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
CREMA_D_EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgusted",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
CREMA_D_LEVELS = {"LO": "low", "MD": "medium", "HI": "high"}  # most files have XX: not said

SAVEE_NAME = re.compile(r"(?P<speaker>DC|JE|JK|KL)_(?P<emotion>sa|su|[adfhn])\d{2}")
SAVEE_EMOTIONS = {
    "a": "angry",
    "d": "disgusted",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}

TESS_NAME = re.compile(r"(?P<speaker>OAF?|YAF)_(?P<word>[A-Za-z]+)_(?P<emotion>[a-z]+)")  # one file says OA
TESS_AGES = {"OAF": 64, "YAF": 26}
TESS_EMOTIONS = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",
    "sad": "sad",
}


def read_crema_d(folder: CorpusFolder, _splits: tuple[str, ...]) -> Iterator[Clip]:
    """`AudioWAV/1001_DFA_ANG_XX.wav` and the actors' ages and sexes in `VideoDemographics.csv`."""
    actors = {row.text("ActorID"): row for row in rows(folder.part("the table of the actors", "VideoDemographics.csv"))}
    for path in folder.files("WAV files", "AudioWAV/*.wav"):
        found = _parse(CREMA_D_NAME, path.stem, path)
        if found["actor"] not in actors or found["sentence"] not in CREMA_D_SENTENCES:
            raise CorpusError(f"{path}: actor or sentence is not one of CREMA-D's")
        actor = actors[found["actor"]]
        age = int(actor.number("Age"))
        told = labels.known(
            speaker=found["actor"],
            gender=labels.gender(actor.text("Sex")),
            age=age,
            age_group=labels.age_group(age),
            intensity=CREMA_D_LEVELS.get(found["level"]),
        )
        told |= labels.emotion(CREMA_D_EMOTIONS, found["emotion"])
        yield Clip(path.stem, str(path), CREMA_D_SENTENCES[found["sentence"]], FROM_HEADER, told)


def read_savee(folder: CorpusFolder, _splits: tuple[str, ...]) -> Iterator[Clip]:
    """`AudioData/DC/a01.wav`, or flat `DC_a01.wav`. Four men; the corpus has no transcripts in its audio folders."""
    for path in folder.files("WAV files", "**/*.wav"):
        name = path.stem if "_" in path.stem else f"{path.parent.name}_{path.stem}"
        found = _parse(SAVEE_NAME, name, path)
        told = labels.known(speaker=found["speaker"], gender="male")
        yield Clip(name, str(path), "", FROM_HEADER, told | labels.emotion(SAVEE_EMOTIONS, found["emotion"]))


def read_tess(folder: CorpusFolder, _splits: tuple[str, ...]) -> Iterator[Clip]:
    """`OAF_angry/OAF_back_angry.wav`: two women say "Say the word back". A copy that repeats itself is read once."""
    seen = set()
    for path in folder.files("WAV files", "**/*.wav"):
        if path.name in seen:
            continue
        seen.add(path.name)
        found = _parse(TESS_NAME, path.stem, path)
        speaker = "YAF" if found["speaker"] == "YAF" else "OAF"
        age = TESS_AGES[speaker]
        told = labels.known(speaker=speaker, gender="female", age=age, age_group=labels.age_group(age))
        told |= labels.emotion(TESS_EMOTIONS, found["emotion"])
        yield Clip(path.stem, str(path), f"Say the word {found['word']}.", FROM_HEADER, told)


def _parse(pattern: re.Pattern[str], name: str, path: Path) -> dict[str, str]:
    found = pattern.fullmatch(name)
    if found is None:
        raise CorpusError(f"{path}: the name is not of the form {pattern.pattern}")
    return found.groupdict()
