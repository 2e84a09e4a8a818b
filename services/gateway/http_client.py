"""HTTP to a neighbour whose answers may be broken off at any moment: no connection is lost by it.

httpcore shields the end of an exchange from anyio's cancelling, but asyncio's gets through: a request cancelled just
then keeps its place in the pool for ever. So each exchange has a task of its own, and only anyio's cancelling ends it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

import anyio
import httpx


def http_client(
    url: str, *, timeout: httpx.Timeout, max_connections: int, headers: Mapping[str, str] | None = None
) -> httpx.AsyncClient:
    """A client of the service at `url`; its connections are kept and used again."""
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
    transport = _Transport(httpx.AsyncHTTPTransport(limits=limits, trust_env=False))
    return httpx.AsyncClient(base_url=url, timeout=timeout, headers=headers, transport=transport, trust_env=False)


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncHTTPTransport) -> None:
        self._inner = inner
        self._exchanges: set[asyncio.Task[None]] = set()  # asyncio itself would forget them

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _Exchange()
        task = asyncio.create_task(exchange.run(self._inner, request), name="http exchange")
        self._exchanges.add(task)
        task.add_done_callback(self._exchanges.discard)
        return await exchange.response()

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Exchange(httpx.AsyncByteStream):
    """A request and what comes of it. It reads no further ahead than one chunk."""

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()
        self._begun: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(1)
        self._over = asyncio.Event()

    async def run(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> None:
        with self._scope:
            try:
                await self._read(await transport.handle_async_request(request))
            except Exception as error:  # noqa: BLE001 - it is raised where the response is waited for, or read
                await self._fail(error)
        self._over.set()

    async def response(self) -> httpx.Response:
        """Once its headers are there; raises what the transport raises."""
        try:
            return await self._begun
        except asyncio.CancelledError:
            self._scope.cancel()
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def aclose(self) -> None:
        """Breaks off what is left. Cancelled meanwhile, it is broken off all the same."""
        self._scope.cancel()
        await self._over.wait()

    async def _read(self, response: httpx.Response) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        try:
            if not self._begun.done():
                self._begun.set_result(
                    httpx.Response(
                        response.status_code, headers=response.headers, stream=self, extensions=response.extensions
                    )
                )
            async for chunk in response.stream:
                await self._chunks.put(chunk)
        finally:
            await response.stream.aclose()
        await self._chunks.put(None)

    async def _fail(self, error: Exception) -> None:
        if self._begun.done():
            await self._chunks.put(error)
        else:
            self._begun.set_exception(error)
