"""What TextPro-SLM learns from, made: clips are heard by the encoder, and a teacher or a label says the answer.

Distillation (paper 3.2, app. F): text -> speech -> transcript and prosody -> the teacher's answer.

Letters: S samples, N Whisper tokens, W Whisper width.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from textpro.audio import SAMPLE_RATE
from textpro.data.corpora.user_text import UserText
from textpro.data.manifest import Clip, resolve
from textpro.data.questionnaire import Asked
from textpro.data.shards import SHARD, ShardedRun
from textpro.data.synthesis import MAX_DURATION_S, Job, say
from textpro.data.turns import DISTILLATION, Turn, place
from textpro.decoding import SpeechDecoder
from textpro.errors import AudioError, AudioTooLong, TrainingError
from textpro.training.batches import read_pcm
from textpro.training.teachers import Teacher

Source = Literal["GTQ_GTA", "ASRQ_ASRA", "ASRQ_GTA"]
SOURCES: tuple[Source, ...] = get_args(Source)
"""Whose text the student reads as the question, and whose the teacher has answered: the true one or the encoder's."""
NO_SPEECH, TOO_LONG, UNREADABLE = "no speech", "too long", "unreadable"
NO_TRANSCRIPT, NO_ANSWER = "no transcript", "no answer"
MAX_CHARACTERS = 2_000
"""Of a text that is spoken: in `MAX_DURATION_S` nobody says as many, and to try could take minutes."""


@dataclass(frozen=True)
class Heard:
    """A clip as the encoder gives it. prosody: (N, W)."""

    text: str
    prosody: Tensor


def hear(decoder: SpeechDecoder, audio: Sequence[np.ndarray]) -> list[Heard | None]:
    """Transcribes clips (S,) and reads their prosody; None where no words were heard."""
    return [
        Heard(decoded.text, torch.from_numpy(decoded.prosody)) if decoded.tokens and decoded.text.strip() else None
        for decoded in decoder.decode(audio)
    ]


def distill(
    texts: Sequence[UserText],
    jobs: Sequence[Job],
    out: Path,
    decoder: SpeechDecoder,
    teacher: Teacher,
    *,
    source: Source = "ASRQ_ASRA",
    speak: Callable[[Job], np.ndarray] = say,
    shard: int = SHARD,
) -> Counter[str]:
    """Speaks each text as its job says and writes the teacher's answers as turns; returns what was dropped, by reason.

    Dropped are texts without sound or too long, clips without a transcript, answers without one whole sentence.
    Raises TrainingError for texts that share an id, TurnsError, TeacherError, SynthesisError.
    """
    _refuse_repeated("texts", (text.id for text in texts))
    items = list(zip(texts, jobs, strict=True))
    settings = {"task": DISTILLATION, "source": source, "teacher": teacher.name, **asdict(teacher.sampling)}
    settings |= {**_heard_by(decoder), "content": _digest(items)}
    run = ShardedRun(out, settings, size=shard)
    for number, chosen in run.shards(items):
        spoken, dropped = _spoken(chosen, speak)
        found = hear(decoder, [samples for _, samples in spoken])
        heard = [(text, clip) for (text, _), clip in zip(spoken, found, strict=True) if clip is not None]
        turns = _answered(heard, teacher, source, number)
        answered = {turn.id for turn in turns}
        prosody = {text.id: clip.prosody for text, clip in heard if text.id in answered}
        dropped += Counter({NO_TRANSCRIPT: len(spoken) - len(heard), NO_ANSWER: len(heard) - len(turns)})
        run.add(number, turns, prosody, dropped)
    return run.dropped


def _spoken(
    chosen: Iterable[tuple[UserText, Job]], speak: Callable[[Job], np.ndarray]
) -> tuple[list[tuple[UserText, np.ndarray]], Counter[str]]:
    """The texts with their speech, float32 (S,), and why others have none."""
    spoken: list[tuple[UserText, np.ndarray]] = []
    dropped: Counter[str] = Counter()
    for text, job in chosen:
        samples = speak(job) if len(text.text) <= MAX_CHARACTERS else None
        if samples is None or len(samples) > MAX_DURATION_S * SAMPLE_RATE:
            dropped[TOO_LONG] += 1
        elif not len(samples):
            dropped[NO_SPEECH] += 1
        else:
            spoken.append((text, samples.astype(np.float32) / 32768))
    return spoken, dropped


def _answered(heard: Sequence[tuple[UserText, Heard]], teacher: Teacher, source: Source, shard: int) -> list[Turn]:
    """Turns of the clips whose answer has a whole sentence."""
    replies = teacher.answer([text.text if source.endswith("GTA") else clip.text for text, clip in heard])
    turns: list[Turn] = []
    for (text, clip), reply in zip(heard, replies, strict=True):
        if answer := reply.whole():
            read = text.text if source.startswith("GTQ") else clip.text
            asked = text.text if source == "ASRQ_GTA" else ""
            turns.append(Turn(text.id, DISTILLATION, read, answer, prosody=place(shard, text.id), asked=asked))
    return turns


def record(
    manifest: Path,
    clips: Sequence[Clip],
    asked: Sequence[Asked],
    out: Path,
    decoder: SpeechDecoder,
    *,
    transcripts: bool = True,
    shard: int = SHARD,
) -> Counter[str]:
    """Writes the questions to a manifest's clips as turns, as `distill` does. asked: in the order of the clips.
    transcripts: whether a turn has the words besides the voice.

    Dropped are clips without a transcript, unreadable ones and those too long to decode. Raises TrainingError for clips
    that share an id, TurnsError, OSError for a recording that is not there.
    """
    _refuse_repeated("clips", (clip.id for clip in clips))
    content = _digest((clips[one.clip].id, one) for one in asked)
    run = ShardedRun(
        out,
        {"task": "paralinguistic", **_heard_by(decoder), "content": content, "transcripts": transcripts},
        size=shard,
    )
    by_clip = [(clips[i], list(some)) for i, some in itertools.groupby(asked, key=lambda one: one.clip)]
    for number, chosen in run.shards(by_clip):
        recorded, dropped = _recorded(manifest, chosen)
        heard = hear(decoder, [samples for *_, samples in recorded])
        turns: list[Turn] = []
        prosody: dict[str, Tensor] = {}
        for (clip, questions, _), found in zip(recorded, heard, strict=True):
            if found is not None:
                prosody[clip.id] = found.prosody
                text = found.text if transcripts else ""
                turns += [_turn(one, f"{clip.id}#{n}", text, place(number, clip.id)) for n, one in enumerate(questions)]
        run.add(number, turns, prosody, dropped + Counter({NO_TRANSCRIPT: len(recorded) - len(prosody)}))
    return run.dropped


def _recorded(
    manifest: Path, chosen: Iterable[tuple[Clip, list[Asked]]]
) -> tuple[list[tuple[Clip, list[Asked], np.ndarray]], Counter[str]]:
    """The clips with their questions and samples (S,), and why others can't be heard."""
    recorded: list[tuple[Clip, list[Asked], np.ndarray]] = []
    dropped: Counter[str] = Counter()
    for clip, questions in chosen:
        try:
            recorded.append((clip, questions, read_pcm(resolve(manifest, clip))))
        except AudioTooLong:
            dropped[TOO_LONG] += 1
        except AudioError:
            dropped[UNREADABLE] += 1
    return recorded, dropped


def _refuse_repeated(what: str, ids: Iterable[str]) -> None:
    if repeated := [id for id, times in Counter(ids).items() if times > 1]:
        raise TrainingError(f"{len(repeated)} ids are those of several {what}, such as {repeated[0]!r}")


def _turn(one: Asked, id: str, transcript: str, where: str) -> Turn:
    return Turn(id, one.task, transcript, one.answer, one.question, where, one.options, one.label)


def _heard_by(decoder: SpeechDecoder) -> dict[str, str | int]:
    heard: dict[str, str | int] = {"bundle": decoder.fingerprint, "encoder": decoder.bundle.encoder_fingerprint}
    return heard | {"beam_size": decoder.options.beam_size}


def _digest(items: Iterable[object]) -> str:
    total = hashlib.sha256()
    for item in items:
        total.update(repr(item).encode())
    return total.hexdigest()[:16]
