"""What is alike in the two protocols of a live session, /v1/realtime and /v1/stream."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from services.gateway import live_events as tell
from services.gateway.chat import Parts
from services.gateway.ear import Ear
from services.gateway.formats import HEARD
from services.gateway.journal import State
from services.gateway.left_behind import LeftBehind
from services.gateway.live import LiveSession
from services.gateway.live_events import LiveEvent
from services.gateway.outbox import Outbox
from services.gateway.session import new_session_id
from services.gateway.turn_settings import TurnSettings
from services.gateway.vad import VoiceBatcher
from textpro.errors import TextProError


@dataclass(frozen=True)
class Opening:
    """What a live session begins with. token: the client may come back with it. left: what another gateway had."""

    token: str
    parts: Parts
    vad: VoiceBatcher
    outbox: Outbox
    tasks: asyncio.TaskGroup
    settings: TurnSettings
    left: State | None = None


class LivePeer(ABC):
    """One client's: what comes over the wire is done in order, what happens goes into the outbox."""

    def __init__(self, opening: Opening) -> None:
        left = opening.left
        self._facts: dict[str, Any] = left.facts if left else {}
        self._token, self._outbox = opening.token, opening.outbox
        self._id: str = self._facts.get("session_id") or new_session_id()
        live = LeftBehind.from_json(self._facts["live"], left.items) if left else None
        self._live = LiveSession(opening.parts, opening.vad, self._emit, opening.tasks, opening.settings, live)
        self._ear = Ear(self._live, HEARD, self._facts.get("input_bytes", 0))

    def state(self) -> State:
        """What another gateway needs to go on."""
        live = self._live.leave_behind()
        n_bytes = self._ear.bytes_before(live.position)
        return State({"session_id": self._id, "input_bytes": n_bytes, "live": live.to_json()}, live.items)

    def take_up(self) -> None:
        """The client is back: told what it missed, it is told where its sound ended, and what became of the rest."""
        self._welcome_back()
        try:
            self._live.take_up()
        except TextProError as error:
            self._emit(tell.Refused(error))

    def close(self) -> None:
        """Ends what runs."""
        self._live.close()

    @abstractmethod
    def _welcome_back(self) -> None: ...

    @abstractmethod
    def _emit(self, event: LiveEvent) -> None: ...
