"""A live session: sound and wishes in, events out. The turn machine decides; here it is done, by what stands for what
is said (live_utterances.py) and for what is answered (live_answers.py).

What takes time, the calls of the encoder, of the LLM and of the voice, are tasks of the session's own group: they end
with it. All else happens in order on the event loop, so that nothing has to be locked.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from services.contracts.errors import BadRequest, Unavailable
from services.contracts.realtime import ResponseWishes, Session
from services.gateway import live_events as tell
from services.gateway import turn_actions as do
from services.gateway import turn_events as told
from services.gateway.chat import Parts
from services.gateway.conversation import Conversation, Item
from services.gateway.detection import turn_settings
from services.gateway.formats import Format
from services.gateway.left_behind import LeftBehind
from services.gateway.live_answers import Answers
from services.gateway.live_events import LiveEvent
from services.gateway.live_scene import Scene, ms
from services.gateway.live_utterances import Utterances
from services.gateway.silero import WINDOW
from services.gateway.sound import BYTES_PER_SAMPLE, Sound
from services.gateway.turn import TurnMachine
from services.gateway.turn_settings import TurnSettings
from services.gateway.vad import VoiceActivity, VoiceBatcher

REFUSALS: dict[do.Refusal, str] = {
    "input_audio_buffer_commit_empty": "there is no sound to commit",
    "conversation_already_has_active_response": "an answer is being given; cancel it first",
    "response_cancel_not_active": "no answer is being given",
}


class LiveSession:
    """One conversation of one client. `emit` must not block; `tasks` is the connection's group."""

    def __init__(
        self,
        parts: Parts,
        vad: VoiceBatcher,
        emit: Callable[[LiveEvent], None],
        tasks: asyncio.TaskGroup,
        settings: TurnSettings,
        left: LeftBehind | None = None,
    ) -> None:
        """left: the session that is gone on with, once `take_up` is called."""
        left = left or LeftBehind()
        conversation = Conversation(parts.settings.max_items, list(left.items))
        self._scene = Scene(parts, tasks, emit, self._tell, conversation, left.config)
        self._left, self._standard = left, settings
        self._settings, patience = turn_settings(self.config, settings)
        self._machine = TurnMachine(self._settings, position=left.position)
        self._vad, self._voice = vad, VoiceActivity(vad.model)
        self._sound = Sound(left.position)
        self._said = Utterances(self._scene, self._sound, patience)
        self._answered = Answers(self._scene)
        self._event_id: str | None = None
        self._loaded = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def config(self) -> Session:
        return self._scene.config

    @property
    def conversation(self) -> Conversation:
        return self._scene.conversation

    @property
    def is_answering(self) -> bool:
        """Whether an answer is being shown, or still played."""
        return self._machine.is_answering or self.is_playing

    @property
    def is_playing(self) -> bool:
        """Whether the client has not played all of the answers' sound that it was sent."""
        return self._machine.is_playing(self._scene.now_s())

    @property
    def n_samples(self) -> int:
        """Of the sound that came, at 16 kHz."""
        return self._sound.last

    # ---------------------------------------------------------------------------------------------- what a client does
    async def hear(self, pcm16: bytes) -> None:
        """Sound goes on: PCM16, mono, 16 kHz, whole samples."""
        self._look_round()
        self._sound.add(pcm16)
        if self._settings.detect:
            self._voice.add(pcm16)
            while self._voice.has_window:
                self._tell(told.Sound(WINDOW, await self._vad.judge(self._voice)))
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
        """An answer to the conversation as it stands. Raises NotFound; BadRequest for a tone that is not there, or for
        sound where there is no voice."""
        if wishes.prosody_from is not None:
            self._check_tone(wishes.prosody_from, wishes.prosody or self.config.prosody)
        if wishes.conversation == "none" or wishes.input is not None:
            message = "answers outside the conversation are not given; leave out `conversation` and `input`"
            raise BadRequest(message, param="response.conversation", code="not_supported")
        self._check_modalities(wishes.output_modalities, "response")
        self._tell(told.Ask(wishes), event_id)

    def cancel(self, event_id: str | None = None, response_id: str | None = None) -> None:
        """No more of the answer that is being given, or still played. response_id: only if it is that one; raises
        BadRequest."""
        if response_id is not None and not self._answered.is_under_way(response_id):
            code = "response_cancel_not_active"
            raise BadRequest(REFUSALS[code], param="response_id", code=code)
        self._tell(told.Cancel(), event_id)

    def configure(self, change: dict[str, Any]) -> None:
        """Other settings from now on. Raises ValidationError, BadRequest; then all stay as they were."""
        config = self.config.updated(change)
        self._check_modalities(change.get("output_modalities"), "session")
        self._scene.config = config
        settings, self._said.patience = turn_settings(config, self._standard)
        if settings.detect != self._settings.detect:
            self._catch_up()
        self._settings = settings
        self._perform(self._machine.configure(settings, self._scene.now_s()))

    def speak_in(self, form: Format) -> None:
        """The format of the answers' sound from the next one on."""
        self._scene.output = form

    def add(self, item: Item, after: str | None = None) -> None:
        """An item of the client's own. Raises NotFound, BadRequest."""
        before = self.conversation.add(item, after)
        if item.kind == "user":
            self._said.take_said()  # the next answer is to this, and no wait since older speech
        self._edited()
        self._scene.emit(tell.ItemAdded(item, before))
        self._scene.emit(tell.ItemDone(item, before))

    def delete(self, item_id: str) -> None:
        """Raises NotFound."""
        self.conversation.delete(item_id)
        self._edited()
        self._scene.emit(tell.ItemDeleted(item_id))

    def truncate(self, item_id: str, audio_end_ms: float) -> None:
        """Of a spoken answer only so much was heard; one that is being given ends. Raises NotFound, BadRequest."""
        if self._answered.is_speaking(item_id):
            self.cancel()
        self.conversation.truncate(item_id, audio_end_ms)
        self._answered.is_heard_no_more(item_id)
        self._edited()

    async def listen(self, item_id: str, pcm16: bytes) -> Item:
        """A recording as an item, words and tone. Raises what the encoder raises."""
        speech = await self._said.understand(pcm16)
        audio_ms = ms(len(pcm16) // BYTES_PER_SAMPLE)
        return Item(item_id, "user", speech.text, spoken=True, prosody=speech.prosody, audio_ms=audio_ms)

    def leave_behind(self) -> LeftBehind:
        """What another gateway needs to go on with it."""
        wanted = self._machine.wanted
        return LeftBehind(
            config=self.config,
            items=list(self.conversation.items),
            position=min([self._machine.needed_from, *self._said.waiting_from]),
            was_speaking=self._machine.is_speaking,
            answer=self._answered.unfinished(),
            wanted=None if wanted is None else wanted.request or ResponseWishes(),
        )

    def take_up(self) -> None:
        """Tells what became of what was under way in the session that is gone on with. What was said and not understood
        is forgotten, as the client says it again; an answer that broke off is given anew."""
        left, lost = self._left, Unavailable("the gateway that held this conversation was lost")
        if left.was_speaking:
            self._scene.emit(tell.Cleared())
        for item in left.items:
            if item.kind == "user" and item.status == "in_progress":
                self._scene.emit(tell.NotTranscribed(item.id, lost))
                self.delete(item.id)
        wanted = left.wanted
        if left.answer is not None:
            response = self._answered.fail(left.answer, lost)
            if all(item.kind == "assistant" for item in response.output):  # nothing was called that may be done by now
                wanted = response.wishes
                for item in response.output:
                    self.delete(item.id)
        self._left = LeftBehind()
        if wanted is not None:
            self._tell(told.Ask(wanted))

    def close(self) -> None:
        """Ends what runs."""
        self._tell(told.Close())
        self._said.close()
        self._answered.close()

    # ------------------------------------------------------------------------------------------ what the machine wants
    def _tell(self, event: told.Event, event_id: str | None = None) -> None:
        self._event_id = event_id
        self._perform(self._machine.on(event, self._scene.now_s()))

    def _perform(self, actions: list[do.Action]) -> None:
        for action in actions:
            self._do(action)
        if self._machine.is_idle:
            self._idle.set()
        else:
            self._idle.clear()

    def _do(self, action: do.Action) -> None:
        match action:
            case do.Generate(number, take, wishes):
                heard = None if take is None else self._said.heard(take)
                self._answered.generate(number, heard, wishes or ResponseWishes())
            case do.Begin():
                self._answered.begin(action, self._said.take_said())
            case do.Abort() | do.Show() | do.End() | do.Hush():
                self._answered.perform(action)
            case do.Refuse(code):
                self._scene.emit(tell.Refused(BadRequest(REFUSALS[code], code=code), self._event_id))
            case do.Cleared():
                self._scene.emit(tell.Cleared())
            case _:
                self._said.perform(action, self._machine.position)

    # ---------------------------------------------------------------------------------------------------------- besides
    def _check_modalities(self, wanted: Sequence[str] | None, of: str) -> None:
        if "audio" in (wanted or ()) and self._scene.parts.voice is None:
            message = "answers are text here: the gateway has no voice (TEXTPRO_SPEECH)"
            raise BadRequest(message, param=f"{of}.output_modalities", code="no_voice")

    def _check_tone(self, item_id: str, prosody: str) -> None:
        tone, missing = self.conversation.get(item_id).prosody, None
        if prosody == "off":
            missing = "prosody_from needs prosody=on"
        elif tone is None:
            missing = f"item {item_id!r} has no prosody"
        elif tone.encoder != self.conversation.encoder:
            missing = f"item {item_id!r} was heard by another encoder, whose prosody this one's LLM does not know"
        if missing is not None:
            raise BadRequest(missing, param="response.prosody_from", code="no_prosody")

    def _look_round(self) -> None:
        """Whether there is room for work that may be in vain."""
        if self._loaded != self._scene.parts.pressure.is_high:
            self._loaded = not self._loaded
            self._tell(told.Load(self._loaded))

    def _catch_up(self) -> None:
        """All sound that came is told, also what fills no window."""
        if samples := self._sound.last - self._machine.position:
            self._voice.forget()
            self._tell(told.Sound(samples, 0.0))

    def _edited(self) -> None:
        self._tell(told.Edited())
