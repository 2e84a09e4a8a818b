"""Where in a recording somebody speaks: voice probabilities in, utterances out.

A pure class like the turn machine, but for recordings: nobody waits, so a pause may be looked at from both sides.
Positions are windows of 32 ms.
"""

from dataclasses import dataclass

from services.gateway.silero import WINDOW_MS


@dataclass(frozen=True)
class Cutting:
    """What ends an utterance. threshold: a window with this voice probability or more begins speech, which goes on down
    to `threshold - hysteresis`."""

    threshold: float = 0.5
    hysteresis: float = 0.15
    pause_ms: float = 600.0
    margin_ms: float = 250.0  # heard with an utterance on both sides, of its pauses
    shortest_ms: float = 64.0  # of sure speech; less is a click
    longest_ms: float = 28_000.0  # the encoder hears 30 s at once


@dataclass(frozen=True)
class Utterance:
    """Speech from window `first` to before window `last`; heard with the margins `heard_first` to `heard_last`."""

    first: int
    last: int
    heard_first: int
    heard_last: int


class Utterances:
    """Cuts one recording, window by window."""

    def __init__(self, cutting: Cutting | None = None) -> None:
        chosen = cutting or Cutting()
        self._cutting = chosen
        self._pause, self._margin = _windows(chosen.pause_ms), _windows(chosen.margin_ms)
        self._shortest, self._longest = _windows(chosen.shortest_ms), _windows(chosen.longest_ms)
        self._now = 0
        self._free_from = 0  # what lies before belongs to an earlier utterance
        self._voice: list[float] = []  # of the open utterance, from its first window on
        self._spoken = 0  # its windows up to the last one with speech

    def hear(self, speech: float) -> Utterance | None:
        """The next window's voice probability -> the utterance that has ended with it."""
        self._now += 1
        if not self._voice and speech < self._cutting.threshold:
            return None
        self._voice.append(speech)
        if self._is_speech(speech):
            self._spoken = len(self._voice)
        if len(self._voice) - self._spoken >= self._pause:
            return self._closed()
        if len(self._voice) >= self._longest:
            return self._divided()
        return None

    def end(self) -> Utterance | None:
        """The recording is over."""
        return self._closed() if self._voice else None

    def _closed(self) -> Utterance | None:
        found = self._utterance(self._spoken, min(self._spoken + self._margin, len(self._voice)))
        sure = sum(speech >= self._cutting.threshold for speech in self._voice[: self._spoken])
        self._voice, self._spoken = [], 0
        if sure < self._shortest:
            return None
        self._free_from = found.heard_last
        return found

    def _divided(self) -> Utterance:
        """Somebody speaks on and on: cut at the latest of the least voiced windows of the second half."""
        half = len(self._voice) // 2
        place = min(range(half, len(self._voice)), key=lambda i: (self._voice[i], -i))
        spoken = [i for i, speech in enumerate(self._voice) if self._is_speech(speech)]
        found = self._utterance(max(i for i in (0, *spoken) if i < place) + 1, place)
        after = next((i for i in spoken if i >= place), len(self._voice))
        self._voice = self._voice[after:]
        self._spoken = max(0, self._spoken - after)
        self._free_from = found.heard_last
        return found

    def _is_speech(self, speech: float) -> bool:
        """Of what follows on surer speech."""
        return speech >= self._cutting.threshold - self._cutting.hysteresis

    def _utterance(self, n_spoken: int, n_heard: int) -> Utterance:
        first = self._now - len(self._voice)
        return Utterance(first, first + n_spoken, max(self._free_from, first - self._margin), first + n_heard)


def _windows(ms: float) -> int:
    return max(1, round(ms / WINDOW_MS))
