"""What the two sides of a live session share, what is said and what is answered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.contracts.realtime import Session
from services.gateway import turn_events as told
from services.gateway.chat import Parts
from services.gateway.conversation import Conversation
from services.gateway.formats import HEARD, Format
from services.gateway.live_events import LiveEvent
from textpro.audio import SAMPLE_RATE


@dataclass
class Scene:
    """emit: to the client. tell: to the turn machine; what it wants is done before it returns. output: the format of
    the answers' sound."""

    parts: Parts
    tasks: asyncio.TaskGroup
    emit: Callable[[LiveEvent], None]
    tell: Callable[[told.Event], None]
    conversation: Conversation
    config: Session
    output: Format = HEARD

    @staticmethod
    def now_s() -> float:
        """On the clock that the turn machine goes by."""
        return asyncio.get_running_loop().time()


def ms(samples: int) -> float:
    """Of sound as the house hears it."""
    return 1000 * samples / SAMPLE_RATE
