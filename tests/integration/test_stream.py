"""Plain clients in a spoken conversation with the real services."""

import asyncio
import json
import re
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from services.cli import main
from services.cli.demo import EXAMPLES
from services.gateway.formats import HEARD, Converter, Format
from tests.integration.conftest import Stack
from textpro.audio import SAMPLE_RATE, decode, pcm16_of

pytestmark = pytest.mark.embedded
PATIENCE_S = 60
FRAME_MS = 20
SILENCE = bytes(3 * SAMPLE_RATE)  # a second and a half


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def recording(name: str, form: Format) -> bytes:
    """With silence behind it."""
    converter = Converter(HEARD, form)
    sound = pcm16_of(decode((EXAMPLES / name).read_bytes())) + SILENCE
    return converter.convert(sound) + converter.flush()


async def spoken(line: ClientConnection, sound: bytes, form: Format) -> list[dict[str, Any]]:
    """The events of a turn, which came in frames as a telephone sends them."""
    size = form.bytes_per_second * FRAME_MS // 1000
    for start in range(0, len(sound), size):
        await line.send(sound[start : start + size])
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        async for message in line:
            seen.append(json.loads(message))
            if seen[-1]["type"] == "done":
                return seen
    raise AssertionError("the connection ended")


@pytest.mark.anyio
@pytest.mark.parametrize("form", [HEARD, Format("pcm", 48_000), Format("pcmu", 8000)], ids=str)
async def test_a_plain_client_holds_a_spoken_conversation(stack: Stack, form: Format) -> None:
    url = f"{stack.client.base_url}/v1/stream?temperature=0&coding={form.coding}&rate={form.rate}"
    async with connect(url.replace("http://", "ws://")) as line:
        turns = [await spoken(line, recording(name, form), form) for name in ("sum.wav", "capital.wav")]
    for seen, words in zip(turns, ("two", "paris"), strict=True):
        (transcript,) = [event for event in seen if event["type"] == "transcript"]
        assert words in seen[-1]["reply"].lower(), transcript
        assert (seen[-1]["status"], seen[-1]["prosody"], transcript["prosody"]) == ("completed", "on", "on")


def test_a_recording_is_answered_on_the_terminal(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["listen", str(EXAMPLES / "capital.wav"), "--url", str(stack.client.base_url), "--temperature", "0"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert re.search(r"answer +.*Paris", said), said
    assert re.search(r"prosody +on", said)
