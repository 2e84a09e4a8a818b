"""Requests that are broken off at any moment leave the pool as it was."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from services.gateway.http_client import http_client

pytestmark = pytest.mark.anyio
TIMEOUT = httpx.Timeout(5.0, pool=1.0)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(3):
                writer.write(b"3\r\nab\n\r\n")
                await writer.drain()
                await asyncio.sleep(0)
            if b"/endless" in request:
                await asyncio.Event().wait()
            if b"/broken" in request:
                break
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    writer.close()


@asynccontextmanager
async def _client() -> AsyncIterator[httpx.AsyncClient]:
    """Of one connection, to a server that answers in three lines."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with http_client(f"http://{host}:{port}", timeout=TIMEOUT, max_connections=1) as client:
        yield client
    server.close()


async def _lines(client: httpx.AsyncClient, path: str = "/") -> list[str]:
    async with client.stream("GET", path) as response:
        return [line async for line in response.aiter_lines()]


@pytest.mark.parametrize("path", ["/", "/endless"])
async def test_whenever_a_request_is_cancelled_its_connection_is_free_again(path: str) -> None:
    async with _client() as client:
        for moment in range(60):
            asked = asyncio.create_task(_lines(client, path))
            for _ in range(moment):
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait([asked])
            assert await _lines(client) == ["ab"] * 3


async def test_a_second_cancel_does_no_harm() -> None:
    async with _client() as client:
        for moment in range(30):
            asked = asyncio.create_task(_lines(client, "/endless"))
            for _ in range(20):
                await asyncio.sleep(0)
            asked.cancel()
            for _ in range(moment):
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait([asked])
            assert await _lines(client) == ["ab"] * 3


async def test_an_answer_that_is_left_before_its_end_is_broken_off() -> None:
    async with _client() as client:
        for _ in range(3):
            async with client.stream("GET", "/endless") as response:
                assert await anext(response.aiter_lines()) == "ab"
        assert await _lines(client) == ["ab"] * 3


async def test_what_goes_wrong_is_raised_as_httpx_has_it() -> None:
    async with _client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await _lines(client, "/broken")
        assert await _lines(client) == ["ab"] * 3
    async with http_client("http://127.0.0.1:1", timeout=TIMEOUT, max_connections=1) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/")


async def test_a_timeout_is_raised() -> None:
    async with _client() as client:
        client.timeout = httpx.Timeout(5.0, read=0.1)
        with pytest.raises(httpx.ReadTimeout):
            await _lines(client, "/endless")
        assert await _lines(client) == ["ab"] * 3
