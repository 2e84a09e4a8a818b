"""What an ear would measure: fundamental frequency and energy of an utterance, for probing (paper 4.1).

Letters: S samples at 16 kHz, F frames, L lags.
"""

import numpy as np

from textpro.audio import SAMPLE_RATE

LOWEST_HZ, HIGHEST_HZ = 60.0, 420.0
FRAME_MS, HOP_MS = 64, 16
FRAME = SAMPLE_RATE * FRAME_MS // 1000
HOP = SAMPLE_RATE * HOP_MS // 1000
APERIODICITY = 0.15
"""A frame whose best period leaves more of its power unexplained has no pitch."""
SILENCE_DB = -40.0
"""Frames so far below the loudest are pauses."""


def f0(audio: np.ndarray) -> np.ndarray:
    """Fundamental frequency by YIN (de Cheveigné and Kawahara 2002): (S,) -> (F,) hertz, NaN without a voice."""
    frames = _frames(audio)
    longest = int(SAMPLE_RATE / LOWEST_HZ)
    shortest = int(SAMPLE_RATE / HIGHEST_HZ)
    unlike = _normalised_difference(frames, longest + 1)
    hertz = np.full(len(frames), np.nan)
    for i, row in enumerate(unlike):
        below = np.flatnonzero(row[shortest:longest] < APERIODICITY)
        if len(below):
            lag = shortest + int(below[0])
            while lag < longest and row[lag + 1] < row[lag]:  # down to the dip's bottom
                lag += 1
            hertz[i] = SAMPLE_RATE / _vertex(row, lag)
    return hertz


def energy_db(audio: np.ndarray) -> np.ndarray:
    """Level of each frame: (S,) -> (F,) decibels below full scale."""
    power = (_frames(audio) ** 2).mean(axis=1)
    return 10 * np.log10(power + 1e-10)


def measured(audio: np.ndarray) -> dict[str, float]:
    """Without the pauses: `f0`, the median in hertz, if any frame has one; `energy`, the mean level in decibels."""
    levels, hertz = energy_db(audio), f0(audio)
    loud = levels > levels.max() + SILENCE_DB
    values = {"energy": float(levels[loud].mean())}
    if (voiced := loud & ~np.isnan(hertz)).any():
        values["f0"] = float(np.median(hertz[voiced]))
    return values


def _frames(audio: np.ndarray) -> np.ndarray:
    """(S,) -> (F, FRAME); what is shorter than a frame is padded with silence."""
    audio = np.pad(audio.astype(np.float64), (0, max(0, FRAME - len(audio))))
    return np.lib.stride_tricks.sliding_window_view(audio, FRAME)[::HOP]


def _normalised_difference(frames: np.ndarray, n_lags: int) -> np.ndarray:
    """YIN's d'(τ): the squared difference to the signal τ samples on, over its mean up to τ: (F, FRAME) -> (F, L)."""
    window = FRAME - n_lags
    size = 2 * FRAME
    head = np.fft.rfft(frames[:, :window], size)
    product = np.fft.irfft(np.conj(head) * np.fft.rfft(frames, size), size)[:, : n_lags + 1]
    sums = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    power = sums[:, window : window + n_lags + 1] - sums[:, : n_lags + 1]
    difference = np.maximum(power[:, :1] + power - 2 * product, 0.0)
    running = np.cumsum(difference[:, 1:], axis=1)
    lags = np.arange(1, n_lags + 1)
    ratio = np.divide(difference[:, 1:] * lags, running, out=np.ones_like(running), where=running > 1e-9)
    return np.hstack([np.ones((len(frames), 1)), ratio])


def _vertex(row: np.ndarray, lag: int) -> float:
    """The bottom of the parabola through a dip and its neighbours, in samples."""
    left, middle, right = row[lag - 1], row[lag], row[lag + 1]
    bend = left - 2 * middle + right
    return lag + (0.5 * (left - right) / bend if bend > 0 else 0.0)
