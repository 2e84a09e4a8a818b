import json
from pathlib import Path

import pytest

from textpro.data.shards import RUN_FILE, ShardedRun, check_heard_by
from textpro.data.turns import Turn, TurnsError, TurnsWriter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    TurnsWriter(tmp_path).add(0, [Turn("a", "chat", "Hi!", "Hello.")], {})
    return tmp_path


def note(folder: Path, **settings: object) -> None:
    (folder / RUN_FILE).write_text(json.dumps({"settings": settings, "shards": 1, "dropped": {}}))


def test_turns_are_for_the_encoder_that_heard_them(folder: Path) -> None:
    note(folder, encoder="one@decoder.2")
    check_heard_by(folder, "one@decoder.2")
    with pytest.raises(TurnsError, match=r"heard by the encoder one@decoder\.2, the bundle's is one@encoder\.3"):
        check_heard_by(folder, "one@encoder.3")


def test_turns_that_do_not_say_who_heard_them_are_accepted(folder: Path) -> None:
    check_heard_by(folder, "any")
    note(folder, bundle="abc")
    check_heard_by(folder, "any")


def test_a_folder_without_turns_is_named(tmp_path: Path) -> None:
    with pytest.raises(TurnsError, match="no folder of turns"):
        check_heard_by(tmp_path, "any")


def test_a_folder_of_an_earlier_version_goes_on_and_notes_what_that_left_out(folder: Path) -> None:
    note(folder, bundle="abc", shard=1)
    run = ShardedRun(folder, {"bundle": "abc", "encoder": "one"}, size=1)
    assert [number for number, _ in run.shards("xy")] == [1]
    run.add(1, [], {}, run.dropped)
    check_heard_by(folder, "one")
    with pytest.raises(TurnsError, match="another run"):
        ShardedRun(folder, {"bundle": "abc", "encoder": "two"}, size=1)
    with pytest.raises(TurnsError, match="another run"):
        ShardedRun(folder, {"bundle": "def", "encoder": "one"}, size=1)
