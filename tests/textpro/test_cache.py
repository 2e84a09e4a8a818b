"""What is made once and kept, by several processes and when making fails."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from textpro.cache import made_once
from textpro.errors import BundleError


def _make(directory: Path) -> None:
    with (directory.parent.parent / "made").open("a") as notes:
        notes.write("x")
    (directory / "model").write_text("whole")


def _start(target: Path, together: Barrier) -> None:
    together.wait(30)
    assert (made_once(target, _make) / "model").read_text() == "whole"


def test_two_processes_that_start_at_once_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    together = context.Barrier(3)
    processes = [context.Process(target=_start, args=(tmp_path / "llm", together)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "made").read_text() == "x"


def test_work_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").write_text("a")
        raise BundleError("no space")

    with pytest.raises(BundleError):
        made_once(tmp_path / "llm", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["llm.lock"]


def test_what_is_made_may_be_read_by_whoever_may_read_a_new_directory(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    made = made_once(tmp_path / "llm", lambda directory: (directory / "model").touch())
    assert made.stat().st_mode == (tmp_path / "new").stat().st_mode


def test_what_is_there_is_taken_without_a_lock(tmp_path: Path) -> None:
    (tmp_path / "llm").mkdir()
    assert made_once(tmp_path / "llm", _make) == tmp_path / "llm"
    assert [path.name for path in tmp_path.iterdir()] == ["llm"]
