"""A client's sound on its way into a live session."""

import asyncio

from services.gateway.formats import HEARD, Converter, Format
from services.gateway.live import LiveSession

SLICE_BYTES = 16_000  # half a second at 16 kHz: then others have their turn


class Ear:
    """One stream of sound in one format."""

    def __init__(self, live: LiveSession, form: Format) -> None:
        self._live, self._form = live, form
        self._converter = Converter(form, HEARD)

    async def hear(self, data: bytes) -> None:
        """Sound goes on. A long piece does not keep other sessions waiting."""
        for start in range(0, len(data), SLICE_BYTES):
            self._live.hear(self._converter.convert(data[start : start + SLICE_BYTES]))
            await asyncio.sleep(0)

    def flush(self) -> None:
        """What the filter holds back is heard now; what comes next has nothing to do with it."""
        self._live.hear(self._converter.flush())
        self._converter = Converter(self._form, HEARD)
