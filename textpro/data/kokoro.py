"""Kokoro, a neural voice: where its package is installed and its weights are at hand or can be fetched."""

import importlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import soxr

from textpro.data.speech_engines import SAMPLE_RATE, SynthesisError
from textpro.data.voices import Delivery, Style, Voice

REPOSITORY = "hexgrad/Kokoro-82M"
KOKORO_RATE = 24_000
NATURAL_WPM = 175
ACCENTS = {"a": "en-us", "b": "en-gb"}
NAMES = (
    *("af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_river"),
    *("af_sarah", "af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx"),
    *("am_puck", "bf_alice", "bf_emma", "bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_george", "bm_lewis"),
)
# The first letter says the accent, the second the gender.
KOKORO_VOICES = tuple(
    Voice("kokoro", name, ACCENTS[name[0]], "female" if name[1] == "f" else "male", name) for name in NAMES
)
KOKORO_STYLES = (Style("neutral", (50, 50), (50, 50), (150, 215), (85, 105)),)
"""It obeys rate and volume alone."""

Pipeline = Callable[..., Iterable[Any]]
"""(text, voice=…, speed=…) -> pieces whose `audio` is float (T,) at 24 kHz: `kokoro.KPipeline`."""


class Kokoro:
    """Kokoro in this process, on the GPU where there is one."""

    def __init__(self, pipeline: Callable[[str], Pipeline] | None = None) -> None:
        """pipeline: of an accent, `a` or `b`. Raises `SynthesisError` when the package or its weights are missing."""
        self._pipeline = pipeline or _installed()

    def speak(self, text: str, voice: Voice, delivery: Delivery) -> np.ndarray:
        """See `Synthesizer.speak`. `delivery.pitch`, `range` and breaks have no effect."""
        pipeline = self._pipeline(voice.name[0])
        pieces = [np.zeros(0, np.float32)]
        for piece in pipeline(text, voice=voice.name, speed=delivery.rate_wpm / NATURAL_WPM):
            if piece.audio is not None:
                pieces.append(np.asarray(piece.audio, np.float32))
        samples = np.concatenate(pieces) * (delivery.volume / 100 * 32767)
        return np.clip(soxr.resample(samples, KOKORO_RATE, SAMPLE_RATE, quality="MQ"), -32768, 32767).astype(np.int16)


def _installed() -> Callable[[str], Pipeline]:
    try:
        kokoro = importlib.import_module("kokoro")
    except ImportError as error:
        raise SynthesisError(f"Kokoro is missing ({error}); install it with: pip install kokoro") from error
    try:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = kokoro.KModel(repo_id=REPOSITORY).to(device).eval()
    except (OSError, RuntimeError, ValueError) as error:
        raise SynthesisError(
            f"Kokoro's weights can't be read ({error}); fetch them with: hf download {REPOSITORY}"
        ) from error
    return cache(lambda accent: kokoro.KPipeline(lang_code=accent, repo_id=REPOSITORY, model=model))
