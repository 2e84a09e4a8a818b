"""A live conversation: items in their order, as OpenAI's Realtime API shows them and as the LLM reads them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from services.contracts.errors import BadRequest, NotFound
from services.gateway.history import Message, understood, user_message
from services.gateway.session import Prosody

Kind = Literal["system", "user", "assistant", "function_call", "function_call_output"]
ItemStatus = Literal["completed", "incomplete", "in_progress"]
ROOT = "root"  # the place before the first item


@dataclass(frozen=True)
class Item:
    """Something that was said, or a function that was called. text: a message's words, a call's arguments, or what
    came of it. spoken: it came, or left, as sound. audio_ms: how long that was, as far as it is known. sentences: of an
    answer that was spoken here, letters and milliseconds of each; what comes after them in the text was not spoken."""

    id: str
    kind: Kind
    text: str
    status: ItemStatus = "completed"
    spoken: bool = False
    prosody: Prosody | None = None
    audio_ms: float = 0.0
    name: str = ""
    call_id: str = ""
    sentences: tuple[tuple[int, float], ...] = ()

    def shown(self) -> dict[str, Any]:
        """As OpenAI's item; a user's has `prosody` too, which says whether the LLM hears the tone."""
        common = {"id": self.id, "object": "realtime.item", "status": self.status}
        match self.kind:
            case "function_call":
                call = {"type": "function_call", "name": self.name, "call_id": self.call_id, "arguments": self.text}
                return common | call
            case "function_call_output":
                return common | {"type": "function_call_output", "call_id": self.call_id, "output": self.text}
            case "user":
                part = {"type": "input_audio", "transcript": self.text} if self.spoken else self._text("input_text")
                return self._message(common, part) | {"prosody": "off" if self.prosody is None else "on"}
            case "assistant":
                part = {"type": "output_audio", "transcript": self.text} if self.spoken else self._text("output_text")
                return self._message(common, part)
            case "system":
                return self._message(common, self._text("input_text"))

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        fields = json.loads(text)
        prosody = Prosody.from_json(fields.pop("prosody"))
        sentences = tuple((letters, ms) for letters, ms in fields.pop("sentences", ()))
        return cls(**fields, prosody=prosody, sentences=sentences)

    def heard(self, ms: float) -> Self:
        """As much of an answer as so much of its sound says."""
        sentences = self.sentences or ((len(self.text), self.audio_ms),)
        whole: list[tuple[int, float]] = []
        left_ms, text = ms, ""
        for letters, sentence_ms in sentences:
            rest = self.text[len(text) : len(text) + letters]
            if left_ms < sentence_ms or not self.audio_ms:
                rest = _words(rest, left_ms / sentence_ms if sentence_ms else 0.0)
                whole.append((len(rest), left_ms))
                text += rest
                break
            whole.append((letters, sentence_ms))
            left_ms, text = left_ms - sentence_ms, text + rest
        kept = tuple(whole) if self.sentences else ()
        return replace(self, text=text.rstrip(), status="incomplete", audio_ms=ms, sentences=kept)

    def _text(self, kind: str) -> dict[str, Any]:
        return {"type": kind, "text": self.text}

    def _message(self, common: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
        return common | {"type": "message", "role": self.kind, "content": [part]}


@dataclass
class Conversation:
    """The items of one session, oldest first; `max_items` are kept, the oldest go."""

    max_items: int
    items: list[Item] = field(default_factory=list)

    @property
    def encoder(self) -> str | None:
        """Which one gave the newest vector; None without one."""
        return next((item.prosody.encoder for item in reversed(self.items) if item.prosody is not None), None)

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Puts an item behind another (None: the last; `root`: none) and gives the id of the one before it.

        Raises NotFound for a place that is not there, BadRequest for an id that is taken or for an output to no call.
        """
        if any(item.id == other.id for other in self.items):
            raise BadRequest(f"there is an item {item.id!r} already", param="item.id", code="item_exists")
        if item.kind == "function_call_output" and not self._called(item.call_id):
            raise BadRequest(
                f"no function was called with the call_id {item.call_id!r}",
                param="item.call_id",
                code="unknown_call_id",
            )
        place = len(self.items) if after is None else 0 if after == ROOT else self._place(after) + 1
        self.items.insert(place, item)
        before = self.items[place - 1].id if place else None
        del self.items[: max(0, len(self.items) - self.max_items)]
        return before

    def get(self, item_id: str) -> Item:
        """Raises NotFound."""
        return self.items[self._place(item_id)]

    def put(self, item: Item) -> str | None:
        """In the place of the item with its id; gives the id of the one before it. Raises NotFound."""
        place = self._place(item.id)
        self.items[place] = item
        return self.items[place - 1].id if place else None

    def delete(self, item_id: str) -> None:
        """Raises NotFound."""
        del self.items[self._place(item_id)]

    def truncate(self, item_id: str, audio_end_ms: float) -> Item:
        """Keeps of a spoken answer what was heard of it: as much of the text as of the sound.

        Raises NotFound; BadRequest for what is no spoken answer, or for more than was spoken.
        """
        item = self.get(item_id)
        if item.kind != "assistant" or not item.spoken:
            raise BadRequest(f"{item_id!r} is no spoken answer; nothing else is truncated", param="item_id")
        if audio_end_ms > item.audio_ms + 1:
            if item.status == "incomplete":
                return item  # it was cut off there already
            message = f"audio_end_ms is {audio_end_ms:g}; the item has {item.audio_ms:g} ms of audio"
            raise BadRequest(message, param="audio_end_ms")
        heard = item.heard(audio_end_ms)
        self.put(heard)
        return heard

    def messages(self, instructions: str, *, toneless: bool = False) -> list[Message]:
        """For the LLM: equal items give equal bytes. Where nothing was said there is no message. toneless: words
        alone. Vectors of another encoder than the newest one's are left out."""
        system: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
        encoder = None if toneless else self.encoder
        items = [replace(item, prosody=understood(item.prosody, encoder)) for item in self.items]
        return [*system, *_merged(items)]

    def _place(self, item_id: str) -> int:
        for place, item in enumerate(self.items):
            if item.id == item_id:
                return place
        raise NotFound(f"there is no item {item_id[:64]!r}", param="item_id", code="item_not_found")

    def _called(self, call_id: str) -> bool:
        return any(item.kind == "function_call" and item.call_id == call_id for item in self.items)


def _merged(items: list[Item]) -> Iterator[Message]:
    """Calls that follow one another are one message of the assistant's, with what it said before them. What came of a
    call that is not kept any more is left out: no template takes it."""
    answer: Message | None = None
    calls: set[str] = set()
    for item in items:
        if item.kind == "function_call":
            answer = answer or {"role": "assistant", "content": None}
            call = {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": item.text}}
            answer["tool_calls"] = [*answer.get("tool_calls", []), call]
            calls.add(item.call_id)
            continue
        if answer is not None:
            yield answer
            answer = None
        if item.kind == "function_call_output":
            if item.call_id in calls:
                yield {"role": "tool", "tool_call_id": item.call_id, "content": item.text}
        elif not item.text:
            continue
        elif item.kind == "assistant":
            answer = {"role": "assistant", "content": item.text}
        elif item.kind == "user":
            yield user_message(item.text, item.prosody)
        else:
            yield {"role": "system", "content": item.text}
    if answer is not None:
        yield answer


def _words(text: str, share: float) -> str:
    """The beginning of a text, in whole words."""
    end = round(len(text) * min(1.0, max(0.0, share)))
    if end == len(text) or not end or text[end].isspace():
        return text[:end].rstrip()
    return text[: text.rfind(" ", 0, end) + 1].rstrip()
