"""ParaSpeechCaps: how utterances of VoxCeleb, Expresso, EARS and Emilia sound, in words."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from textpro.data.corpora import labels
from textpro.data.corpora.corpus import CorpusFolder, Row, rows
from textpro.data.manifest import Clip

BASE = ("train_base", "dev", "holdout")  # human labels: the paper's 342 hours
SPLITS = (*BASE, "train_scaled")
KINDS = ("parquet", "jsonl")


def read(folder: CorpusFolder, splits: tuple[str, ...]) -> Iterator[Clip]:
    """`data/train_base-*.parquet` (or .jsonl), and the audio in `voxceleb`, `expresso`, `ears`, `emilia`.

    A path in the table is relative to its source's folder, as the publisher's preprocessing leaves it.
    """
    for split in splits:
        patterns = [f"{place}{split}*.{kind}" for place in ("data/", "") for kind in KINDS]
        for table in folder.files(f"the captions of {split}", *patterns):
            for number, row in enumerate(rows(table), 1):
                yield _clip(folder.root, row, split, f"{table.stem}-{number}")


def _clip(root: Path, row: Row, split: str, name: str) -> Clip:
    captions = _words(row, "text_description")
    told = labels.known(
        source=row.text("source").lower(),
        speaker=row.text("speakerid"),
        gender=labels.gender(row.text("gender")),
        accent=row.text("accent"),
        pitch=row.text("pitch"),
        rate=row.text("speaking_rate"),
        noise=row.text("noise"),
        traits=", ".join(_words(row, "intrinsic_tags")),
        style=", ".join(_words(row, "situational_tags")),
        caption=captions[0] if captions else None,
        caption_2=captions[1] if len(captions) > 1 else None,
        split=split,
    )
    audio = root / row.text("source").lower() / row.text("relative_audio_path")
    return Clip(name, str(audio), row.text("transcription"), row.number("duration"), told)


def _words(row: Row, column: str) -> Sequence[str]:
    words = row.values.get(column) or []
    return [words] if isinstance(words, str) else words
