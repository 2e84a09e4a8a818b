"""What a conversation's turn machine is told; turn_actions.py has what it asks for, turn.py decides.

Positions and lengths are samples of the session's one stream of 16 kHz audio, counted from its start. Utterances, takes
(passes of the encoder over an utterance) and answers are numbered; what comes with an old number comes too late.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sound:
    """The next samples were judged. speech: the probability that somebody speaks in them."""

    n_samples: int
    speech: float


@dataclass(frozen=True)
class Commit:
    """The client says that the utterance ends here."""


@dataclass(frozen=True)
class Clear:
    """The client takes back what was not committed yet."""


@dataclass(frozen=True)
class Ask:
    """The client wants an answer to the conversation as it stands. request: its wishes, handed through."""

    request: Any = None


@dataclass(frozen=True)
class Cancel:
    """The client wants no more of the answer that is being given."""


@dataclass(frozen=True)
class Heard:
    """A take is done. text: empty when nothing was said. pause_ms: how long to wait after such words, if that is
    known."""

    take: int
    text: str
    pause_ms: float | None = None


@dataclass(frozen=True)
class Unheard:
    """A take failed."""

    take: int
    error: Exception


@dataclass(frozen=True)
class Piece:
    """An answer goes on. content: text, sound, or whatever else the session shows as a part of it."""

    answer: int
    content: Any


@dataclass(frozen=True)
class Finished:
    """An answer is whole, its sound too. reason: the LLM's own word for it."""

    answer: int
    reason: str


@dataclass(frozen=True)
class Broken:
    """An answer failed."""

    answer: int
    error: Exception


@dataclass(frozen=True)
class Playing:
    """Sound of an answer was sent; with it the client will have played all of it at that moment of the machine's clock,
    unless it is hushed."""

    until_s: float


@dataclass(frozen=True)
class Edited:
    """The conversation is not what it was when an answer to it was begun on suspicion."""


@dataclass(frozen=True)
class Load:
    """Whether the house is so full that nothing is done on suspicion."""

    high: bool


@dataclass(frozen=True)
class Clock:
    """Nothing but time went by."""


@dataclass(frozen=True)
class Close:
    """The session ends."""


Event = (
    Sound
    | Commit
    | Clear
    | Ask
    | Cancel
    | Heard
    | Unheard
    | Piece
    | Finished
    | Broken
    | Playing
    | Edited
    | Load
    | Clock
    | Close
)
