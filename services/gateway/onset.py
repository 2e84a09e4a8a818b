"""Where a voice sets in: speech that is long enough to be meant."""


class Onset:
    """Counts the speech at the end of a stream of judged samples; silence of `gap` samples begins the count anew."""

    def __init__(self) -> None:
        self.voiced = 0
        self._quiet = 0
        self._first = 0

    def hear(self, position: int, n_samples: int, *, is_speech: bool, gap: int) -> None:
        """The `n_samples` up to `position` were judged."""
        if is_speech:
            if not self.voiced:
                self._first = position - n_samples
            self.voiced, self._quiet = self.voiced + n_samples, 0
        else:
            self._quiet += n_samples
            if self._quiet >= gap:
                self.voiced = 0

    def first(self, position: int) -> int:
        """The sample with which it began; `position` where nothing did."""
        return self._first if self.voiced else position

    def forget(self) -> None:
        """Begins anew."""
        self.voiced = self._quiet = 0
