"""What the worker drives: a model that turns a batch of utterances into text and prosody."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from services.encoder.settings import EncoderSettings
from textpro.audio import FRAMES_PER_WINDOW, SAMPLE_RATE

if TYPE_CHECKING:
    from textpro.decoding import Decoded, SpeechDecoder

WARM_UP_SECONDS = 2


class Engine(Protocol):
    """BundleEngine, or a fast stand-in: one `decode` at a time, always on the worker's thread."""

    @property
    def width(self) -> int:
        """W, the width of a prosody row."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of the bundle: its name and weights."""
        ...

    def length_class(self, n_samples: int) -> int:
        """Utterances of one class cost the same and share a pass of the model; called on the event loop."""
        ...

    def decode(self, audio: Sequence[np.ndarray], *, language: str | None = None) -> "list[Decoded]":
        """Utterances, (S,) float32 each -> their results, in order."""
        ...


EngineLoader = Callable[[EncoderSettings], Engine]


class BundleEngine:
    """A bundle's decoder."""

    def __init__(self, decoder: "SpeechDecoder", padded_frames: Callable[[int], int]) -> None:
        self._padded_frames = padded_frames
        self.width = decoder.width
        self.fingerprint = decoder.fingerprint
        self.decode = decoder.decode

    def length_class(self, n_samples: int) -> int:
        """The mel frames the utterance is padded to."""
        return self._padded_frames(n_samples)


def load(settings: EncoderSettings) -> Engine:
    """The bundle's decoder, warm: kernels chosen and memory claimed before the first caller. Raises BundleError."""
    # Imported here, so that settings and tests of the wire do not pay for torch.
    from transformers.utils import logging as transformers_logging

    from textpro.bundle import Bundle
    from textpro.decoding import DecodingOptions, SpeechDecoder, padded_frames

    transformers_logging.disable_progress_bar()
    bundle = Bundle.load(settings.bundle)
    decoder = SpeechDecoder.load(
        bundle,
        device=settings.device,
        compute_type=settings.compute_type,
        threads=settings.n_threads,
        cache=settings.cache,
        options=DecodingOptions(beam_size=settings.beam_size),
    )
    decoder.warm_up(warm_up_audio())
    return BundleEngine(decoder, padded_frames if bundle.config.variable_length else lambda _: FRAMES_PER_WINDOW)


def warm_up_audio() -> np.ndarray:
    """(S,) float32: a vowel-like buzz, which is not silence: the guards let the model hear it."""
    seconds = np.arange(WARM_UP_SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * seconds)
    buzz = sum(np.sin(2 * np.pi * 120 * k * seconds) / k for k in range(1, 12))
    return (0.2 * envelope * buzz).astype(np.float32)
