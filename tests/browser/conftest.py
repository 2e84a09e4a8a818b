"""The page in Debian's Chromium, with a microphone that is a file, against a served gateway with fake neighbours."""

import asyncio
import base64
import json
import shutil
import subprocess
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gateway.conftest import PATIENCE_S, house, redis_url

__all__ = ["house", "redis_url"]  # fixtures of theirs

CHROMIUM = shutil.which("chromium")
RATE = 16_000
PAUSE_S = 3.0  # between the sentences of the microphone: longer than any turn waits
# What a page that breaks its own policy would do silently.
TELL_VIOLATIONS = "addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective))"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("chromium", "espeak-ng") if shutil.which(name) is None]
    here = Path(__file__).parent
    for item in items if missing else []:
        if here in item.path.parents:
            reason = f"{' and '.join(missing)} is not installed; `make programs` installs it"
            item.add_marker(pytest.mark.skip(reason=reason))


class Visitor:
    """Somebody at the page. What the page sends over its WebSocket stands in `sent`; what went wrong, in `troubles`."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.sent: list[dict[str, Any]] = []
        self.troubles: list[str] = []
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("websocket", self._listen_in)

    async def open(self, url: str) -> None:
        await self.page.goto(url)
        await self.is_doing("Ready")

    async def is_doing(self, what: str) -> None:
        """Waits until the page says so of the assistant."""
        await self.sees("#activity", what)

    async def sees(self, selector: str, text: str) -> None:
        await self.page.locator(selector, has_text=text).first.wait_for()

    async def is_answered(self, words: str) -> None:
        """Waits for an answer with these words that is whole."""
        await self.sees(".answer[data-status=completed] .words", words)

    async def type(self, text: str) -> None:
        await self.page.get_by_label("Message", exact=True).fill(text)
        await self.page.keyboard.press("Enter")

    async def hands_free(self, wanted: bool = True) -> None:
        await self.page.get_by_label("Hands-free" if wanted else "Hold to talk", exact=True).check()

    async def has_spoken(self, ms: float = 700) -> None:
        """Waits until so much that is loud was sent since it was last asked."""
        del self.sent[:]
        async with asyncio.timeout(PATIENCE_S):
            while sum(map(_loud_ms, self.sent)) < ms:
                await self.page.evaluate("new Promise(requestAnimationFrame)")

    async def answers(self) -> list[str]:
        return await self.page.locator(".answer .words").all_inner_texts()

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.sent]

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.troubles.append(text)

    def _listen_in(self, socket: Any) -> None:
        socket.on("framesent", lambda frame: self.sent.append(json.loads(frame)))


def _loud_ms(event: dict[str, Any]) -> float:
    if event["type"] != "input_audio_buffer.append":
        return 0.0
    samples = np.frombuffer(base64.b64decode(event["audio"]), "<i2")
    return len(samples) / RATE * 1000 if np.abs(samples).max(initial=0) > 1000 else 0.0


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for all, which the browser lives on."""
    return "asyncio"


@pytest.fixture(scope="session")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spoken sentence and a pause, which the microphone repeats."""
    path = tmp_path_factory.mktemp("microphone") / "sentence.wav"
    words = "How do I sound to you today?"
    subprocess.run(["espeak-ng", "-v", "en-us+m3", "-s", "150", "-w", str(path), words], check=True)
    with wave.open(str(path)) as spoken:
        rate, samples = spoken.getframerate(), spoken.readframes(spoken.getnframes())
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples + bytes(2 * round(PAUSE_S * rate)))
    return path


@asynccontextmanager
async def chromium_hearing(sound: str) -> AsyncIterator[Any]:
    """A browser whose microphone is a WAV file, from its beginning each time it is opened.

    sound: its path; it is repeated, but with `%noloop` behind it is played once.
    """
    from playwright.async_api import async_playwright

    arguments = [
        "--no-sandbox",  # it does not start as root with one
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}",
    ]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def chromium(sentence: Path) -> AsyncIterator[Any]:
    async with chromium_hearing(str(sentence)) as browser:
        yield browser


@pytest.fixture
def visit(chromium: Any) -> Callable[..., Any]:
    """`async with visit(url, **context) as visitor`: the page, ready. It must not have had any trouble by the end.

    server: takes the place of the gateway's WebSocket.
    """

    @asynccontextmanager
    async def visit(url: str, server: Callable[[Any], None] | None = None, **context: Any) -> AsyncIterator[Visitor]:
        opened = await chromium.new_context(**context)
        await opened.add_init_script(TELL_VIOLATIONS)
        visitor = Visitor(await opened.new_page())
        if server is not None:
            await visitor.page.route_web_socket("**/v1/realtime", server)
        try:
            await visitor.open(url)
            yield visitor
            assert visitor.troubles == []
        finally:
            await opened.close()

    return visit
