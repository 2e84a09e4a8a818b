import pytest

from textpro.data.corpora.corpus import CorpusError, MissingPart

SPEAKERS = [f"{number:04d}" for number in range(11, 21)]


@pytest.fixture
def esd(tmp_path, record, write):
    root = tmp_path / "corpus"
    for speaker in SPEAKERS:
        lines = [f"{speaker}_000001\tThe nine the eggs, I keep.\tNeutral", f"{speaker}_000500 I am so sad. Angry"]
        # The publisher's files are UTF-8, UTF-16 and Latin text.
        encoding = {"0012": "utf-16", "0016": "cp1252"}.get(speaker, "utf-8")
        write(
            root / speaker / f"{speaker}.txt", "\r\n".join([*lines, f"{speaker}_000022\tI’m here.\tNeutral"]), encoding
        )
        record(root / speaker / "Neutral" / f"{speaker}_000001.wav")
        record(root / speaker / "Neutral" / f"{speaker}_000022.wav")
        record(root / speaker / "Angry" / f"{speaker}_000500.wav", 0.25)
    return root


def test_esd_tells_sentence_emotion_gender_and_split(esd, imported) -> None:
    clips = imported("esd")
    assert len(clips) == 30
    assert clips["0011_000500"].text == "I am so sad."
    assert clips["0011_000500"].duration_s == 0.25
    assert clips["0011_000500"].labels == {
        "corpus": "esd",
        "speaker": "0011",
        "gender": "male",
        "split": "train",
        "emotion": "angry",
        "emotion_original": "Angry",
    }
    assert {speaker for speaker in SPEAKERS if clips[f"{speaker}_000001"].labels["gender"] == "female"} == {
        *("0015", "0016", "0017", "0018", "0019")
    }
    assert clips["0011_000001"].labels["split"] == "evaluation"
    assert clips["0011_000022"].labels["split"] == "test"


@pytest.mark.parametrize("speaker", ["0011", "0012", "0016"])
def test_esd_reads_the_encodings_its_files_have(esd, imported, speaker) -> None:
    assert imported("esd")[f"{speaker}_000022"].text == "I’m here."


def test_esd_reads_one_split(esd, imported) -> None:
    assert {id[-6:] for id in imported("esd", splits=["test"])} == {"000022"}


def test_esd_takes_the_split_from_the_folder_where_there_is_one(esd, imported) -> None:
    place = esd / "0011" / "Angry" / "evaluation"
    place.mkdir()
    (esd / "0011" / "Angry" / "0011_000500.wav").rename(place / "0011_000500.wav")
    assert imported("esd")["0011_000500"].labels["split"] == "evaluation"


def test_esd_is_found_in_the_folder_of_its_archive(esd, imported) -> None:
    nested = esd / "Emotion Speech Dataset"
    nested.mkdir()
    for speaker in SPEAKERS:
        (esd / speaker).rename(nested / speaker)
    assert len(imported("esd")) == 30


def test_esd_without_a_speakers_sentences_names_the_file(esd, imported) -> None:
    (esd / "0013" / "0013.txt").unlink()
    with pytest.raises(MissingPart, match=r"ESD: the speaker's sentences expected at .*0013/0013\.txt; ESD comes from"):
        imported("esd")


def test_esd_refuses_a_split_it_does_not_have(esd, imported) -> None:
    with pytest.raises(CorpusError, match="no split 'dev'; it has: train, evaluation, test"):
        imported("esd", splits=["dev"])
