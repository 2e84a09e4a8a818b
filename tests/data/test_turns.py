import json
from pathlib import Path

import pytest
import torch

from textpro.data import turns
from textpro.data.turns import ProsodyStore, Turn, TurnsError, TurnsWriter, place

TURN = Turn("a#0", "style", "Hello.", "You sound sad.", "How do I sound?", place(0, "a"), ("calm", "sad"), "sad")


def test_turns_and_their_prosody_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows = torch.arange(6.0).reshape(2, 3)
    typed = Turn("b", "chat", "Hi.", "Hello.")
    TurnsWriter(tmp_path).add(0, [TURN, typed], {"a": rows})
    assert turns.read(tmp_path) == [TURN, typed]
    torch.testing.assert_close(ProsodyStore(tmp_path)["00000/a"], rows.half())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"id": 1}, '"id" must be a string, found 1'),
        ({"transcript": None}, '"transcript" must be a string, found None'),
        ({"answer": 3}, '"answer" must be a string, found 3'),
        ({"prosody": 0}, '"prosody" must be a string, found 0'),
        ({"options": "calm"}, '"options" must be a list of strings'),
        ({"options": [1]}, '"options" must be a list of strings'),
        ({"mood": "calm"}, "mood"),
    ],
)
def test_a_line_that_is_no_turn_is_refused_with_its_file_and_line(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    TurnsWriter(tmp_path).add(0, [TURN], {})
    with (tmp_path / turns.TURNS_FILE).open("a") as file:
        file.write(json.dumps({**vars(TURN), **change}) + "\n")
    with pytest.raises(TurnsError, match=rf"turns\.jsonl:2: no turn: .*{complaint}"):
        turns.read(tmp_path)


def test_turns_that_are_not_utf_8_are_refused_with_their_place(tmp_path: Path) -> None:
    (tmp_path / turns.TURNS_FILE).write_bytes(b'\n{"id": "caf\xe9"}\n')
    with pytest.raises(TurnsError, match=r"turns\.jsonl:2: no turn: 'utf-8' codec"):
        turns.read(tmp_path)


def test_only_the_lines_of_whole_shards_are_kept(tmp_path: Path) -> None:
    writer = TurnsWriter(tmp_path)
    for shard in range(3):
        writer.add(shard, [Turn(f"{shard}", "chat", "Hi.", "Hello.", prosody=place(shard, "a"))], {})
    writer.keep(2)
    assert [turn.id for turn in turns.read(tmp_path)] == ["0", "1"]
