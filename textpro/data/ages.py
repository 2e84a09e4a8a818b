"""How old a synthetic voice sounds. espeak-ng has one child and two old people, too few to tell an age from a speaker,
so age is put on any voice, by the two things in a voice that tell it most: a child's vocal tract is short, which raises
pitch and formants alike, and an old voice trembles."""

from dataclasses import dataclass, replace
from random import Random

import numpy as np
import soxr

from textpro.data.speech_engines import SAMPLE_RATE
from textpro.data.voices import CHILD, ELDERLY, Delivery

SHORTENING = (1.18, 1.4)
TREMOR = (0.02, 0.045)
TREMOR_HZ = (4.0, 7.0)
SHAKE_OF_TREMOR = 6.0
"""Depth of the tremor in loudness against that in pitch."""


@dataclass(frozen=True)
class Age:
    """shortening: pitch and formants rise by this factor. tremor: the depth of a tremor in pitch, at `tremor_hz`."""

    name: str
    shortening: float = 1.0
    tremor: float = 0.0
    tremor_hz: float = 0.0

    @classmethod
    def draw(cls, name: str, rng: Random) -> "Age":
        """One of `voices.AGES` as some voice has it."""
        if name == CHILD:
            return cls(name, shortening=rng.uniform(*SHORTENING))
        if name == ELDERLY:
            return cls(name, tremor=rng.uniform(*TREMOR), tremor_hz=rng.uniform(*TREMOR_HZ))
        return cls(name)

    def slowed(self, delivery: Delivery) -> Delivery:
        """What the engine must speak, so that the clip has the delivery's rate and breaks once it is shortened."""
        rate_wpm, break_ms = delivery.rate_wpm / self.shortening, delivery.break_ms * self.shortening
        return replace(delivery, rate_wpm=round(rate_wpm), break_ms=round(break_ms))

    def put_on(self, samples: np.ndarray) -> np.ndarray:
        """The voice at this age: int16 (T,) at 16 kHz -> (T / shortening,)."""
        if self.shortening != 1:
            samples = soxr.resample(samples, SAMPLE_RATE * self.shortening, SAMPLE_RATE, quality="MQ")
        if not self.tremor:
            return samples
        t = np.arange(len(samples)) / SAMPLE_RATE
        turn = 2 * np.pi * self.tremor_hz
        # Read a little early and a little late in turn: the pitch swings by the derivative, which is the depth.
        swung = np.interp(t + self.tremor / turn * np.sin(turn * t), t, samples)
        shaken = swung * (1 - SHAKE_OF_TREMOR * self.tremor * (1 - np.cos(turn * t)) / 2)
        return shaken.astype(np.int16)
