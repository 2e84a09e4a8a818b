"""Where the time of a live answer goes, from the end of what was said to the end of the answer."""

from dataclasses import dataclass

MS = 1000.0


@dataclass
class Timeline:
    """Moments on one clock, in seconds. generating_s: when the LLM was asked, which may be before the utterance is
    certain to have ended."""

    generating_s: float
    came_s: float | None = None  # the LLM's first piece
    said_s: float = 0.0  # the end of the speech
    pause_s: float = 0.0
    shown_s: float | None = None  # the first piece, to the client
    written_s: float | None = None  # the LLM's last piece
    sound_s: float | None = None  # the first sound, to the client

    def begin(self, said: tuple[float, float] | None, now_s: float) -> None:
        """It is the answer. said: when the speech ended, and how long the pause was; None for what was not spoken."""
        self.said_s, self.pause_s = said or (now_s, 0.0)

    def come(self, now_s: float) -> None:
        self.came_s = self.came_s or now_s

    def show(self, now_s: float) -> None:
        self.shown_s = self.shown_s or now_s

    def written(self, now_s: float) -> None:
        self.written_s = now_s

    def sound(self, now_s: float) -> None:
        self.sound_s = self.sound_s or now_s

    def report(self, now_s: float) -> dict[str, float]:
        """Milliseconds: `pause`, `wait` (from there to the first piece) and `generate` make up `total`; `first_token`
        is the first two. `prefill`, from the LLM's being asked to its first piece, lies in the pause when it was eager.

        Where it was spoken `speak`, from the LLM's last piece to the last sound, is a part of `total`, too, and
        `first_audio` is the time to the first sound.
        """
        shown_s = self.shown_s or now_s
        written_s = now_s if self.sound_s is None or self.written_s is None else max(shown_s, self.written_s)
        stages = {
            "pause": self.pause_s,
            "wait": max(0.0, shown_s - self.said_s - self.pause_s),
            "generate": written_s - shown_s,
        }
        if self.sound_s is not None:
            stages["speak"] = now_s - written_s
        found = {name: round(MS * seconds, 1) for name, seconds in stages.items()}
        marks = {"first_token": found["pause"] + found["wait"], "total": sum(found.values())}
        if self.sound_s is not None:
            marks["first_audio"] = found["pause"] + MS * max(0.0, self.sound_s - self.said_s - self.pause_s)
        if self.came_s is not None:
            marks["prefill"] = MS * (self.came_s - self.generating_s)
        return found | {name: round(ms, 1) for name, ms in marks.items()}
