"""How much of the voice is in the prosody: small classifiers on pooled prosody (paper 4.1, app. C).

Letters: n clips, W width, C classes, R runs (seeds times folds), all of which are trained side by side in one tensor.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from textpro.data.manifest import Clip, read, resolve
from textpro.decoding import SpeechDecoder
from textpro.errors import TrainingError
from textpro.evaluation.acoustics import measured
from textpro.training.batches import read_pcm

BATCH = 16


@dataclass(frozen=True)
class ProbeConfig:
    """How probes are trained. Adam, early stopping and the folds are the paper's; its numbers are lost in our copy.

    hidden: None for the 1-layer probe (dropout, linear), 256 for the paper's 2-layer one (linear, ReLU, dropout,
    linear).
    """

    hidden: int | None = None
    seeds: int = 5
    folds: int = 5
    learning_rate: float = 3e-3
    dropout: float = 0.2
    batch: int = 64
    max_epochs: int = 200
    patience: int = 20
    validation: float = 0.1


@dataclass(frozen=True)
class ProbeResult:
    """Accuracy over R runs. chance: the share of the largest class."""

    accuracy: float
    deviation: float
    chance: float
    clips: int
    classes: int
    runs: int


def chosen(manifest: Path, *, limit: int | None = None, seed: int = 0) -> list[Clip]:
    """A manifest's clips, or a random choice of so many, the same for the same seed."""
    clips = read(manifest)
    return random.Random(seed).sample(clips, limit) if limit is not None and limit < len(clips) else clips


def pooled_prosody(manifest: Path, clips: Sequence[Clip], decoder: SpeechDecoder) -> tuple[np.ndarray, list[Clip]]:
    """Mean prosody (n, W) of those of a manifest's clips in which words were heard, and these clips."""
    clips = sorted(clips, key=lambda clip: clip.duration_s)
    rows: list[np.ndarray] = []
    kept: list[Clip] = []
    for start in range(0, len(clips), BATCH):
        batch = clips[start : start + BATCH]
        for clip, decoded in zip(batch, decoder.decode([read_pcm(resolve(manifest, c)) for c in batch]), strict=True):
            if decoded.tokens:
                rows.append(decoded.prosody.mean(axis=0))
                kept.append(clip)
    return np.array(rows, dtype=np.float32).reshape(-1, decoder.width), kept


def measured_labels(manifest: Path, clips: Sequence[Clip], name: str) -> list[float | None]:
    """`f0` or `energy` of clips from their audio (acoustics.py); None where a clip has none."""
    return [measured(read_pcm(resolve(manifest, clip))).get(name) for clip in clips]


def quantile_bins(values: Sequence[float], n_bins: int = 10) -> np.ndarray:
    """Continuous values as the number of their quantile bin, as the paper does for F0 and energy."""
    edges = np.quantile(np.asarray(values), np.linspace(0, 1, n_bins + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")


def probe(features: np.ndarray, labels: Sequence[object], config: ProbeConfig | None = None) -> ProbeResult:
    """Stratified cross-validation over several seeds of one probe (paper app. C).

    features: (n, W), labels: n values; floats, such as a fundamental frequency, become their quantile bins.
    Raises TrainingError with fewer than two classes, or fewer clips of a class than folds.
    """
    config = config or ProbeConfig()
    classes = classes_of(labels, config.folds)
    counts = np.bincount(classes)
    runs = [split for seed in range(config.seeds) for split in splits(classes, config, seed)]
    scores = _Runs(features, classes, runs, config).accuracy()
    share = float(counts.max() / counts.sum())
    return ProbeResult(float(scores.mean()), float(scores.std()), share, len(classes), len(counts), len(runs))


def classes_of(labels: Sequence[object], folds: int = ProbeConfig.folds) -> np.ndarray:
    """The number of each label's class (n,). Raises TrainingError as `probe` does."""
    numbers = [label for label in labels if isinstance(label, float)]
    named = quantile_bins(numbers) if 0 < len(numbers) == len(labels) else np.array([str(label) for label in labels])
    names, classes = np.unique(named, return_inverse=True)
    counts = np.bincount(classes)
    if len(names) < 2 or counts.min() < folds:
        found = ", ".join(f"{count} of {name}" for name, count in zip(names, counts, strict=True)) or "none"
        raise TrainingError(f"probing needs two classes with {folds} clips each; found {found}")
    return classes


@dataclass(frozen=True)
class Split:
    """Which clips a run learns from, stops by, and is judged by."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def splits(classes: np.ndarray, config: ProbeConfig, seed: int) -> list[Split]:
    """Shuffled folds, and a validation set out of the rest, with every class's share in each."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(classes), dtype=int)
    for c in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == c))
        fold[members] = (np.arange(len(members)) + rng.integers(config.folds)) % config.folds
    made: list[Split] = []
    for k in range(config.folds):
        rest = rng.permutation(np.flatnonzero(fold != k))
        validates = np.zeros(len(classes), dtype=bool)
        for c, count in enumerate(np.bincount(classes)):
            validates[rest[classes[rest] == c][: max(1, round(config.validation * count))]] = True
        made.append(Split(rest[~validates[rest]], rest[validates[rest]], np.flatnonzero(fold == k)))
    return made


class _Runs:
    """R probes as one batched network: weights (R, in, out), so that a run is a row and no run sees another."""

    def __init__(self, features: np.ndarray, classes: np.ndarray, splits: list[Split], config: ProbeConfig) -> None:
        self.config = config
        self.generator = torch.Generator().manual_seed(0)
        # Standardised over all clips: a probe asks what is there, not in what units.
        scale = features.std(axis=0) + 1e-6
        self.features = torch.from_numpy((features - features.mean(axis=0)) / scale)
        self.classes = torch.from_numpy(classes)
        self.train, self.validation, self.test = (
            _rows([getattr(s, n) for s in splits]) for n in ("train", "validation", "test")
        )
        sizes = [features.shape[1], *([config.hidden] if config.hidden else []), int(classes.max()) + 1]
        self.layers = [
            (self._uniform(len(splits), a, b, bound=a**-0.5), self._uniform(len(splits), 1, b, bound=a**-0.5))
            for a, b in pairwise(sizes)
        ]

    def _uniform(self, *shape: int, bound: float) -> Tensor:
        return torch.empty(shape).uniform_(-bound, bound, generator=self.generator).requires_grad_()

    def _logits(self, rows: Tensor, *, training: bool) -> Tensor:
        """rows: (R, b) clip numbers -> (R, b, C)."""
        x = self.features[rows]
        if len(self.layers) > 1:
            x = torch.baddbmm(self.layers[0][1], x, self.layers[0][0]).relu()
        if training:
            kept = torch.rand(x.shape, generator=self.generator) >= self.config.dropout
            x = x * kept / (1 - self.config.dropout)
        return torch.baddbmm(self.layers[-1][1], x, self.layers[-1][0])

    @torch.no_grad()
    def _accuracy(self, rows: Tensor) -> Tensor:
        """(R,) share of right answers; rows are padded with -1."""
        right = self._logits(rows.clamp(min=0), training=False).argmax(-1) == self.classes[rows.clamp(min=0)]
        real = rows >= 0
        return (right & real).sum(1) / real.sum(1)

    def accuracy(self) -> Tensor:
        """(R,) test accuracy, each run with the weights that were best on its validation set."""
        weights = [w for layer in self.layers for w in layer]
        adam = torch.optim.Adam(weights, lr=self.config.learning_rate)
        best = torch.full((len(self.train),), -1.0)
        kept = [w.detach().clone() for w in weights]
        stale = torch.zeros(len(self.train), dtype=torch.long)
        for _ in range(self.config.max_epochs):
            self._epoch(adam)
            now = self._accuracy(self.validation)
            better = (now > best) & (stale < self.config.patience)
            best = torch.where(better, now, best)
            stale = torch.where(better, 0, stale + 1)
            for saved, w in zip(kept, weights, strict=True):
                saved[better] = w.detach()[better]
            if (stale >= self.config.patience).all():
                break
        for saved, w in zip(kept, weights, strict=True):
            w.data.copy_(saved)
        return self._accuracy(self.test)

    def _epoch(self, adam: torch.optim.Adam) -> None:
        size = int((self.train >= 0).sum(1).min())  # runs differ by a few clips
        order = torch.rand(len(self.train), size, generator=self.generator).argsort(1)
        shuffled = self.train.gather(1, order)
        for rows in shuffled.split(self.config.batch, dim=1):
            loss = F.cross_entropy(self._logits(rows, training=True).flatten(0, 1), self.classes[rows].flatten())
            adam.zero_grad()
            (loss * len(self.train)).backward()  # each run gets the mean gradient of its own rows
            adam.step()


def _rows(parts: list[np.ndarray]) -> Tensor:
    longest = max(len(part) for part in parts)
    return torch.from_numpy(np.stack([np.pad(p, (0, longest - len(p)), constant_values=-1) for p in parts]))
