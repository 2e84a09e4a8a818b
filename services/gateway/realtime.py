"""`WS /v1/realtime`: a live session for clients of OpenAI's Realtime API."""

import base64
from typing import Any

from pydantic import ValidationError

from services.contracts import realtime as wire
from services.contracts.errors import BadRequest
from services.gateway import live_events as tell
from services.gateway.conversation import Item
from services.gateway.formats import G711_RATE, HEARD, Converter, Format
from services.gateway.live_events import LiveEvent
from services.gateway.live_peer import LivePeer, Opening
from services.gateway.messages import invalid, json_object
from services.gateway.realtime_events import Event, events, session, truncated
from services.gateway.session import new_item_id
from textpro.errors import TextProError


class RealtimeSession(LivePeer):
    """One connection's."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._ear.change(self._input)
        self._live.speak_in(self._output)
        if opening.left is None:
            self._live.configure({"instructions": opening.parts.settings.instructions})
            self._send({"type": "session.created", "session": self._shown()})

    async def receive(self, message: str | bytes) -> None:
        """One message of the client's. What is wrong with it is told; the session goes on."""
        event_id: str | None = None
        try:
            given = json_object(message)
            event_id = given["event_id"] if isinstance(given.get("event_id"), str) else None
            await self._do(_validated(given))
        except TextProError as error:
            self._emit(tell.Refused(error, event_id))

    def _welcome_back(self) -> None:
        self._send({"type": "session.resumed", "session": self._shown(), "input_audio_bytes": self._ear.n_bytes})

    @property
    def _input(self) -> Format:
        return _format(self._live.config.audio.input.format)

    @property
    def _output(self) -> Format:
        return _format(self._live.config.audio.output.format)

    def _shown(self) -> dict[str, Any]:
        return session(self._live.config, self._id) | {"resume_token": self._token}

    async def _do(self, event: wire.ClientEvent) -> None:
        live, event_id = self._live, event.event_id
        match event:
            case wire.AudioAppend(audio=audio):
                await self._ear.hear(_base64(audio))
            case wire.AudioCommit():
                await self._ear.flush()
                live.commit(event_id)
            case wire.AudioClear():
                live.clear(event_id)
            case wire.ResponseCreate(response=wishes):
                live.ask(wishes, event_id)
            case wire.ResponseCancel(response_id=response_id):
                live.cancel(event_id, response_id)
            case wire.SessionUpdate(session=change):
                self._configure(change)
            case wire.OutputClear():
                if live.is_playing:
                    live.cancel(event_id)
                self._send({"type": "output_audio_buffer.cleared", "response_id": None})
            case _:
                await self._edit(event)

    async def _edit(self, event: wire.ClientEvent) -> None:
        """The conversation as the client wants it."""
        live = self._live
        match event:
            case wire.ItemCreate(item=given, previous_item_id=after):
                live.add(await self._item(given), after)
            case wire.ItemDelete(item_id=item_id):
                live.delete(item_id)
            case wire.ItemRetrieve(item_id=item_id):
                item = live.conversation.get(item_id)
                self._send({"type": "conversation.item.retrieved", "item": item.shown()})
            case wire.ItemTruncate(item_id=item_id, audio_end_ms=end_ms):
                live.truncate(item_id, end_ms)
                self._send(truncated(item_id, event.content_index, end_ms))
            case _:
                raise BadRequest(f"{event.type} is not known here")

    def _configure(self, change: dict[str, Any]) -> None:
        before = self._input
        try:
            self._live.configure(change)
        except ValidationError as error:
            raise invalid(error, change, "session") from error
        if self._input != before:
            self._ear.change(self._input)
        self._live.speak_in(self._output)
        self._send({"type": "session.updated", "session": self._shown()})

    async def _item(self, given: wire.Item) -> Item:
        item_id = given.id or new_item_id()
        match given:
            case wire.FunctionCall(name=name, arguments=arguments, call_id=call_id):
                return Item(item_id, "function_call", arguments, name=name, call_id=call_id or item_id)
            case wire.FunctionCallOutput(call_id=call_id, output=output):
                return Item(item_id, "function_call_output", output, call_id=call_id)
            case wire.UserMessage(content=parts):
                recordings = [_base64(part.audio) for part in parts if isinstance(part, wire.InputAudio)]
                if recordings:
                    if len(recordings) < len(parts):
                        message = "an item was typed or spoken, not both: send two items"
                        raise BadRequest(message, param="item.content", code="invalid_value")
                    return await self._live.listen(item_id, self._converted(b"".join(recordings)))
                return Item(item_id, "user", "\n".join(part.text for part in parts if isinstance(part, wire.InputText)))
            case wire.AssistantMessage(content=said):
                words = [part.text if isinstance(part, wire.OutputText) else part.transcript for part in said]
                return Item(item_id, "assistant", "\n".join(words))
            case wire.SystemMessage(content=texts):
                return Item(item_id, "system", "\n".join(part.text for part in texts))

    def _converted(self, data: bytes) -> bytes:
        converter = Converter(self._input, HEARD)
        return converter.convert(data) + converter.flush()

    def _emit(self, event: LiveEvent) -> None:
        for made in events(event):
            self._send(made)

    def _send(self, event: Event) -> None:
        number = self._outbox.last + 1
        self._outbox.put(event | {"event_id": f"event_{number}", "server_event_seq": number})


def _format(given: wire.AudioFormat) -> Format:
    match given:
        case wire.Pcm(rate=rate):
            return Format("pcm", rate)
        case wire.Pcmu():
            return Format("pcmu", G711_RATE)
        case wire.Pcma():
            return Format("pcma", G711_RATE)


def _validated(given: dict[str, Any]) -> wire.ClientEvent:
    try:
        return wire.CLIENT_EVENT.validate_python(given)
    except ValidationError as error:
        raise invalid(error, given) from error


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadRequest(f"audio is not base64: {error}", param="audio", code="invalid_audio") from error
