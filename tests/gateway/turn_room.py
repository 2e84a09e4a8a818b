"""What stands around a turn machine: it tells it what happens, does what it asks for, and watches the laws."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from services.gateway import turn_actions as do
from services.gateway import turn_events as told
from services.gateway.turn import SAMPLES_PER_MS, TurnMachine
from services.gateway.turn_settings import TurnSettings

FRAME = 512  # samples that a voice activity detector judges at once: 32 ms
FRAME_MS = FRAME // SAMPLES_PER_MS
A = TypeVar("A")


@dataclass
class Answer:
    """What became of an answer. status: None until its end."""

    begun: bool = False
    eager: bool = False
    to: tuple[str, ...] = ()  # what had been said in the conversation that it answers
    given: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    runs: bool = True
    status: str | None = None
    reason: str = ""


class Room:
    """The machine's surroundings in a test: a microphone, an encoder and an LLM that do as the test says."""

    def __init__(self, settings: TurnSettings | None = None) -> None:
        self.settings = settings or TurnSettings()
        self.machine = TurnMachine(self.settings)
        self.now_s = 0.0
        self.done: list[do.Action] = []
        self.takes: dict[int, tuple[int, int]] = {}  # open ones -> first, last sample
        self.partial: int | None = None  # the open take of what is still being said
        self.partly: dict[int, str] = {}  # utterance -> its words, as far as they were told before its end
        self.answers: dict[int, Answer] = {}
        self.committed: dict[int, tuple[int, int]] = {}
        self.said: dict[int, str | None] = {}  # utterance -> its words; None: lost
        self.played_by_s = 0.0  # all sound that was sent, unless it was hushed
        self._heard_until = 0
        self._words: dict[int, str] = {}  # what takes heard
        self._asked = False

    # ------------------------------------------------------------------------------------------------- what happens
    def tell(self, event: told.Event) -> list[do.Action]:
        """The machine's actions, done."""
        self._asked |= isinstance(event, told.Ask)
        was_quiet = not self.machine.is_speaking
        actions = self.machine.on(event, self.now_s)
        for action in actions:
            self._do(action)
        if was_quiet and self.machine.is_speaking and self.settings.interrupt:
            assert not self.is_playing, "somebody speaks, and the answer goes on sounding"
        assert self.machine.is_playing(self.now_s) == self.is_playing
        assert self.machine.needed_from <= self.machine.position
        assert not self.machine.is_idle or not (self.takes or self.is_generating), "idle, and still at work"
        return actions

    def sound(self, ms: float, speech: float) -> list[do.Action]:
        """So much audio, frame by frame."""
        return [action for _ in range(round(ms / FRAME_MS)) for action in self._frame(speech)]

    def speak(self, ms: float) -> list[do.Action]:
        return self.sound(ms, 0.95)

    def silence(self, ms: float) -> list[do.Action]:
        return self.sound(ms, 0.02)

    def heard(self, text: str, *, pause_ms: float | None = None) -> list[do.Action]:
        """The oldest open take is done."""
        take = next(iter(self.takes))
        del self.takes[take]
        self._words[take] = text
        return self.tell(told.Heard(take, text, pause_ms))

    def partly_heard(self, text: str) -> list[do.Action]:
        """The look at what is being said is done."""
        assert self.partial is not None
        take, self.partial = self.partial, None
        return self.tell(told.Heard(take, text))

    def unheard(self) -> list[do.Action]:
        take = next(iter(self.takes))
        del self.takes[take]
        return self.tell(told.Unheard(take, RuntimeError("the encoder is away")))

    def piece(self, text: str) -> list[do.Action]:
        """The running generation goes on."""
        self.answers[self.running].given.append(text)
        return self.tell(told.Piece(self.running, text))

    def finish(self) -> list[do.Action]:
        number = self.running
        self.answers[number].runs = False
        return self.tell(told.Finished(number, "stop"))

    def break_down(self) -> list[do.Action]:
        number = self.running
        self.answers[number].runs = False
        return self.tell(told.Broken(number, RuntimeError("the LLM is away")))

    def answer(self, *pieces: str) -> None:
        """The running generation, to its end."""
        for text in pieces:
            self.piece(text)
        self.finish()

    def plays(self, ms: float) -> list[do.Action]:
        """The answer on show has so much sound, which is sent at once and plays behind what plays already."""
        self.played_by_s = max(self.now_s, self.played_by_s) + ms / 1000
        return self.tell(told.Playing(self.played_by_s))

    def configured(self, settings: TurnSettings) -> None:
        self.settings = settings
        for action in self.machine.configure(settings, self.now_s):
            self._do(action)

    # ------------------------------------------------------------------------------------------------------- looking
    @property
    def is_playing(self) -> bool:
        return self.now_s < self.played_by_s

    @property
    def running(self) -> int:
        """The one generation that runs."""
        (number,) = [number for number, answer in self.answers.items() if answer.runs]
        return number

    @property
    def is_generating(self) -> bool:
        return any(answer.runs for answer in self.answers.values())

    def conversation(self) -> tuple[str, ...]:
        """What was said so far."""
        return tuple(text for text in self.said.values() if text)

    def of(self, kind: type[A]) -> list[A]:
        """All actions of a kind so far."""
        return [action for action in self.done if isinstance(action, kind)]

    def texts(self) -> Iterator[str]:
        """What was shown of each answer that was begun."""
        return ("".join(answer.shown) for answer in self.answers.values() if answer.begun)

    # ------------------------------------------------------------------------------------------------------ the laws
    def _frame(self, speech: float) -> list[do.Action]:
        self.now_s += FRAME_MS / 1000
        return self.tell(told.Sound(FRAME, speech))

    def _longest(self, first: int) -> int:
        """Where something ends that begins there and is as long as it may be by now."""
        return min(self.machine.position, first + round(self.settings.max_utterance_ms) * SAMPLES_PER_MS)

    def _do(self, action: do.Action) -> None:
        self.done.append(action)
        match action:
            case do.Encode(take, first, last):
                assert take not in self.takes
                assert first < last <= self._longest(first)
                assert first >= self._heard_until or any(
                    first == start and last <= end for start, end in self.committed.values()
                )
                self.takes[take] = first, last
            case do.EncodePartial(take, first, last):
                assert self.partial is None, "two looks at once"
                assert self.machine.is_speaking
                assert self._heard_until <= first < last == self._longest(first)
                self.partial = take
            case do.Partial(utterance, text):
                assert utterance not in self.committed
                assert text
                self.partly[utterance] = self.partly.get(utterance, "") + text
            case do.Forget(take):
                self.takes.pop(take, None)
                self.partial = None if self.partial == take else self.partial
            case do.Committed(utterance, first, last):
                assert self._heard_until <= first < last == self._longest(first)
                self._heard_until = last
                self.committed[utterance] = first, last
            case do.Said(utterance, _, text):
                assert utterance in self.committed
                assert utterance not in self.said
                self.said[utterance] = text
            case do.Lost(utterance):
                assert utterance in self.committed
                assert utterance not in self.said
                self.said[utterance] = None
            case do.Generate(number, take):
                assert not self.is_generating, "two generations at once"
                answer = self.answers.setdefault(number, Answer())
                answer.runs, answer.to = True, (*self.conversation(), *([self._words[take]] if take else []))
            case do.Begin(number, eager):
                answer = self.answers.setdefault(number, Answer(runs=False))
                assert not self.is_on_show, "two answers at once"
                assert not answer.begun
                assert self._asked or not self.machine.is_speaking, "an answer into somebody's speech"
                assert not eager or answer.to == self.conversation(), "an answer to something else"
                answer.begun, answer.eager, self._asked = True, eager, False
            case do.Show(number, content):
                answer = self.answers[number]
                assert answer.begun
                assert answer.status is None
                answer.shown.append(content)
            case do.Abort(number):
                assert self.answers[number].runs or not self.answers[number].begun, "nothing to abort"
                self.answers[number].runs = False
            case do.End(number, status, reason):
                answer = self.answers[number]
                assert answer.begun
                assert answer.status is None
                assert not answer.runs
                answer.status, answer.reason = status, reason
                assert status != "cancelled" or reason == "session_closed" or not self.is_playing
                assert answer.shown == answer.given[: len(answer.shown)]
                assert status != "completed" or answer.shown == answer.given
            case do.Hush():
                assert self.is_playing, "nothing to hush"
                self.played_by_s = self.now_s
            case _:
                pass

    @property
    def is_on_show(self) -> bool:
        return any(answer.begun and answer.status is None for answer in self.answers.values())
