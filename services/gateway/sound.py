"""The part of a live session's sound that may still be needed."""

BYTES_PER_SAMPLE = 2


class Sound:
    """The last part of a stream of PCM16 at 16 kHz; positions are samples from its start."""

    def __init__(self, first: int = 0) -> None:
        self._data = bytearray()
        self._first = first

    @property
    def last(self) -> int:
        return self._first + len(self._data) // BYTES_PER_SAMPLE

    def add(self, pcm16: bytes) -> None:
        self._data += pcm16

    def between(self, first: int, last: int) -> bytes:
        start, end = (BYTES_PER_SAMPLE * (position - self._first) for position in (first, last))
        return bytes(self._data[start:end])

    def forget(self, before: int) -> None:
        """What lies before is not asked for again."""
        n_bytes = BYTES_PER_SAMPLE * (before - self._first)
        if n_bytes > 0:
            del self._data[:n_bytes]
            self._first = before
