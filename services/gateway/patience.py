"""How long to wait after what was said: an unfinished sentence is given time, a finished one none to waste."""

import re
from dataclasses import dataclass

# A sentence does not end with one of these, whatever mark a transcript puts behind it.
_OPEN = (
    "a an the my your his her its our their this these those some any no every each another "
    "and or but nor so because since although though unless until while if when whenever where whether that which who "
    "whose "
    "of to from with without for at by in into onto on about between among against during than as like per via "
    "is are was were be been am i'm i've i'd i'll we're they're you're it's there's let's "
    "will would shall should can could may might must do does did has have had want need wants needs "
    "um uh er erm hmm mm well actually maybe please also plus very really quite just only"
)
OPEN_WORDS = frozenset(_OPEN.split())
# Said alone, these are whole: "No.", "That.", "Please."
_ALONE = "no so that this these those some any i please well maybe actually really if"
WHOLE_ALONE = frozenset(_ALONE.split())
_WORD = re.compile(r"[\w'’]+")
_SENTENCE = re.compile(r"[.!?…]+")


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
        text = text.strip()
        words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
        if not words:
            return self.unclear_ms
        last = [word.lower() for word in _WORD.findall(_SENTENCE.split(text.rstrip(".!?… "))[-1])]
        if text.endswith((",", "-", "–", "—", ":", ";", "…", "...")) or _is_open(last) or _is_rising_list(text):
            return self.unfinished_ms
        return self.finished_ms if text[-1] in ".!?" else self.unclear_ms


def _is_open(sentence: list[str]) -> bool:
    """sentence: the words of the last one."""
    return bool(sentence) and sentence[-1] in OPEN_WORDS and not (len(sentence) == 1 and sentence[0] in WHOLE_ALONE)


def _is_rising_list(text: str) -> bool:
    """Things in a row, and no word yet that announces the last: `eggs, milk`."""
    sentence = re.split(r"[.!?]\s", text)[-1].rstrip(".!?")
    things = sentence.split(",")
    return len(things) >= 3 and not re.search(r"\b(and|or)\b", things[-1].lower()) and len(things[-1].split()) <= 2
