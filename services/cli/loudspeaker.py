"""Where `textpro listen` puts the answers' sound: a loudspeaker of this machine, or a file."""

import threading
import wave
from pathlib import Path
from typing import Any, Protocol

from services.cli.sources import BYTES_PER_SAMPLE, SoundCardError, sounddevice
from textpro.errors import AudioError

RATE = 24_000
DRAIN_S = 60.0  # the longest wait for what was not played yet


class Loudspeaker(Protocol):
    """PCM16, mono, at RATE."""

    def play(self, pcm16: bytes) -> None:
        """Behind what came before."""
        ...

    def clear(self) -> None:
        """What was not played is not played any more."""
        ...

    def close(self) -> None:
        """Once all was played."""
        ...


class SoundFile:
    """A WAV file with all sound that was sent, also what nobody would have heard. Raises AudioError."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = wave.open(str(path), "wb")  # noqa: SIM115 - `close` closes it
        except OSError as error:
            raise AudioError(f"{path} can't be written: {error.strerror}") from error
        self._file.setnchannels(1)
        self._file.setsampwidth(BYTES_PER_SAMPLE)
        self._file.setframerate(RATE)

    def play(self, pcm16: bytes) -> None:
        self._file.writeframes(pcm16)

    def clear(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()


class SoundCard:
    """The machine's usual loudspeaker. Raises SoundCardError."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._changed = threading.Condition()
        card = sounddevice()
        try:
            self._stream = card.RawOutputStream(samplerate=RATE, channels=1, dtype="int16", callback=self._fill)
            self._stream.start()
        except card.PortAudioError as error:
            raise SoundCardError(f"the loudspeaker can't be opened: {error}") from error

    def play(self, pcm16: bytes) -> None:
        with self._changed:
            self._waiting += pcm16

    def clear(self) -> None:
        with self._changed:
            self._waiting.clear()

    def close(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, DRAIN_S)
        self._stream.stop()
        self._stream.close()

    def _fill(self, out: Any, *_: object) -> None:
        """Called by a thread of the card's."""
        with self._changed:
            sound = bytes(self._waiting[: len(out)])
            del self._waiting[: len(out)]
            self._changed.notify()
        out[:] = sound + bytes(len(out) - len(sound))
