"""An answer of the LLM service while it comes: its stream's chunks, read."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from services.contracts.chat import ProsodyState, Usage
from services.contracts.errors import Unavailable

RETRY_AFTER_S = 2.0
MAX_CALLS = 64  # of functions in one answer
SHOWN = 300  # characters of a foreign message


@dataclass
class Call:
    """A function that the LLM wants called. arguments: JSON, as the LLM wrote it."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True)
class Delta:
    """What a chunk adds to an answer. calls: OpenAI's pieces of `tool_calls`, of which an `index` tells the call."""

    text: str
    calls: tuple[dict[str, Any], ...] = ()


@dataclass
class Reply:
    """An answer that is being generated, from the data of OpenAI's event stream.

    `deltas`, or `pieces` for the text alone, is read once; both raise Unavailable when the LLM service fails. The other
    fields are final when the answer has ended.
    """

    prosody: ProsodyState
    chunks: AsyncGenerator[str]
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deltas = self._deltas()
        self.pieces = self._pieces()

    async def aclose(self) -> None:
        """Whoever leaves the answer before its end closes it: what is left to the garbage collector closes too late."""
        for stream in (self.pieces, self.deltas, self.chunks):
            await stream.aclose()

    async def _deltas(self) -> AsyncGenerator[Delta]:
        async for chunk in self.chunks:
            if chunk == "[DONE]":
                break
            delta = self._read(chunk)
            if delta.text or delta.calls:
                yield delta
        if self.finish_reason is None:
            raise _failed("the LLM service broke off its answer")

    async def _pieces(self) -> AsyncGenerator[str]:
        async for delta in self.deltas:
            if delta.text:
                yield delta.text

    def _read(self, text: str) -> Delta:
        try:
            chunk = json.loads(text)
        except ValueError as error:
            raise _failed("the LLM service sent a chunk that is not JSON") from error
        if "error" in chunk:
            raise _failed(f"the LLM service failed: {error_message(chunk)}")
        if usage := chunk.get("usage"):
            self.usage = Usage(**{name: usage.get(name) or 0 for name in Usage.model_fields})
        for choice in chunk.get("choices") or []:
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            delta = choice.get("delta") or {}
            calls = tuple(delta.get("tool_calls") or ())
            for piece in calls:
                self._add(piece)
            return Delta(delta.get("content") or "", calls)
        return Delta("")

    def _add(self, piece: dict[str, Any]) -> None:
        """A call comes in pieces: its id and name first, then its arguments bit by bit."""
        index, function = piece.get("index") or 0, piece.get("function") or {}
        if index >= MAX_CALLS:
            raise _failed(f"the LLM service wants more than {MAX_CALLS} calls at once")
        while len(self.calls) <= index:
            self.calls.append(Call())
        call = self.calls[index]
        call.id, call.name = call.id or piece.get("id") or "", call.name or function.get("name") or ""
        call.arguments += function.get("arguments") or ""


def error_message(content: Any) -> str:
    """What a foreign error says."""
    error = content.get("error", content) if isinstance(content, dict) else content
    return str(error.get("message", error) if isinstance(error, dict) else error)[:SHOWN]


def _failed(message: str) -> Unavailable:
    return Unavailable(message, retry_after_s=RETRY_AFTER_S)
