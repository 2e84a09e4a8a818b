"""The gateway's side of the LLM: OpenAI chat completions, streamed; leaving the stream aborts the generation."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
from httpx_sse import EventSource

from services.contracts.chat import ProsodyState
from services.contracts.errors import BadRequest, Overloaded, TextProError, Unavailable
from services.gateway.encoder_client import ProsodyKind
from services.gateway.history import Message, newer_half
from services.gateway.http_client import http_client
from services.gateway.limits import Deadline
from services.gateway.llm_reply import RETRY_AFTER_S, Reply, error_message
from services.runtime.http import REQUEST_ID_HEADER
from services.runtime.logging import request_id

CHAT_PATH = "/v1/chat/completions"
PROSODY_HEADER = "x-textpro-prosody"
CONNECT_TIMEOUT_S = 2.0


class ContextExceeded(BadRequest):
    """The messages and the answer do not fit into the LLM's context; shorter ones may."""

    code = "context_length_exceeded"


@dataclass(frozen=True)
class LlmProfile:
    """What the LLM service says of itself. context_tokens: prompt and answer together; None when it does not say.
    fingerprint: of the bundle whose prosody it was trained on; empty when it says none."""

    context_tokens: int | None
    prosody: ProsodyKind
    fingerprint: str = ""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn; None leaves it to the LLM service. tools, tool_choice: as OpenAI's chat completions have
    them. others: more fields of OpenAI's or vLLM's chat completions, as they are sent on."""

    max_tokens: int
    temperature: float | None = None
    seed: int | None = None
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    others: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        given = {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}
        if self.tools:
            given |= {"tools": list(self.tools), "tool_choice": self.tool_choice}
        return {name: value for name, value in given.items() if value is not None} | dict(self.others)


class Llm(Protocol):
    """What a turn needs of an LLM."""

    async def profile(self) -> LlmProfile: ...

    def reply(
        self, messages: list[Message], sampling: Sampling, deadline: Deadline
    ) -> AbstractAsyncContextManager[Reply]: ...

    async def check(self) -> None: ...

    async def close(self) -> None: ...


async def reply_that_fits(
    held: AsyncExitStack, llm: Llm, messages: list[Message], sampling: Sampling, deadline: Deadline
) -> Reply:
    """The answer to as much of the conversation as the LLM's context takes, while `held` is open. Raises what
    `Llm.reply` raises."""
    while True:
        try:
            return await held.enter_async_context(llm.reply(messages, sampling, deadline))
        except ContextExceeded:
            shorter = newer_half(messages)
            if len(shorter) == len(messages):
                raise
            messages = shorter


class HttpLlm:
    """The LLM service behind a URL; connections are pooled."""

    def __init__(self, url: str, model: str, *, max_connections: int) -> None:
        self._model = model
        self._profile: LlmProfile | None = None
        timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S, pool=CONNECT_TIMEOUT_S)
        self._client = http_client(url, timeout=timeout, max_connections=max_connections)

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
        request = self._request(content)
        with _answering(deadline):
            async with asyncio.timeout_at(deadline.at_s):
                response = await self._client.send(request, stream=True)
        try:
            if response.status_code != 200:
                with _answering(deadline):
                    async with asyncio.timeout_at(deadline.at_s):
                        await response.aread()
                raise _refusal(response)
            async with aclosing(Reply(_prosody_state(response), _chunks(response, deadline))) as reply:
                yield reply
        finally:
            await response.aclose()

    def _request(self, content: dict[str, Any]) -> httpx.Request:
        headers = {REQUEST_ID_HEADER: request_id.get()} if request_id.get() else {}
        try:
            return self._client.build_request("POST", CHAT_PATH, json=content, headers=headers)
        except ValueError as error:  # 1e999 is JSON, but no number that could be written again
            raise BadRequest(f"the request can't be sent on: {error}") from error

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
        said = _json(config)
        self._profile = LlmProfile(_context_tokens(_json(models)), _prosody_kind(said), _fingerprint(said))

    async def close(self) -> None:
        await self._client.aclose()


async def _chunks(response: httpx.Response, deadline: Deadline) -> AsyncGenerator[str]:
    """What the stream's events carry, each by the deadline."""
    async with aclosing(EventSource(response).aiter_sse()) as events:
        while True:
            with _answering(deadline):
                async with asyncio.timeout_at(deadline.at_s):
                    event = await anext(events, None)
            if event is None:
                return
            yield event.data


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
    message, code = error_message(content), _code(content)
    retry_after = response.headers.get("retry-after", "")
    retry_after_s = float(retry_after) if retry_after.isdecimal() else RETRY_AFTER_S
    if response.status_code == 429:
        return Overloaded(f"the LLM is full: {message}", retry_after_s=retry_after_s)
    if response.status_code >= 500:
        return Unavailable(f"the LLM service answers {response.status_code}: {message}", retry_after_s=retry_after_s)
    if code == ContextExceeded.code or "context length" in message.lower():
        return ContextExceeded(f"the conversation does not fit into the LLM's context: {message}")
    return BadRequest(f"the LLM service refused the request: {message}", param=_param(content), code=code)


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return {}


def _code(content: Any) -> str | None:
    match content:
        case {"error": {"code": str(code)}}:
            return code
    return None


def _param(content: Any) -> str | None:
    """The field that the LLM service complains of; of the messages it was sent others than the caller wrote."""
    match content:
        case {"error": {"param": str(param)}} if not param.startswith("messages["):
            return param
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
        case {"prosody": "unavailable"}:
            return ProsodyKind.NONE
        case {"wants": ProsodyKind.TOKENS}:
            return ProsodyKind.TOKENS
    return ProsodyKind.POOLED


def _fingerprint(config: Any) -> str:
    match config:
        case {"prosody": "on", "fingerprint": str(fingerprint)}:
            return fingerprint
    return ""
