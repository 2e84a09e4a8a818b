"""A page that calls a gateway with OpenAI's JavaScript SDK, unmodified, as its documentation shows it."""

import functools
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser.npm import Package

SDK = Package(
    "@openai/agents-realtime",
    "0.20.0",
    "KK3w9k9rkqv5mC25vykWTe/1IIcOMsqwJs9mB0aX9Z2Us487xGduZgqr+ENEzthjZbQvTi/+qUv/tfoZeN/p/w==",
)
PAGE = Path(__file__).parent / "agents_sdk"
OURS = {"turn.eager", "turn.resumed"}  # events that OpenAI's API does not have
PATIENCE_MS = 60_000


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page and the SDK on a server of their own, as an application has them."""
    root = tmp_path_factory.mktemp("site") / "page"
    shutil.copytree(PAGE, root)
    (root / "sdk").symlink_to(SDK.directory() / "package")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(root))) as server:
        serving = threading.Thread(target=server.serve_forever, name="site")
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        serving.join()


class Caller:
    """The page's `caller` (agents_sdk/caller.mjs)."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._troubles: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._troubles.append(str(error)))

    async def run(self, script: str) -> Any:
        return await self._page.evaluate(script)

    async def until(self, condition: str) -> None:
        await self._page.wait_for_function(condition, timeout=PATIENCE_MS)

    async def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in await self.run("caller.events") if event["type"] == kind]

    async def is_content(self) -> None:
        """The browser complained of nothing, and the SDK could read all that the gateway said."""
        wrong = self._troubles + await self.run("caller.errors")
        unread = set(await self.run("caller.unread")) - OURS
        assert not wrong, wrong
        assert not unread, f"the SDK does not know, or can't read: {unread}"

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self._troubles.append(text)


@asynccontextmanager
async def calling(
    chromium: Any,
    site: str,
    gateway: str,
    *,
    detection: str = "server_vad",
    modality: str = "text",
    tools: str = "",
    server: Callable[[Any], None] | None = None,
) -> AsyncIterator[Caller]:
    """In a call. The caller must be content by the end.

    gateway: its URL. detection: the type of turn detection. modality: of the answers. tools: names of functions of the
    page. server: takes the place of the gateway's WebSocket.
    """
    url = f"{gateway.replace('http', 'ws', 1)}/v1/realtime?model=textpro"
    page = await chromium.new_page()
    try:
        caller = Caller(page)
        if server is not None:
            await page.route_web_socket(url, server)
        await page.goto(site)
        await caller.run(f"caller.call('{url}', {{ type: '{detection}' }}, '{modality}', [{tools}])")
        yield caller
        await caller.run("caller.hangUp()")
        await caller.is_content()
    finally:
        await page.close()
