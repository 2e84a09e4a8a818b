"""A live session: sound and wishes in, events out. The turn machine decides; here it is done.

Everything but the two calls that take time, the encoder's and the LLM's, happens at once and in order on the event
loop, so that nothing has to be locked. Those calls are tasks of the session's own group: they end with it.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from services.contracts.errors import BadRequest, NotFound, Unavailable
from services.contracts.realtime import ResponseWishes
from services.gateway import live_events as tell
from services.gateway import turn_actions as do
from services.gateway import turn_events as told
from services.gateway.chat import Parts
from services.gateway.conversation import Conversation, Item, ItemStatus, newer_half
from services.gateway.detection import turn_settings
from services.gateway.encoder_client import ProsodyKind, Speech
from services.gateway.left_behind import LeftBehind, Unfinished
from services.gateway.limits import Deadline
from services.gateway.live_events import LiveEvent, Response
from services.gateway.live_prompt import messages, sampling
from services.gateway.llm_client import ContextExceeded, Message, Sampling
from services.gateway.llm_reply import Call, Reply
from services.gateway.session import new_item_id, new_response_id
from services.gateway.sound import BYTES_PER_SAMPLE, Sound
from services.gateway.timeline import Timeline
from services.gateway.turn import TurnMachine
from services.gateway.turn_settings import TurnSettings
from services.gateway.vad import WINDOW, VoiceActivity, VoiceModel
from textpro.audio import SAMPLE_RATE
from textpro.errors import TextProError

REFUSALS: dict[do.Refusal, str] = {
    "input_audio_buffer_commit_empty": "there is no sound to commit",
    "conversation_already_has_active_response": "an answer is being given; cancel it first",
    "response_cancel_not_active": "no answer is being given",
}


@dataclass
class _Answer:
    """An answer from its generation's beginning to its end. item: the words that are being given."""

    response: Response
    task: asyncio.Task[None] | None
    timeline: Timeline
    begun: bool = False
    n_pieces: int = 0
    item: Item | None = None


class LiveSession:
    """One conversation of one client. `emit` must not block; `tasks` is the connection's group."""

    def __init__(
        self,
        parts: Parts,
        model: VoiceModel,
        emit: Callable[[LiveEvent], None],
        tasks: asyncio.TaskGroup,
        settings: TurnSettings,
        left: LeftBehind | None = None,
    ) -> None:
        """left: the session that is gone on with, once `take_up` is called."""
        left = left or LeftBehind()
        self.config = left.config
        self.conversation = Conversation(parts.settings.max_items, list(left.items))
        self._left = left
        self._parts, self._emit, self._tasks = parts, emit, tasks
        self._standard = settings
        self._settings, self._patience = turn_settings(self.config, settings)
        self._machine = TurnMachine(self._settings, position=left.position)
        self._voice = VoiceActivity(model)
        self._sound = Sound(left.position)
        self._items: dict[int, str] = {}  # utterance -> its item's id
        self._waiting: dict[int, int] = {}  # committed utterance whose words are not known -> its first sample
        self._encoding: dict[int, asyncio.Task[None]] = {}
        self._heard: dict[int, Speech] = {}
        self._answers: dict[int, _Answer] = {}
        self._said: tuple[float, float] | None = None  # when the last speech ended, and the pause after it, in seconds
        self._event_id: str | None = None
        self._loaded = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_answering(self) -> bool:
        """Whether an answer is being shown."""
        return self._machine.is_answering

    # ---------------------------------------------------------------------------------------------- what a client does
    def hear(self, pcm16: bytes) -> None:
        """Sound goes on: PCM16, mono, 16 kHz, whole samples."""
        self._look_round()
        self._sound.add(pcm16)
        if self._settings.detect:
            for speech in self._voice.hear(pcm16):
                self._tell(told.Sound(WINDOW, speech))
        else:
            self._catch_up()
        self._sound.forget(self._machine.needed_from)

    def commit(self, event_id: str | None = None) -> None:
        """The utterance ends here."""
        self._catch_up()
        self._tell(told.Commit(), event_id)

    def clear(self, event_id: str | None = None) -> None:
        """What was not committed is taken back."""
        self._catch_up()
        self._tell(told.Clear(), event_id)

    def stop(self) -> None:
        """No more sound comes: what was said is committed."""
        self._catch_up()
        if self._machine.can_commit:
            self._tell(told.Commit())

    async def settled(self) -> None:
        """Returns once all that was said is heard and answered."""
        await self._idle.wait()

    def ask(self, wishes: ResponseWishes, event_id: str | None = None) -> None:
        """An answer to the conversation as it stands. Raises NotFound, BadRequest for a tone that is not there."""
        if wishes.prosody_from is not None and self.conversation.get(wishes.prosody_from).prosody is None:
            message = f"item {wishes.prosody_from!r} has no prosody"
            raise BadRequest(message, param="response.prosody_from", code="no_prosody")
        if wishes.conversation == "none" or wishes.input is not None:
            message = "answers outside the conversation are not given; leave out `conversation` and `input`"
            raise BadRequest(message, param="response.conversation", code="not_supported")
        self._tell(told.Ask(wishes), event_id)

    def cancel(self, event_id: str | None = None) -> None:
        """No more of the answer that is being given."""
        self._tell(told.Cancel(), event_id)

    def configure(self, change: dict[str, Any]) -> None:
        """Other settings from now on. Raises ValidationError; then all stay as they were."""
        self.config = self.config.updated(change)
        settings, self._patience = turn_settings(self.config, self._standard)
        if settings.detect != self._settings.detect:
            self._catch_up()
        self._settings = settings
        self._perform(self._machine.configure(settings, self._now_s()))

    def add(self, item: Item, after: str | None = None) -> None:
        """An item of the client's own. Raises NotFound, BadRequest."""
        before = self.conversation.add(item, after)
        self._edited()
        self._emit(tell.ItemAdded(item, before))
        self._emit(tell.ItemDone(item, before))

    def delete(self, item_id: str) -> None:
        """Raises NotFound."""
        self.conversation.delete(item_id)
        self._edited()
        self._emit(tell.ItemDeleted(item_id))

    def truncate(self, item_id: str, audio_end_ms: float) -> None:
        """Of a spoken answer only so much was heard. Raises NotFound, BadRequest."""
        self.conversation.truncate(item_id, audio_end_ms)
        self._edited()

    async def listen(self, item_id: str, pcm16: bytes) -> Item:
        """A recording as an item, words and tone. Raises what the encoder raises."""
        speech = await self._speech(pcm16)
        ms = _ms(len(pcm16) // BYTES_PER_SAMPLE)
        return Item(item_id, "user", speech.text, spoken=True, prosody=speech.prosody, audio_ms=ms)

    def leave_behind(self) -> LeftBehind:
        """What another gateway needs to go on with it."""
        answer = next((answer for answer in self._answers.values() if answer.begun), None)
        wanted = self._machine.wanted
        return LeftBehind(
            config=self.config,
            items=list(self.conversation.items),
            position=min([self._machine.needed_from, *self._waiting.values()]),
            was_speaking=self._machine.is_speaking,
            answer=None if answer is None else Unfinished.of(answer.response, answer.item),
            wanted=None if wanted is None else wanted.request or ResponseWishes(),
        )

    @property
    def n_samples(self) -> int:
        """Of the sound that came, at 16 kHz."""
        return self._sound.last

    def take_up(self) -> None:
        """Tells what became of what was under way in the session that is gone on with. What was said and not understood
        is forgotten, as the client says it again; an answer that broke off is given anew."""
        left, lost = self._left, Unavailable("the gateway that held this conversation was lost")
        if left.was_speaking:
            self._emit(tell.Cleared())
        for item in left.items:
            if item.kind == "user" and item.status == "in_progress":
                self._emit(tell.NotTranscribed(item.id, lost))
                self.delete(item.id)
        wanted = left.wanted
        if left.answer is not None:
            response, item = left.answer.found(self.conversation)
            self._answers[0] = _Answer(response, None, Timeline(self._now_s()), begun=True, item=item)
            self._answer(do.End(0, "failed", "lost", lost))
            if all(item.kind == "assistant" for item in response.output):  # nothing was called that may be done by now
                wanted = response.wishes
                for item in response.output:
                    self.delete(item.id)
        self._left = LeftBehind()
        if wanted is not None:
            self.ask(wanted)

    def close(self) -> None:
        """Ends what runs."""
        self._tell(told.Close())
        for task in self._encoding.values():
            task.cancel()
        for answer in self._answers.values():
            self._stop(answer)

    # ------------------------------------------------------------------------------------------ what the machine wants
    def _tell(self, event: told.Event, event_id: str | None = None) -> None:
        self._event_id = event_id
        self._perform(self._machine.on(event, self._now_s()))

    def _perform(self, actions: list[do.Action]) -> None:
        for action in actions:
            self._do(action)
        if self._machine.is_idle:
            self._idle.set()
        else:
            self._idle.clear()

    def _do(self, action: do.Action) -> None:
        match action:
            case do.Encode(take, first, last):
                pcm16 = self._sound.between(first, last)
                self._encoding[take] = self._tasks.create_task(self._encode(take, pcm16), name=f"encode {take}")
            case do.EncodePartial(take, first, last):
                run = self._encode_partial(take, self._sound.between(first, last))
                self._encoding[take] = self._tasks.create_task(run, name=f"encode {take}")
            case do.Forget(take):
                self._heard.pop(take, None)
                if task := self._encoding.pop(take, None):
                    task.cancel()
            case do.Generate(number, take, wishes):
                self._generate(number, take, wishes or ResponseWishes())
            case do.Abort(number):
                self._stop(self._answers[number])
                self._forget_unseen(number)
            case do.Begin() | do.Show() | do.End():
                self._answer(action)
            case do.Refuse(code):
                self._emit(tell.Refused(BadRequest(REFUSALS[code], code=code), self._event_id))
            case do.Cleared():
                self._emit(tell.Cleared())
            case do.Eager(utterance):
                self._emit(tell.EagerBegun(self._items[utterance]))
            case do.Resumed(utterance):
                self._emit(tell.TurnResumed(self._items[utterance]))
            case _:
                self._utterance(action)

    def _utterance(self, action: do.Action) -> None:
        """What somebody says becomes an item: at its end a place in the conversation, then its words."""
        match action:
            case do.SpeechStarted(utterance, sample):
                waiting = {other: self._items[other] for other in self._waiting}  # what was taken back is forgotten
                self._items = waiting | {utterance: new_item_id()}
                self._emit(tell.SpeechStarted(self._items[utterance], _ms(sample)))
            case do.SpeechStopped(utterance, sample):
                lag_s = (self._machine.position - sample) / SAMPLE_RATE
                self._said = self._now_s() - lag_s, lag_s
                self._emit(tell.SpeechStopped(self._items[utterance], _ms(sample)))
            case do.Partial(utterance, text):
                self._emit(tell.PartlyTranscribed(self._items[utterance], text))
            case do.Committed(utterance, first, last):
                item_id = self._items.setdefault(utterance, new_item_id())
                item = Item(item_id, "user", "", "in_progress", spoken=True, audio_ms=_ms(last - first))
                before = self.conversation.add(item)
                self._waiting[utterance] = first
                self._emit(tell.Committed(item_id, before))
                self._emit(tell.ItemAdded(item, before))
            case do.Said(utterance, take, text):
                speech = self._heard.pop(take)
                self._parts.metrics.audio(speech.audio_seconds)
                self._understood(utterance, text=text, prosody=speech.prosody)
            case do.Lost(utterance, error):
                self._emit(tell.NotTranscribed(self._items[utterance], error))
                self._understood(utterance, status="incomplete")

    def _understood(self, utterance: int, **known: Any) -> None:
        item_id = self._items.pop(utterance)
        del self._waiting[utterance]
        with suppress(NotFound):  # the client has deleted it
            item = replace(self.conversation.get(item_id), **{"status": "completed"} | known)
            before = self.conversation.put(item)
            if item.status == "completed":
                self._emit(tell.Transcribed(item))
            self._emit(tell.ItemDone(item, before))

    def _answer(self, action: do.Begin | do.Show | do.End) -> None:
        answer = self._answers[action.answer]
        response = answer.response
        match action:
            case do.Begin(_, eager):
                answer.begun, response.eager = True, eager
                if eager:
                    self._parts.metrics.eager("promoted")
                answer.timeline.begin(self._said, self._now_s())
                self._said = None
                self._emit(tell.ResponseBegun(response))
            case do.Show(_, Call() as call):
                answer.timeline.show(self._now_s())
                self._end_item(answer, "completed")
                answer.item = Item(new_item_id(), "function_call", call.arguments, name=call.name, call_id=call.id)
                self._begin_item(answer)
                self._end_item(answer, "completed")
            case do.Show(_, text):
                answer.timeline.show(self._now_s())
                if answer.item is None:
                    answer.item = Item(new_item_id(), "assistant", "", "in_progress")
                    self._begin_item(answer)
                answer.item = replace(answer.item, text=answer.item.text + text)
                self._keep(answer)
                self._emit(tell.TextDelta(response, answer.item.id, text))
            case do.End(_, status, reason, error):
                self._end_item(answer, "completed" if status == "completed" else "incomplete")
                response.status, response.reason, response.error = status, reason, error
                response.timing_ms = answer.timeline.report(self._now_s())
                self._count(response)
                self._emit(tell.ResponseEnded(response))
                del self._answers[action.answer]

    def _begin_item(self, answer: _Answer) -> None:
        assert answer.item is not None
        before = self.conversation.add(answer.item)
        self._emit(tell.OutputAdded(answer.response, answer.item, before))

    def _end_item(self, answer: _Answer, status: ItemStatus) -> None:
        if answer.item is None:
            return
        item = answer.item = replace(answer.item, status=status)
        before = self._keep(answer)
        answer.response.output.append(item)
        answer.item = None
        self._emit(tell.OutputDone(answer.response, item, before))

    def _keep(self, answer: _Answer) -> str | None:
        """The conversation has what was delivered, whatever comes next."""
        if answer.item is not None:
            with suppress(NotFound):  # the client has deleted it
                return self.conversation.put(answer.item)
        return None

    @staticmethod
    def _stop(answer: _Answer) -> None:
        if answer.task is not None:
            answer.task.cancel()

    # ------------------------------------------------------------------------------------------------- what takes time
    async def _encode(self, take: int, pcm16: bytes) -> None:
        try:
            self._heard[take] = speech = await self._speech(pcm16)
        except TextProError as error:
            del self._encoding[take]
            self._tell(told.Unheard(take, error))
            return
        del self._encoding[take]
        self._tell(told.Heard(take, speech.text, self._patience.after(speech.text)))

    async def _encode_partial(self, take: int, pcm16: bytes) -> None:
        """A full encoder has no time for it, and that is no error."""
        event: told.Event
        try:
            timeout_s = self._parts.settings.encode_timeout_s
            prosody = ProsodyKind.NONE
            speech = await self._parts.encoder.encode(pcm16, prosody=prosody, timeout_s=timeout_s, partial=True)
            event = told.Heard(take, speech.text)
        except TextProError as error:
            event = told.Unheard(take, error)
        del self._encoding[take]
        self._tell(event)

    async def _speech(self, pcm16: bytes) -> Speech:
        profile = await self._parts.llm.profile()
        kind = profile.prosody if self.config.prosody == "on" else ProsodyKind.NONE
        with self._parts.pressure.noticed():
            return await self._parts.encoder.encode(
                pcm16, prosody=kind, timeout_s=self._parts.settings.encode_timeout_s
            )

    def _generate(self, number: int, take: int | None, wishes: ResponseWishes) -> None:
        heard = self._heard[take] if take is not None else None
        asked = messages(self.conversation, self.config, wishes, heard)
        run = self._run(number, asked, sampling(self.config, wishes, self._parts.settings))
        task = self._tasks.create_task(run, name=f"answer {number}")
        response = Response(new_response_id(), wishes, eager=False)
        self._answers[number] = _Answer(response, task, Timeline(self._now_s()))

    async def _run(self, number: int, asked: list[Message], drawn: Sampling) -> None:
        """The generation. It begins with the next turn of the event loop, when its answer is known by its number."""
        deadline = Deadline.after(self._parts.settings.turn_timeout_s)
        answer = self._answers[number]
        response, timeline = answer.response, answer.timeline
        try:
            async with AsyncExitStack() as held:
                held.enter_context(self._parts.pressure.generating())
                reply = await self._open(held, asked, drawn, deadline)
                response.prosody = reply.prosody
                async for piece in reply.pieces:
                    timeline.come(self._now_s())
                    answer.n_pieces += 1
                    self._tell(told.Piece(number, piece))
            for call in reply.calls:
                self._tell(told.Piece(number, call))
            response.usage = reply.usage
        except TextProError as error:
            self._tell(told.Broken(number, error))
            self._forget_unseen(number)
        else:
            self._tell(told.Finished(number, reply.finish_reason or "stop"))

    async def _open(self, held: AsyncExitStack, asked: list[Message], drawn: Sampling, deadline: Deadline) -> Reply:
        """With as much of the conversation as the LLM's context takes."""
        while True:
            try:
                return await held.enter_async_context(self._parts.llm.reply(asked, drawn, deadline))
            except ContextExceeded:
                shorter = newer_half(asked)
                if len(shorter) == len(asked):
                    raise
                asked = shorter

    # ---------------------------------------------------------------------------------------------------------- besides
    def _look_round(self) -> None:
        """Whether there is room for work that may be in vain."""
        if self._loaded != self._parts.pressure.is_high:
            self._loaded = not self._loaded
            self._tell(told.Load(self._loaded))

    def _catch_up(self) -> None:
        """All sound that came is told, also what fills no window."""
        if samples := self._sound.last - self._machine.position:
            self._voice.forget()
            self._tell(told.Sound(samples, 0.0))

    def _edited(self) -> None:
        self._tell(told.Edited())

    def _forget_unseen(self, number: int) -> None:
        """Nobody was told of it, so nobody is told of its end."""
        answer = self._answers.get(number)
        if answer is not None and not answer.begun:
            del self._answers[number]
            self._parts.metrics.eager("wasted")
            self._parts.metrics.llm_tokens(wasted=answer.n_pieces)

    def _count(self, response: Response) -> None:
        ends = {"completed": "answered", "cancelled": "interrupted", "failed": "failed"}
        self._parts.metrics.turn(ends[response.status or "failed"])
        usage = response.usage
        self._parts.metrics.llm_tokens(prompt=usage.prompt_tokens, completion=usage.completion_tokens)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


def _ms(samples: int) -> float:
    return 1000 * samples / SAMPLE_RATE
