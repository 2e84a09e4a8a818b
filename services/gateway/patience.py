"""How long to wait after what was said: an unfinished sentence is given time, a finished one none to waste."""

import re
from dataclasses import dataclass

from services.gateway.announcement import is_announcement

# No sentence ends with one of these, whatever mark a transcript puts behind it.
_OPEN = (
    "a an the my your our their and or but nor because although unless if than i'm i've i'd i'll we're they're you're "
    "um uh er erm"
)
# Few sentences do, most of them questions: "What is it for?"
_DOUBTFUL = (
    "of to from with without for at by in into onto on about between among against during as like is are was were be "
    "been am will would shall should can could may might must do does did has have had that which who whose when while "
    "where so well also just very really please"
)
OPEN_WORDS, DOUBTFUL_WORDS = frozenset(_OPEN.split()), frozenset(_DOUBTFUL.split())
MARKS, OPEN_MARKS = (".", "!", "?"), (",", "-", "–", "—", ":", ";", "…", "...")
_WORD = re.compile(r"[\w']+")


@dataclass(frozen=True)
class Patience:
    """Milliseconds of silence after which an utterance has ended."""

    finished_ms: float = 320
    unclear_ms: float = 640
    unfinished_ms: float = 1400

    def paced(self, scale: float) -> "Patience":
        """So many times as patient."""
        return Patience(scale * self.finished_ms, scale * self.unclear_ms, scale * self.unfinished_ms)

    def after(self, text: str) -> float:
        """text: a transcript with punctuation, of what was said so far."""
        text = text.strip().replace("’", "'")
        words = [word.lower() for word in _WORD.findall(text)]
        if not words:
            return self.unclear_ms
        last = re.split(r"[.!?]\s", text)[-1].lower()
        if text.endswith(OPEN_MARKS) or words[-1] in OPEN_WORDS or _is_rising_list(last):
            return self.unfinished_ms
        if is_announcement(_WORD.findall(last)):
            return self.unfinished_ms
        # A word alone is often a whole answer: "So." "Please."
        doubtful = words[-1] in DOUBTFUL_WORDS and len(words) > 1 and not text.endswith("?")
        return self.finished_ms if text.endswith(MARKS) and not doubtful else self.unclear_ms


def _is_rising_list(sentence: str) -> bool:
    """Things in a row, and no word yet that announces the last: `eggs, milk, bread`."""
    things = sentence.rstrip(".!?").split(",")
    announced = re.search(r"\b(and|or)\b", things[-1])
    return len(things) >= 3 and announced is None and len(things[-1].split()) <= 2
