"""A client's sound on its way into a live session."""

import asyncio

from services.gateway.formats import HEARD, Converter, Format
from services.gateway.live import LiveSession

SLICE_BYTES = 16_000  # half a second at 16 kHz: then others have their turn


class Ear:
    """One stream of sound. n_bytes: how many came so far, as the client sent them."""

    def __init__(self, live: LiveSession, form: Format, n_bytes: int = 0) -> None:
        self._live, self.n_bytes = live, n_bytes
        self._unbroken = 0  # bytes heard since others had their turn
        self.change(form)

    def change(self, form: Format) -> None:
        """What comes next has another format, or has nothing to do with what came before."""
        self._form, self._converter = form, Converter(form, HEARD)

    async def hear(self, data: bytes) -> None:
        """Sound goes on. Neither a long piece nor many short ones at once keep other sessions waiting."""
        for start in range(0, len(data), SLICE_BYTES):
            piece = data[start : start + SLICE_BYTES]
            self.n_bytes += len(piece)
            await self._live.hear(self._converter.convert(piece))
            self._unbroken += len(piece)
            if self._unbroken >= SLICE_BYTES:
                self._unbroken = 0
                await asyncio.sleep(0)

    async def flush(self) -> None:
        """What the filter holds back is heard now."""
        await self._live.hear(self._converter.flush())
        self.change(self._form)

    def bytes_before(self, position: int) -> int:
        """How many of its bytes came before a position of the session's sound, in whole samples."""
        seconds = (self._live.n_samples - position) / HEARD.rate
        after = round(seconds * self._form.rate) * self._form.bytes_per_second // self._form.rate
        return max(0, self.n_bytes - after)
