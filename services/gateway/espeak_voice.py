"""espeak-ng as the voice of answers, in this process: no server, no model, a robot's voice."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from services.gateway.formats import Format
from textpro.espeak import Espeak, espeak

RATE_WPM = 165
STANDARD = "gmw/en-US"


class EspeakVoice:
    """name: a language file of espeak-ng, with or without a variant, such as `gmw/en-US+f3`. One thread speaks for all
    calls, some milliseconds a sentence.

    Raises SynthesisError where espeak-ng is not installed, or does not know the voice.
    """

    def __init__(self, name: str = "") -> None:
        self._name, self._espeak = name or STANDARD, self.check(name)
        self.format = Format("pcm", self._espeak.rate)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="espeak")

    @staticmethod
    def check(name: str) -> Espeak:
        """Raises SynthesisError as above."""
        library = espeak()
        library.say("", name or STANDARD)
        return library

    async def speak(self, text: str, speed: float = 1.0) -> AsyncGenerator[bytes, None]:
        """See Voice.speak; all of the sentence at once."""
        say = partial(self._espeak.say, text, self._name, rate_wpm=round(speed * RATE_WPM), end_pause=True)
        if pcm16 := await asyncio.get_running_loop().run_in_executor(self._thread, say):
            yield pcm16

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
