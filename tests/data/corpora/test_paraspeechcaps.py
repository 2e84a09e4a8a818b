import json
import sys
from typing import Any

import pytest

from textpro.data.corpora.corpus import CorpusError, MissingPart
from textpro.data.corpora.importing import BrokenAudio

ROWS: list[dict[str, Any]] = [
    {
        "source": "expresso",
        "relative_audio_path": "audio_48khz/read/ex01_default_00001.wav",
        "text_description": ["A man speaks slowly.", "A deep-voiced man speaks slowly, sounding sad."],
        "transcription": "It rained all day.",
        "intrinsic_tags": ["deep", "guttural"],
        "situational_tags": ["sad"],
        "basic_tags": ["male", "slow speed"],
        "all_tags": ["male", "deep", "sad"],
        "speakerid": "ex01",
        "name": "ex01",
        "duration": 2.5,
        "gender": "male",
        "accent": "American",
        "pitch": "low-pitched",
        "speaking_rate": "slow speed",
        "noise": "clear",
        "utterance_pitch_mean": 101.5,
        "snr": 60.0,
        "phonemes": "",
    },
    {
        "source": "voxceleb",
        "relative_audio_path": "voxceleb2/dev/aac/id00012/_raOc3-IRsw/00110_voicefixer.wav",
        "text_description": ["A woman speaks."],
        "transcription": "Yes.",
        "intrinsic_tags": None,
        "situational_tags": None,
        "basic_tags": ["female"],
        "all_tags": ["female"],
        "speakerid": "id00012",
        "name": "Somebody",
        "duration": None,
        "gender": "female",
        "accent": None,
        "pitch": "high-pitched",
        "speaking_rate": "fast speed",
        "noise": "noisy",
        "utterance_pitch_mean": 201.5,
        "snr": 20.0,
        "phonemes": "",
    },
]


@pytest.fixture
def captions(tmp_path, record, write):
    root = tmp_path / "corpus"
    for row in ROWS:
        record(root / row["source"] / row["relative_audio_path"])
    for split in ("train_base", "dev", "holdout"):
        write(root / "data" / f"{split}.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
    return root


def test_paraspeechcaps_tells_captions_tags_and_speaker(captions, imported) -> None:
    clips = imported("paraspeechcaps", splits=["train_base"])
    first, second = clips.values()
    assert first.text == "It rained all day."
    assert first.duration_s == 2.5
    assert first.audio == str(captions / "expresso" / "audio_48khz/read/ex01_default_00001.wav")
    assert first.labels == {
        "corpus": "paraspeechcaps",
        "source": "expresso",
        "speaker": "ex01",
        "gender": "male",
        "accent": "American",
        "pitch": "low-pitched",
        "rate": "slow speed",
        "noise": "clear",
        "traits": "deep, guttural",
        "style": "sad",
        "caption": "A man speaks slowly.",
        "caption_2": "A deep-voiced man speaks slowly, sounding sad.",
        "split": "train_base",
    }
    assert second.duration_s == 0.5  # from the header, for the table has none
    assert not {"accent", "style", "traits", "caption_2"} & second.labels.keys()


def test_paraspeechcaps_reads_the_human_labels_unless_told_otherwise(captions, imported) -> None:
    splits = [clip.labels["split"] for clip in imported("paraspeechcaps").values()]
    assert sorted(set(splits)) == ["dev", "holdout", "train_base"]


def test_paraspeechcaps_is_read_from_parquet(captions, imported) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    told = imported("paraspeechcaps", splits=["dev"]).values()
    (captions / "data" / "dev.jsonl").unlink()
    for part, row in enumerate(ROWS):
        path = captions / "data" / f"dev-{part:05d}-of-00002.parquet"
        parquet.write_table(arrow.Table.from_pylist([row]), path)
    again = imported("paraspeechcaps", splits=["dev"]).values()
    assert [(c.text, c.audio, c.duration_s, c.labels) for c in again] == [
        (c.text, c.audio, c.duration_s, c.labels) for c in told
    ]


def test_parquet_without_pyarrow_says_what_to_install(captions, imported, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    (captions / "data" / "train_scaled-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorpusError, match="pip install pyarrow"):
        imported("paraspeechcaps", splits=["train_scaled"])


def test_paraspeechcaps_without_a_splits_captions_names_their_place(captions, imported) -> None:
    with pytest.raises(MissingPart, match=r"the captions of train_scaled expected at .*data/train_scaled\*\.parquet"):
        imported("paraspeechcaps", splits=["train_scaled"])


def test_paraspeechcaps_without_one_sources_audio_fails_or_leaves_it_out(captions, imported) -> None:
    (captions / "voxceleb").rename(captions / "elsewhere")
    with pytest.raises(BrokenAudio, match=r"voxceleb/voxceleb2/.*is not there; --skip-broken leaves such clips out"):
        imported("paraspeechcaps", splits=["dev"])
    assert len(imported("paraspeechcaps", splits=["dev"], skip_broken=True)) == 1
