"""The voice of a speech server with OpenAI's `POST /v1/audio/speech`, such as Kokoro-FastAPI, speaches or vLLM-Omni."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from services.gateway.formats import Format
from services.gateway.http_client import http_client
from services.gateway.llm_reply import error_message
from textpro.errors import SynthesisError

STANDARD_VOICE = "alloy"
PATH = "/v1/audio/speech"
CONNECT_TIMEOUT_S = 2.0
MAX_SENTENCE_S = 60.0  # a server that does not end its sentence is not listened to for longer
MAX_ERROR_BYTES = 4096
OTHER_FORMATS = ("json", "text", "mpeg", "wav", "ogg", "opus", "flac", "aac", "mp4", "webm")


class HttpVoice:
    """A speech server behind a URL, without `/v1`; connections are pooled. It is asked for PCM16 at 24 kHz, which is
    what OpenAI's `pcm` means. timeout_s: for each next piece of sound."""

    format = Format("pcm", 24_000)

    def __init__(
        self, url: str, *, model: str, voice: str, key: str | None, timeout_s: float, max_connections: int
    ) -> None:
        self._fields = {"model": model, "voice": voice, "response_format": "pcm"}
        self._client = http_client(
            url,
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
            max_connections=max_connections,
            headers={"Authorization": f"Bearer {key}"} if key else None,
        )

    async def speak(self, text: str, speed: float = 1.0) -> AsyncGenerator[bytes, None]:
        """See Voice.speak; as the server streams it."""
        asked: dict[str, Any] = self._fields | {"input": text} | ({"speed": speed} if speed != 1.0 else {})
        left, half = round(MAX_SENTENCE_S * self.format.bytes_per_second), b""
        try:
            async with self._client.stream("POST", PATH, json=asked) as response:
                await _accepted(response)
                async for piece in response.aiter_bytes():
                    left -= len(piece)
                    if left < 0:
                        raise SynthesisError(f"the speech server sends more than {MAX_SENTENCE_S:g} s for a sentence")
                    sound = half + piece
                    whole = len(sound) // 2 * 2
                    half = sound[whole:]
                    if whole:
                        yield sound[:whole]
        except httpx.TimeoutException as error:
            raise SynthesisError("the speech server does not answer in time (TEXTPRO_SPEECH_TIMEOUT_S)") from error
        except httpx.HTTPError as error:
            raise SynthesisError(f"the speech server does not answer ({type(error).__name__})") from error

    async def close(self) -> None:
        await self._client.aclose()


async def _accepted(response: httpx.Response) -> None:
    """Raises SynthesisError for what is not sound, and for sound that is not PCM."""
    kind = response.headers.get("content-type", "").lower()
    if response.status_code == 200 and not any(name in kind for name in OTHER_FORMATS):
        return
    if response.status_code == 200:
        raise SynthesisError(f"the speech server sends {kind}; expected PCM, as `response_format` asks")
    content = b""
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) >= MAX_ERROR_BYTES:
            break
    try:
        reason = error_message(json.loads(content))
    except ValueError:
        reason = content[:MAX_ERROR_BYTES].decode(errors="replace")
    raise SynthesisError(f"the speech server answers {response.status_code}: {reason}")
