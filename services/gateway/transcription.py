"""A recording becomes text: cut where nobody speaks, utterance by utterance, each with the times it was said at."""

import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import numpy as np

from services.contracts.transcriptions import Segment
from services.gateway.chat import Parts
from services.gateway.encoder_client import ProsodyKind, Speech
from services.gateway.hearing import Longest
from services.gateway.limits import Deadline
from services.gateway.side_by_side import AT_ONCE, encode_all
from services.gateway.silero import WINDOW, VoiceModel
from services.gateway.utterances import Utterance, Utterances
from services.gateway.vad import VoiceActivity
from textpro.audio import FRAMES_PER_SECOND, FULL_SCALE, SAMPLE_RATE
from textpro.loudness import made_audible

JUDGED_AT_ONCE = 10 * SAMPLE_RATE  # samples; by then the first utterances are on their way
BYTES_PER_SAMPLE = 2


@dataclass(frozen=True)
class Recording:
    """What is to be transcribed. language: ISO 639-1; when empty the encoder finds out."""

    audio: bytes
    language: str
    deadline: Deadline


@dataclass(frozen=True)
class Opened:
    """The recording could be read; always the first event."""

    seconds: float


@dataclass(frozen=True)
class Said:
    """An utterance, in the order they were said in."""

    segment: Segment
    language: str


Event = Opened | Said


async def transcribe(recording: Recording, voice: VoiceModel, parts: Parts) -> AsyncGenerator[Event]:
    """The events of one transcription. Where nobody speaks there are no words, and nothing is encoded.

    Raises AudioError, Overloaded, Unavailable, DeadlineExceeded.
    """
    longest = Longest(parts.settings.max_transcription_s, "TEXTPRO_MAX_TRANSCRIPTION_S")
    pcm16 = await recording.deadline.run(parts.hearing.pcm16(recording.audio, longest))
    seconds = len(pcm16) / BYTES_PER_SAMPLE / SAMPLE_RATE
    parts.metrics.audio(seconds)
    yield Opened(seconds)
    n_said = 0
    async with aclosing(_utterances(pcm16, voice, parts)) as found:
        async for utterances in found:
            for first in range(0, len(utterances), AT_ONCE):
                group = utterances[first : first + AT_ONCE]
                for utterance, speech in zip(group, await _encoded(group, pcm16, recording, parts), strict=True):
                    if speech.no_speech is not None:
                        parts.metrics.no_speech(speech.no_speech)
                        continue
                    yield Said(_segment(n_said, utterance, speech, seconds), speech.language)
                    n_said += 1


async def _utterances(pcm16: bytes, voice: VoiceModel, parts: Parts) -> AsyncGenerator[list[Utterance]]:
    """As they are found, a part of the recording at a time."""
    samples = np.frombuffer(pcm16, "<i2")
    audible = await parts.hearing.run(partial(_audible, samples))
    activity, cut = VoiceActivity(voice), Utterances()
    for start in range(0, len(audible), JUDGED_AT_ONCE):
        part = audible[start : start + JUDGED_AT_ONCE].tobytes()
        judged = await parts.hearing.run(partial(activity.hear, part))
        yield [utterance for speech in judged if (utterance := cut.hear(speech)) is not None]
    if (last := cut.end()) is not None:
        yield [last]


async def _encoded(utterances: list[Utterance], pcm16: bytes, recording: Recording, parts: Parts) -> list[Speech]:
    stride = BYTES_PER_SAMPLE * WINDOW
    return await encode_all(
        [pcm16[stride * each.heard_first : stride * each.heard_last] for each in utterances],
        parts.encoder,
        prosody=ProsodyKind.NONE,
        encode_timeout_s=parts.settings.encode_timeout_s,
        deadline=recording.deadline,
        language=recording.language,
    )


def _audible(samples: np.ndarray) -> np.ndarray:
    """(S,) int16 -> (S',) int16 as the voice model likes it, filled up to whole windows."""
    loud = np.rint(made_audible(samples.astype(np.float32) / FULL_SCALE) * FULL_SCALE)
    return np.pad(loud, (0, -len(loud) % WINDOW)).clip(-FULL_SCALE, FULL_SCALE - 1).astype("<i2")


def _segment(number: int, utterance: Utterance, speech: Speech, seconds: float) -> Segment:
    log_probabilities = [token.log_probability for token in speech.tokens]
    return Segment(
        id=number,
        seek=round(_seconds(utterance.heard_first) * FRAMES_PER_SECOND),
        start=round(_seconds(utterance.first), 3),
        end=round(min(_seconds(utterance.last), seconds), 3),
        text=speech.text,
        tokens=[token.id for token in speech.tokens],
        avg_logprob=float(np.mean(log_probabilities)) if log_probabilities else 0.0,
        compression_ratio=_compression(speech.text),
        no_speech_prob=speech.no_speech_probability,
    )


def _compression(text: str) -> float:
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def _seconds(window: int) -> float:
    return window * WINDOW / SAMPLE_RATE
