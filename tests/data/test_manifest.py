from pathlib import Path

import pytest

from textpro.data.manifest import Clip, ManifestError, append, drop_torn_line, read, resolve, write

CLIPS = [
    Clip("a", "audio/a.wav", "How are you?", 1.25, {"gender": "female", "rate_wpm": 175.0}),
    Clip("b", "audio/b.wav", "Grüße aus Köln", 2.0),
]


def test_clips_read_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write(path, CLIPS)
    assert read(path) == CLIPS


def test_appending_in_pieces_equals_writing_at_once(tmp_path: Path) -> None:
    whole, pieces = tmp_path / "whole.jsonl", tmp_path / "pieces.jsonl"
    write(whole, CLIPS)
    for clip in CLIPS:
        append(pieces, [clip])
    assert pieces.read_bytes() == whole.read_bytes()


def test_audio_is_found_next_to_the_manifest_from_any_working_directory(tmp_path: Path) -> None:
    assert resolve(tmp_path / "manifest.jsonl", CLIPS[0]) == tmp_path / "audio/a.wav"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{oops", "not JSON"),
        ('{"id": "\udcff"}', "not UTF-8"),
        ("[]", "expected a JSON object, found list"),
        ('{"id": "a", "audio": "a.wav", "duration_s": 1}', '"text" must be a string, found nothing'),
        ('{"id": "a", "audio": 7, "text": "", "duration_s": 1}', '"audio" must be a string, found 7'),
        ('{"id": "a", "audio": "a.wav", "text": ""}', '"duration_s" must be seconds, found nothing'),
        ('{"id": "a", "audio": "a.wav", "text": "", "duration_s": true}', '"duration_s" must be seconds, found True'),
        ('{"id": "a", "audio": "a.wav", "text": "", "duration_s": 1, "labels": 3}', '"labels" must be an object'),
        ('{"id": "a", "audio": "a.wav", "text": "", "duration_s": 1, "labels": {"x": null}}', 'label "x" must be'),
    ],
)
def test_a_bad_line_is_refused_with_its_file_and_line(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "manifest.jsonl"
    write(path, CLIPS[:1])
    with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(ManifestError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert complaint in str(caught.value)


def test_a_line_torn_by_an_interruption_is_dropped_and_the_whole_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write(path, CLIPS)
    path.write_bytes(path.read_bytes()[:-5])
    drop_torn_line(path)
    assert read(path) == CLIPS[:1]
