"""From an upload to what the encoder takes: decoding off the event loop, a bounded number at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from textpro.audio import decode, pcm16_of
from textpro.errors import AudioTooLong

T = TypeVar("T")


@dataclass(frozen=True)
class Longest:
    """How long a recording may be, and the setting that says so."""

    seconds: float
    setting: str


class Hearing:
    """Threads that decode uploads. Who waits for one holds a seat already, so the wait is bounded too."""

    def __init__(self, *, threads: int, max_seconds: float, max_decoded_bytes: int) -> None:
        self._of_a_turn = Longest(max_seconds, "TEXTPRO_MAX_SECONDS")
        self._max_decoded_bytes = max_decoded_bytes
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hearing")

    async def pcm16(self, data: bytes, longest: Longest | None = None) -> bytes:
        """A file's bytes -> PCM16, little endian, mono, 16 kHz; longest: a turn's when None.

        Raises AudioError, AudioTooLong.
        """
        return await self.run(partial(self._pcm16, data, longest or self._of_a_turn))

    async def run(self, work: Callable[[], T]) -> T:
        """Other work on sound, in one of these threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _pcm16(self, data: bytes, longest: Longest) -> bytes:
        try:
            audio = decode(data, max_seconds=longest.seconds, max_decoded_bytes=self._max_decoded_bytes)
        except AudioTooLong as error:
            raise AudioTooLong(f"{error} ({longest.setting}, TEXTPRO_MAX_DECODED_BYTES)") from error
        return pcm16_of(audio)
