"""LibriSpeech with the punctuated text of LibriSpeech-PC."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from textpro.data.corpora import labels
from textpro.data.corpora.corpus import CorpusError, CorpusFolder, rows
from textpro.data.manifest import Clip

TRAIN = ("train-clean-100", "train-clean-360", "train-other-500")
SPLITS = (*TRAIN, "dev-clean", "dev-other", "test-clean", "test-other")


def read(folder: CorpusFolder, splits: tuple[str, ...]) -> Iterator[Clip]:
    """`LibriSpeech/test-clean/1089/134686/1089-134686-0000.flac` and `LibriSpeech-PC/test-clean.json`."""
    genders = dict(_speakers(folder.part("the table of the speakers", "LibriSpeech/SPEAKERS.TXT", "SPEAKERS.TXT")))
    for split in splits:
        audio = folder.part("the recordings", f"LibriSpeech/{split}", split)
        places = [
            f"{place}{split}.json" for place in ("LibriSpeech-PC/", "LibriSpeech-PC/manifests/", "manifests/", "")
        ]
        for row in rows(folder.part("the text of LibriSpeech-PC", *places)):
            # Some releases of the manifests put the corpus's folder in front.
            parts = PurePosixPath(row.text("audio_filepath")).parts[-3:]
            if len(parts) < 3:
                raise CorpusError(f"{row.place}: audio_filepath is not of the form {split}/speaker/chapter/file.flac")
            speaker, path = parts[0], audio.joinpath(*parts)
            told = labels.known(speaker=speaker, gender=genders.get(speaker), split=split)
            yield Clip(path.stem, str(path), row.text("text"), row.number("duration"), told)


def _speakers(path: Path) -> Iterator[tuple[str, str | None]]:
    """Lines of `ID | SEX | SUBSET | MINUTES | NAME`; comments begin with a semicolon."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.startswith(";") and line.count("|") >= 4:
                speaker, sex, *_ = line.split("|")
                yield speaker.strip(), labels.gender(sex)
