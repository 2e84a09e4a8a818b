"""The errors and bounds every HTTP service shares, through the ASGI interface and a real socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Form, Query, Request

from services.contracts.errors import Overloaded
from services.runtime.http import BodyLimit, RequestId, install_errors, serving, while_connected

pytestmark = pytest.mark.anyio
LIMIT = 1000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    install_errors(app)
    app.add_middleware(BodyLimit, max_bytes=LIMIT, setting="TEXTPRO_MAX_BYTES")
    app.add_middleware(RequestId)

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.post("/form")
    async def form(word: Annotated[str, Form()]) -> str:
        return word

    @app.get("/number")
    async def number(n: Annotated[int, Query(ge=1)]) -> int:
        return n

    @app.put("/number")
    async def change(n: Annotated[int, Query(ge=1)]) -> int:
        return n

    @app.get("/full")
    async def full() -> None:
        raise Overloaded("no room", retry_after_s=2.4)

    @app.get("/bug")
    async def bug() -> None:
        raise KeyError("secret")

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(app, "127.0.0.1", 0, drain_s=1) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


async def pieces(n: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(n):
        yield bytes(size)


@pytest.mark.parametrize(
    ("request_", "status", "code", "param"),
    [
        (("GET", "/nowhere"), 404, "not_found", None),
        (("DELETE", "/number"), 405, "method_not_allowed", None),
        (("GET", "/number?n=0"), 400, "invalid_request", "n"),
        (("GET", "/full"), 429, "overloaded", None),
        (("GET", "/bug"), 500, "internal_error", None),
    ],
)
async def test_every_error_has_the_openai_shape_and_a_request_id(client, request_, status, code, param) -> None:
    answer = await client.request(*request_, headers={"x-request-id": "abc-1"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert answer.headers.get_list("x-request-id") == ["abc-1"]
    assert "secret" not in answer.text


async def test_a_full_house_says_when_to_come_back(client) -> None:
    assert (await client.get("/full")).headers["retry-after"] == "2"


async def test_a_wrong_method_is_told_all_right_ones(client) -> None:
    answer = await client.delete("/number")
    assert answer.headers["allow"] == "GET, PUT"
    assert "GET, PUT" in answer.json()["error"]["message"]


async def test_an_unsafe_request_id_is_replaced(client) -> None:
    answer = await client.get("/nowhere", headers={"x-request-id": 'x" injected'})
    assert "injected" not in answer.headers["x-request-id"]


async def test_a_body_as_large_as_the_limit_passes_declared_or_chunked(client) -> None:
    assert (await client.post("/size", content=bytes(LIMIT))).json() == LIMIT
    assert (await client.post("/size", content=pieces(4, LIMIT // 4))).json() == LIMIT


@pytest.mark.parametrize("path", ["/size", "/form"])
@pytest.mark.parametrize("content", [lambda: bytes(LIMIT + 1), lambda: pieces(3, LIMIT), lambda: pieces(1, LIMIT + 1)])
async def test_a_larger_body_gets_413_declared_or_chunked_raw_or_form(client, path, content) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"} if path == "/form" else {}
    answer = await client.post(path, content=content(), headers=kind)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "payload_too_large"
    assert "TEXTPRO_MAX_BYTES" in answer.json()["error"]["message"]


async def test_a_caller_still_sending_megabytes_reads_the_413(client) -> None:
    answer = await client.post("/size", content=pieces(160, 2**16))
    assert answer.status_code == 413


async def test_work_is_cancelled_when_its_caller_hangs_up(app: FastAPI) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    @app.get("/long")
    async def long(request: Request) -> None:
        await while_connected(request, forever())

    async with serving(app, "127.0.0.1", 0, drain_s=1) as port, httpx.AsyncClient() as client:
        call = asyncio.ensure_future(client.get(f"http://127.0.0.1:{port}/long"))
        await started.wait()
        call.cancel()
        async with asyncio.timeout(10):
            await cancelled.wait()
