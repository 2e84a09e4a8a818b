"""What speaks answers aloud."""

from collections.abc import AsyncGenerator
from typing import Protocol

from services.gateway.formats import Format


class Voice(Protocol):
    """A seam; espeak_voice.py and http_voice.py are behind it."""

    @property
    def format(self) -> Format:
        """Of the sound: PCM16, mono."""
        ...

    def speak(self, text: str, speed: float = 1.0) -> AsyncGenerator[bytes, None]:
        """A sentence's sound as it is made, in whole samples; closing the generator ends the work. speed: 1 is the
        voice's own. Raises SynthesisError.
        """
        ...

    async def close(self) -> None: ...
