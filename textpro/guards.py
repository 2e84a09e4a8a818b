"""Whether anything was said at all: a Whisper invents words for silence and noise unless somebody asks first.

Letters: S samples, K voice frames of 32 ms.
"""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from faster_whisper.utils import get_assets_path
from faster_whisper.vad import SileroVADModel

from textpro.loudness import loudest_dbfs, made_audible
from textpro.windows import VOICE_FRAME

NoSpeechReason = Literal["silence", "no_voice", "no_speech", "unsure", "repetition"]
VOICE_FRAME_MS = VOICE_FRAME * 1000 // 16_000


@dataclass(frozen=True)
class Guards:
    """When a transcript is refused. Each reason is the first of these that holds.

    silence_dbfs: `silence` if the loudest 32 ms, without its DC offset, stay under it. Calm speech was met at -59 dBFS.
    voice_probability, voice_ms: `no_voice` if Silero finds less than so many milliseconds in frames it is so sure of.
        Nine real noises (a bus, a baby, rain) reach 0.67 at most; the shortest words have 400 ms over 0.7.
    no_speech_probability: `no_speech` if the model's own probability of no speech exceeds it and the words are doubtful
        too: their mean log-probability lies under `sure_log_probability`. Also when no words were found.
    log_probability: `unsure` if the mean log-probability of the words lies under it.
    compression: `repetition` if zlib shrinks the text by more than this factor (Whisper's own measure).
    repeats: `repetition` if the same few letters stand so many times in a row, which zlib does not notice in a short
        text; 0 allows any number.
    """

    silence_dbfs: float = -70.0
    voice_probability: float = 0.7
    voice_ms: float = 128.0
    no_speech_probability: float = 0.6
    sure_log_probability: float = -0.5
    log_probability: float = -1.5
    compression: float = 2.4
    repeats: int = 6

    def silent(self, audio: np.ndarray) -> bool:
        """Whether audio (S,) is too quiet to hold speech."""
        return loudest_dbfs(audio) < self.silence_dbfs

    def voiceless(self, voice: np.ndarray) -> bool:
        """Whether voice probabilities (K,) show too little voice."""
        return int((voice >= self.voice_probability).sum()) * VOICE_FRAME_MS < self.voice_ms

    def after(self, text: str, *, log_probability: float, no_speech_probability: float) -> NoSpeechReason | None:
        """Judges what the model wrote. log_probability: mean over its tokens and the end of text."""
        if not any(c.isalnum() for c in text):
            return "no_speech"
        if no_speech_probability > self.no_speech_probability and log_probability < self.sure_log_probability:
            return "no_speech"
        if log_probability < self.log_probability:
            return "unsure"
        if compression(text) > self.compression or (self.repeats and loops(text, self.repeats)):
            return "repetition"
        return None


OFF = Guards(
    silence_dbfs=float("-inf"),
    voice_ms=0.0,
    no_speech_probability=1.0,
    log_probability=float("-inf"),
    compression=float("inf"),
    repeats=0,
)


def compression(text: str) -> float:
    """How many times shorter zlib makes the text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def loops(text: str, times: int) -> bool:
    """Whether up to 24 letters follow each other `times` times."""
    return re.search(rf"(.{{1,24}}?)\1{{{times - 1}}}", text) is not None


class VoiceDetector:
    """Silero's voice activity model, as faster-whisper ships it, in a session of its own with one thread."""

    def __init__(self) -> None:
        self._model = SileroVADModel(str(Path(get_assets_path()) / "silero_vad_v6.onnx"))

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """(S,) float32 at 16 kHz -> (K,) voice probability of each 32 ms, K = ceil(S / 512)."""
        if len(audio) == 0:
            return np.zeros(0, dtype=np.float32)
        # A copy in any case: the model writes into what it is given.
        padded = np.pad(made_audible(audio), (0, -len(audio) % VOICE_FRAME))
        return self._model(padded).reshape(-1)
