import json

import pytest

from textpro.data.corpora.corpus import CorpusError, MissingPart

SPEAKERS = """;ID  |SEX| SUBSET           |MINUTES| NAME
1089 | M | test-clean       | 8.02  | Peter Bobbe
121  | F | test-clean       | 8.13  | Nikolle Doolin
"""


@pytest.fixture
def librispeech(tmp_path, record, write):
    root = tmp_path / "corpus"
    write(root / "LibriSpeech" / "SPEAKERS.TXT", SPEAKERS)
    entries = [
        {"audio_filepath": f"{place}.flac", "duration": 1.25, "text": text, "text_raw": text}
        for place, text in (
            ("test-clean/1089/134686/1089-134686-0000", "He hoped there would be stew for dinner."),
            ("LibriSpeech/test-clean/121/121726/121-121726-0000", "Also, a popular contrivance."),
        )
    ]
    write(root / "LibriSpeech-PC" / "test-clean.json", "".join(json.dumps(entry) + "\n" for entry in entries))
    for entry in entries:
        record(root / "LibriSpeech" / entry["audio_filepath"].removeprefix("LibriSpeech/"))
    return root


def test_librispeech_takes_the_text_of_librispeech_pc_and_the_speakers_gender(librispeech, imported) -> None:
    clips = imported("librispeech", splits=["test-clean"])
    assert {id: (clip.text, clip.labels["gender"]) for id, clip in clips.items()} == {
        "1089-134686-0000": ("He hoped there would be stew for dinner.", "male"),
        "121-121726-0000": ("Also, a popular contrivance.", "female"),
    }
    assert clips["1089-134686-0000"].duration_s == 1.25
    assert clips["1089-134686-0000"].labels["split"] == "test-clean"


def test_librispeech_reads_the_training_splits_unless_told_otherwise(librispeech, imported) -> None:
    with pytest.raises(MissingPart, match=r"the recordings expected at .*LibriSpeech/train-clean-100"):
        imported("librispeech")


@pytest.mark.parametrize("part", ["LibriSpeech/SPEAKERS.TXT", "LibriSpeech-PC/test-clean.json"])
def test_librispeech_names_the_part_that_is_missing(librispeech, imported, part) -> None:
    (librispeech / part).unlink()
    with pytest.raises(MissingPart, match=rf"{part} or .*comes from openslr\.org, resources 12"):
        imported("librispeech", splits=["test-clean"])


def test_librispeech_refuses_a_line_that_is_no_json_with_its_number(librispeech, imported) -> None:
    with (librispeech / "LibriSpeech-PC" / "test-clean.json").open("a") as file:
        file.write("{oops\n")
    with pytest.raises(CorpusError, match=r"test-clean\.json:3: not JSON"):
        imported("librispeech", splits=["test-clean"])
