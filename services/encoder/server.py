"""The encoder's life: open both doors, load the model on its thread, serve, drain."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from services.encoder.engine import EngineLoader, load
from services.encoder.grpc_server import GrpcDoor, grpc_door
from services.encoder.http_app import http_app
from services.encoder.service import EncoderService
from services.encoder.settings import EncoderSettings
from services.encoder.worker import Worker
from services.runtime.http import serving
from services.runtime.lifecycle import Readiness
from services.runtime.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ports:
    """Where the doors are, once open."""

    http: int
    grpc: int


async def serve(
    settings: EncoderSettings,
    *,
    stop: asyncio.Event,
    load_engine: EngineLoader = load,
    opened: Callable[[Ports], None] = lambda _: None,
) -> None:
    """Serves until `stop` is set, then drains for `settings.drain_s`. `opened` hears the ports before the model loads.

    Raises an ExceptionGroup: the model's error when it can't be loaded, OSError when a port is taken.
    """
    metrics = Metrics("encoder")
    worker = Worker(settings.limits, metrics)
    service = EncoderService(settings, worker, Readiness("model"), metrics)
    try:
        async with asyncio.TaskGroup() as tasks:
            async with (
                serving(http_app(service), settings.host, settings.http_port, drain_s=1) as port,
                grpc_door(service) as door,
            ):
                log.info("listening", extra={"http": port, "grpc": door.port, "bundle": settings.bundle})
                opened(Ports(port, door.port))
                model = tasks.create_task(_model(service, worker, load_engine, door), name="model")
                await stop.wait()
                service.readiness.drain()
                await door.draining()
                drained = await service.drained(settings.drain_s)
                log.info("stopping", extra={"drained": drained})
            model.cancel()
    finally:
        worker.close()


async def _model(service: EncoderService, worker: Worker, load_engine: EngineLoader, door: GrpcDoor) -> None:
    engine = await worker.on_thread(lambda: load_engine(service.settings))
    service.opened(engine)
    if not service.readiness.draining:
        await door.serving()
    log.info("ready", extra={"fingerprint": engine.fingerprint, "width": engine.width})
    await worker.run(engine)
