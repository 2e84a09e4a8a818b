"""What is answered in a live session: the LLM writes it, a voice speaks it, it becomes items of the conversation."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

from services.contracts.errors import NotFound
from services.contracts.realtime import ResponseWishes
from services.gateway import live_events as tell
from services.gateway import turn_actions as do
from services.gateway import turn_events as told
from services.gateway.conversation import Item, ItemStatus
from services.gateway.encoder_client import ProsodyKind, Speech
from services.gateway.left_behind import Unfinished
from services.gateway.limits import Deadline
from services.gateway.live_events import Response
from services.gateway.live_prompt import messages, sampling
from services.gateway.live_scene import Scene
from services.gateway.llm_client import Message, Sampling, reply_that_fits
from services.gateway.llm_reply import Call, Reply
from services.gateway.playback import Playback
from services.gateway.session import new_item_id, new_response_id
from services.gateway.spoken_answer import SpokenAnswer
from services.gateway.timeline import Timeline
from textpro.errors import SynthesisError, TextProError

WAITED = ("first_token", "first_audio")  # for: an answer's other times are as long as it is


@dataclass
class _Answer:
    """An answer from its generation's beginning to its end. item: the words that are being given. heard_ms: of its
    sound, where the client was told to throw the rest away."""

    response: Response
    task: asyncio.Task[None] | None
    timeline: Timeline
    speech: SpokenAnswer | None = None
    begun: bool = False
    n_pieces: int = 0
    item: Item | None = None
    heard_ms: float | None = None


class Answers:
    """Does what the turn machine wants to be done with them."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._answers: dict[int, _Answer] = {}
        self._playback = Playback()
        self._ended: dict[str, Response] = {}  # answers that are still played, by their items

    def unfinished(self) -> Unfinished | None:
        """The answer that has begun and not ended."""
        answer = next((answer for answer in self._answers.values() if answer.begun), None)
        return None if answer is None else Unfinished.of(answer.response, answer.item)

    def fail(self, left: Unfinished, error: Exception) -> Response:
        """Ends the answer of another gateway, which broke off."""
        response, item = left.found(self._scene.conversation)
        self._answers[0] = _Answer(response, None, Timeline(self._scene.now_s()), begun=True, item=item)
        self.perform(do.End(0, "failed", "lost", error))
        return response

    def is_speaking(self, item_id: str) -> bool:
        """Whether it is what is being spoken right now."""
        given = self._giving(item_id)
        return given is not None and given.speech is not None

    def is_under_way(self, response_id: str) -> bool:
        """Whether it is being given, or still played."""
        now_s = self._scene.now_s()
        given = [answer.response for answer in self._answers.values() if answer.begun]
        played = [response for item_id, response in self._ended.items() if self._playback.is_playing(item_id, now_s)]
        return any(response.id == response_id for response in (*given, *played))

    def is_heard_no_more(self, item_id: str) -> None:
        """The client has cut the item's sound off by itself."""
        self._ended.pop(item_id, None)

    def close(self) -> None:
        """Ends what runs."""
        for answer in self._answers.values():
            _stop(answer)

    def generate(self, number: int, heard: Speech | None, wishes: ResponseWishes) -> None:
        """Begins an answer, unseen. heard: what may be the conversation's last words."""
        scene = self._scene
        most = wishes.max_output_tokens or scene.config.max_output_tokens
        wishes = wishes.model_copy(update={"max_output_tokens": most})
        asked = messages(scene.conversation, scene.config, wishes, heard)
        run = self._run(number, asked, sampling(scene.config, wishes, scene.parts.settings))
        speech = self._speech(number, wishes)
        response = Response(new_response_id(), wishes, eager=False, spoken=speech is not None)
        task = scene.tasks.create_task(run, name=f"answer {number}")
        self._answers[number] = _Answer(response, task, Timeline(scene.now_s()), speech)

    def begin(self, action: do.Begin, said: tuple[float, float] | None) -> None:
        """It is the answer. said: when the speech ended that it answers, and how long the pause after it was."""
        answer = self._answers[action.answer]
        answer.begun, answer.response.eager = True, action.eager
        if action.eager:
            self._scene.parts.metrics.eager("promoted")
        answer.timeline.begin(said, self._scene.now_s())
        self._scene.emit(tell.ResponseBegun(answer.response))
        if answer.speech is not None:
            answer.speech.begin()

    def perform(self, action: do.Abort | do.Show | do.End | do.Hush) -> None:
        match action:
            case do.Abort(number):
                _stop(self._answers[number])
                self._forget_unseen(number)
            case do.Show(number, content):
                self._show(self._answers[number], content)
            case do.End(number):
                self._end(self._answers.pop(number), action)
            case do.Hush():
                self._hush()

    # ------------------------------------------------------------------------------------------------ what is delivered
    def _show(self, answer: _Answer, content: str | Call | bytes | SynthesisError) -> None:
        answer.timeline.show(self._scene.now_s())
        match content:
            case Call() as call:
                self._end_item(answer, "completed")
                item = Item(new_item_id(), "function_call", call.arguments, name=call.name, call_id=call.id)
                self._begin_item(answer, item)
                self._end_item(answer, "completed")
            case str() as text:
                if answer.item is None:
                    spoken = answer.speech is not None
                    self._begin_item(answer, Item(new_item_id(), "assistant", "", "in_progress", spoken=spoken))
                assert answer.item is not None
                answer.item = replace(answer.item, text=answer.item.text + text)
                self._keep(answer)
                self._scene.emit(tell.TextDelta(answer.response, answer.item.id, text))
            case bytes() as sound:
                self._sound(answer, sound)
            case SynthesisError() as error:
                assert answer.item is not None
                self._scene.emit(tell.SpeechFailed(answer.item.id, error))

    def _sound(self, answer: _Answer, sound: bytes) -> None:
        assert answer.item is not None
        assert answer.speech is not None
        scene, now_s = self._scene, self._scene.now_s()
        seconds = len(sound) / answer.speech.form.bytes_per_second
        answer.timeline.sound(now_s)
        self._playback.add(answer.item.id, seconds, now_s)
        audio_ms = answer.item.audio_ms + 1000 * seconds
        answer.item = replace(answer.item, audio_ms=audio_ms, sentences=answer.speech.sentences)
        self._keep(answer)
        scene.parts.metrics.spoken(seconds)
        scene.emit(tell.SoundDelta(answer.response, answer.item.id, sound))

    def _hush(self) -> None:
        for item_id, seconds in self._playback.cut(self._scene.now_s()).items():
            if given := self._giving(item_id):
                given.heard_ms = 1000 * seconds
            elif response := self._ended.get(item_id):
                self._truncate(response, item_id, 1000 * seconds)
        self._ended.clear()

    def _giving(self, item_id: str) -> _Answer | None:
        return next((given for given in self._answers.values() if given.item and given.item.id == item_id), None)

    def _truncate(self, response: Response, item_id: str, heard_ms: float) -> None:
        with suppress(NotFound):  # the client has deleted it
            heard = self._scene.conversation.truncate(item_id, heard_ms)
            response.output[:] = [heard if item.id == item_id else item for item in response.output]
            self._scene.emit(tell.Hushed(response, item_id, heard_ms))

    def _end(self, answer: _Answer, end: do.End) -> None:
        response, item = answer.response, answer.item
        self._end_item(answer, "completed" if end.status == "completed" else "incomplete")
        if item is not None and end.status == "cancelled" and answer.speech and not answer.speech.has_failed:
            self._truncate(response, item.id, item.audio_ms if answer.heard_ms is None else answer.heard_ms)
        response.status, response.reason, response.error = end.status, end.reason, end.error
        response.timing_ms = answer.timeline.report(self._scene.now_s())
        self._count(response)
        self._scene.emit(tell.ResponseEnded(response))

    def _begin_item(self, answer: _Answer, item: Item) -> None:
        answer.item = item
        before = self._scene.conversation.add(item)
        self._scene.emit(tell.OutputAdded(answer.response, item, before))

    def _end_item(self, answer: _Answer, status: ItemStatus) -> None:
        if answer.item is None:
            return
        now_s = self._scene.now_s()
        item = answer.item = replace(answer.item, status=status)
        before = self._keep(answer)
        answer.response.output.append(item)
        answer.item = None
        self._scene.emit(tell.OutputDone(answer.response, item, before))
        if answer.speech is not None and not answer.speech.has_failed:
            playing = {each: given for each, given in self._ended.items() if self._playback.is_playing(each, now_s)}
            self._ended = {**playing, item.id: answer.response}

    def _keep(self, answer: _Answer) -> str | None:
        """The conversation has what was delivered, whatever comes next."""
        if answer.item is not None:
            with suppress(NotFound):  # the client has deleted it
                return self._scene.conversation.put(answer.item)
        return None

    def _forget_unseen(self, number: int) -> None:
        """Nobody was told of it, so nobody is told of its end."""
        answer = self._answers.get(number)
        if answer is not None and not answer.begun:
            del self._answers[number]
            self._scene.parts.metrics.eager("wasted")
            self._scene.parts.metrics.llm_tokens(wasted=answer.n_pieces)

    def _count(self, response: Response) -> None:
        ends = {"completed": "answered", "cancelled": "interrupted", "failed": "failed"}
        metrics, usage = self._scene.parts.metrics, response.usage
        metrics.turn(ends[response.status or "failed"])
        metrics.llm_tokens(prompt=usage.prompt_tokens, completion=usage.completion_tokens)
        if response.status == "completed":
            metrics.stages({name: ms for name, ms in response.timing_ms.items() if name in WAITED})

    # ------------------------------------------------------------------------------------------------- what takes time
    async def _run(self, number: int, asked: list[Message], drawn: Sampling) -> None:
        """The generation. It begins with the next turn of the event loop, when its answer is known by its number."""
        answer, scene = self._answers[number], self._scene
        speech, speaking = answer.speech, None
        if speech is not None:
            speaking = scene.tasks.create_task(speech.run(), name=f"speak {number}")
        try:
            reply = await self._write(number, answer, asked, drawn)
            answer.timeline.written(scene.now_s())
            if speech is not None and speaking is not None:
                speech.finish()
                await speaking
            for call in reply.calls:
                scene.tell(told.Piece(number, call))
        except TextProError as error:
            scene.tell(told.Broken(number, error))
            self._forget_unseen(number)
        else:
            scene.tell(told.Finished(number, reply.finish_reason or "stop"))
        finally:
            if speaking is not None:
                speaking.cancel()

    async def _write(self, number: int, answer: _Answer, asked: list[Message], drawn: Sampling) -> Reply:
        parts, response = self._scene.parts, answer.response
        deadline = Deadline.after(parts.settings.turn_timeout_s)
        wanted = response.wishes.prosody or self._scene.config.prosody
        async with AsyncExitStack() as held:
            held.enter_context(parts.pressure.generating())
            with parts.pressure.noticed():
                profile = await parts.llm.profile()
                reply = await reply_that_fits(held, parts.llm, asked, drawn, deadline)
            # Where the LLM hears no tone, nobody sends it any of which it could say so.
            deaf = wanted == "on" and profile.prosody is ProsodyKind.NONE
            response.prosody = "unavailable" if deaf else reply.prosody
            async for piece in reply.pieces:
                answer.timeline.come(self._scene.now_s())
                answer.n_pieces += 1
                self._scene.tell(told.Piece(number, piece))
                if answer.speech is not None:
                    answer.speech.add(piece)
        response.usage = reply.usage
        return reply

    def _speech(self, number: int, wishes: ResponseWishes) -> SpokenAnswer | None:
        """What speaks the answer, where it is to be spoken."""
        scene, parts = self._scene, self._scene.parts
        if parts.voice is None or "audio" not in (wishes.output_modalities or scene.config.output_modalities):
            return None

        def show(content: bytes | SynthesisError) -> None:
            scene.tell(told.Piece(number, content))
            scene.tell(told.Playing(self._playback.ends_s))

        return SpokenAnswer(
            parts.voice,
            scene.output,
            self._playback,
            show,
            speed=scene.config.audio.output.speed,
            lead_s=parts.settings.speech_lead_s,
            max_held_s=parts.settings.speech_held_s,
            max_characters=parts.settings.speech_sentence,
            metrics=parts.metrics,
        )


def _stop(answer: _Answer) -> None:
    if answer.task is not None:
        answer.task.cancel()
