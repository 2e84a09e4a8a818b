import pytest

from textpro.data.corpora.corpus import CorpusError, MissingPart


@pytest.fixture
def crema_d(tmp_path, record, write):
    root = tmp_path / "corpus"
    write(
        root / "VideoDemographics.csv",
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1002,21,Female,Asian,Not Hispanic\n",
    )
    record(root / "AudioWAV" / "1001_DFA_ANG_XX.wav", 1.5)
    record(root / "AudioWAV" / "1002_IEO_SAD_HI.wav")
    return root


def test_crema_d_tells_sentence_emotion_intensity_and_the_actor(crema_d, imported) -> None:
    clips = imported("crema-d")
    assert list(clips) == ["1001_DFA_ANG_XX", "1002_IEO_SAD_HI"]
    first, second = clips.values()
    assert first.text == "Don't forget a jacket."
    assert first.duration_s == 1.5
    assert first.audio == str(crema_d / "AudioWAV" / "1001_DFA_ANG_XX.wav")
    assert first.labels == {
        "corpus": "crema-d",
        "speaker": "1001",
        "gender": "male",
        "age": 51,
        "age_group": "fifties to sixties",
        "emotion": "angry",
        "emotion_original": "ANG",
    }
    assert second.labels["intensity"] == "high"
    assert second.labels["age_group"] == "teens to twenties"


def test_crema_d_without_its_actors_names_the_table_and_where_to_get_it(crema_d, imported) -> None:
    (crema_d / "VideoDemographics.csv").unlink()
    with pytest.raises(MissingPart, match=r"corpus/VideoDemographics\.csv; CREMA-D comes from github\.com/Cheyney"):
        imported("crema-d")


def test_crema_d_without_recordings_names_their_folder(crema_d, imported) -> None:
    for path in (crema_d / "AudioWAV").iterdir():
        path.unlink()
    with pytest.raises(MissingPart, match=r"WAV files expected at .*AudioWAV/\*\.wav"):
        imported("crema-d")


def test_a_table_without_a_column_that_is_needed_is_refused_with_its_columns(crema_d, imported, write) -> None:
    write(crema_d / "VideoDemographics.csv", "ActorID,Sex\n1001,Male\n1002,Female\n")
    with pytest.raises(CorpusError, match=r"VideoDemographics\.csv:2: no column Age; there are: ActorID, Sex"):
        imported("crema-d")


@pytest.mark.parametrize("layout", ["AudioData/{speaker}/{name}.wav", "ALL/{speaker}_{name}.wav"])
def test_savee_is_read_in_folders_and_flat(tmp_path, record, imported, layout) -> None:
    for speaker, name in (("DC", "a01"), ("JK", "su15")):
        record(tmp_path / "corpus" / layout.format(speaker=speaker, name=name))
    clips = imported("savee")
    assert {id: (clip.labels["speaker"], clip.labels["emotion"]) for id, clip in clips.items()} == {
        "DC_a01": ("DC", "angry"),
        "JK_su15": ("JK", "surprised"),
    }
    assert {clip.text for clip in clips.values()} == {""}


def test_savee_refuses_a_name_that_is_not_its_own(tmp_path, record, imported) -> None:
    record(tmp_path / "corpus" / "AudioData" / "XY" / "a01.wav")
    with pytest.raises(CorpusError, match=r"XY/a01\.wav: the name is not of the form"):
        imported("savee")


def test_tess_tells_word_emotion_and_age_and_reads_a_repeated_file_once(tmp_path, record, imported) -> None:
    root = tmp_path / "corpus"
    for folder in (root, root / "TESS Toronto emotional speech set data"):
        record(folder / "OAF_angry" / "OAF_back_angry.wav")
    record(root / "OAF_neutral" / "OA_bite_neutral.wav")
    record(root / "YAF_pleasant_surprised" / "YAF_dog_ps.wav")
    record(root / "YAF_pleasant_surprised" / "._YAF_dog_ps.wav")
    clips = imported("tess")
    assert {
        id: (c.text, c.labels["emotion"], c.labels["speaker"], c.labels["age_group"]) for id, c in clips.items()
    } == {
        "OAF_back_angry": ("Say the word back.", "angry", "OAF", "fifties to sixties"),
        "OA_bite_neutral": ("Say the word bite.", "neutral", "OAF", "fifties to sixties"),
        "YAF_dog_ps": ("Say the word dog.", "surprised", "YAF", "teens to twenties"),
    }


def test_tess_without_recordings_says_so(tmp_path, imported) -> None:
    (tmp_path / "corpus").mkdir()
    with pytest.raises(MissingPart, match=r"TESS: WAV files expected at .*TESS comes from the University of Toronto"):
        imported("tess")
