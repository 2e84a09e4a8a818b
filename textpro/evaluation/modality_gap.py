"""What a question loses when it is spoken: the same multiple choice as text and as speech (paper 4.2.2).

Three systems answer: the text LLM reading the written question (topline), the text LLM reading what the encoder heard
(cascade), and TextPro-SLM reading what was heard and how it was said. The gap is the topline's accuracy minus
another system's on the same questions.

Letters: N Whisper tokens, W Whisper width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from textpro.data import manifest
from textpro.data.speech_qa import Format, Question, asked
from textpro.decoding import SpeechDecoder
from textpro.errors import TextProError
from textpro.evaluation.multiple_choice import Case
from textpro.training.batches import read_pcm
from textpro.training.distill import hear

Input = Literal["text", "transcript", "speech"]
"""What a system is given: the written question, what was heard, or that with its prosody."""
CLIPS_PER_BATCH = 16


class SpeechError(TextProError, ValueError):
    """A clip that asks none of our questions, or a manifest without clips."""


@dataclass(frozen=True)
class Asked:
    """A question as it was heard. Nothing heard: an empty transcript and no prosody. prosody: (N, W)."""

    clip: str
    question: Question
    transcript: str
    prosody: Tensor | None


def listen(path: Path, decoder: SpeechDecoder, *, limit: int | None = None) -> list[Asked]:
    """Hears the clips of a manifest, whose texts are our questions.

    Raises SpeechError when one is not or there is none, and what reading a manifest and its audio raises.
    """
    clips = manifest.read(path)[:limit]
    known = [(clip, question) for clip in clips if (question := asked(clip.text)) is not None]
    if len(known) < max(1, len(clips)):
        strange = next((clip.text for clip in clips if asked(clip.text) is None), "nothing at all")
        raise SpeechError(f"{path} says {strange!r}, which is no question of ours: `textpro data quiz` prints them")
    heard: list[Asked] = []
    for start in range(0, len(known), CLIPS_PER_BATCH):
        batch = known[start : start + CLIPS_PER_BATCH]
        audio = [read_pcm(manifest.resolve(path, clip)) for clip, _ in batch]
        for (clip, question), found in zip(batch, hear(decoder, audio), strict=True):
            text, prosody = (found.text, found.prosody) if found is not None else ("", None)
            heard.append(Asked(clip.id, question, text, prosody))
    return heard


def cases(heard: Sequence[Asked], form: Format, given: Input) -> list[Case]:
    """The decisions of one system; ids are the same for every system, so that outcomes can be compared in pairs."""
    made: list[Case] = []
    for one in heard:
        question = one.question
        turn = question.turn(question.question if given == "text" else one.transcript, form)
        prosody = one.prosody if given == "speech" else None
        id = f"{question.id}/{one.clip}"
        made.append(Case(id, question.topic, turn, prosody, question.continuations(form), question.answer))
    return made
