"""What speaks a corpus: espeak-ng as a library in this process, flite as a command; Kokoro has its own file."""

import functools
import io
import subprocess
import wave
from collections.abc import Callable
from typing import Protocol

import numpy as np
import soxr

from textpro.data.ssml import with_breaks
from textpro.data.voices import Delivery, Voice
from textpro.errors import SynthesisError
from textpro.espeak import LIBRARY, espeak

SAMPLE_RATE = 16_000
FLITE_TIMEOUT_S = 60
INSTALL = "install it with: apt-get install espeak-ng flite"


class Synthesizer(Protocol):
    """Turns a sentence into speech."""

    def speak(self, text: str, voice: Voice, delivery: Delivery) -> np.ndarray:
        """Return the speech as int16 samples (T,) at 16 kHz; empty when there is nothing to say.

        Raises `SynthesisError` when the engine does not know the voice or fails.
        """
        ...


class EspeakNg:
    """espeak-ng, about 4 ms a sentence."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._espeak = espeak(library)

    def speak(self, text: str, voice: Voice, delivery: Delivery) -> np.ndarray:
        """See `Synthesizer.speak`. Two calls differ in the breath noise of some variants, which has no seed.

        At a break the word before it is drawn out too, as at the end of a phrase: by about 60 ms at 200 words a
        minute and 110 ms at 140.
        """
        breaks = delivery.break_ms > 0
        pcm16 = self._espeak.say(
            with_breaks(text, delivery) if breaks else text,
            voice.name,
            rate_wpm=delivery.rate_wpm,
            pitch=delivery.pitch,
            range=delivery.range,
            volume=delivery.volume,
            ssml=breaks,
        )
        return soxr.resample(np.frombuffer(pcm16, dtype="<i2"), self._espeak.rate, SAMPLE_RATE, quality="MQ")


class Flite:
    """flite by its command line, about 40 ms a sentence."""

    _NATURAL_WPM = 175

    def __init__(self, program: str = "flite") -> None:
        self._program = program

    def speak(self, text: str, voice: Voice, delivery: Delivery) -> np.ndarray:
        """See `Synthesizer.speak`. `delivery.range` and breaks have no effect."""
        settings = [f"duration_stretch={self._NATURAL_WPM / delivery.rate_wpm:.3f}"]
        if voice.name in NATURAL_F0_HZ:
            settings.append(f"int_f0_target_mean={_f0_hz(voice, delivery):.1f}")
        command = [self._program, "-voice", voice.name]
        for setting in settings:
            command += ["--setf", setting]
        command += ["-t", text, "-o", "/dev/stdout"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=FLITE_TIMEOUT_S, check=True)
        except FileNotFoundError as error:
            raise SynthesisError(f"the program {self._program!r} is missing; {INSTALL}") from error
        except subprocess.SubprocessError as error:
            raise SynthesisError(f"flite failed on {text!r} in voice {voice.name!r}: {error}") from error
        samples = _read_wav(done.stdout)
        return np.clip(samples * (delivery.volume / 100), -32768, 32767).astype(np.int16)


# The voices that obey a pitch target, with their mean f0; rms ignores it.
NATURAL_F0_HZ = {"kal16": 95.0, "awb": 130.0, "slt": 170.0}


def engine_pitch(voice: Voice, delivery: Delivery) -> str:
    """Return the pitch bin that is heard: that of the delivery, or `middle` where the voice cannot follow it."""
    follows = voice.engine == "espeak-ng" or voice.name in NATURAL_F0_HZ
    return delivery.pitch_bin() if follows else "middle"


@functools.cache
def engine(name: str) -> Synthesizer:
    """Return this process's engine of that name (a key of `ENGINES`). Raises `SynthesisError` if it is missing."""
    if name not in ENGINES:
        raise SynthesisError(f"no engine {name!r}; there are {', '.join(ENGINES)}")
    return ENGINES[name]()


def _f0_hz(voice: Voice, delivery: Delivery) -> float:
    # One octave over the whole range of pitch, about what espeak-ng does.
    return NATURAL_F0_HZ[voice.name] * 2 ** ((delivery.pitch - 50) / 100)


def _read_wav(data: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(data)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE, quality="MQ")


def _kokoro() -> Synthesizer:
    from textpro.data.kokoro import Kokoro  # which needs this module

    return Kokoro()


ENGINES: dict[str, Callable[[], Synthesizer]] = {"espeak-ng": EspeakNg, "flite": Flite, "kokoro": _kokoro}
