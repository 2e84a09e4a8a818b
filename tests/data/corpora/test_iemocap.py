import pytest

from textpro.data.corpora.corpus import MissingPart
from textpro.data.corpora.importing import BrokenAudio

VERDICTS = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\t{dialog}_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\t{dialog}_M000\texc\t[4.0000, 3.5000, 2.5000]
C-E2:\tExcited;\t()

[12.0000 - 12.5000]\t{dialog}_M001\txxx\t[2.5000, 2.5000, 2.5000]
"""
SAID = """{dialog}_F000 [006.2901-008.2357]: Excuse me.
M: (a line of another kind)
{dialog}_M000 [010.0100-011.3925]: [LAUGHTER] Did you get the mail?
{dialog}_M001 [012.0000-012.5000]: Yeah.
"""


@pytest.fixture
def iemocap(tmp_path, record, write):
    root = tmp_path / "corpus"
    for session in range(1, 6):
        dialog, folder = f"Ses0{session}F_impro01", root / f"Session{session}"
        write(folder / "dialog" / "EmoEvaluation" / f"{dialog}.txt", VERDICTS.format(dialog=dialog))
        write(folder / "dialog" / "EmoEvaluation" / f"._{dialog}.txt", "\0")
        write(folder / "dialog" / "EmoEvaluation" / "Categorical" / f"{dialog}_e2_cat.txt", "not read")
        write(folder / "dialog" / "transcriptions" / f"{dialog}.txt", SAID.format(dialog=dialog))
        for turn in ("F000", "M000", "M001"):
            record(folder / "sentences" / "wav" / dialog / f"{dialog}_{turn}.wav")
    return root


def test_iemocap_joins_verdict_words_and_file(iemocap, imported) -> None:
    clips = imported("iemocap")
    assert len(clips) == 15
    clip = clips["Ses01F_impro01_M000"]
    assert clip.text == "Did you get the mail?"
    assert clip.audio == str(iemocap / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav")
    assert clip.labels == {
        "corpus": "iemocap",
        "speaker": "Ses01M",
        "gender": "male",
        "split": "Session1",
        "emotion": "excited",
        "emotion_original": "exc",
    }


def test_iemocap_gives_no_emotion_where_the_listeners_did_not_agree(iemocap, imported) -> None:
    clip = imported("iemocap")["Ses01F_impro01_M001"]
    assert "emotion" not in clip.labels
    assert clip.labels["emotion_original"] == "xxx"
    assert len(imported("iemocap", having=["emotion"])) == 10


def test_iemocap_reads_one_session(iemocap, imported) -> None:
    assert {clip.labels["split"] for clip in imported("iemocap", splits=["Session5"]).values()} == {"Session5"}


@pytest.mark.parametrize("part", ["dialog/EmoEvaluation", "dialog/transcriptions"])
def test_iemocap_names_the_part_of_the_session_that_is_missing(iemocap, imported, part) -> None:
    for path in (iemocap / "Session3" / part).glob("*.txt"):
        path.unlink()
    with pytest.raises(MissingPart, match=rf"expected at .*Session3/{part}/\*\.txt; IEMOCAP comes from sail\.usc\.edu"):
        imported("iemocap")


def test_iemocap_names_a_recording_that_is_missing(iemocap, imported) -> None:
    (iemocap / "Session2/sentences/wav/Ses02F_impro01/Ses02F_impro01_F000.wav").unlink()
    with pytest.raises(BrokenAudio, match=r"Ses02F_impro01_F000\.wav: the recording .* is not there"):
        imported("iemocap")
