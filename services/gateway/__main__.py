"""`python -m services.gateway`: the gateway on :8000, until SIGTERM."""

import gc
import logging
import sys

import uvloop
from threadpoolctl import threadpool_limits

from services.gateway.app import create_app
from services.gateway.espeak_voice import EspeakVoice
from services.gateway.settings import GatewaySettings
from services.runtime.http import serving
from services.runtime.lifecycle import stop_signal
from services.runtime.logging import configure
from services.runtime.settings import SettingsError
from textpro.errors import SynthesisError

log = logging.getLogger("services.gateway")


async def _run(settings: GatewaySettings) -> None:
    app = create_app(settings)
    served = serving(
        app,
        settings.host,
        settings.port,
        drain_s=settings.drain_s,
        max_message_bytes=settings.max_message_bytes,
    )
    async with stop_signal() as stop, served as port:
        gc.collect()
        gc.freeze()  # what is there by now stays; full collections come soon, and are short, when they leave it out
        log.info("listening", extra={"http": port})
        await stop.wait()
        app.state.readiness.drain()
        log.info("stopping")


def main() -> int:
    """0 after a clean stop, 1 when the port or the voice can't be had, 2 for a setting that is wrong."""
    try:
        settings = GatewaySettings.load()
    except SettingsError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    threadpool_limits(1, "blas")  # one event loop, one core: the voice model's products are small
    configure("gateway", level=settings.log_level, format=settings.log_format)
    try:
        if settings.speech == "espeak-ng":
            EspeakVoice.check(settings.speech_voice)
        uvloop.run(_run(settings))
    except OSError as error:
        log.error("can't serve: %s", error)
        return 1
    except SynthesisError as error:
        log.error("can't speak (TEXTPRO_SPEECH): %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
