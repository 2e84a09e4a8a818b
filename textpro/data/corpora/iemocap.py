"""IEMOCAP: ten actors in five sessions of dialogue, each utterance labelled by its listeners."""

import re
from collections.abc import Iterator
from pathlib import Path

from textpro.data.corpora import labels
from textpro.data.corpora.corpus import FROM_HEADER, CorpusFolder
from textpro.data.manifest import Clip

SESSIONS = tuple(f"Session{number}" for number in range(1, 6))
EMOTIONS = {
    "ang": "angry",
    "dis": "disgusted",
    "exc": "excited",
    "fea": "fearful",
    "fru": "frustrated",
    "hap": "happy",
    "neu": "neutral",
    "sad": "sad",
    "sur": "surprised",
}  # and oth: another one; xxx: the listeners did not agree
# [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
VERDICT = re.compile(r"\[[\d. -]+\]\s+(?P<utterance>Ses\w+)\s+(?P<emotion>[a-z]{3})\s")
# Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
SAID = re.compile(r"(?P<utterance>Ses\w+) \[[\d.-]+\]:\s*(?P<text>.*)")
NOISE = re.compile(r"\s*\[[A-Z ]+\]")  # [LAUGHTER], [BREATHING]


def read(folder: CorpusFolder, splits: tuple[str, ...]) -> Iterator[Clip]:
    """The utterances of `SessionN/dialog/EmoEvaluation/*.txt`, their words and their files. A split is a session."""
    for session in splits:
        said: dict[str, str] = {}
        for path in folder.files("transcriptions", f"{session}/dialog/transcriptions/*.txt"):
            said |= {found["utterance"]: NOISE.sub("", found["text"]).strip() for found in _lines(path, SAID)}
        for path in folder.files("the listeners' verdicts", f"{session}/dialog/EmoEvaluation/*.txt"):
            for found in _lines(path, VERDICT):
                name = found["utterance"]
                audio = folder.root / session / "sentences" / "wav" / path.stem / f"{name}.wav"
                sex = name.rpartition("_")[2][0]  # the dialogue's first letter is only whose face was recorded
                told = labels.known(speaker=name[:5] + sex, gender=labels.gender(sex), split=session)
                told |= labels.emotion(EMOTIONS, found["emotion"])
                yield Clip(name, str(audio), said.get(name, ""), FROM_HEADER, told)


def _lines(path: Path, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        yield from (found for line in lines if (found := pattern.match(line)))
