"""The gateway's side of the LLM: OpenAI chat completions, streamed; leaving the stream aborts the generation."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from services.contracts.chat import ProsodyState, Usage
from services.contracts.errors import BadRequest, Overloaded, TextProError, Unavailable
from services.gateway.encoder_client import ProsodyKind
from services.gateway.limits import Deadline
from services.runtime.http import REQUEST_ID_HEADER
from services.runtime.logging import request_id

CHAT_PATH = "/v1/chat/completions"
PROSODY_HEADER = "x-textpro-prosody"
CONNECT_TIMEOUT_S = 2.0
RETRY_AFTER_S = 2.0
MAX_CALLS = 64  # of functions in one answer
SHOWN = 300  # characters of a foreign message

Message = dict[str, Any]


class ContextExceeded(BadRequest):
    """The messages and the answer do not fit into the LLM's context; shorter ones may."""

    code = "context_length_exceeded"


@dataclass(frozen=True)
class LlmProfile:
    """What the LLM service says of itself. context_tokens: prompt and answer together; None when it does not say."""

    context_tokens: int | None
    prosody: ProsodyKind


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn; None leaves it to the LLM service. tools, tool_choice: as OpenAI's chat completions have
    them."""

    max_tokens: int
    temperature: float | None = None
    seed: int | None = None
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] | None = None

    def fields(self) -> dict[str, Any]:
        given = {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}
        if self.tools:
            given |= {"tools": list(self.tools), "tool_choice": self.tool_choice}
        return {name: value for name, value in given.items() if value is not None}


@dataclass
class Call:
    """A function that the LLM wants called. arguments: JSON, as the LLM wrote it."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class Reply:
    """An answer that is being generated. `pieces` is read once; the other fields are final when it has ended."""

    prosody: ProsodyState
    pieces: AsyncIterator[str] = field(init=False)
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    calls: list[Call] = field(default_factory=list)


class Llm(Protocol):
    """What a turn needs of an LLM."""

    async def profile(self) -> LlmProfile: ...

    def reply(
        self, messages: list[Message], sampling: Sampling, deadline: Deadline
    ) -> AbstractAsyncContextManager[Reply]: ...

    async def check(self) -> None: ...

    async def close(self) -> None: ...


class HttpLlm:
    """The LLM service behind a URL; connections are pooled."""

    def __init__(self, url: str, model: str, *, max_connections: int) -> None:
        self._model = model
        self._profile: LlmProfile | None = None
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S, pool=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
            trust_env=False,
        )

    async def profile(self) -> LlmProfile:
        """Asked once, and again after every `check`. Raises Unavailable."""
        if self._profile is None:
            await self.check()
        assert self._profile is not None
        return self._profile

    @asynccontextmanager
    async def reply(self, messages: list[Message], sampling: Sampling, deadline: Deadline) -> AsyncIterator[Reply]:
        """Generates while the block runs and `pieces` is read; leaving the block aborts what is left.

        Raises Unavailable, Overloaded, DeadlineExceeded, ContextExceeded; BadRequest when the LLM refuses the request.
        """
        content = {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling.fields(),
        }
        request = self._client.build_request(
            "POST", CHAT_PATH, json=content, headers={REQUEST_ID_HEADER: request_id.get()} if request_id.get() else {}
        )
        with _answering(deadline):
            async with asyncio.timeout_at(deadline.at_s):
                response = await self._client.send(request, stream=True)
        try:
            if response.status_code != 200:
                with _answering(deadline):
                    async with asyncio.timeout_at(deadline.at_s):
                        await response.aread()
                raise _refusal(response)
            answer = Reply(_prosody_state(response))
            answer.pieces = _pieces(response, answer, deadline)
            yield answer
        finally:
            await response.aclose()

    async def check(self) -> None:
        """Raises Unavailable when the LLM service is not ready; refreshes the profile when it is."""
        try:
            with _answering(None):
                models = await self._client.get("/v1/models", timeout=CONNECT_TIMEOUT_S)
                config = await self._client.get("/v1/config", timeout=CONNECT_TIMEOUT_S)
            if models.status_code != 200:
                raise Unavailable(f"the LLM service answers {models.status_code}", retry_after_s=RETRY_AFTER_S)
        except Unavailable:
            self._profile = None
            raise
        self._profile = LlmProfile(_context_tokens(_json(models)), _prosody_kind(_json(config)))

    async def close(self) -> None:
        await self._client.aclose()


async def _pieces(response: httpx.Response, answer: Reply, deadline: Deadline) -> AsyncIterator[str]:
    """The answer's text as it comes; `answer` gets what the stream says beside it."""
    lines = response.aiter_lines()
    while True:
        with _answering(deadline):
            async with asyncio.timeout_at(deadline.at_s):
                line = await anext(lines, None)
        if line is None or line == "data: [DONE]":
            break
        if line.startswith("data:") and (text := _read_chunk(line.removeprefix("data:"), answer)):
            yield text
    if answer.finish_reason is None:
        raise Unavailable("the LLM service broke off its answer", retry_after_s=RETRY_AFTER_S)


def _read_chunk(text: str, answer: Reply) -> str:
    try:
        chunk = json.loads(text)
    except ValueError as error:
        raise Unavailable("the LLM service sent a chunk that is not JSON", retry_after_s=RETRY_AFTER_S) from error
    if "error" in chunk:
        raise Unavailable(f"the LLM service failed: {_message(chunk)}", retry_after_s=RETRY_AFTER_S)
    if usage := chunk.get("usage"):
        answer.usage = Usage(**{name: usage.get(name) or 0 for name in Usage.model_fields})
    for choice in chunk.get("choices") or []:
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        delta = choice.get("delta") or {}
        _read_calls(delta.get("tool_calls") or [], answer)
        return delta.get("content") or ""
    return ""


def _read_calls(pieces: list[dict[str, Any]], answer: Reply) -> None:
    """A call comes in pieces: its id and name first, then its arguments bit by bit."""
    for piece in pieces:
        index, function = piece.get("index") or 0, piece.get("function") or {}
        if index >= MAX_CALLS:
            raise Unavailable(f"the LLM service wants more than {MAX_CALLS} calls at once", retry_after_s=RETRY_AFTER_S)
        while len(answer.calls) <= index:
            answer.calls.append(Call())
        call = answer.calls[index]
        call.id, call.name = call.id or piece.get("id") or "", call.name or function.get("name") or ""
        call.arguments += function.get("arguments") or ""


@contextmanager
def _answering(deadline: Deadline | None) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        assert deadline is not None
        raise deadline.error() from error
    except httpx.HTTPError as error:
        raise Unavailable(
            f"the LLM service does not answer: {type(error).__name__} (TEXTPRO_LLM_URL)", retry_after_s=RETRY_AFTER_S
        ) from error


def _refusal(response: httpx.Response) -> TextProError:
    content = _json(response)
    message, code = _message(content), _code(content)
    retry_after = response.headers.get("retry-after", "")
    retry_after_s = float(retry_after) if retry_after.isdecimal() else RETRY_AFTER_S
    if response.status_code == 429:
        return Overloaded(f"the LLM is full: {message}", retry_after_s=retry_after_s)
    if response.status_code >= 500:
        return Unavailable(f"the LLM service answers {response.status_code}: {message}", retry_after_s=retry_after_s)
    if code == ContextExceeded.code or "context length" in message.lower():
        return ContextExceeded(f"the conversation does not fit into the LLM's context: {message}")
    return BadRequest(f"the LLM service refused the request: {message}", code=code)


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return {}


def _message(content: Any) -> str:
    error = content.get("error", content) if isinstance(content, dict) else content
    return str(error.get("message", error) if isinstance(error, dict) else error)[:SHOWN]


def _code(content: Any) -> str | None:
    match content:
        case {"error": {"code": str(code)}}:
            return code
    return None


def _prosody_state(response: httpx.Response) -> ProsodyState:
    match response.headers.get(PROSODY_HEADER):
        case "on":
            return "on"
        case "off":
            return "off"
        case _:
            return "unavailable"


def _context_tokens(models: Any) -> int | None:
    match models:
        case {"data": [{"max_model_len": int(length)}, *_]} if length > 0:
            return length
    return None


def _prosody_kind(config: Any) -> ProsodyKind:
    match config:
        case {"wants": ProsodyKind.TOKENS}:
            return ProsodyKind.TOKENS
    return ProsodyKind.POOLED
