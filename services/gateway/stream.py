"""`WS /v1/stream`: a live session for plain clients. Sound comes in binary messages, wishes and events are JSON.

What an answer sounds like would leave as binary messages through the same outbox, PCM16 between its first `delta` and
its `done`; the `clear` that tells clients to throw unplayed sound away is there already.
"""

import asyncio
from typing import Any

from pydantic import ValidationError

from services.contracts import stream as wire
from services.contracts.errors import BadRequest
from services.contracts.realtime import ResponseWishes
from services.gateway import live_events as tell
from services.gateway.chat import Parts
from services.gateway.conversation import Item
from services.gateway.ear import Ear
from services.gateway.journal import State
from services.gateway.left_behind import LeftBehind
from services.gateway.live import LiveSession
from services.gateway.live_events import LiveEvent
from services.gateway.messages import invalid, json_object
from services.gateway.outbox import Outbox
from services.gateway.session import new_item_id, new_session_id
from services.gateway.stream_events import Event, events
from services.gateway.stream_options import configuration, format_of, stream_options
from services.gateway.turn_settings import TurnSettings
from services.gateway.vad import VoiceModel
from textpro.errors import TextProError


class StreamSession:
    """One connection's: what comes over the wire is done in order, what happens goes into the outbox."""

    def __init__(
        self,
        token: str,
        parts: Parts,
        model: VoiceModel,
        outbox: Outbox,
        tasks: asyncio.TaskGroup,
        settings: TurnSettings,
        options: wire.StreamOptions,
        left: State | None = None,
    ) -> None:
        """token: with it the client may come back. left: what another gateway had of this session."""
        facts = left.facts if left else {}
        self._token, self._settings = token, parts.settings
        self._id: str = facts.get("session_id") or new_session_id()
        self._outbox, self._tasks = outbox, tasks
        live = LeftBehind.from_json(facts["live"], left.items) if left else None
        self._live = LiveSession(parts, model, self._emit, tasks, settings, live)
        self._is_new, self._is_stopped = left is None, False
        self._options = options if left is None else wire.StreamOptions.model_validate(facts["options"])
        self._ear = Ear(self._live, format_of(self._options), facts.get("input_bytes", 0))
        if left is None:
            self._begin(options)

    async def receive(self, message: str | bytes) -> None:
        """One message of the client's. What is wrong with it is told; the session goes on."""
        is_new, self._is_new = self._is_new, False
        try:
            if isinstance(message, bytes):
                await self._hear(message)
            else:
                self._do(_validated(json_object(message)), is_new=is_new)
        except TextProError as error:
            self._emit(tell.Refused(error))

    def state(self) -> State:
        """What another gateway needs to go on."""
        live, options = self._live.leave_behind(), self._options.model_dump(exclude_unset=True)
        n_bytes = self._ear.bytes_before(live.position)
        facts = {"session_id": self._id, "options": options, "input_bytes": n_bytes, "live": live.to_json()}
        return State(facts, live.items)

    def take_up(self) -> None:
        """The client is back: told what it missed, it is told where its sound ended, and what became of the rest."""
        self._ready(resumed=True)
        try:
            self._live.take_up()
        except TextProError as error:
            self._emit(tell.Refused(error))

    def close(self) -> None:
        """Ends what runs."""
        self._live.close()

    def _begin(self, options: wire.StreamOptions) -> None:
        self._options = options
        self._live.configure(configuration(options, self._settings))
        self._ear.change(format_of(options))
        self._ready(resumed=False)

    def _ready(self, *, resumed: bool) -> None:
        form = format_of(self._options)
        self._put(
            {
                "type": "ready",
                "session_id": self._id,
                "resume_token": self._token,
                "resumed": resumed,
                "input": {"coding": form.coding, "rate": form.rate, "bytes": self._ear.n_bytes},
                "output": None,  # the format of the speech output
                "detection": self._options.detection,
                "prosody": self._options.prosody,
            }
        )

    async def _hear(self, data: bytes) -> None:
        if self._is_stopped:
            return
        if self._options.coding == "pcm" and len(data) % 2:
            message = f"PCM16 has an even number of bytes; this message has {len(data)} and was not heard"
            raise BadRequest(message, code="invalid_audio")
        await self._ear.hear(data)

    def _do(self, message: wire.ClientMessage, *, is_new: bool) -> None:
        live = self._live
        if self._is_stopped and not isinstance(message, wire.Cancel):
            raise BadRequest("the session was stopped; only `cancel` is taken", param="type", code="stopped")
        match message:
            case wire.Start(options=given):
                if not is_new:
                    raise BadRequest("`start` is the first message or none", param="type", code="already_started")
                self._begin(stream_options(given, self._settings, before=self._options))
            case wire.Commit():
                self._ear.flush()
                live.commit()
            case wire.Clear():
                live.clear()
            case wire.Cancel():
                live.cancel()
            case wire.Typed(text=text):
                if live.is_answering:
                    live.cancel()
                live.add(Item(new_item_id(), "user", text))
                live.ask(ResponseWishes())
            case wire.Stop():
                self._is_stopped = True
                self._ear.flush()
                live.stop()
                self._tasks.create_task(self._end(), name="end")

    async def _end(self) -> None:
        await self._live.settled()
        self._outbox.end()

    def _emit(self, event: LiveEvent) -> None:
        for made in events(event):
            self._put(made)

    def _put(self, event: Event) -> None:
        self._outbox.put(event | {"seq": self._outbox.last + 1})


def _validated(given: dict[str, Any]) -> wire.ClientMessage:
    try:
        return wire.CLIENT_MESSAGE.validate_python(given)
    except ValidationError as error:
        raise invalid(error, given) from error
