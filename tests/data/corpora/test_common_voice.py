import pytest

from textpro.data.corpora import labels
from textpro.data.corpora.corpus import CorpusError, MissingPart
from textpro.data.corpora.importing import BrokenAudio

NEW = (
    "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale segment"
)
OLD = "client_id path sentence up_votes down_votes age gender accent"


def table(columns: str, *rows: dict[str, str]) -> str:
    names = columns.split()
    return "".join("\t".join(line) + "\n" for line in (names, *([row.get(name, "") for name in names] for row in rows)))


@pytest.fixture
def common_voice(tmp_path, record, write):
    root = tmp_path / "corpus"
    rows = [
        {
            "client_id": "a" * 128,
            "path": "common_voice_en_1.mp3",
            "sentence": '"So be it," he said.',
            "age": "fourties",
            "gender": "female_feminine",
            "accents": "India and South Asia (India, Pakistan, Sri Lanka)",
        },
        {
            "client_id": "b" * 128,
            "path": "common_voice_en_2.mp3",
            "sentence": "Hello.",
            "gender": "do_not_wish_to_say",
            "accents": "United States English,Midwestern",
        },
    ]
    write(root / "en" / "train.tsv", table(NEW, *rows))
    for row in rows:
        record(root / "en" / "clips" / row["path"], 1.0)
    return root


def test_common_voice_tells_age_gender_and_accent(common_voice, imported) -> None:
    clips = imported("common-voice")
    clip = clips["common_voice_en_1"]
    assert clip.text == '"So be it," he said.'
    assert clip.duration_s == pytest.approx(1.0, abs=0.1)  # MP3 is padded
    assert clip.labels == {
        "corpus": "common-voice",
        "speaker": "a" * 16,
        "gender": "female",
        "age_group": "thirties to forties",
        "age_original": "fourties",
        "accent": "India and South Asia",
        "accent_original": "India and South Asia (India, Pakistan, Sri Lanka)",
        "split": "train",
    }
    assert clips["common_voice_en_2"].labels == {
        "corpus": "common-voice",
        "speaker": "b" * 16,
        "accent_original": "United States English,Midwestern",
        "split": "train",
    }


def test_common_voice_chooses_the_clips_with_an_age(common_voice, imported) -> None:
    assert list(imported("common-voice", having=["age_group"])) == ["common_voice_en_1"]


def test_common_voice_reads_the_columns_of_old_releases(tmp_path, record, write, imported) -> None:
    row = {"client_id": "c", "path": "x", "sentence": "Hi.", "age": "teens", "gender": "male", "accent": "us"}
    write(tmp_path / "corpus" / "test.tsv", table(OLD, row))
    record(tmp_path / "corpus" / "clips" / "x.mp3")
    clip = imported("common-voice", splits=["test"])["x"]
    assert clip.labels["accent"] == "United States"
    assert clip.labels["gender"] == "male"
    assert clip.labels["age_group"] == "teens to twenties"


def test_common_voice_takes_the_lengths_its_release_lists(common_voice, write, imported) -> None:
    write(common_voice / "en" / "clip_durations.tsv", "clip\tduration[ms]\ncommon_voice_en_1.mp3\t4321\n")
    assert imported("common-voice")["common_voice_en_1"].duration_s == 4.321


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(b"", "is empty"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull")],
    ids=["empty", "pointer"],
)
def test_common_voice_is_not_believed_that_an_empty_file_has_a_length(
    common_voice, write, imported, data, complaint
) -> None:
    lengths = "clip\tduration[ms]\ncommon_voice_en_1.mp3\t4321\ncommon_voice_en_2.mp3\t1000\n"
    write(common_voice / "en" / "clip_durations.tsv", lengths)
    (common_voice / "en" / "clips" / "common_voice_en_1.mp3").write_bytes(data)
    with pytest.raises(BrokenAudio, match=rf"common_voice_en_1\.mp3: .*{complaint}"):
        imported("common-voice")
    assert list(imported("common-voice", skip_broken=True)) == ["common_voice_en_2"]


def test_common_voice_refuses_splits_that_overlap(common_voice, imported) -> None:
    (common_voice / "en" / "validated.tsv").write_bytes((common_voice / "en" / "train.tsv").read_bytes())
    with pytest.raises(CorpusError, match="common_voice_en_1 comes twice: do the splits overlap"):
        imported("common-voice", splits=["train", "validated"])


def test_common_voice_refuses_a_split_that_is_named_twice(common_voice, imported) -> None:
    with pytest.raises(CorpusError, match="the split 'train' is named twice"):
        imported("common-voice", splits=["train", "train"])


def test_common_voice_without_the_split_names_its_table(common_voice, imported) -> None:
    with pytest.raises(MissingPart, match=r"the table of dev expected at .*dev\.tsv or en/dev\.tsv"):
        imported("common-voice", splits=["dev"])


def test_common_voice_without_clips_names_their_folder(common_voice, imported) -> None:
    (common_voice / "en" / "clips").rename(common_voice / "elsewhere")
    with pytest.raises(MissingPart, match=r"the clips expected at .*en/clips"):
        imported("common-voice")


def test_common_voice_refuses_a_table_without_accents(common_voice, write, imported) -> None:
    write(common_voice / "en" / "train.tsv", "client_id\tpath\tsentence\tage\n1\tcommon_voice_en_1.mp3\tHi\t\n")
    with pytest.raises(CorpusError, match=r"train\.tsv:2: no column accents or accent"):
        imported("common-voice")


def test_the_accents_are_the_four_of_the_paper() -> None:
    assert set(labels.COMMON_VOICE_ACCENTS.values()) == set(labels.ACCENTS)
    assert sum(label == "Europe" for label in labels.COMMON_VOICE_ACCENTS.values()) == 17  # Table 7's strings
