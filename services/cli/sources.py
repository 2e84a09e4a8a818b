"""Where `textpro listen` gets its sound from: a recording, as if it were spoken now, or a microphone."""

import asyncio
import importlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Protocol

from textpro.audio import SAMPLE_RATE, decode, pcm16_of
from textpro.errors import AudioError, TextProError

FRAME_MS = 20
BYTES_PER_SAMPLE = 2
MAX_RECORDING_S = 3600.0
SILENCE_S = 1.5  # after a recording: longer than most pauses that end an utterance
RATES = (16_000, 48_000, 24_000, 8_000)  # that the gateway takes, the best first
MAX_WAITING = 250  # frames of a microphone: 5 s


class SoundCardError(TextProError):
    """There is no microphone, or no loudspeaker, that could be used."""


class Source(Protocol):
    """Sound in real time. name: for people. rate: samples a second."""

    name: str
    rate: int

    def frames(self) -> AsyncGenerator[bytes, None]:
        """PCM16 (little endian, mono), 20 ms at a time; ends where the sound does."""
        ...


class Recording:
    """A recording in any usual format, and a silence after it. Raises AudioError, AudioTooLong."""

    rate = SAMPLE_RATE

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise AudioError(f"{path} can't be read: {error.strerror}") from error
        self._pcm16 = pcm16_of(decode(data, max_seconds=MAX_RECORDING_S)) + bytes(
            BYTES_PER_SAMPLE * round(SILENCE_S * SAMPLE_RATE)
        )

    async def frames(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        begun_s, size = loop.time(), _frame_bytes(self.rate)
        for number, start in enumerate(range(0, len(self._pcm16), size)):
            await asyncio.sleep(begun_s + number * FRAME_MS / 1000 - loop.time())
            yield self._pcm16[start : start + size]


class Microphone:
    """A microphone of this machine, by its name or number; None: the usual one. Raises SoundCardError."""

    name = "the microphone"

    def __init__(self, device: str | None = None) -> None:
        self._sounddevice = sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        self.rate = self._usable_rate()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)

        def put(frame: bytes) -> None:
            if heard.full():
                heard.get_nowait()  # better the oldest is lost than what is said now
            heard.put_nowait(frame)

        def hear(data: Any, *_: object) -> None:
            """Called by a thread of the microphone's."""
            loop.call_soon_threadsafe(put, bytes(data))

        n_samples = _frame_bytes(self.rate) // BYTES_PER_SAMPLE
        try:
            with self._sounddevice.RawInputStream(**self._settings(self.rate), blocksize=n_samples, callback=hear):
                while True:
                    yield await heard.get()
        except self._sounddevice.PortAudioError as error:
            raise SoundCardError(f"the microphone can't be opened: {error}") from error

    def _usable_rate(self) -> int:
        reason: Exception | None = None
        for rate in RATES:
            try:
                self._sounddevice.check_input_settings(**self._settings(rate))
            except (self._sounddevice.PortAudioError, ValueError) as error:
                reason = reason or error
            else:
                return rate
        raise SoundCardError(f"no microphone can be used: {reason}; `textpro listen FILE` sends a recording")

    def _settings(self, rate: int) -> dict[str, Any]:
        return {"samplerate": rate, "channels": 1, "dtype": "int16", "device": self._device}


def _frame_bytes(rate: int) -> int:
    return BYTES_PER_SAMPLE * rate * FRAME_MS // 1000


def sounddevice() -> Any:
    """The package behind microphone and loudspeaker. Raises SoundCardError."""
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise SoundCardError(
            "microphone and loudspeaker need the package sounddevice: pip install 'textpro[listen]'; "
            "`textpro listen FILE` sends a recording without it"
        ) from error
    except OSError as error:  # sounddevice is there, the library that it calls is not
        raise SoundCardError(
            f"microphone and loudspeaker need PortAudio ({error}): apt-get install libportaudio2"
        ) from error
