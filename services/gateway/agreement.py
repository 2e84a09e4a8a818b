"""What is certain of a growing transcript: what two passes over it agree on, one after the other (LocalAgreement-2, Liu
et al. 2020, as in Whisper-Streaming)."""

from itertools import takewhile

MARKS = ".,!?;:…"  # that a pass ends with because the sound does


class Agreement:
    """Words once told are never taken back."""

    def __init__(self) -> None:
        self._last: list[str] = []
        self._told: list[str] = []

    def hear(self, text: str) -> str:
        """A pass's whole transcript -> what to append to what was told before; empty where nothing new is certain."""
        words = text.strip().rstrip(MARKS).split()
        agreed = [word for word, _ in takewhile(_are_equal, zip(words, self._last, strict=False))]
        self._last = words
        n_told = len(self._told)
        if agreed[:n_told] != self._told or len(agreed) == n_told:
            return ""
        self._told = agreed
        return " " * bool(n_told) + " ".join(agreed[n_told:])


def _are_equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]
