"""Voice activity: how probably somebody speaks, window by window, along a stream of audio."""

import asyncio

import numpy as np

from services.gateway.silero import CONTEXT, STATE, WINDOW, VoiceModel
from textpro.audio import FULL_SCALE

GATHER_S = 0.004  # that a window waits for those of other streams while several streams sound


class VoiceActivity:
    """One stream's: what the model remembers of it, and the sound that is not judged yet."""

    def __init__(self, model: VoiceModel) -> None:
        self._model = model
        self.forget()

    def forget(self) -> None:
        """What comes next has nothing to do with what came before."""
        self._pcm16 = bytearray(2 * CONTEXT)
        self.hidden, self.cell = np.zeros(STATE, np.float32), np.zeros(STATE, np.float32)

    def hear(self, pcm16: bytes) -> list[float]:
        """PCM16 (little endian, mono, 16 kHz) of any length -> the probability of speech in each full window."""
        self.add(pcm16)
        found: list[float] = []
        while self.has_window:
            speech, hidden, cell = self._model.judge(self.window[None], self.hidden[None], self.cell[None])
            self.go_on(hidden[0], cell[0])
            found.append(float(speech[0]))
        return found

    def add(self, pcm16: bytes) -> None:
        """The stream goes on; nothing is judged yet."""
        self._pcm16 += pcm16

    @property
    def has_window(self) -> bool:
        """Whether there is a full window to judge."""
        return len(self._pcm16) >= 2 * (CONTEXT + WINDOW)

    @property
    def window(self) -> np.ndarray:
        """(CONTEXT + WINDOW,), -1…1: what is to be judged next."""
        return np.frombuffer(self._pcm16, "<i2", CONTEXT + WINDOW).astype(np.float32) / FULL_SCALE

    def go_on(self, hidden: np.ndarray, cell: np.ndarray) -> None:
        """The window is judged; hidden, cell (STATE,): what the model remembers from now on."""
        del self._pcm16[: 2 * WINDOW]
        self.hidden, self.cell = hidden, cell


class VoiceBatcher:
    """Judges the streams of an event loop together, a window of each: many cost little more than one.

    A stream that sounds alone is judged at once. None brings another window before its first is judged, so no more
    windows wait than there are streams.
    """

    def __init__(self, model: VoiceModel) -> None:
        self.model = model
        self._waiting: list[tuple[VoiceActivity, asyncio.Future[tuple[float, np.ndarray, np.ndarray]]]] = []
        self._n_together = 0  # at the last time

    async def judge(self, stream: VoiceActivity) -> float:
        """The probability of speech in the stream's next window, which must be full. A caller that is cancelled may ask
        again: the window is still there."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(GATHER_S if self._n_together > 1 else 0, self._judge_all)
        judged = loop.create_future()
        self._waiting.append((stream, judged))
        speech, hidden, cell = await judged
        stream.go_on(hidden, cell)
        return speech

    def _judge_all(self) -> None:
        waiting = [(stream, judged) for stream, judged in self._waiting if not judged.done()]
        self._waiting, self._n_together = [], len(waiting)
        if not waiting:
            return
        try:
            seen = [(stream.window, stream.hidden, stream.cell) for stream, _ in waiting]
            found = self.model.judge(*map(np.stack, zip(*seen, strict=True)))
        except Exception as error:  # noqa: BLE001 - theirs to raise who wait
            for _, judged in waiting:
                judged.set_exception(error)
        else:
            for (_, judged), speech, hidden, cell in zip(waiting, *found, strict=True):
                judged.set_result((float(speech), hidden, cell))
