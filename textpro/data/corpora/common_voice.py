"""Common Voice, English: volunteers read sentences and say, if they like, their age, gender and accent."""

from collections.abc import Iterator
from pathlib import Path

from textpro.data.corpora import labels
from textpro.data.corpora.corpus import FROM_HEADER, CorpusFolder, rows
from textpro.data.manifest import Clip

SPLITS = ("train", "dev", "test", "validated", "other", "invalidated")
DECADES = {
    "teens": 10,
    "twenties": 20,
    "thirties": 30,
    "fourties": 40,  # the corpus's spelling
    "forties": 40,
    "fifties": 50,
    "sixties": 60,
    "seventies": 70,
    "eighties": 80,
}
SPEAKER_DIGITS = 16  # of the 128 of a client_id; still unique


def read(folder: CorpusFolder, splits: tuple[str, ...]) -> Iterator[Clip]:
    """`train.tsv`, … beside `clips/*.mp3`, in the folder itself or in its `en`.

    An accent counts only where it is one of Table 7's whole strings; a speaker who named several has none.
    """
    tables = [folder.part(f"the table of {split}", f"{split}.tsv", f"en/{split}.tsv") for split in splits]
    clips = tables[0].parent / "clips"
    if not clips.is_dir():
        raise folder.missing("the clips", str(clips.relative_to(folder.root)))
    durations_s = dict(_durations(clips.parent / "clip_durations.tsv"))
    for split, table in zip(splits, tables, strict=True):
        for row in rows(table):
            name = row.text("path")
            name = name if Path(name).suffix else f"{name}.mp3"  # the first release left it out
            age, accent = row.text("age"), row.text("accents", "accent")
            told = labels.known(
                speaker=row.text("client_id")[:SPEAKER_DIGITS],
                gender=labels.gender(row.text("gender")),
                age_group=labels.age_group(DECADES.get(age, 0)),
                age_original=age,
                accent=labels.COMMON_VOICE_ACCENTS.get(accent),
                accent_original=accent,
                split=split,
            )
            duration_s = durations_s.get(name, FROM_HEADER)
            yield Clip(Path(name).stem, str(clips / name), row.text("sentence"), duration_s, told)


def _durations(path: Path) -> Iterator[tuple[str, float]]:
    """Newer releases list the lengths, which saves opening every file."""
    if not path.exists():
        return
    for row in rows(path):
        yield row.text("clip"), row.number("duration[ms]", "duration") / 1000
