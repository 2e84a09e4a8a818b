"""`WS /v1/stream`: a live session for plain clients. Sound comes in binary messages, wishes and events are JSON.
Where speech is on, an answer's sound leaves as binary messages, PCM16, between its first `delta` and its `done`.
"""

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from services.contracts import stream as wire
from services.contracts.errors import BadRequest
from services.contracts.realtime import ResponseWishes
from services.gateway import live_events as tell
from services.gateway.conversation import Item
from services.gateway.journal import State
from services.gateway.live_events import LiveEvent
from services.gateway.live_peer import LivePeer, Opening
from services.gateway.messages import invalid, json_object
from services.gateway.session import new_item_id
from services.gateway.stream_events import Event, events
from services.gateway.stream_options import configuration, input_format, output_format, stream_options
from textpro.errors import TextProError


class StreamSession(LivePeer):
    """One connection's."""

    def __init__(self, opening: Opening, options: wire.StreamOptions) -> None:
        super().__init__(opening)
        self._settings, self._tasks = opening.parts.settings, opening.tasks
        self._is_new, self._is_stopped = opening.left is None, False
        if opening.left is None:
            self._begin(options)
        else:
            self._use(wire.StreamOptions.model_validate(self._facts["options"]))

    async def receive(self, message: str | bytes) -> None:
        """One message of the client's. What is wrong with it is told; the session goes on."""
        try:
            if isinstance(message, bytes):
                await self._hear(message)
            else:
                await self._do(_validated(json_object(message)))
        except TextProError as error:
            self._emit(tell.Refused(error))
        else:
            self._is_new = False

    def state(self) -> State:
        """What another gateway needs to go on."""
        state = super().state()
        return replace(state, facts=state.facts | {"options": self._options.model_dump(exclude_unset=True)})

    def _welcome_back(self) -> None:
        self._ready(resumed=True)

    def _begin(self, options: wire.StreamOptions) -> None:
        self._live.configure(configuration(options, self._settings))
        self._use(options)
        self._ready(resumed=False)

    def _use(self, options: wire.StreamOptions) -> None:
        self._options = options
        self._ear.change(input_format(options))
        self._live.speak_in(output_format(options))

    def _ready(self, *, resumed: bool) -> None:
        heard, said = input_format(self._options), output_format(self._options)
        self._put(
            {
                "type": "ready",
                "session_id": self._id,
                "resume_token": self._token,
                "resumed": resumed,
                "input": {"coding": heard.coding, "rate": heard.rate, "bytes": self._ear.n_bytes},
                "output": {"coding": said.coding, "rate": said.rate} if self._options.speech == "on" else None,
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

    async def _do(self, message: wire.ClientMessage) -> None:
        live = self._live
        if self._is_stopped and not isinstance(message, wire.Cancel):
            raise BadRequest("the session was stopped; only `cancel` is taken", param="type", code="stopped")
        match message:
            case wire.Start(options=given):
                if not self._is_new:
                    raise BadRequest("`start` is the first message or none", param="type", code="already_started")
                self._begin(stream_options(given, self._settings, before=self._options))
            case wire.Commit():
                await self._ear.flush()
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
                await self._ear.flush()
                live.stop()
                self._tasks.create_task(self._end(), name="end")

    async def _end(self) -> None:
        await self._live.settled()
        self._outbox.end()

    def _emit(self, event: LiveEvent) -> None:
        for made in events(event):
            self._put(made)

    def _put(self, made: Event | bytes) -> None:
        self._outbox.put(made if isinstance(made, bytes) else made | {"seq": self._outbox.last + 1})


def _validated(given: dict[str, Any]) -> wire.ClientMessage:
    try:
        return wire.CLIENT_MESSAGE.validate_python(given)
    except ValidationError as error:
        raise invalid(error, given) from error
