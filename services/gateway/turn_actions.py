"""What a conversation's turn machine asks for; turn_events.py has what it is told, turn.py decides.

Actions are done in the order in which they are given.
"""

from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["completed", "cancelled", "failed"]
Refusal = Literal[
    "input_audio_buffer_commit_empty", "conversation_already_has_active_response", "response_cancel_not_active"
]


@dataclass(frozen=True)
class SpeechStarted:
    """Somebody speaks; the utterance's audio begins at `sample`, its pre-roll included."""

    utterance: int
    sample: int


@dataclass(frozen=True)
class SpeechStopped:
    """The last speech of the utterance ended at `sample`."""

    utterance: int
    sample: int


@dataclass(frozen=True)
class Committed:
    """The utterance is these samples, and a part of the conversation from now on."""

    utterance: int
    first: int
    last: int


@dataclass(frozen=True)
class Cleared:
    """What was not committed is forgotten."""


@dataclass(frozen=True)
class Encode:
    """Send these samples to the encoder; tell `Heard` or `Unheard`."""

    take: int
    first: int
    last: int


@dataclass(frozen=True)
class EncodePartial:
    """Like `Encode`, while somebody still speaks: the words alone are wanted, and only if there is time for it."""

    take: int
    first: int
    last: int


@dataclass(frozen=True)
class Partial:
    """More words of the utterance, of which two passes say the same. text: what comes after those that were told."""

    utterance: int
    text: str


@dataclass(frozen=True)
class Forget:
    """A take is of no use any more."""

    take: int


@dataclass(frozen=True)
class Said:
    """What this take heard is what the utterance said."""

    utterance: int
    take: int
    text: str


@dataclass(frozen=True)
class Lost:
    """The utterance could not be heard."""

    utterance: int
    error: Exception


@dataclass(frozen=True)
class Generate:
    """Answer the conversation. take: an utterance that is not certain to have ended, to be put at its end, or None.
    request: what the client wished for, or None."""

    answer: int
    take: int | None
    request: Any


@dataclass(frozen=True)
class Abort:
    """End this generation in the LLM itself, unless it has ended; nothing of it is shown any more."""

    answer: int


@dataclass(frozen=True)
class Eager:
    """An answer to what may be the whole utterance is being made; it is held back."""

    utterance: int


@dataclass(frozen=True)
class Resumed:
    """It was not the whole: that answer is gone."""

    utterance: int


@dataclass(frozen=True)
class Begin:
    """This answer is the one; its pieces follow. eager: it was begun before the utterance was certain to have ended."""

    answer: int
    eager: bool


@dataclass(frozen=True)
class Show:
    """A piece of the answer, for the client."""

    answer: int
    content: Any


@dataclass(frozen=True)
class End:
    """The last word about an answer that was begun. reason: the LLM's for `completed`, else what ended it."""

    answer: int
    status: Status
    reason: str
    error: Exception | None = None


@dataclass(frozen=True)
class Hush:
    """The client shall throw away what it has not played of the answers' sound: nobody listens to it any more."""


@dataclass(frozen=True)
class Refuse:
    """The client asked for what can't be; `code` says why."""

    code: Refusal


Action = (
    SpeechStarted
    | SpeechStopped
    | Committed
    | Cleared
    | Encode
    | EncodePartial
    | Partial
    | Forget
    | Said
    | Lost
    | Generate
    | Abort
    | Eager
    | Resumed
    | Begin
    | Show
    | End
    | Hush
    | Refuse
)
