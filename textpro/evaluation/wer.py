"""Word error rate over a manifest, in whole and by label."""

import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textpro.data.manifest import Clip, ManifestError, read, resolve
from textpro.evaluation.transcribers import Transcriber
from textpro.training.batches import read_pcm

BATCH = 16


@dataclass(frozen=True)
class Score:
    """Word errors of a set of clips. `label` is `all` or `name=value`; `empty` counts clips answered with no text."""

    label: str
    clips: int
    words: int
    errors: int
    empty: int

    @property
    def wer(self) -> float:
        """Errors per spoken word: 0 is perfect, over 1 is possible."""
        return self.errors / max(1, self.words)


@dataclass(frozen=True)
class Transcript:
    """What was said and what was heard."""

    clip: Clip
    heard: str
    errors: int


@dataclass(frozen=True)
class WerReport:
    """Scores, the whole first, and every transcript they come from."""

    scores: list[Score]
    transcripts: list[Transcript]

    @property
    def wer(self) -> float:
        return self.scores[0].wer

    def table(self) -> str:
        """The scores as aligned text."""
        head = f"{'set':<28}{'clips':>8}{'words':>9}{'empty':>7}{'WER':>9}"
        rows = [f"{s.label:<28}{s.clips:>8}{s.words:>9}{s.empty:>7}{s.wer:>8.2%}" for s in self.scores]
        return "\n".join([head, *rows])


def evaluate(
    manifest: Path,
    decoder: Transcriber,
    *,
    by: Sequence[str] = ("engine", "held_out", "accent"),
    snr_db: float | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> WerReport:
    """Transcribes a manifest's clips and counts word errors.

    by: labels to break the result down by. snr_db: adds noise at that ratio. limit: a random choice of so many clips,
    the same for the same seed. Raises ManifestError where there is no clip, and what reading the manifest raises.
    """
    clips = read(manifest)
    if not clips:
        raise ManifestError(f"{manifest} has no clips")
    if limit is not None and limit < len(clips):
        clips = random.Random(seed).sample(clips, limit)
    clips = sorted(clips, key=lambda clip: clip.duration_s)  # like lengths share a batch
    transcripts: list[Transcript] = []
    for start in range(0, len(clips), BATCH):
        batch = clips[start : start + BATCH]
        audio = [_with_noise(read_pcm(resolve(manifest, clip)), clip, snr_db, seed) for clip in batch]
        for clip, heard in zip(batch, decoder.transcribe(audio), strict=True):
            transcripts.append(Transcript(clip, heard, word_errors(words(clip.text), words(heard))))
    return WerReport(breakdown(transcripts, by), transcripts)


def breakdown(transcripts: Sequence[Transcript], by: Sequence[str]) -> list[Score]:
    """The whole, then each value of each label that some clip has."""
    scores = [_score("all", transcripts)]
    for name in by:
        for value in sorted({str(t.clip.labels[name]) for t in transcripts if name in t.clip.labels}):
            chosen = [t for t in transcripts if str(t.clip.labels.get(name)) == value]
            scores.append(_score(f"{name}={value}", chosen))
    return scores


def words(text: str) -> list[str]:
    """Normalised words: lower case, no punctuation but apostrophes within words; numbers stay as they are written."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    # Marks belong to their letters: without them a word of an Indic language would fall apart.
    spaced = "".join(c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in plain)
    return [word for piece in spaced.split() if (word := piece.strip("'"))]


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest substitutions, deletions and insertions that turn one into the other (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, spoken in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, word in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (spoken != word))
    return row[-1]


def _score(label: str, transcripts: Sequence[Transcript]) -> Score:
    return Score(
        label,
        clips=len(transcripts),
        words=sum(len(words(t.clip.text)) for t in transcripts),
        errors=sum(t.errors for t in transcripts),
        empty=sum(not t.heard for t in transcripts),
    )


def _with_noise(audio: np.ndarray, clip: Clip, snr_db: float | None, seed: int) -> np.ndarray:
    if snr_db is None:
        return audio
    rng = np.random.default_rng([seed, *clip.id.encode()])  # a clip has its noise whatever else is evaluated
    level = np.sqrt(np.mean(audio**2) / 10 ** (snr_db / 10))
    return np.clip(audio + np.float32(level) * rng.standard_normal(len(audio), dtype=np.float32), -1.0, 1.0)
