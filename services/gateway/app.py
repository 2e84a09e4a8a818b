"""The gateway's application: what it is made of, and how long each part lives."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from fastapi import FastAPI
from redis.asyncio import Redis

from services.gateway.admission import Doorkeeper
from services.gateway.api import chat_router
from services.gateway.calls import Calls
from services.gateway.chat import Parts
from services.gateway.encoder_client import Encoder, GrpcEncoder
from services.gateway.espeak_voice import EspeakVoice
from services.gateway.hearing import Hearing
from services.gateway.http_voice import STANDARD_VOICE, HttpVoice
from services.gateway.journal import RedisJournal
from services.gateway.limits import Seats
from services.gateway.live_api import live_router
from services.gateway.llm_client import HttpLlm, Llm
from services.gateway.openai_api import openai_router
from services.gateway.page_api import install_page
from services.gateway.pressure import Pressure
from services.gateway.redis_client import connect
from services.gateway.redis_store import RedisStore
from services.gateway.settings import GatewaySettings
from services.gateway.silero import VoiceModel
from services.gateway.store import MemoryStore, Store, StoreLimits
from services.gateway.transcription_api import transcription_router
from services.gateway.vad import VoiceBatcher
from services.gateway.voice import Voice
from services.runtime.http import BodyLimit, RequestId, install_errors
from services.runtime.lifecycle import Readiness
from services.runtime.metrics import Metrics
from services.runtime.operations import operations
from textpro import __version__
from textpro.errors import TextProError

log = logging.getLogger(__name__)
FORM_OVERHEAD_BYTES = 64 * 1024  # a multipart body's boundaries and fields, beside the audio
LEASE_MARGIN_S = 30.0
JOURNAL_MARGIN_S = 60.0  # so often, at least, what a call's journal has is made new
SPARE_CONNECTIONS = 16  # for probes, and for sessions that are shown or deleted

Check = Callable[[], Awaitable[str | None]]  # gives what the operator should know, if anything
Part = TypeVar("Part", bound=Encoder | Llm | Voice)


def create_app(
    settings: GatewaySettings,
    *,
    encoder: Encoder | None = None,
    llm: Llm | None = None,
    store: Store | None = None,
    voice: Voice | None = None,
) -> FastAPI:
    """The application. What is not given is opened, by the settings, when it starts, and closed when it ends."""
    readiness, metrics = Readiness("encoder", "llm", "store"), Metrics("gateway")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            redis = await opened.enter_async_context(_redis(settings))
            parts = Parts(
                settings=settings,
                encoder=encoder or _closed_by(opened, GrpcEncoder(settings.encoder_url)),
                llm=llm or _closed_by(opened, _llm(settings)),
                store=store or _store(redis, settings),
                hearing=Hearing(
                    threads=settings.decode_threads,
                    max_seconds=settings.max_seconds,
                    max_decoded_bytes=settings.max_decoded_bytes,
                ),
                metrics=metrics,
                pressure=Pressure(settings.max_eager),
                voice=voice or _voice(opened, settings),
            )
            opened.callback(parts.hearing.close)
            journal = _journal(redis, settings)
            app.state.parts, app.state.vad = parts, VoiceBatcher(VoiceModel())
            async with _probed(parts, readiness), Calls(settings, journal).open() as app.state.calls:
                yield

    app = FastAPI(
        title="TextPro",
        description="A voice assistant that hears how something is said, not only what.",
        version=__version__,
        lifespan=lifespan,
    )
    app.state.readiness = readiness
    install_errors(app)
    app.add_middleware(
        BodyLimit, max_bytes=settings.max_bytes, setting="TEXTPRO_MAX_BYTES", overhead=FORM_OVERHEAD_BYTES
    )
    app.add_middleware(RequestId)
    turns = Seats(settings.max_turns, what="turns are being answered", setting="TEXTPRO_MAX_TURNS")
    calls = Seats(settings.max_live, what="live conversations are held", setting="TEXTPRO_MAX_LIVE")
    door = Doorkeeper(turns, readiness)
    app.include_router(chat_router(door))
    app.include_router(openai_router(door))
    app.include_router(transcription_router(door))
    app.include_router(live_router(calls, readiness))
    app.include_router(operations(readiness, metrics, lambda: {"service": "gateway", "settings": settings.public()}))
    install_page(app)
    return app


def _llm(settings: GatewaySettings) -> Llm:
    return HttpLlm(settings.llm_url, settings.model, max_connections=_most_at_once(settings))


@asynccontextmanager
async def _redis(settings: GatewaySettings) -> AsyncIterator[Redis | None]:
    """The Redis of all gateways; None where each is on its own."""
    if settings.redis_url is None:
        yield None
        return
    async with connect(settings.redis_url.get_secret_value(), max_connections=_most_at_once(settings)) as redis:
        yield redis


def _most_at_once(settings: GatewaySettings) -> int:
    """Connections to one service: for every turn, every live conversation and the probes."""
    return settings.max_turns + settings.max_live + SPARE_CONNECTIONS


def _journal(redis: Redis | None, settings: GatewaySettings) -> RedisJournal | None:
    ttl_s = settings.resume_s + JOURNAL_MARGIN_S
    return RedisJournal(redis, ttl_s=ttl_s, max_messages=settings.max_outbox) if redis is not None else None


def _store(redis: Redis | None, settings: GatewaySettings) -> Store:
    limits = StoreLimits(
        ttl_s=settings.session_ttl_s,
        max_sessions=settings.max_sessions,
        max_turns=settings.max_session_turns,
        lease_s=settings.turn_timeout_s + LEASE_MARGIN_S,
    )
    return MemoryStore(limits) if redis is None else RedisStore(redis, limits)


def _voice(opened: AsyncExitStack, settings: GatewaySettings) -> Voice | None:
    """Raises SynthesisError where espeak-ng is wanted and is not there."""
    if settings.speech == "espeak-ng":
        return _closed_by(opened, EspeakVoice(settings.speech_voice))
    if settings.speech_url is None or settings.speech == "off":
        return None
    http = HttpVoice(
        settings.speech_url,
        model=settings.speech_model,
        voice=settings.speech_voice or STANDARD_VOICE,
        key=settings.speech_key.get_secret_value() if settings.speech_key else None,
        timeout_s=settings.speech_timeout_s,
        max_connections=settings.max_live,
    )
    return _closed_by(opened, http)


def _closed_by(opened: AsyncExitStack, part: Part) -> Part:
    opened.push_async_callback(part.close)
    return part


@asynccontextmanager
async def _probed(parts: Parts, readiness: Readiness) -> AsyncIterator[None]:
    """While the block runs, readiness follows what the parts say of themselves."""

    async def check_store() -> None:
        parts.metrics.sessions(await parts.store.count())

    async def check_llm() -> str | None:
        await parts.llm.check()
        ours, theirs = parts.encoder.fingerprint, (await parts.llm.profile()).fingerprint
        if ours in ("", theirs) or not theirs:
            return None
        return f"its bundle is {theirs}, and the encoder's {ours}: serve both from one, or the LLM mishears the tone"

    checks: dict[str, Check] = {"encoder": parts.encoder.check, "llm": check_llm, "store": check_store}
    async with asyncio.TaskGroup() as tasks:
        probes = [
            tasks.create_task(_probe(name, check, readiness, parts.settings.probe_s), name=f"probe {name}")
            for name, check in checks.items()
        ]
        yield
        for probe in probes:
            probe.cancel()


async def _probe(name: str, check: Check, readiness: Readiness, every_s: float) -> None:
    """Keeps /readyz true to what this dependency says, for as long as the process lives."""
    was_ready, remarked = False, None
    while True:
        try:
            remark = await check()
        except TextProError as error:
            readiness.not_ready(name, str(error))
            if was_ready:
                log.warning("%s is lost: %s", name, error)
            was_ready = False
        else:
            readiness.ready(name, remark)
            if remark not in (None, remarked):
                log.warning("%s: %s", name, remark)
            remarked = remark
            if not was_ready:
                log.info("%s answers", name)
            was_ready = True
        await asyncio.sleep(every_s)
