"""A client of the gateway's POST /v1/chat, whole or streamed."""

import json
import mimetypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import EventSource

from textpro.errors import TextProError

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 300.0
# A proxy named in the environment is not for a gateway on this machine.
_DIRECT: dict[str, httpx.BaseTransport | None] = dict.fromkeys(
    ("all://127.0.0.1", "all://localhost", "all://[::1]"), None
)

OnEvent = Callable[[str, dict[str, Any]], None]


class ChatError(TextProError):
    """The gateway can't be reached, or refused the request; the message is its own."""


@contextmanager
def connect(url: str, api_key: str | None = None) -> Iterator[httpx.Client]:
    """A client of the gateway at `url`. Raises ChatError, in the block, when it can't be reached."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=timeout, mounts=_DIRECT) as client:
            yield client
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        raise ChatError(f"{url!r} is no gateway's address ({error}); expected http://host:port") from error
    except httpx.ConnectError as error:
        raise ChatError(f"no gateway at {url} ({error}); start one with `textpro up`, or name it with --url") from error
    except httpx.TransportError as error:
        raise ChatError(f"the gateway at {url} broke off: {type(error).__name__}: {error}") from error


def ask(
    client: httpx.Client, audio: Path, fields: Mapping[str, str], on_event: OnEvent | None = None
) -> dict[str, Any]:
    """Sends one recording; returns the turn as the protocol's JSON. With `on_event` the answer is streamed, and each
    event but the last is handed over as it comes.

    Raises ChatError when the recording can't be read or the gateway answers with an error.
    """
    try:
        data = audio.read_bytes()
    except OSError as error:
        raise ChatError(f"{audio} can't be read: {error.strerror}") from error
    kind = mimetypes.guess_type(audio.name)[0] or "application/octet-stream"
    body = {"files": {"audio": (audio.name, data, kind)}, "data": dict(fields)}
    if on_event is None:
        response = client.post("/v1/chat", **body)
        _raise_for(response)
        return response.json()
    with client.stream("POST", "/v1/chat", headers={"Accept": "text/event-stream"}, **body) as response:
        if not response.is_success:
            response.read()
        _raise_for(response)
        for event in EventSource(response).iter_sse():
            content = json.loads(event.data)
            if event.event == "done":
                return content
            if event.event == "error":
                raise ChatError(message_of(content))
            on_event(event.event, content)
    raise ChatError("the gateway ended the stream without a `done` event")


def _raise_for(response: httpx.Response) -> None:
    if response.is_success:
        return
    if response.next_request is not None:
        raise ChatError(f"{response.url} redirects to {response.next_request.url}; name the gateway itself with --url")
    try:
        message = message_of(response.json())
    except ValueError:
        message = response.text[:200]
    raise ChatError(f"the gateway answered {response.status_code}: {message}")


def message_of(body: dict[str, Any]) -> str:
    """What an error's body says to a person."""
    error = body.get("error", body)
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)
