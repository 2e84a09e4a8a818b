"""Silero VAD v6 for many streams at once. The published graph takes one; here are its weights and its layers in NumPy.

What a product of matrices costs is mostly the reading of its weights: 16 windows together take a quarter of the
time of 16 one after the other (docs/experiments.md).
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from textpro.audio import SAMPLE_RATE
from textpro.errors import TextProError

WINDOW = 512  # samples judged at once: 32 ms
WINDOW_MS = 1000 * WINDOW / SAMPLE_RATE
CONTEXT = 64  # samples before a window that are looked at with it
STATE = 128  # the LSTM's width
HOP, N_BINS = 128, 129  # of the spectrogram


class VoiceModel:
    """Keeps no state of any stream: one serves all sessions of a process.

    Raises TextProError where faster-whisper, which carries the weights, is not installed.
    """

    def __init__(self) -> None:
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(_path()).graph.initializer}
        self._basis = _columns(weights["encoder.feature_extractor.forward_basis_buffer"][:, 0])
        kernels = [weights[f"encoder.conv_layers.{number}.weight"] for number in range(4)]
        biases = [weights[f"encoder.conv_layers.{number}.bias"] for number in range(4)]
        # Padded with a frame of zeros on either side; what only meets that padding is left out.
        used = [slice(0, 3), slice(0, 3), slice(1, 3), slice(1, 2)]
        self._layers = [
            (_columns(kernel[..., taps].transpose(0, 2, 1).reshape(len(kernel), -1)), bias)
            for kernel, bias, taps in zip(kernels, biases, used, strict=True)
        ]
        of_input, of_state, lstm_bias = (weights[f"onnx::LSTM_{number}"][0] for number in (209, 210, 211))
        self._lstm = _columns(np.concatenate([of_input, of_state], 1)), lstm_bias[: 4 * STATE] + lstm_bias[4 * STATE :]
        self._out = weights["decoder.conv1d.weight"][0, :, 0], weights["decoder.conv1d.bias"]

    def judge(self, samples: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, ...]:
        """Of N streams the next window of each: samples (N, CONTEXT + WINDOW) in -1…1, states (N, STATE), all float32
        -> the probability of speech in each (N,), and both new states."""
        frames = self._convolved(self._spectrogram(samples))
        weight, bias = self._lstm
        gates = np.concatenate([frames, hidden], 1) @ weight + bias
        opened = _sigmoid(gates[:, : 3 * STATE])
        into, out, keep = opened[:, :STATE], opened[:, STATE : 2 * STATE], opened[:, 2 * STATE :]  # the order of ONNX
        cell = keep * cell + into * np.tanh(gates[:, 3 * STATE :])
        hidden = out * np.tanh(cell)
        weight, bias = self._out
        return _sigmoid(np.maximum(hidden, 0) @ weight + bias), hidden, cell

    def _spectrogram(self, samples: np.ndarray) -> np.ndarray:
        """(N, CONTEXT + WINDOW) -> magnitudes (N, 4, N_BINS)."""
        mirrored = np.concatenate([samples, samples[:, -2 : -2 - CONTEXT : -1]], 1).reshape(len(samples), -1, HOP)
        frames = np.concatenate([mirrored[:, :-1], mirrored[:, 1:]], 2)  # each is two hops long
        parts = frames.reshape(-1, 2 * HOP) @ self._basis
        parts *= parts
        return np.sqrt(parts[:, :N_BINS] + parts[:, N_BINS:]).reshape(*frames.shape[:2], N_BINS)

    def _convolved(self, frames: np.ndarray) -> np.ndarray:
        """(N, 4, N_BINS) -> (N, STATE): four convolutions, from 4 frames to 4, 2, 1 and 1."""
        first, second, third, fourth = self._layers
        frames = _layer(_neighbours(frames, 1), first).reshape(len(frames), 4, -1)
        frames = _layer(_neighbours(frames, 2), second).reshape(len(frames), -1)
        return _layer(_layer(frames, third), fourth)


def _layer(rows: np.ndarray, layer: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    weight, bias = layer
    made = rows @ weight
    made += bias
    return np.maximum(made, 0, out=made)


def _neighbours(frames: np.ndarray, stride: int) -> np.ndarray:
    """(N, T, C) -> (N * T / stride, 3 * C): every stride-th frame between the one before it and the one after it."""
    n, n_frames, width = frames.shape
    padded = np.zeros((n, n_frames + 2, width), np.float32)
    padded[:, 1:-1] = frames
    return np.concatenate([padded[:, tap : tap + n_frames : stride] for tap in range(3)], 2).reshape(-1, 3 * width)


def _columns(weight: np.ndarray) -> np.ndarray:
    """(out, in) -> (in, out), for rows @ weight."""
    return np.ascontiguousarray(weight.T)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * values)  # without overflow


def _path() -> Path:
    found = find_spec("faster_whisper")  # found, not imported: it would load much else
    if found is None or found.origin is None:
        raise TextProError("voice activity needs the package faster-whisper; install textpro[gateway]")
    return Path(found.origin).parent / "assets" / "silero_vad_v6.onnx"
