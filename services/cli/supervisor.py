"""Child processes that live and die together: started at once, watched, stopped within a bound, never orphaned."""

import asyncio
import ctypes
import os
import signal
import sys
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from services.runtime.lifecycle import stop_signal
from textpro.errors import TextProError

POLL_S = 0.2
PROBE_TIMEOUT_S = 2.0
LAST_WORDS_S = 1.0
KEPT_LINES = 30
LINE_BYTES = 2**20
PR_SET_PDEATHSIG = 1
# The children write to a pipe: their lines shall come at once, and a progress bar is no line.
PIPED = {"PYTHONUNBUFFERED": "1", "TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

# The children are on this machine: a proxy named in the environment is not for them.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Echo = Callable[[str, str], None]
T = TypeVar("T")


class ChildDied(TextProError):
    """A child ended although nobody asked it to, or was not ready in time."""


@dataclass(frozen=True)
class Child:
    """One process: what to run, what to add to its environment, and the URL that answers 200 when it is ready."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None


@dataclass(frozen=True)
class Bounds:
    """Longest waits, in seconds: `ready_s` until all are ready, `stop_s` until those still there are killed."""

    ready_s: float = 900.0
    stop_s: float = 30.0


class Supervisor:
    """Runs children from `run()` until `stop()` or the death of one; either way all are gone when `run` returns.

    `echo(name, line)` gets each line a child prints. `ready` is set once every child is ready.
    """

    def __init__(self, children: Sequence[Child], echo: Echo, bounds: Bounds | None = None) -> None:
        self.ready = asyncio.Event()
        self._children, self._echo, self._bounds = children, echo, bounds or Bounds()
        self._stop = asyncio.Event()
        self._death: str | None = None
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._last_lines: dict[str, deque[str]] = {child.name: deque(maxlen=KEPT_LINES) for child in children}

    def stop(self) -> None:
        """Asks for the end; `run` returns once every child is gone."""
        self._stop.set()

    async def run(self) -> str | None:
        """Says what went wrong when a child ended unasked or was not ready in time, after the others were stopped."""
        try:
            outputs = {child.name: await self._spawn(child) for child in self._children}
            async with asyncio.TaskGroup() as group:
                forwards = {
                    name: group.create_task(self._forward(name, output), name=f"forward {name}")
                    for name, output in outputs.items()
                }
                for name, forward in forwards.items():
                    group.create_task(self._watch(name, forward), name=f"watch {name}")
                readiness = group.create_task(self._await_ready(), name="readiness")
                await self._stop.wait()
                readiness.cancel()
                await self._stop_children()
                self._kill_children()
                _, open_still = await asyncio.wait(forwards.values(), timeout=LAST_WORDS_S)
                for forward in open_still:
                    forward.cancel()
        finally:
            self._kill_children()
        return self._death

    async def _spawn(self, child: Child) -> asyncio.StreamReader:
        # A pipe of our own: asyncio's would keep `wait` waiting while a grandchild holds it open.
        read_end, write_end = os.pipe()
        try:
            # Its own session: a Ctrl-C reaches only us, and we stop the children in order. Should we be killed
            # outright, the kernel ends them.
            self._processes[child.name] = await asyncio.create_subprocess_exec(
                *child.command,
                env={**os.environ, **PIPED, **child.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
                preexec_fn=_die_with_parent(os.getpid()),
            )
        finally:
            os.close(write_end)
        output = asyncio.StreamReader(limit=LINE_BYTES)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(read_end, "rb")
        )
        return output

    async def _watch(self, name: str, forward: asyncio.Task[None]) -> None:
        process = self._processes[name]
        await process.wait()
        if not self._stop.is_set():
            # What it said last is still in the pipe; a grandchild may hold the pipe open, so the wait is short.
            await asyncio.wait([forward], timeout=LAST_WORDS_S)
            tail = "".join(f"\n  {line}" for line in self._last_lines[name])
            self._end(f"{name} ended unasked ({_how(process.returncode)}); its last lines were:{tail}")

    async def _forward(self, name: str, output: asyncio.StreamReader) -> None:
        while True:
            try:
                raw = await output.readline()
            except ValueError:  # a line longer than the buffer: its head is lost, the child lives on
                continue
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip("\r\n")
            self._last_lines[name].append(line)
            self._echo(name, line)

    async def _await_ready(self) -> None:
        waiting = {child.name: child.ready_url for child in self._children if child.ready_url}
        try:
            async with asyncio.timeout(self._bounds.ready_s):
                while waiting:
                    for name, url in list(waiting.items()):
                        if await asyncio.to_thread(_answers, url):
                            del waiting[name]
                    if waiting:
                        # Another process gets ready in its own time and can only be asked again.
                        await asyncio.sleep(POLL_S)
        except TimeoutError:
            self._end(f"{', '.join(waiting)} not ready after {self._bounds.ready_s:g} s")
        else:
            self.ready.set()

    def _end(self, message: str) -> None:
        self._death = self._death or message
        self._stop.set()

    async def _stop_children(self) -> None:
        """The last one first, for it depends on the others; one bound for all, then they are killed."""
        try:
            async with asyncio.timeout(self._bounds.stop_s):
                for process in reversed(self._processes.values()):
                    if process.returncode is None:
                        process.terminate()
                        await process.wait()
        except TimeoutError:
            return  # the caller kills what is left

    def _kill_children(self) -> None:
        # The whole group, also when its leader is gone: an engine's own workers may have outlived it.
        for process in self._processes.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


async def while_ready(supervisor: Supervisor, work: Callable[[], Awaitable[T]]) -> T | None:
    """Runs the children, and `work` once all are ready; stops them when it is done, at a signal to stop, or when one
    dies.

    Returns what `work` returned, None if a signal came first. Raises ChildDied, and what `work` raises.
    """
    try:
        async with stop_signal() as signalled, asyncio.TaskGroup() as group:
            running = group.create_task(supervisor.run(), name="children")
            ended = group.create_task(signalled.wait(), name="signals")
            working = group.create_task(_when_ready(supervisor, work), name="work")
            await asyncio.wait((running, ended, working), return_when=asyncio.FIRST_COMPLETED)
            supervisor.stop()
            for task in (ended, working):
                task.cancel()  # no effect on one that is done
            death = await running
    except BaseExceptionGroup as group:  # the first to fail has ended the others
        raise group.exceptions[0] from None
    if death is not None:
        raise ChildDied(death)
    return None if working.cancelled() else working.result()


async def _when_ready(supervisor: Supervisor, work: Callable[[], Awaitable[T]]) -> T:
    await supervisor.ready.wait()
    return await work()


def _die_with_parent(parent: int) -> Callable[[], None]:
    # Looked up here, because little is safe between fork and exec.
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def arrange() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return arrange


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=PROBE_TIMEOUT_S) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _how(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        return f"signal {signal.Signals(-returncode).name}"
    return f"exit code {returncode}"
