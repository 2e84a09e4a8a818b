"""What a live session tells its client, whatever the protocol: realtime.py and stream.py put it into words."""

from dataclasses import dataclass, field

from services.contracts.chat import ProsodyState, Usage
from services.contracts.realtime import ResponseWishes
from services.gateway.conversation import Item
from services.gateway.turn_actions import Status


@dataclass
class Response:
    """An answer that is being given. spoken: its words leave as sound, too. output: its items so far. reason: what
    ended it, or the LLM's finish reason."""

    id: str
    wishes: ResponseWishes
    eager: bool
    spoken: bool = False
    output: list[Item] = field(default_factory=list)
    status: Status | None = None
    reason: str = ""
    error: Exception | None = None
    usage: Usage = field(default_factory=Usage)
    prosody: ProsodyState = "unavailable"
    timing_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SpeechStarted:
    item_id: str
    audio_ms: float


@dataclass(frozen=True)
class SpeechStopped:
    item_id: str
    audio_ms: float


@dataclass(frozen=True)
class Committed:
    item_id: str
    previous_item_id: str | None


@dataclass(frozen=True)
class Cleared:
    pass


@dataclass(frozen=True)
class ItemAdded:
    item: Item
    previous_item_id: str | None


@dataclass(frozen=True)
class ItemDone:
    """The item is as it will stay."""

    item: Item
    previous_item_id: str | None


@dataclass(frozen=True)
class PartlyTranscribed:
    """Words of what is being said; they are not taken back, though `Transcribed` has the last word. text: to append."""

    item_id: str
    text: str


@dataclass(frozen=True)
class ItemDeleted:
    """It is no part of the conversation any more."""

    item_id: str


@dataclass(frozen=True)
class Transcribed:
    """The words of a spoken item, once and for all."""

    item: Item


@dataclass(frozen=True)
class NotTranscribed:
    item_id: str
    error: Exception


@dataclass(frozen=True)
class EagerBegun:
    """The item may be whole; an answer to it is being made, unseen."""

    item_id: str


@dataclass(frozen=True)
class TurnResumed:
    """It was not; that answer is gone."""

    item_id: str


@dataclass(frozen=True)
class ResponseBegun:
    response: Response


@dataclass(frozen=True)
class OutputAdded:
    """A new item of the answer begins: words, or the call of a function."""

    response: Response
    item: Item
    previous_item_id: str | None


@dataclass(frozen=True)
class TextDelta:
    response: Response
    item_id: str
    text: str


@dataclass(frozen=True)
class SoundDelta:
    """More sound of what the answer's words say, in the session's output format."""

    response: Response
    item_id: str
    sound: bytes


@dataclass(frozen=True)
class SpeechFailed:
    """The rest of the item is not spoken; its words go on."""

    item_id: str
    error: Exception


@dataclass(frozen=True)
class Hushed:
    """Of a spoken item only so much was heard, and the conversation keeps no more; the client throws away what it has
    not played. The response may have ended before."""

    response: Response
    item_id: str
    heard_ms: float


@dataclass(frozen=True)
class OutputDone:
    """An item of the answer is as it will stay, also when it is not whole."""

    response: Response
    item: Item
    previous_item_id: str | None


@dataclass(frozen=True)
class ResponseEnded:
    """The last word about an answer."""

    response: Response


@dataclass(frozen=True)
class Refused:
    """What the client asked for can't be; `event_id` is the name that it gave its event."""

    error: Exception
    event_id: str | None = None


LiveEvent = (
    SpeechStarted
    | SpeechStopped
    | Committed
    | Cleared
    | ItemAdded
    | ItemDone
    | PartlyTranscribed
    | ItemDeleted
    | Transcribed
    | NotTranscribed
    | EagerBegun
    | TurnResumed
    | ResponseBegun
    | OutputAdded
    | TextDelta
    | SoundDelta
    | SpeechFailed
    | Hushed
    | OutputDone
    | ResponseEnded
    | Refused
)
