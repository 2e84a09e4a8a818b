"""A client of the gateway's WS /v1/stream."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosedError, InvalidStatus, InvalidURI, WebSocketException

from services.cli.client import CONNECT_TIMEOUT_S, ChatError, message_of

PATH = "/v1/stream"
SCHEMES = {"http": "ws", "https": "wss"}
LOCAL = ("127.0.0.1", "localhost", "::1")  # a proxy named in the environment is not for this machine


@asynccontextmanager
async def connect(url: str, options: Mapping[str, str], api_key: str | None = None) -> AsyncIterator[ClientConnection]:
    """A live conversation with the gateway at `url`. Raises ChatError when there is none to be had."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    no_address = f"{url!r} is no gateway's address; expected http://host:port"
    try:
        parts = urlsplit(url)
        scheme, path = SCHEMES.get(parts.scheme, parts.scheme), parts.path.rstrip("/") + PATH
        target = urlunsplit((scheme, parts.netloc, path, urlencode(options), ""))
        proxy = None if parts.hostname in LOCAL else True
        line = await open_socket(
            target, additional_headers=headers, proxy=proxy, open_timeout=CONNECT_TIMEOUT_S, compression=None
        )
    except InvalidStatus as error:
        raise ChatError(f"the gateway answered {error.response.status_code}: {_reason(error)}") from error
    except InvalidURI as error:
        if error.uri.startswith(("http:", "https:")):  # ours is of a WebSocket, and redirects to such are followed
            raise ChatError(f"{url} redirects to {error.uri}; name the gateway itself with --url") from error
        raise ChatError(no_address) from error
    except ValueError as error:
        raise ChatError(no_address) from error
    except (OSError, WebSocketException) as error:  # a timeout is an OSError, too
        raise ChatError(f"no gateway at {url} ({error}); start one with `textpro up`, or name it with --url") from error
    try:
        yield line
    finally:
        await line.close()


async def events(line: ClientConnection, hear: Callable[[bytes], None] | None = None) -> AsyncIterator[dict[str, Any]]:
    """What the gateway tells, to the end of the conversation; hear: its sound. Raises ChatError when that is not a good
    end."""
    try:
        async for message in line:
            if isinstance(message, str):
                yield json.loads(message)
            elif hear is not None:
                hear(message)
    except ConnectionClosedError as error:
        reason = error.rcvd.reason if error.rcvd is not None else "the connection was lost"
        raise ChatError(f"the gateway ended the conversation: {reason}") from error


def _reason(error: InvalidStatus) -> str:
    body = error.response.body or b""
    try:
        return message_of(json.loads(body))
    except (ValueError, AttributeError):
        return body[:200].decode(errors="replace")
