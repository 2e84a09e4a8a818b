"""What is said in a live session: it goes to the encoder, and becomes items of the conversation."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from services.contracts.errors import NotFound
from services.gateway import live_events as tell
from services.gateway import turn_actions as do
from services.gateway import turn_events as told
from services.gateway.conversation import Item
from services.gateway.encoder_client import ProsodyKind, Speech
from services.gateway.live_scene import Scene, ms
from services.gateway.patience import Patience
from services.gateway.session import new_item_id
from services.gateway.sound import Sound
from textpro.audio import SAMPLE_RATE
from textpro.errors import TextProError


class Utterances:
    """Does what the turn machine wants to be done with them. patience: how long to wait after which words."""

    def __init__(self, scene: Scene, sound: Sound, patience: Patience) -> None:
        self._scene, self._sound = scene, sound
        self.patience = patience
        self._items: dict[int, str] = {}  # utterance -> its item's id
        self._waiting: dict[int, int] = {}  # committed utterance whose words are not known -> its first sample
        self._encoding: dict[int, asyncio.Task[None]] = {}
        self._heard: dict[int, Speech] = {}
        self._said: tuple[int, float, float] | None = None  # the last utterance, when it ended, the pause after it

    @property
    def waiting_from(self) -> list[int]:
        """Where the utterances begin that are not understood."""
        return list(self._waiting.values())

    def heard(self, take: int) -> Speech:
        """What the encoder heard in a take that the turn machine was told of."""
        return self._heard[take]

    def take_said(self) -> tuple[float, float] | None:
        """When the last speech ended, and how long the pause after it was, in seconds; each end is given once."""
        said, self._said = self._said, None
        return None if said is None else said[1:]

    async def understand(self, pcm16: bytes) -> Speech:
        """Raises what the encoder raises."""
        parts = self._scene.parts
        profile = await parts.llm.profile()
        kind = profile.prosody if self._scene.config.prosody == "on" else ProsodyKind.NONE
        with parts.pressure.noticed():
            return await parts.encoder.encode(pcm16, prosody=kind, timeout_s=parts.settings.encode_timeout_s)

    def close(self) -> None:
        """Ends what runs."""
        for task in self._encoding.values():
            task.cancel()

    def perform(self, action: do.Action, position: int) -> None:
        """position: samples that were judged so far."""
        emit = self._scene.emit
        match action:
            case do.Encode(take, first, last):
                self._start(take, self._encode(take, self._sound.between(first, last)))
            case do.EncodePartial(take, first, last):
                self._start(take, self._encode_partial(take, self._sound.between(first, last)))
            case do.Forget(take):
                self._heard.pop(take, None)
                if task := self._encoding.pop(take, None):
                    task.cancel()
            case do.Eager(utterance):
                emit(tell.EagerBegun(self._items[utterance]))
            case do.Resumed(utterance):
                emit(tell.TurnResumed(self._items[utterance]))
            case do.SpeechStarted(utterance, sample):
                waiting = {other: self._items[other] for other in self._waiting}  # what was taken back is forgotten
                self._items = waiting | {utterance: new_item_id()}
                emit(tell.SpeechStarted(self._items[utterance], ms(sample)))
            case do.SpeechStopped(utterance, sample):
                lag_s = (position - sample) / SAMPLE_RATE
                self._said = utterance, self._scene.now_s() - lag_s, lag_s
                emit(tell.SpeechStopped(self._items[utterance], ms(sample)))
            case do.Partial(utterance, text):
                emit(tell.PartlyTranscribed(self._items[utterance], text))
            case _:
                self._become_an_item(action)

    def _become_an_item(self, action: do.Action) -> None:
        """At its end an utterance gets a place in the conversation, then its words."""
        scene = self._scene
        match action:
            case do.Committed(utterance, first, last):
                item_id = self._items.setdefault(utterance, new_item_id())
                item = Item(item_id, "user", "", "in_progress", spoken=True, audio_ms=ms(last - first))
                before = scene.conversation.add(item)
                self._waiting[utterance] = first
                scene.emit(tell.Committed(item_id, before))
                scene.emit(tell.ItemAdded(item, before))
            case do.Said(utterance, take, text):
                speech = self._heard.pop(take)
                scene.parts.metrics.audio(speech.audio_seconds)
                if speech.no_speech is not None:
                    scene.parts.metrics.turn("no_speech")
                    scene.parts.metrics.no_speech(speech.no_speech)
                self._understood(utterance, text=text, prosody=speech.prosody)
            case do.Lost(utterance, error):
                scene.parts.metrics.turn("failed")
                scene.emit(tell.NotTranscribed(self._items[utterance], error))
                self._understood(utterance, status="incomplete")

    def _understood(self, utterance: int, text: str = "", **known: Any) -> None:
        scene, item_id = self._scene, self._items.pop(utterance)
        del self._waiting[utterance]
        if not text and self._said is not None and self._said[0] == utterance:
            self._said = None  # nobody answers it
        with suppress(NotFound):  # the client has deleted it
            item = replace(scene.conversation.get(item_id), **{"text": text, "status": "completed"} | known)
            before = scene.conversation.put(item)
            if item.status == "completed":
                scene.emit(tell.Transcribed(item))
            scene.emit(tell.ItemDone(item, before))

    def _start(self, take: int, run: Coroutine[Any, Any, None]) -> None:
        self._encoding[take] = self._scene.tasks.create_task(run, name=f"encode {take}")

    async def _encode(self, take: int, pcm16: bytes) -> None:
        try:
            self._heard[take] = speech = await self.understand(pcm16)
        except TextProError as error:
            del self._encoding[take]
            self._scene.tell(told.Unheard(take, error))
            return
        del self._encoding[take]
        self._scene.tell(told.Heard(take, speech.text, self.patience.after(speech.text)))

    async def _encode_partial(self, take: int, pcm16: bytes) -> None:
        """A full encoder has no time for it, and that is no error."""
        event: told.Event
        parts = self._scene.parts
        try:
            timeout_s = parts.settings.encode_timeout_s
            speech = await parts.encoder.encode(pcm16, prosody=ProsodyKind.NONE, timeout_s=timeout_s, partial=True)
            event = told.Heard(take, speech.text)
        except TextProError as error:
            event = told.Unheard(take, error)
        del self._encoding[take]
        self._scene.tell(event)
