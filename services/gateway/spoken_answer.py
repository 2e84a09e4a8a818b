"""An answer on its way to the ear: its text goes in as it is written, its sound comes out sentence by sentence."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from services.gateway.formats import Converter, Format
from services.gateway.playback import Playback
from services.gateway.sentences import Sentences, aloud
from services.gateway.voice import Voice
from services.runtime.metrics import Metrics
from textpro.errors import SynthesisError

CHUNKS_PER_SECOND = 10
SLICE_BYTES = 16_000  # converted at once: then others have their turn
MS_PER_CHARACTER = 65.0  # a guess at a sentence that is cut off before its length is known


class SpokenAnswer:
    """One answer's sound. `run` speaks until `finish` was called and all has been shown; nothing is shown before
    `begin`, though the first sentence may be made by then, and never more than `lead_s` ahead of what is played. What
    the voice fails with is shown, too; the rest of the answer is not spoken then.
    """

    def __init__(
        self,
        voice: Voice,
        form: Format,
        playback: Playback,
        show: Callable[[bytes | SynthesisError], None],
        *,
        speed: float,
        lead_s: float,
        max_held_s: float,
        max_characters: int,
        metrics: Metrics,
    ) -> None:
        """form: of what is shown. playback: the session's; `show` has to tell it. max_held_s: of sound that waits to be
        sent; then the voice waits."""
        self._voice, self._speed, self._metrics = voice, speed, metrics
        self.form, self._converter = form, Converter(voice.format, form)
        self._playback, self._show = playback, show
        self._lead_s, self._max_held_bytes = lead_s, max_held_s * voice.format.bytes_per_second
        self._split = Sentences(max_characters)
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()
        self._sounds: asyncio.Queue[bytes | SynthesisError | None] = asyncio.Queue()
        self._held_bytes, self._less_is_held = 0, asyncio.Event()
        self._made: list[tuple[int, float]] = []
        self._is_whole = True
        self._waiting = b""  # sound that fills no chunk yet
        self._begun = asyncio.Event()
        self.has_failed = False

    @property
    def sentences(self) -> tuple[tuple[int, float], ...]:
        """Letters and milliseconds of each sentence, as far as they are made."""
        made = list(self._made)
        if made and not self._is_whole:
            letters, ms = made[-1]
            made[-1] = letters, max(ms, letters * MS_PER_CHARACTER)
        return tuple(made)

    def begin(self) -> None:
        """It may be heard from now on."""
        self._begun.set()

    def add(self, text: str) -> None:
        """The answer goes on."""
        for sentence in self._split.add(text):
            self._texts.put_nowait(sentence)

    def finish(self) -> None:
        """There is no more text."""
        for sentence in self._split.finish():
            self._texts.put_nowait(sentence)
        self._texts.put_nowait(None)

    async def run(self) -> None:
        """Raises what `show` raises, and CancelledError."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._make(), name="make speech")
                await self._send()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _make(self) -> None:
        """Sentence by sentence, ahead of what is sent: a sentence's length is known early, and none is waited for."""
        try:
            while (sentence := await self._texts.get()) is not None:
                await self._speak(sentence)
                await self._begun.wait()  # one is enough of what nobody may hear
        except SynthesisError as error:
            self.has_failed = True
            self._sounds.put_nowait(error)
        self._sounds.put_nowait(None)

    async def _speak(self, sentence: str) -> None:
        self._made.append((len(sentence), 0.0))
        words = aloud(sentence)
        if not words:
            return
        self._is_whole = False
        with self._metrics.serving("speak"):
            async with aclosing(self._voice.speak(words, self._speed)) as pieces:
                async for piece in pieces:
                    letters, ms = self._made[-1]
                    self._made[-1] = letters, ms + 1000 * len(piece) / self._voice.format.bytes_per_second
                    self._sounds.put_nowait(piece)
                    self._held_bytes += len(piece)
                    while self._held_bytes > self._max_held_bytes:
                        self._less_is_held.clear()
                        await self._less_is_held.wait()
        self._is_whole = True

    async def _send(self) -> None:
        while (sound := await self._sounds.get()) is not None:
            if isinstance(sound, SynthesisError):
                self._show(sound)
                continue
            for start in range(0, len(sound), SLICE_BYTES):
                await self._send_chunks(self._converter.convert(sound[start : start + SLICE_BYTES]))
            self._held_bytes -= len(sound)
            self._less_is_held.set()
        await self._send_chunks(self._converter.flush(), are_last=True)

    async def _send_chunks(self, sound: bytes, *, are_last: bool = False) -> None:
        """Each when it is due."""
        sound, size = self._waiting + sound, self.form.bytes_per_second // CHUNKS_PER_SECOND
        end = len(sound) if are_last else len(sound) // size * size
        self._waiting = sound[end:]
        for start in range(0, end, size):
            await self._begun.wait()
            now_s = asyncio.get_running_loop().time()
            if (early_s := self._playback.ends_s - self._lead_s - now_s) > 0:
                await asyncio.sleep(early_s)
            self._show(sound[start : min(start + size, end)])
