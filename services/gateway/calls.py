"""The live calls of this gateway. A call may outlive its connection for a while: the client comes back and goes on."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NoReturn, Protocol, Self

from services.contracts.errors import Cancelled, DeadlineExceeded, Unavailable
from services.gateway.journal import Entry, RedisJournal, State, TakenOver, not_found
from services.gateway.outbox import Numbered, Outbox
from services.gateway.settings import GatewaySettings

log = logging.getLogger(__name__)
REFRESHES = 3.0  # of a journal's entry in its time to live, when nothing happens
TOKEN_BYTES = 24


class Peer(Protocol):
    """What a protocol makes of what comes."""

    async def receive(self, message: str | bytes) -> None:
        """One message of the client's."""
        ...

    def state(self) -> State:
        """What another gateway needs to go on."""
        ...

    def take_up(self) -> None:
        """The client is back after a break; it is told."""
        ...

    def close(self) -> None: ...


Opened = Callable[["Call", asyncio.TaskGroup, State | None], Peer]


class Connection:
    """One connection's hold on a call, until another one takes it."""

    def __init__(self) -> None:
        self._taken, self._left = asyncio.Event(), asyncio.Event()

    async def until_taken(self) -> NoReturn:
        """Raises TakenOver."""
        await self._taken.wait()
        raise TakenOver("another connection goes on with this call")

    async def give_up(self) -> None:
        """Waits until nothing more is done over it."""
        self._taken.set()
        await self._left.wait()

    def leave(self) -> None:
        self._left.set()


class Call:
    """One call; `peer` is its other end in this house."""

    peer: Peer

    def __init__(self, token: str, outbox: Outbox, entry: Entry | None, settings: GatewaySettings) -> None:
        self.token, self.outbox = token, outbox
        self._entry, self._settings = entry, settings
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[BaseException] = self._loop.create_future()
        self._connection: Connection | None = None
        self._absence: asyncio.TimerHandle | None = None
        self.begun = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def end(self, error: BaseException) -> None:
        """error: why. Only the first one counts."""
        if not self._ended.done():
            self._ended.set_result(error)

    async def until_end(self) -> NoReturn:
        """Raises what ends the call."""
        raise await asyncio.shield(self._ended)

    @asynccontextmanager
    async def connected(self, last_read: int | None = None) -> AsyncIterator[Connection]:
        """While the block runs, its connection has the call, unless a later one takes it; for a while after the block
        it waits for the next. last_read: the client comes back, and was told so much. Raises NotFound when what follows
        is not kept."""
        while self._connection is not None:
            await self._connection.give_up()
        mine = self._connection = Connection()
        self._is_awaited(False)
        try:
            if last_read is not None:
                self.outbox.rewind(last_read)
            yield mine
        finally:
            self._connection = None
            self._is_awaited(True)
            mine.leave()

    async def run(self, opened: Opened, left: State | None) -> None:
        """The call, from its beginning to its end. Raises nothing but CancelledError: this gateway stops, and another
        one may go on with it."""
        try:
            async with asyncio.timeout(self._settings.live_max_s), asyncio.TaskGroup() as tasks:
                self.peer = opened(self, tasks, left)
                if self._entry is not None:
                    tasks.create_task(self._write(self._entry), name="journal")
                self._is_awaited(True)
                self.begun.set()
                try:
                    await self.until_end()
                finally:
                    self.peer.close()
        except TimeoutError:
            message = f"a call lasts {self._settings.live_max_s:g} s at most (TEXTPRO_LIVE_MAX_S)"
            self.end(DeadlineExceeded(message, code="live_too_long"))
        except BaseExceptionGroup as group:  # the first to fail has ended the others
            self.end(group.exceptions[0])
        finally:
            self._is_awaited(False)
            self.begun.set()
        if self._entry is not None:
            with suppress(Unavailable):  # it expires by itself
                await self._entry.close()

    def _is_awaited(self, awaited: bool) -> None:
        if self._absence is not None:
            self._absence.cancel()
        self._absence = None
        if awaited:
            error = Cancelled("the client did not come back (TEXTPRO_RESUME_S)")
            self._absence = self._loop.call_later(self._settings.resume_s, self.end, error)

    async def _write(self, entry: Entry) -> None:
        """Nothing is told that is not written. Where Redis does not answer, the call goes on without it."""
        while True:
            messages: list[Numbered] = []
            with suppress(TimeoutError):
                async with asyncio.timeout(entry.journal.ttl_s / REFRESHES):
                    messages = await self.outbox.unwritten()
            try:
                await entry.append(messages, self.peer.state())
            except Unavailable as error:
                log.warning("no other gateway could go on with a call: %s", error)
                self.outbox.write_no_more()
                return
            if messages:
                self.outbox.is_safe(messages[-1][0])


class Calls:
    """All calls of the process. journal: where other gateways find them; None where there are no others."""

    def __init__(self, settings: GatewaySettings, journal: RedisJournal | None) -> None:
        self._settings, self._journal = settings, journal
        self._calls: dict[str, Call] = {}
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """There may be calls while the block runs; with it they stop, and another gateway may go on with them."""
        async with self._tasks:
            yield self
            for task in self._running:
                task.cancel()

    async def begin(self, kind: str, opened: Opened) -> Call:
        """A new call. kind: of its protocol."""
        token, entry = f"{kind}_{secrets.token_urlsafe(TOKEN_BYTES)}", None
        if self._journal is not None:
            try:
                entry = await self._journal.open(token)
            except Unavailable as error:
                log.warning("no other gateway could go on with a call: %s", error)
        outbox = Outbox(self._settings.max_outbox, writes_ahead=entry is not None)
        return await self._begun(Call(token, outbox, entry, self._settings), opened, None)

    async def resume(self, kind: str, token: str, last_read: int, opened: Opened) -> Call:
        """A call whose client comes back, to this gateway or from another one; it has read up to there.

        Raises NotFound when the call has ended, or what the client has not read is not kept; Unavailable.
        """
        if not token.startswith(f"{kind}_"):
            raise not_found()
        call = self._calls.get(token)
        if call is not None:
            call.outbox.check(last_read)
            return call
        if self._journal is None:
            raise not_found()
        entry, kept = await self._journal.take(token)
        outbox = Outbox(self._settings.max_outbox, kept=kept.messages, writes_ahead=True)
        outbox.check(last_read)
        return await self._begun(Call(token, outbox, entry, self._settings), opened, kept.state)

    async def _begun(self, call: Call, opened: Opened, left: State | None) -> Call:
        left_alone = [other for other in self._calls.values() if not other.is_connected]
        for other in left_alone[: max(0, len(left_alone) - self._settings.max_live)]:
            other.end(Cancelled("too many calls wait for their clients"))
        self._calls[call.token] = call
        task = self._tasks.create_task(call.run(opened, left), name="call")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: self._forget(call))
        await call.begun.wait()
        return call

    def _forget(self, call: Call) -> None:
        if self._calls.get(call.token) is call:
            del self._calls[call.token]
