"""Encoding one utterance: what both doors (gRPC and HTTP) call. Audio in; text, prosody and stage times out.

Letters: S samples at 16 kHz, N text tokens, W width of a prosody row.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from services.contracts.errors import BadRequest, Unavailable
from services.encoder.engine import Engine
from services.encoder.settings import EncoderSettings
from services.encoder.worker import Worker
from services.runtime.lifecycle import Readiness
from services.runtime.metrics import Metrics
from textpro.audio import SAMPLE_RATE
from textpro.errors import AudioError, AudioTooLong

if TYPE_CHECKING:
    from textpro.decoding import Decoded, DecodedToken

FLOAT16_MAX = float(np.finfo(np.float16).max)


class ProsodyKind(StrEnum):
    """NONE, one POOLED row (the mean over all tokens), or a row for each of the TOKENS."""

    NONE = "none"
    POOLED = "pooled"
    TOKENS = "tokens"


@dataclass(frozen=True)
class Encoded:
    """What was said and how. prosody: (1, W) or (N, W) float16, None when not asked for or nothing was said.

    `timing_ms` has the wait in the queue, then the stages of the batch this utterance ran in.
    """

    text: str
    language: str
    tokens: "list[DecodedToken]"
    no_speech_probability: float
    no_speech_reason: str | None
    prosody: np.ndarray | None
    timing_ms: dict[str, float]
    audio_seconds: float
    fingerprint: str


class EncoderService:
    """Checks a request, queues it, shapes and counts its result."""

    def __init__(self, settings: EncoderSettings, worker: Worker, readiness: Readiness, metrics: Metrics) -> None:
        self.settings = settings
        self.readiness = readiness
        self.metrics = metrics
        self._worker = worker
        self._engine: Engine | None = None
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def opened(self, engine: Engine) -> None:
        """The model is loaded and warm: requests are taken from now on."""
        self._engine = engine
        self.readiness.ready("model")

    @contextmanager
    def admitted(self, door: str) -> Iterator[None]:
        """Counts a request for as long as the block runs. Raises Unavailable when none may be taken now."""
        with self.metrics.serving(door):
            self.readiness.require()
            self._in_flight += 1
            self._idle.clear()
            try:
                yield
            finally:
                self._in_flight -= 1
                if not self._in_flight:
                    self._idle.set()

    async def drained(self, within_s: float) -> bool:
        """Waits until no request is in flight; False when `within_s` was not enough."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def encode(
        self,
        audio: np.ndarray,
        *,
        prosody: ProsodyKind = ProsodyKind.POOLED,
        language: str = "",
        partial: bool = False,
        timeout_s: float | None = None,
    ) -> Encoded:
        """audio: (S,) float32 -> Encoded, within `timeout_s` or the settings' own time, whichever is shorter.

        Raises AudioError and AudioTooLong for audio that can't be used, BadRequest for a language that is none,
        Overloaded, DeadlineExceeded and Unavailable.
        """
        if self._engine is None:
            raise Unavailable("not ready: the model is loading", retry_after_s=2)
        seconds = self._check(audio, language)
        limit_s = self.settings.timeout_s if timeout_s is None else min(timeout_s, self.settings.timeout_s)
        decoded, queue_ms = await self._worker.encode(
            audio,
            group=self._engine.length_class(len(audio)),
            language=language or None,
            deadline_s=asyncio.get_running_loop().time() + limit_s,
            partial=partial,
        )
        timing_ms = {"queue": queue_ms, **decoded.timing_ms}
        self._count(seconds, timing_ms, decoded)
        return Encoded(
            text=decoded.text,
            language=decoded.language,
            tokens=decoded.tokens,
            no_speech_probability=decoded.no_speech_probability,
            no_speech_reason=decoded.no_speech_reason,
            prosody=_shaped(decoded.prosody, prosody),
            timing_ms=timing_ms,
            audio_seconds=seconds,
            fingerprint=self._engine.fingerprint,
        )

    def config(self) -> dict[str, Any]:
        """The settings in force and the bundle they led to."""
        engine = self._engine
        bundle = {"fingerprint": engine.fingerprint, "width": engine.width} if engine else None
        return {"service": "encoder", "settings": self.settings.public(), "bundle": bundle}

    def _check(self, audio: np.ndarray, language: str) -> float:
        seconds = len(audio) / SAMPLE_RATE
        limit = self.settings.max_seconds
        if not len(audio):
            raise AudioError("the audio is empty; expected mono PCM at 16 kHz")
        if seconds > limit:
            raise AudioTooLong(
                f"audio is {seconds:.1f} s long; at most {limit:g} s are accepted (TEXTPRO_ENCODER_MAX_SECONDS)"
            )
        if language and not (language.isascii() and language.isalpha() and language.islower() and len(language) <= 3):
            raise BadRequest(
                f"language is {language[:16]!r}; expected an ISO 639-1 code such as 'en'", param="language"
            )
        return seconds

    def _count(self, seconds: float, timing_ms: dict[str, float], decoded: "Decoded") -> None:
        self.metrics.audio(seconds)
        self.metrics.stages(timing_ms)
        if decoded.no_speech_reason:
            self.metrics.no_speech(decoded.no_speech_reason)


def _shaped(prosody: np.ndarray, kind: ProsodyKind) -> np.ndarray | None:
    if kind is ProsodyKind.NONE or not len(prosody):
        return None
    rows = prosody.mean(axis=0, keepdims=True) if kind is ProsodyKind.POOLED else prosody
    # Large models' raw states hold a few very large values; an infinity would be refused by the LLM service.
    return np.clip(rows, -FLOAT16_MAX, FLOAT16_MAX).astype("<f2")
