"""Voice activity: how probably somebody speaks, window by window, along a stream of audio."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime

from textpro.audio import FULL_SCALE, SAMPLE_RATE
from textpro.errors import TextProError

WINDOW = 512  # samples judged at once: 32 ms
WINDOW_MS = 1000 * WINDOW / SAMPLE_RATE
CONTEXT = 64  # samples before a window that are looked at with it
STATE = (1, 1, 128)


class VoiceModel:
    """Silero VAD v6, as faster-whisper carries it. Keeps no state: one serves all sessions of a process.

    Raises TextProError where faster-whisper is not installed.
    """

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(str(_path()), options, providers=["CPUExecutionProvider"])

    def judge(self, samples: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """samples: (CONTEXT + WINDOW,) in -1…1; state -> probability of speech in the window, new state."""
        given = {"input": samples[None], "h": hidden, "c": cell}
        speech, hidden, cell = (np.asarray(array) for array in self._session.run(None, given))
        return float(speech.item()), hidden, cell


class VoiceActivity:
    """One stream's: its state, and the samples that do not fill a window yet."""

    def __init__(self, model: VoiceModel) -> None:
        self._model = model
        self.forget()

    def forget(self) -> None:
        """What comes next has nothing to do with what came before."""
        self._waiting = b""
        self._hidden, self._cell = np.zeros(STATE, np.float32), np.zeros(STATE, np.float32)
        self._context = np.zeros(CONTEXT, np.float32)

    def hear(self, pcm16: bytes) -> list[float]:
        """PCM16 (little endian, mono, 16 kHz) of any length -> the probability of speech in each full window."""
        data = self._waiting + pcm16
        whole = len(data) // (2 * WINDOW) * (2 * WINDOW)
        self._waiting = data[whole:]
        if not whole:
            return []
        samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / FULL_SCALE
        return [self._judge(window) for window in samples.reshape(-1, WINDOW)]

    def _judge(self, window: np.ndarray) -> float:
        seen = np.concatenate([self._context, window])
        speech, self._hidden, self._cell = self._model.judge(seen, self._hidden, self._cell)
        self._context = window[-CONTEXT:]
        return speech


def _path() -> Path:
    found = find_spec("faster_whisper")  # found, not imported: it would load much else
    if found is None or found.origin is None:
        raise TextProError("voice activity needs the package faster-whisper; install textpro[gateway]")
    return Path(found.origin).parent / "assets" / "silero_vad_v6.onnx"
