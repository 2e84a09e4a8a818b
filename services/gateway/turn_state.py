"""What a conversation's turn machine (turn.py) remembers of what is under way."""

from dataclasses import dataclass, field
from typing import Any

from services.gateway.agreement import Agreement


@dataclass
class Utterance:
    """What somebody is saying. first, speech_end: samples of the session's stream."""

    number: int
    first: int
    speech_end: int
    resumed: int = 0  # samples of speech since then that may be none
    eager: int = 0  # answers to it, made on suspicion
    unheard: bool = False  # the encoder refused it, or failed
    partial: int | None = None  # the take that looks for its words so far
    looked_at: int = 0  # where the last one ended
    words: Agreement = field(default_factory=Agreement)


@dataclass
class Take:
    """A pass of the encoder over an utterance."""

    number: int
    utterance: int
    begun_s: float
    text: str | None = None
    pause_ms: float | None = None
    doubted: bool = False  # something that may be speech came after it
    answer: bool = False  # it was committed to be answered

    def is_awaited(self, number: int) -> bool:
        return self.number == number and self.text is None


@dataclass
class Answer:
    """What is being generated. alive_s: when it last gave a sign of life."""

    number: int
    alive_s: float
    text: str = ""  # what it answers, where it was begun eagerly
    held: list[Any] = field(default_factory=list)
    reason: str | None = None  # set once it is whole

    def is_awaited(self, number: int) -> bool:
        return self.number == number and self.reason is None
