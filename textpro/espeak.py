"""espeak-ng as a library in this process, about 4 ms a sentence. It needs nothing but ctypes, so anybody may use it."""

import ctypes
import functools
import threading

from textpro.errors import SynthesisError

LIBRARY = "libespeak-ng.so.1"
INSTALL = "install it with: apt-get install espeak-ng"


class Espeak:
    """The library. Its state is global to the process: there is one of these (`espeak`), and callers take turns."""

    _SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: samples go to the callback before espeak_Synth returns
    _DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data, do not end the process
    _CHARS_UTF8, _SSML, _END_PAUSE = 1, 0x10, 0x1000
    _RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4

    def __init__(self, library: str) -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise SynthesisError(f"the espeak-ng library is missing ({error}); {INSTALL}") from error
        self.rate = self._library.espeak_Initialize(self._SYNCHRONOUS, 0, None, self._DONT_EXIT)
        if self.rate <= 0:
            raise SynthesisError(f"espeak-ng does not start: its data files are missing; {INSTALL}")
        self._turn = threading.Lock()
        self._pieces: list[bytes] = []
        callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self._callback = callback_type(self._collect)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def say(
        self,
        text: str,
        voice: str,
        *,
        rate_wpm: int = 175,
        pitch: int = 50,
        range: int = 50,
        volume: int = 100,
        ssml: bool = False,
        end_pause: bool = False,
    ) -> bytes:
        """PCM16 in the machine's byte order, mono, at `rate`; empty when there is nothing to say. pitch, range: 0 to
        99, 50 is the voice's own. volume: percent. end_pause: with the pause that follows a sentence.

        Raises SynthesisError for a voice it does not know. Two calls differ in the breath noise of some variants,
        which has no seed.
        """
        with self._turn:
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise SynthesisError(f"espeak-ng has no voice {voice!r}; {INSTALL} (1.51 or newer)")
            settings = {self._RATE: rate_wpm, self._VOLUME: volume, self._PITCH: pitch, self._RANGE: range}
            for parameter, value in settings.items():
                self._library.espeak_SetParameter(parameter, value, 0)
            self._pieces.clear()
            data = text.encode()
            flags = self._CHARS_UTF8 | (self._SSML if ssml else 0) | (self._END_PAUSE if end_pause else 0)
            size = ctypes.c_size_t(len(data) + 1)
            if self._library.espeak_Synth(data, size, 0, 0, 0, flags, None, None) != 0:
                raise SynthesisError(f"espeak-ng failed on {text!r}")
            return b"".join(self._pieces)

    def _collect(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._pieces.append(ctypes.string_at(samples, count * 2))
        return 0


def espeak(library: str = LIBRARY) -> Espeak:
    """This process's espeak-ng. Raises SynthesisError where it is not installed."""
    return _only(library)


@functools.cache
def _only(library: str) -> Espeak:
    return Espeak(library)
