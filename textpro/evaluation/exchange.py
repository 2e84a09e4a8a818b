"""The proof by exchange: the same words with another clip's prosody. What is said about the tone must follow the
prosody; what is said about facts must stay.

Letters: N Whisper tokens, W Whisper width.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import cast

from torch import Tensor

from textpro.data.paralinguistic import attribute
from textpro.data.sentences import normalise
from textpro.evaluation.modality_gap import Asked, cases
from textpro.evaluation.multiple_choice import Case, Scorer, decide
from textpro.evaluation.results import Outcome


@dataclass(frozen=True)
class _Voice:
    """A clip: its id, its prosody (N, W), its label, its normalised words."""

    clip: str
    prosody: Tensor
    label: str
    words: str


def exchanged(questions: Sequence[Case], *, seed: int = 0) -> list[Case]:
    """Each question about a voice with the prosody of a clip to which another option is right; that one is `right` now.

    The other clip says the same words where there is such a clip, else other ones: the transcript stays in any case.
    Questions for which no clip calls for another option are left out. Which clip it is hangs on the two alone, so that
    encoders that miss a clip here and there are asked nearly the same.
    """
    voices = _voices(questions)
    made: list[Case] = []
    for case in questions:
        known = voices.get(case.task, [])
        right = {label: _place(case, label) for label in {voice.label for voice in known}}
        donors = [voice for voice in known if right[voice.label] not in (None, case.right)]
        words = normalise(case.turn.transcript)
        if donors:
            voice = _drawn([voice for voice in donors if voice.words == words] or donors, f"{seed}/{case.id}")
            place = cast(int, right[voice.label])
            made.append(
                dataclasses.replace(case, id=f"{case.id} with {voice.clip}", prosody=voice.prosody, right=place)
            )
    return made


def _drawn(voices: Sequence[_Voice], lot: str) -> _Voice:
    """One of them by chance; the same as long as it is among them and none that goes before it comes in."""
    return min(voices, key=lambda voice: hashlib.blake2b(f"{lot}/{voice.clip}".encode()).digest())


def _voices(questions: Sequence[Case]) -> dict[str, list[_Voice]]:
    """The clips of each task, once each."""
    found: dict[str, dict[str, _Voice]] = {}
    for case in questions:
        place, label = case.turn.prosody, case.labels[case.right]
        # What an either-or question offers (`upset`) may be wider than a label.
        if place is not None and case.prosody is not None and label in attribute(case.task).labels:
            clip = place.partition("/")[2]  # behind the name of the file that holds it
            found.setdefault(case.task, {})[clip] = _Voice(clip, case.prosody, label, normalise(case.turn.transcript))
    return {task: list(clips.values()) for task, clips in found.items()}


def _place(case: Case, label: str) -> int | None:
    """Which option a label calls for."""
    about = attribute(case.task)
    places = [i for i, name in enumerate(case.labels) if label == name or label in about.covered(name)]
    return places[0] if len(places) == 1 else None


def facts(scorer: Scorer, heard: Sequence[Asked], voices: Sequence[Tensor], *, seed: int = 0) -> list[Outcome]:
    """Questions of knowledge with another voice's prosody: `right` is what was chosen with their own.

    voices: prosody (N, W) to draw from.
    """
    own = [case for case in cases(heard, "continuation", "speech") if case.prosody is not None]
    other = [dataclasses.replace(case, prosody=Random(f"{seed}/{case.id}").choice(voices)) for case in own]
    return [
        dataclasses.replace(before, right=before.chosen, chosen=after.chosen)
        for before, after in zip(decide(scorer, own), decide(scorer, other), strict=True)
        if before.chosen is not None
    ]
