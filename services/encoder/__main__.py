"""`python -m services.encoder`: the encoder on gRPC :50051 and HTTP :8001, until SIGTERM."""

import asyncio
import logging
import sys

from services.encoder.server import serve
from services.encoder.settings import EncoderSettings
from services.runtime.lifecycle import stop_signal
from services.runtime.logging import configure
from services.runtime.settings import SettingsError
from textpro.errors import TextProError

log = logging.getLogger("services.encoder")


async def _run(settings: EncoderSettings) -> None:
    async with stop_signal() as stop:
        await serve(settings, stop=stop)


def main() -> int:
    """0 after a clean stop, 1 when the model or a port can't be had, 2 for a setting that is wrong."""
    try:
        settings = EncoderSettings.load()
    except SettingsError as error:
        print(f"encoder: {error}", file=sys.stderr)
        return 2
    configure("encoder", level=settings.log_level, format=settings.log_format)
    status = 0
    try:
        asyncio.run(_run(settings))
    except* (TextProError, OSError) as group:
        for error in group.exceptions:
            log.error("can't serve: %s", error)
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
