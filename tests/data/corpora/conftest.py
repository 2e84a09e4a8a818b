"""Recordings of silence, and an import that reads back what it wrote."""

import fractions
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream

from textpro.data import manifest
from textpro.data.corpora import user_text
from textpro.data.corpora.importing import MANIFEST, import_corpus
from textpro.data.corpora.user_text import UserText
from textpro.data.manifest import Clip

RATE = 16_000
ENCODERS = {".mp3": ("mp3", "libmp3lame"), ".flac": ("flac", "flac")}


def record(path: Path, seconds: float = 0.5) -> Path:
    """A silent recording in the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.zeros((1, round(seconds * RATE)), np.int16)
    if path.suffix == ".wav":
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(samples.tobytes())
        return path
    container_format, codec = ENCODERS[path.suffix]
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=RATE)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.time_base = RATE, fractions.Fraction(1, RATE)
        resampled = av.AudioResampler(stream.format, stream.layout, RATE).resample(frame)
        for piece in (*resampled, None):
            container.mux(stream.encode(piece))
    return path


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


@pytest.fixture(name="record")
def record_() -> Callable[..., Path]:
    return record


@pytest.fixture(name="write")
def write_() -> Callable[..., Path]:
    return write


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., dict[str, Clip | UserText]]:
    """Imports the corpus in `tmp_path / corpus`; what was written, by id."""

    def run(name: str, **options: Any) -> dict[str, Clip | UserText]:
        done = import_corpus(name, tmp_path / "corpus", tmp_path / "out", **options)
        items = manifest.read(done.path) if done.path.name == MANIFEST else list(user_text.read(done.path))
        assert len(items) == done.items
        done.path.unlink()
        return {item.id: item for item in items}

    return run
