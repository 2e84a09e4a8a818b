"""The sound of a live session on its way: from a client's format to what the house hears, and back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np

from textpro.audio import SAMPLE_RATE

Coding = Literal["pcm", "pcmu", "pcma"]
CODECS = {"pcmu": "pcm_mulaw", "pcma": "pcm_alaw"}
G711_RATE = 8000


@dataclass(frozen=True)
class Format:
    """PCM16 (little endian) or G.711, mono. rate: samples a second."""

    coding: Coding
    rate: int

    @property
    def bytes_per_second(self) -> int:
        return self.rate * (2 if self.coding == "pcm" else 1)


HEARD = Format("pcm", SAMPLE_RATE)


class Converter:
    """A stream of sound from one format to another, chunk by chunk. However it is cut, the same comes out."""

    def __init__(self, source: Format, target: Format) -> None:
        self._source, self._target = source, target
        self._decoder = _codec(source.coding, "r", source.rate)
        self._encoder = _codec(target.coding, "w", target.rate)
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=target.rate)
        self._rest = b""
        self._position = 0

    def convert(self, data: bytes) -> bytes:
        """Half a sample at the end waits for its other half; a few samples stay in the filter until `flush`."""
        data = self._whole(data)
        if self._source == self._target or not data:
            return data
        return b"".join(self._encoded(self._resampler.resample(self._frame(self._decoded(data)))))

    def flush(self) -> bytes:
        """What is left, at the end of the stream."""
        if self._source == self._target or not self._position:
            return b""
        return b"".join(self._encoded(self._resampler.resample(None)))

    def _whole(self, data: bytes) -> bytes:
        if self._source.coding != "pcm":
            return data
        data = self._rest + data
        whole = len(data) // 2 * 2
        self._rest = data[whole:]
        return data[:whole]

    def _decoded(self, data: bytes) -> np.ndarray:
        """(1, S) int16."""
        if self._decoder is None:
            return np.frombuffer(data, "<i2")[None]
        return np.concatenate([frame.to_ndarray() for frame in self._decoder.decode(av.Packet(data))], axis=1)

    def _frame(self, samples: np.ndarray) -> av.AudioFrame:
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = (
            self._source.rate,
            self._position,
            Fraction(1, self._source.rate),
        )
        self._position += frame.samples
        return frame

    def _encoded(self, frames: Iterable[av.AudioFrame]) -> Iterator[bytes]:
        for frame in frames:
            if self._encoder is None:
                yield frame.to_ndarray().astype("<i2").tobytes()
            else:
                yield from (bytes(packet) for packet in self._encoder.encode(frame))


def _codec(coding: Coding, mode: Literal["r", "w"], rate: int) -> av.AudioCodecContext | None:
    if coding == "pcm":
        return None
    codec = av.AudioCodecContext.create(CODECS[coding], mode)
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = rate, "mono", "s16"
    return codec
