"""From an upload to what the encoder takes: decoding off the event loop, a bounded number at a time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from textpro.audio import decode, pcm16_of
from textpro.errors import AudioTooLong


class Hearing:
    """Threads that decode uploads. Who waits for one holds a seat already, so the wait is bounded too."""

    def __init__(self, *, threads: int, max_seconds: float, max_decoded_bytes: int) -> None:
        self._decode = partial(decode, max_seconds=max_seconds, max_decoded_bytes=max_decoded_bytes)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hearing")

    async def pcm16(self, data: bytes) -> bytes:
        """A file's bytes -> PCM16, little endian, mono, 16 kHz. Raises AudioError, AudioTooLong."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._pcm16, data)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _pcm16(self, data: bytes) -> bytes:
        try:
            audio = self._decode(data)
        except AudioTooLong as error:
            raise AudioTooLong(f"{error} (TEXTPRO_MAX_SECONDS, TEXTPRO_MAX_DECODED_BYTES)") from error
        return pcm16_of(audio)
