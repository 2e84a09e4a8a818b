"""A quiet room around a voice: recordings of people begin and end with it, and have it all along."""

from dataclasses import dataclass
from random import Random
from typing import Self

import numpy as np

from textpro.audio import SAMPLE_RATE

QUIETEST_DBFS, LOUDEST_DBFS = -85.0, -55.0
FULL_SCALE = 32_768


@dataclass(frozen=True)
class Room:
    """Noise of `level_dbfs` under a clip, so many seconds of it alone before and after."""

    before_s: float
    after_s: float
    level_dbfs: float
    seed: int

    @classmethod
    def draw(cls, longest_s: float, rng: Random) -> Self:
        """Up to `longest_s` before, and as much after."""
        before_s, after_s = (round(rng.uniform(0, longest_s), 3) for _ in range(2))
        return cls(before_s, after_s, rng.uniform(QUIETEST_DBFS, LOUDEST_DBFS), rng.getrandbits(32))

    def around(self, samples: np.ndarray) -> np.ndarray:
        """int16 (T,) at 16 kHz -> int16 (T',)."""
        before, after = (round(seconds * SAMPLE_RATE) for seconds in (self.before_s, self.after_s))
        padded = np.pad(samples.astype(np.float32), (before, after))
        noise = np.random.default_rng(self.seed).standard_normal(len(padded), dtype=np.float32)
        mixed = padded + noise * np.float32(FULL_SCALE * 10 ** (self.level_dbfs / 20))
        return np.clip(np.rint(mixed), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
