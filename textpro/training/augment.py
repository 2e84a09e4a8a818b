"""Noise, gain, speed, channel tilt and SpecAugment: what a clip goes through on its way into a training batch.

Letters: S samples, T mel frames. Every function takes its own random generator, so that a batch can be drawn again.
"""

from dataclasses import dataclass

import numpy as np

from textpro.audio import SAMPLE_RATE


@dataclass(frozen=True)
class Augmentation:
    """Probabilities per clip, and ranges."""

    noise: float = 0.4
    snr_db: tuple[float, float] = (5.0, 30.0)
    gain_db: tuple[float, float] = (-20.0, 3.0)
    speed: float = 0.3
    speed_range: tuple[float, float] = (0.92, 1.08)
    tilt: float = 0.3
    masks: float = 0.5
    no_speech: float = 0.03


NONE = Augmentation(noise=0.0, gain_db=(0.0, 0.0), speed=0.0, tilt=0.0, masks=0.0, no_speech=0.0)


def noise(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """Noise of a random colour (white, pink, brown, band-limited or hum), unit power. -> (S,) float32"""
    kind = rng.integers(6) % 5  # white twice as often: a microphone's own hiss is nearly that
    if kind == 4:
        hertz = rng.uniform(40, 400)
        t = np.arange(n_samples, dtype=np.float32) / SAMPLE_RATE
        wave = sum(np.sin(2 * np.pi * hertz * k * t + rng.uniform(0, 6.28)) / k for k in range(1, 6))
        wave = np.asarray(wave, dtype=np.float32) + 0.1 * rng.standard_normal(n_samples, dtype=np.float32)
    else:
        wave = rng.standard_normal(n_samples, dtype=np.float32)
        if kind:
            spectrum = np.fft.rfft(wave)
            hertz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE) + 20.0
            if kind == 3:
                low = rng.uniform(50, 3000)
                shape = ((hertz > low) & (hertz < low * rng.uniform(1.5, 8))) + 0.01
            else:
                shape = hertz ** (-0.5 * kind)
            wave = np.fft.irfft(spectrum * shape, n_samples).astype(np.float32)
    if rng.random() < 0.3:  # bursts, such as a dog or a door
        rate = rng.uniform(0.5, 5)
        wave = wave * (
            np.sin(2 * np.pi * rate * np.arange(n_samples, dtype=np.float32) / SAMPLE_RATE) > rng.uniform(-0.5, 0.9)
        )
    return (wave / (np.sqrt(np.mean(wave**2)) + 1e-9)).astype(np.float32)


def waveform(audio: np.ndarray, rng: np.random.Generator, how: Augmentation) -> tuple[np.ndarray, np.ndarray]:
    """Speed, gain and added noise. (S,) float32 -> (S',) float32 as it is heard, and the same without the noise."""
    if rng.random() < how.speed:
        factor = rng.uniform(*how.speed_range)
        places = np.arange(0, len(audio) - 1, factor, dtype=np.float32)
        audio = np.interp(places, np.arange(len(audio), dtype=np.float32), audio).astype(np.float32)
    heard = audio
    if rng.random() < how.noise:
        power = np.mean(audio**2) + 1e-10
        level = np.sqrt(power / 10 ** (rng.uniform(*how.snr_db) / 10))
        heard = audio + level * noise(rng, len(audio))
    gain = np.float32(10 ** (rng.uniform(*how.gain_db) / 20))
    clean = np.clip(audio * gain, -1.0, 1.0)
    return (clean if heard is audio else np.clip(heard * gain, -1.0, 1.0)), clean


def spectrogram(mel: np.ndarray, rng: np.random.Generator, how: Augmentation) -> np.ndarray:
    """Channel tilt and SpecAugment masks on (n_mels, T); the mean stands in place of the values that a mask hides."""
    n_mels, n_frames = mel.shape
    if rng.random() < how.tilt:
        bend = np.interp(np.arange(n_mels), np.linspace(0, n_mels - 1, 5), rng.normal(0, 0.12, 5))
        mel = mel + bend[:, None].astype(np.float32)
    if rng.random() < how.masks:
        mel, mean = mel.copy(), mel.mean()
        for _ in range(2):
            width = int(rng.integers(1, 11))
            low = int(rng.integers(0, n_mels - width))
            mel[low : low + width] = mean
            width = int(rng.integers(1, max(2, min(25, n_frames // 10))))
            start = int(rng.integers(0, max(1, n_frames - width)))
            mel[:, start : start + width] = mean
    return mel
