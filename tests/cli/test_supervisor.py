import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from services.cli.supervisor import Bounds, Child, ChildDied, Supervisor, while_ready
from tests.cli import programs
from tests.cli.programs import program, server

T = TypeVar("T")
QUICK = Bounds(ready_s=20, stop_s=10)


class Lines:
    """What the children said, and what to do at a certain line."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.said.append((name, line))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def forever() -> None:
    await asyncio.Event().wait()


def run(
    children: list[Child], work: Callable[[], Awaitable[T]], lines: Lines | None = None, bounds: Bounds = QUICK
) -> T | None:
    async def main() -> T | None:
        return await while_ready(Supervisor(children, lines or Lines(), bounds), work)

    return asyncio.run(main())


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pid: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < deadline:
        os.sched_yield()
    return not alive(pid)


def test_work_runs_once_every_child_is_ready_and_the_children_stop_after_it_the_last_one_first() -> None:
    async def work() -> str:
        return "done"

    lines = Lines()
    assert run([server("a", free_port()), server("b", free_port())], work, lines) == "done"
    assert {("a", "serving"), ("b", "serving")} <= set(lines.said)
    assert [name for name, line in lines.said if line == "drained"] == ["b", "a"]


def test_a_dead_child_is_named_with_its_exit_code_and_last_words_and_the_others_stop() -> None:
    lines = Lines()
    a = program("a", "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    with pytest.raises(ChildDied, match=r"(?s)llm ended unasked \(exit code 3\).*cannot load the model"):
        run([a, program("llm", programs.DIES)], forever, lines)
    assert all(gone(int(line)) for name, line in lines.said if name == "a")


def test_a_child_that_dies_after_readiness_ends_the_work_and_stops_the_others(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def work() -> None:
        pipe.write_text("die")
        await forever()

    lines = Lines()
    with pytest.raises(ChildDied, match=r"b ended unasked \(exit code 4\)"):
        run([server("a", free_port()), program("b", programs.DIES_WHEN_ASKED, pipe)], work, lines)
    assert ("a", "drained") in lines.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("terminal")
def test_a_signal_stops_every_child_and_is_no_failure(number: signal.Signals) -> None:
    async def work() -> None:
        os.kill(os.getpid(), number)
        await forever()

    lines = Lines()
    assert run([server("a", free_port()), server("b", free_port())], work, lines) is None
    assert sum(line == "drained" for _, line in lines.said) == 2


def test_what_work_raises_comes_as_it_is_and_the_children_are_gone() -> None:
    async def work() -> None:
        raise BrokenPipeError

    lines = Lines()
    a = server("a", free_port())
    b = program("b", "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    with pytest.raises(BrokenPipeError):
        run([a, b], work, lines)
    assert all(gone(int(line)) for name, line in lines.said if name == "b")


def test_a_child_that_will_not_stop_is_killed_within_the_bound() -> None:
    async def work() -> None: ...

    started = time.monotonic()
    run([program("stubborn", programs.IGNORES_SIGTERM)], work, bounds=Bounds(ready_s=20, stop_s=0.5))
    assert time.monotonic() - started < 10


def test_a_child_that_is_never_ready_ends_the_run_with_its_name() -> None:
    silent = program("mute", programs.IGNORES_SIGTERM, ready_url=f"http://127.0.0.1:{free_port()}/readyz")
    with pytest.raises(ChildDied, match=r"mute not ready after 0\.5 s"):
        run([silent], forever, bounds=Bounds(ready_s=0.5, stop_s=0.2))


def test_what_a_dead_child_leaves_running_is_ended_too() -> None:
    lines = Lines()
    with pytest.raises(ChildDied, match="exit code 5"):
        run([program("engine", programs.LEAVES_A_GRANDCHILD)], forever, lines)
    assert gone(int(lines.said[0][1]))


def test_children_do_not_outlive_a_supervisor_that_is_killed_outright() -> None:
    script = (
        "import asyncio\n"
        "from services.cli.supervisor import Supervisor\n"
        "from tests.cli import programs\n"
        "child = programs.program('c', 'import os, time; print(os.getpid(), flush=True); time.sleep(600)')\n"
        "asyncio.run(Supervisor([child], lambda _, line: print(line, flush=True)).run())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        supervisor.kill()
    assert gone(child)


def test_a_line_longer_than_the_buffer_does_not_hurt_the_child() -> None:
    class Until(Lines):
        def __call__(self, name: str, line: str) -> None:
            super().__call__(name, line)
            if line == "after":
                heard.set()

    heard = asyncio.Event()
    lines = Until()
    text = "import time; print('x' * 3_000_000); print('after', flush=True); time.sleep(600)"
    run([program("talker", text)], heard.wait, lines)
    assert ("talker", "after") in lines.said
