"""Whose turn it is: the pure machine of a spoken conversation. What happens and when goes in, what to do comes out.

A pause in somebody's speech makes an *eager* answer, which is held back: the encoder hears what was said so far and
the LLM begins at once. More speech throws it away, and nobody has seen it. When the pause has lasted long enough, the
utterance ends and what is there of the answer is shown; no time is lost. Speech over an answer ends the answer, and
what the client has not played of its sound, also when all of it has been sent.

No clock, no I/O, no logging, no task: every decision can be replayed, and thousands of turns a second tested.
"""

from collections.abc import Iterator
from typing import Any

from services.contracts.errors import DeadlineExceeded, Overloaded
from services.gateway import turn_actions as do
from services.gateway import turn_events as told
from services.gateway.onset import Onset
from services.gateway.turn_actions import Action, Status
from services.gateway.turn_events import Event
from services.gateway.turn_settings import TurnSettings
from services.gateway.turn_state import Answer, Take, Utterance
from textpro.audio import SAMPLE_RATE

SAMPLES_PER_MS = SAMPLE_RATE // 1000


class TurnMachine:
    """Owner of every decision of one conversation. `on` takes events in their order and gives actions in theirs."""

    def __init__(self, settings: TurnSettings, *, position: int = 0) -> None:
        """position: samples that somebody else has judged; they are not asked for."""
        self._settings = settings
        self._numbers = 0
        self._position = position
        self._floor = position  # what lies before was committed or cleared
        self._onset = Onset()
        self._loaded = False
        self._closed = False
        self._utterance: Utterance | None = None
        self._take: Take | None = None  # of the utterance that may have ended
        self._unheard: dict[int, Take] = {}  # takes of committed utterances
        self._eager_answer: Answer | None = None
        self._answer: Answer | None = None
        self._played_by_s = float("-inf")  # all sound that was sent
        self._wanted = self._asked = False
        self._request: Any = None

    @property
    def position(self) -> int:
        """Samples judged so far."""
        return self._position

    @property
    def needed_from(self) -> int:
        """Audio before this sample is never asked for again."""
        if self._utterance is not None:
            return self._utterance.first
        if not self._settings.detect:
            return self._floor
        return self._prefixed()

    @property
    def is_speaking(self) -> bool:
        """Whether an utterance has begun and not ended."""
        return self._utterance is not None

    @property
    def wanted(self) -> told.Ask | None:
        """The answer that is owed and has not begun."""
        return told.Ask(self._request) if self._wanted else None

    @property
    def can_commit(self) -> bool:
        """Whether there is something that the client could commit."""
        return self.is_speaking or (not self._settings.detect and self._position > self._floor)

    @property
    def is_answering(self) -> bool:
        """Whether an answer is being shown."""
        return self._answer is not None

    def is_playing(self, now_s: float) -> bool:
        """Whether the client has not played all of the answers' sound, though their last may have been sent."""
        return now_s < self._played_by_s

    @property
    def is_idle(self) -> bool:
        """Whether nothing happens any more unless the client does something."""
        return not (self.is_speaking or self.is_answering or self._unheard or self._wanted)

    def configure(self, settings: TurnSettings, now_s: float) -> list[Action]:
        """From now on these. An utterance that has begun goes on, unless the client is to commit it from now on."""
        actions: list[Action] = []
        if self._settings.detect and not settings.detect:
            self._floor = self.needed_from  # what is still there is the client's to commit
            if self._utterance is not None:
                actions = list(self._drop(self._utterance))
        self._settings = settings
        return [*actions, *self._answer_now(now_s)]

    def on(self, event: Event, now_s: float) -> list[Action]:
        """What to do about what happened. now_s: never less than before."""
        return [] if self._closed else list(self._on(event, now_s))

    def _on(self, event: Event, now_s: float) -> Iterator[Action]:
        match event:
            case told.Sound():
                yield from self._sound(event, now_s)
            case told.Commit():
                yield from self._commit_asked(now_s)
            case told.Clear():
                yield from self._clear()
                yield from self._answer_now(now_s)
            case told.Ask():
                yield from self._ask(event, now_s)
            case told.Cancel():
                yield from self._cancel(now_s)
            case told.Heard() | told.Unheard():
                yield from self._heard(event, now_s)
            case told.Piece() | told.Finished() | told.Broken():
                yield from self._answering(event, now_s)
            case told.Playing(until_s):
                self._played_by_s = until_s
            case told.Edited():
                yield from self._abort_eager()
            case told.Load(high):
                self._loaded = high
            case told.Clock():
                pass
            case told.Close():
                yield from self._close()
        yield from self._overdue(now_s)

    # ------------------------------------------------------------------------------------------------------ listening
    def _sound(self, sound: told.Sound, now_s: float) -> Iterator[Action]:
        self._position += sound.n_samples
        if not self._settings.detect:
            while self._position - self._floor >= self._samples(self._settings.max_utterance_ms):
                yield from self._commit(self._whole(), now_s, answer=False)
        elif self._utterance is None:
            yield from self._listen(sound, now_s)
        else:
            yield from self._follow(self._utterance, sound, now_s)

    def _listen(self, sound: told.Sound, now_s: float) -> Iterator[Action]:
        """Nobody speaks. Enough of a voice begins an utterance; over an answer it takes more of it."""
        settings = self._settings
        is_speech, gap = sound.speech >= settings.threshold, self._samples(settings.gap_ms)
        self._onset.hear(self._position, sound.n_samples, is_speech=is_speech, gap=gap)
        interrupts = settings.interrupt and (self._answer is not None or self.is_playing(now_s))
        least_ms = max(settings.min_speech_ms, settings.interrupt_ms) if interrupts else settings.min_speech_ms
        if self._onset.voiced >= max(1, self._samples(least_ms)):
            if interrupts:
                yield from self._break_off("turn_detected", now_s)
            yield from self._start(self._prefixed())

    def _prefixed(self) -> int:
        """Where an utterance begins, if one does."""
        return max(self._floor, self._onset.first(self._position) - self._samples(self._settings.prefix_ms))

    def _start(self, first: int) -> Iterator[Action]:
        yield from self._abort_eager()  # it was for what was said before
        self._utterance = Utterance(self._next(), first, self._position)
        self._onset.forget()
        yield do.SpeechStarted(self._utterance.number, first)

    def _follow(self, utterance: Utterance, sound: told.Sound, now_s: float) -> Iterator[Action]:
        """Somebody speaks, or pauses."""
        settings = self._settings
        if sound.speech >= settings.threshold - settings.hysteresis:
            utterance.resumed += sound.n_samples
            paused = self._position - utterance.resumed > utterance.speech_end
            if not paused or utterance.resumed >= self._samples(settings.resume_ms):
                utterance.speech_end, utterance.resumed = self._position, 0
                yield from self._throw_away(utterance)
                yield from self._look(utterance)
            elif self._take is not None:
                self._take.doubted = True
        else:
            utterance.resumed = 0
        yield from self._pause(utterance, now_s)

    def _look(self, utterance: Utterance) -> Iterator[Action]:
        """For the words so far, one pass at a time, the less often the longer the speech."""
        settings, spoken = self._settings, self._position - utterance.first
        due = max(self._samples(settings.partial_ms), round(settings.partial_share * spoken))
        if not settings.partial_ms or self._loaded or utterance.partial is not None:
            return
        if self._position - max(utterance.first, utterance.looked_at) >= due:
            utterance.partial, utterance.looked_at = self._next(), self._position
            yield do.EncodePartial(utterance.partial, utterance.first, self._last(utterance))

    def _look_no_more(self, utterance: Utterance) -> Iterator[Action]:
        if utterance.partial is not None:
            yield do.Forget(utterance.partial)
            utterance.partial = None

    def _agreed(self, utterance: Utterance, text: str) -> Iterator[Action]:
        if more := utterance.words.hear(text):
            yield do.Partial(utterance.number, more)

    def _pause(self, utterance: Utterance, now_s: float) -> Iterator[Action]:
        """How long the pause is by now, and what that means."""
        settings, pause = self._settings, self._position - self._voice_end(utterance)
        if pause >= self._samples(self._patience_ms()):
            yield from self._commit(utterance, now_s, answer=True)
        elif self._position - utterance.first >= self._samples(settings.max_utterance_ms):
            yield from self._commit(utterance, now_s, answer=False)  # not finished: the rest is the next utterance
            yield from self._start(self._floor)
        elif pause >= self._samples(settings.eager_ms) and self._take is None and self._may_be_heard(utterance):
            yield from self._look_no_more(utterance)
            self._take = Take(self._next(), utterance.number, now_s)
            yield do.Encode(self._take.number, utterance.first, self._spoken_until(utterance))

    def _voice_end(self, utterance: Utterance) -> int:
        """The sample that ended the voice, so far; its activity ends later."""
        if self._position == utterance.speech_end:
            return self._position
        return max(utterance.first, utterance.speech_end - self._samples(self._settings.lag_ms))

    def _last(self, utterance: Utterance) -> int:
        """Where it ends, if it ends now. What is longer than allowed is the next one's."""
        return min(self._position, utterance.first + self._samples(self._settings.max_utterance_ms))

    def _spoken_until(self, utterance: Utterance) -> int:
        """Without the pause: silence has no words, and would dilute the tone."""
        return min(self._position, self._voice_end(utterance) + self._samples(self._settings.tail_ms))

    def _patience_ms(self) -> float:
        take, settings = self._take, self._settings
        if not settings.adaptive or take is None or take.pause_ms is None:
            return settings.pause_ms
        return min(take.pause_ms, settings.max_pause_ms)

    def _may_be_heard(self, utterance: Utterance) -> bool:
        """Before it has ended: for an eager answer, or to see from its words how long a pause may be."""
        worth_it = self._settings.adaptive or self._may_be_eager(utterance)
        return worth_it and not self._loaded and not utterance.unheard

    def _may_be_eager(self, utterance: Utterance) -> bool:
        return self._settings.eager and not self._loaded and utterance.eager < self._settings.max_eager

    def _throw_away(self, utterance: Utterance) -> Iterator[Action]:
        """What was made on suspicion."""
        if self._take is not None:
            yield do.Forget(self._take.number)
            self._take = None
        if self._eager_answer is not None:
            yield from self._abort_eager()
            yield do.Resumed(utterance.number)

    def _drop(self, utterance: Utterance) -> Iterator[Action]:
        """As if it had not been said."""
        yield from self._look_no_more(utterance)
        yield from self._throw_away(utterance)
        self._utterance = None

    def _abort_eager(self) -> Iterator[Action]:
        answer, self._eager_answer = self._eager_answer, None
        if answer is not None:
            yield do.Abort(answer.number)

    # ---------------------------------------------------------------------------------------------------- committing
    def _commit_asked(self, now_s: float) -> Iterator[Action]:
        if self._utterance is not None:
            yield from self._commit(self._utterance, now_s, answer=True)
        elif not self.can_commit:
            yield do.Refuse("input_audio_buffer_commit_empty")
        else:
            yield from self._commit(self._whole(), now_s, answer=self._settings.answer_commits)

    def _whole(self) -> Utterance:
        """All audio that was not committed, where nobody looks for utterances."""
        return Utterance(self._next(), self._floor, self._position)

    def _commit(self, utterance: Utterance, now_s: float, *, answer: bool) -> Iterator[Action]:
        answer = answer and self._settings.answer
        if not answer:
            yield from self._abort_eager()
        yield from self._look_no_more(utterance)
        last = self._last(utterance)
        if self._settings.detect:
            yield do.SpeechStopped(utterance.number, min(last, self._voice_end(utterance)))
        yield do.Committed(utterance.number, utterance.first, last)
        take, self._take, self._utterance, self._floor = self._take, None, None, last
        if take is None or take.doubted:
            spoken = self._spoken_until(utterance)
            if take is not None:
                spoken = last  # what made the doubt may be a word
                yield do.Forget(take.number)
            take = Take(self._next(), utterance.number, now_s)
            yield do.Encode(take.number, utterance.first, min(last, spoken))
        take.answer = answer
        self._unheard[take.number] = take
        if len(self._unheard) > self._settings.max_unheard:
            error = Overloaded("more is said than the encoder can hear", retry_after_s=1)
            yield from self._lose(next(iter(self._unheard)), error)
        if take.text is not None:
            yield from self._understand(take)
        yield from self._answer_now(now_s)

    def _clear(self) -> Iterator[Action]:
        if self._utterance is not None:
            yield from self._drop(self._utterance)
        self._floor = self._position
        self._onset.forget()
        yield do.Cleared()

    # ------------------------------------------------------------------------------------------------- understanding
    def _heard(self, event: told.Heard | told.Unheard, now_s: float) -> Iterator[Action]:
        if event.take in self._unheard:
            if isinstance(event, told.Unheard):
                yield from self._lose(event.take, event.error)
            else:
                take = self._unheard[event.take]
                take.text = event.text
                yield from self._understand(take)
            yield from self._answer_now(now_s)
        elif self._utterance is not None and self._utterance.partial == event.take:
            self._utterance.partial = None
            if isinstance(event, told.Heard):
                yield from self._agreed(self._utterance, event.text)
        elif self._utterance is not None and self._take is not None and self._take.is_awaited(event.take):
            # Where nothing was heard, or hearing failed, nobody answers, and the pause takes its time.
            take, utterance = self._take, self._utterance
            take.text, take.pause_ms = (event.text, event.pause_ms) if isinstance(event, told.Heard) else (None, None)
            if isinstance(event, told.Unheard):
                yield do.Forget(take.number)
                self._take, utterance.unheard = None, True
            else:
                yield from self._agreed(utterance, event.text)
            if take.text and self._settings.answer and self._is_free() and self._may_be_eager(utterance):
                utterance.eager += 1
                self._eager_answer = Answer(self._next(), now_s, take.text)
                yield do.Generate(self._eager_answer.number, take.number, None)
                yield do.Eager(utterance.number)
            yield from self._pause(utterance, now_s)

    def _understand(self, take: Take) -> Iterator[Action]:
        """A committed utterance's words are known; an answer to other words is worth nothing."""
        text = take.text or ""
        del self._unheard[take.number]
        if self._eager_answer is not None and self._eager_answer.text != text:
            yield from self._abort_eager()
        yield do.Said(take.utterance, take.number, text)
        self._wanted |= take.answer and bool(text)

    def _lose(self, number: int, error: Exception) -> Iterator[Action]:
        take = self._unheard.pop(number)
        yield from self._abort_eager()
        yield do.Forget(number)
        yield do.Lost(take.utterance, error)

    # ----------------------------------------------------------------------------------------------------- answering
    def _is_free(self) -> bool:
        """Whether nothing stands before an answer."""
        return self._answer is None and self._eager_answer is None and not self._unheard

    def _ask(self, ask: told.Ask, now_s: float) -> Iterator[Action]:
        if self._answer is not None:
            yield do.Refuse("conversation_already_has_active_response")
            return
        yield from self._abort_eager()
        self._wanted, self._asked, self._request = True, True, ask.request
        yield from self._answer_now(now_s)

    def _answer_now(self, now_s: float) -> Iterator[Action]:
        """The answer that is wanted, once all is heard and nobody speaks; at once where the client asked for it."""
        if not self._wanted or self._answer is not None or self._unheard:
            return
        if self._utterance is not None and not self._asked:
            return
        answer, self._eager_answer = self._eager_answer, None
        request, self._wanted, self._asked, self._request = self._request, False, False, None
        if answer is None:
            self._answer = Answer(self._next(), now_s)
            yield do.Generate(self._answer.number, None, request)
            yield do.Begin(self._answer.number, eager=False)
            return
        self._answer, answer.alive_s = answer, now_s
        yield do.Begin(answer.number, eager=True)
        for content in answer.held:
            yield do.Show(answer.number, content)
        answer.held = []
        if answer.reason is not None:
            yield from self._end("completed", answer.reason)

    def _answering(self, event: told.Piece | told.Finished | told.Broken, now_s: float) -> Iterator[Action]:
        if self._answer is not None and self._answer.number == event.answer:
            match event:
                case told.Piece(_, content):
                    self._answer.alive_s = now_s
                    yield do.Show(event.answer, content)
                case told.Finished(_, reason):
                    self._answer.reason = reason
                    yield from self._end("completed", reason)
                case told.Broken(_, error):
                    self._answer.reason = "error"
                    yield from self._end("failed", "error", error)
            yield from self._answer_now(now_s)
        elif self._eager_answer is not None and self._eager_answer.is_awaited(event.answer):
            match event:
                case told.Piece(_, content):
                    self._eager_answer.held.append(content)
                case told.Finished(_, reason):
                    self._eager_answer.reason = reason
                case told.Broken():
                    self._eager_answer = None  # when the utterance has ended it is tried again, in earnest

    def _end(self, status: Status, reason: str, error: Exception | None = None) -> Iterator[Action]:
        """The one last word about the answer; what is not whole is aborted."""
        assert self._answer is not None
        answer, self._answer = self._answer, None
        if answer.reason is None:
            yield do.Abort(answer.number)
        yield do.End(answer.number, status, reason, error)

    def _break_off(self, reason: str, now_s: float) -> Iterator[Action]:
        """The client hears no more of the answers."""
        if self.is_playing(now_s):
            self._played_by_s = now_s
            yield do.Hush()
        if self._answer is not None:
            yield from self._end("cancelled", reason)

    def _cancel(self, now_s: float) -> Iterator[Action]:
        if self._answer is not None or self.is_playing(now_s):
            yield from self._break_off("client_cancelled", now_s)
        elif not self._wanted and not any(take.answer for take in self._unheard.values()):
            yield do.Refuse("response_cancel_not_active")
        self._wanted, self._asked, self._request = False, False, None
        for take in self._unheard.values():
            take.answer = False

    def _overdue(self, now_s: float) -> Iterator[Action]:
        """Whoever does not come is not waited for."""
        settings = self._settings
        late = [n for n, take in self._unheard.items() if now_s - take.begun_s > settings.hear_timeout_s]
        for number in late:
            yield from self._lose(number, DeadlineExceeded(f"nothing was heard in {settings.hear_timeout_s:g} s"))
        answer = self._answer
        if answer is not None and now_s - answer.alive_s > settings.answer_timeout_s:
            error = DeadlineExceeded(f"nothing of the answer came for {settings.answer_timeout_s:g} s")
            yield from self._end("failed", "timeout", error)
        if late or answer is not self._answer:
            yield from self._answer_now(now_s)

    def _close(self) -> Iterator[Action]:
        if self._utterance is not None:
            yield from self._drop(self._utterance)
        yield from self._abort_eager()
        for number in self._unheard:
            yield do.Forget(number)
        if self._answer is not None:
            yield from self._end("cancelled", "session_closed")
        self._unheard.clear()
        self._wanted, self._closed = False, True

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    @staticmethod
    def _samples(ms: float) -> int:
        return round(ms * SAMPLES_PER_MS)
