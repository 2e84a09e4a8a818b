"""The HTTP door: POST /v1/encode takes any container PyAV reads, so that one `curl` shows what the encoder hears."""

import asyncio
import base64
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated

import numpy as np
from fastapi import FastAPI, Query, Request
from pydantic import BaseModel

from services.contracts.errors import Overloaded
from services.encoder.service import Encoded, EncoderService, ProsodyKind
from services.runtime.http import BodyLimit, RequestId, install_errors, while_connected
from services.runtime.operations import operations
from textpro.audio import decode

DECODING_THREADS = 2


class TokenBody(BaseModel):
    """A text token with its natural-log probability."""

    id: int
    text: str
    log_probability: float


class ArrayBody(BaseModel):
    """float16, little endian, row-major, in base64."""

    data: str
    shape: list[int]


class EncodedBody(BaseModel):
    """The same as EncodeResponse of encoder.proto."""

    text: str
    language: str
    tokens: list[TokenBody]
    no_speech_probability: float
    no_speech_reason: str | None
    prosody: ArrayBody | None
    timing_ms: dict[str, float]
    audio_seconds: float
    fingerprint: str


class _Ears:
    """Decodes containers off the event loop, a bounded number at a time."""

    def __init__(self, service: EncoderService) -> None:
        self._settings = service.settings
        self._waiting = 0
        self._threads = ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="audio")

    async def samples(self, request: Request) -> np.ndarray:
        """(S,) float32 from the request's body, which is read only when there is a place for it. Raises Overloaded."""
        if self._waiting >= self._settings.queue:
            raise Overloaded("too many uploads are being read", retry_after_s=1)
        self._waiting += 1
        try:
            data = await request.body()
            work = partial(decode, data, max_seconds=self._settings.max_seconds)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def http_app(service: EncoderService) -> FastAPI:
    """The encoder's HTTP application."""
    app = FastAPI(title="TextPro encoder", description="Speech in; transcript and prosody out.", version="1")
    install_errors(app)
    app.add_middleware(BodyLimit, max_bytes=service.settings.max_bytes, setting="TEXTPRO_ENCODER_MAX_BYTES")
    app.add_middleware(RequestId)
    app.include_router(operations(service.readiness, service.metrics, service.config))
    ears = _Ears(service)
    audio_body = {
        "requestBody": {"required": True, "content": {"audio/*": {"schema": {"type": "string", "format": "binary"}}}}
    }

    @app.post("/v1/encode", summary="Encode one utterance", tags=["encoder"], openapi_extra=audio_body)
    async def encode(
        request: Request,
        prosody: Annotated[
            ProsodyKind, Query(description="Rows wanted: none, one pooled, or one a token")
        ] = ProsodyKind.POOLED,
        language: Annotated[str, Query(max_length=16, description="ISO 639-1; empty: found out")] = "",
        is_partial: Annotated[bool, Query(alias="partial", description="Gives way in a full queue")] = False,
        timeout_ms: Annotated[float | None, Query(gt=0, description="Longest wait in the queue")] = None,
    ) -> EncodedBody:
        with service.admitted("http"):
            started_s = time.perf_counter()
            audio = await ears.samples(request)
            audio_ms = (time.perf_counter() - started_s) * 1000
            work = service.encode(
                audio,
                prosody=prosody,
                language=language,
                partial=is_partial,
                timeout_s=None if timeout_ms is None else timeout_ms / 1000,
            )
            return _body(await while_connected(request, work), audio_ms)

    return app


def _body(encoded: Encoded, audio_ms: float) -> EncodedBody:
    rows = encoded.prosody
    return EncodedBody(
        text=encoded.text,
        language=encoded.language,
        tokens=[
            TokenBody(id=token.id, text=token.text, log_probability=token.log_probability) for token in encoded.tokens
        ],
        no_speech_probability=encoded.no_speech_probability,
        no_speech_reason=encoded.no_speech_reason,
        prosody=None
        if rows is None
        else ArrayBody(data=base64.b64encode(rows.tobytes()).decode(), shape=list(rows.shape)),
        timing_ms={"audio": audio_ms, **encoded.timing_ms},
        audio_seconds=encoded.audio_seconds,
        fingerprint=encoded.fingerprint,
    )
