"""Clips -> length-bucketed batches for WhisperPro, drawn from (seed, step), so that a run resumes where it stopped.

Letters: B batch, T mel frames, L decoder inputs.
"""

import wave
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from textpro.audio import FRAMES_PER_SECOND, FRAMES_PER_WINDOW, HOP_LENGTH, MAX_SECONDS, SAMPLE_RATE, decode, log_mel
from textpro.data.manifest import Clip, resolve
from textpro.errors import AudioError, AudioTooLong, TrainingError
from textpro.losses import IGNORE
from textpro.training import augment
from textpro.training.augment import Augmentation
from textpro.training.tokenizer import END, NO_SPEECH, NO_TIMESTAMPS, START, TIMESTAMP_SECONDS, Speller

CHARACTERS = " 'abcdefghijklmnopqrstuvwxyz"  # of the auxiliary CTC; 0 is the blank
CLIPS_PER_POOL = 512  # sorted by length together; more would make the order of lengths less random
MAX_TEXT_TOKENS = 440  # of the decoder's 448 positions


@dataclass(frozen=True)
class BatchPlan:
    """How batches are drawn: seconds of speech a batch, share padded out towards 30 s, how targets vary."""

    seconds: float = 40.0
    long_padding: float = 0.04
    timestamps: float = 0.12
    bpe_dropout: float = 0.33
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass
class Batch:
    """mel (B, n_mels, T), and target, the same before noise, masks and tilt, empty if no loss asks for it; frame_mask
    (B, T), true on real frames; tokens, labels (B, L); text_mask (B, L), true where a decoder input is a text token;
    characters for CTC as one flat row, and their lengths (B,); memory (B, E, W), the encoder's output, where it is
    known already."""

    mel: Tensor
    target: Tensor
    frame_mask: Tensor
    tokens: Tensor
    labels: Tensor
    text_mask: Tensor
    characters: Tensor
    character_lengths: Tensor
    memory: Tensor | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        moved = {name: value.to(device, non_blocking=True) for name, value in vars(self).items() if value is not None}
        moved["mel"] = moved["mel"].to(dtype)
        return Batch(**moved)

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Targets:
    """A clip's decoder inputs, the label of each, and which inputs are text."""

    inputs: list[int]
    labels: list[int]
    text: range


class BucketSampler(Sampler[list[tuple[int, int]]]):
    """Batches of clips of like length for one process: lists of (clip index, step), endless from `first_step` on."""

    def __init__(
        self, durations_s: Sequence[float], plan: BatchPlan, *, rank: int = 0, world: int = 1, first_step: int = 0
    ) -> None:
        self.durations = np.asarray(durations_s)
        self.plan, self.rank, self.world, self.first_step = plan, rank, world, first_step

    def epoch(self, number: int) -> list[np.ndarray]:
        """All batches of an epoch, the same in every process, a multiple of the number of processes."""
        rng = np.random.default_rng([self.plan.seed, number])
        order = rng.permutation(len(self.durations))
        batches: list[np.ndarray] = []
        for start in range(0, len(order), CLIPS_PER_POOL):
            chunk = order[start : start + CLIPS_PER_POOL]
            chunk = chunk[np.argsort(self.durations[chunk], kind="stable")[::-1]]
            while len(chunk):
                size = max(1, int(self.plan.seconds / max(self.durations[chunk[0]], 0.5)))
                batches.append(chunk[:size])
                chunk = chunk[size:]
        order = rng.permutation(len(batches))
        usable = max(self.world, len(batches) // self.world * self.world)
        return [batches[order[i % len(batches)]] for i in range(usable)]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step, number = 0, 0
        while True:
            batches = self.epoch(number)
            for mine in range(self.rank, len(batches), self.world):
                if step >= self.first_step:
                    yield [(int(i), step) for i in batches[mine]]
                step += 1
            number += 1


def read_pcm(path: Path) -> np.ndarray:
    """A clip as (S,) float32 at 16 kHz: PCM16 WAV as `textpro synthesize` writes it directly, anything else decoded.

    Raises AudioError with the path for one that can't be used, OSError for one that is not there.
    """
    with suppress(wave.Error, EOFError), wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE, 1, 2):
            if file.getnframes() > MAX_SECONDS * SAMPLE_RATE:
                raise AudioTooLong(f"{path}: the audio lasts over {MAX_SECONDS:g} s")
            data = file.readframes(file.getnframes())
            # What was cut, or holds nothing, is left to the decoder.
            if data and len(data) == 2 * file.getnframes():
                return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768.0
    try:
        return decode(path.read_bytes())
    except AudioError as error:
        raise type(error)(f"{path}: {error}") from error


class SpeechDataset(Dataset[Batch]):
    """Turns a list of (clip index, key) into one Batch: read, augment, log-mel, tokens."""

    def __init__(
        self,
        manifest: Path,
        clips: Sequence[Clip],
        tokenizer: PreTrainedTokenizerBase,
        plan: BatchPlan,
        *,
        n_mels: int,
        multilingual: bool = False,
        with_target: bool = True,
    ) -> None:
        """with_target: whether the mel loss will want its target."""
        self.manifest, self.clips, self.plan = manifest, clips, plan
        self.n_mels, self.multilingual, self.with_target = n_mels, multilingual, with_target
        self._speller = Speller(tokenizer)
        vocabulary = tokenizer.get_vocab()
        self._vocabulary = vocabulary
        self._end = vocabulary[END]
        self._no_speech = vocabulary.get(NO_SPEECH, vocabulary.get("<|nocaptions|>", vocabulary[END]))
        self._first_timestamp = vocabulary.get("<|0.00|>")

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, drawn: list[tuple[int, int]]) -> Batch:
        rng = np.random.default_rng([self.plan.seed, drawn[0][1], drawn[0][0]])
        how = self.plan.augmentation
        long = rng.random() < self.plan.long_padding
        if long:  # these cost by the padded length, so only a few
            drawn = drawn[:4]
        audio: list[tuple[np.ndarray, np.ndarray]] = []
        texts: list[str] = []
        prompts: list[list[int]] = []
        for index, _ in drawn:
            clip = self.clips[index]
            samples = read_pcm(resolve(self.manifest, clip))
            silent = rng.random() < how.no_speech
            samples = augment.noise(rng, len(samples)) * 0.1 if silent else samples
            audio.append(augment.waveform(_lead_in(samples, rng) if how.masks else samples, rng, how))
            texts.append("" if silent else clip.text)
            prompts.append(self._prompt(str(clip.labels.get("language", "en"))))
        return self._collate(audio, texts, prompts, rng, long)

    def _prompt(self, language: str) -> list[int]:
        """Whisper's opening, before the choice of timestamps: an English-only model has no language and task."""
        names = [START, f"<|{language}|>", "<|transcribe|>"] if self.multilingual else [START]
        if unknown := [name for name in names if name not in self._vocabulary]:
            raise TrainingError(
                f"the tokenizer has no {unknown[0]}: is the label language={language!r} an ISO 639-1 code?"
            )
        return [self._vocabulary[name] for name in names]

    def _collate(
        self,
        audio: list[tuple[np.ndarray, np.ndarray]],
        texts: list[str],
        prompts: list[list[int]],
        rng: np.random.Generator,
        long: bool,
    ) -> Batch:
        """audio: each clip as it is heard, and without noise."""
        frames = [min(len(heard) // HOP_LENGTH, FRAMES_PER_WINDOW) for heard, _ in audio]
        n_frames = max(frames)
        if long:
            n_frames = int(rng.integers(n_frames, FRAMES_PER_WINDOW + 1))
        n_frames += n_frames % 2
        # Padding is silence in front of the log-mel, as Whisper's own, or zeros behind it, as faster-whisper's.
        zeros_behind = rng.random() < 0.5
        mel = np.zeros((len(audio), self.n_mels, n_frames), dtype=np.float32)
        target = np.zeros_like(mel if self.with_target else mel[:, :, :0])
        for row, (heard, clean) in enumerate(audio):
            features = self._features(heard, n_frames, zeros_behind)
            mel[row, :, : features.shape[1]] = augment.spectrogram(features, rng, self.plan.augmentation)
            if self.with_target:
                rebuilt = features if clean is heard else self._features(clean, n_frames, zeros_behind)
                target[row, :, : rebuilt.shape[1]] = rebuilt
        frame_mask = torch.arange(n_frames)[None] < torch.tensor(frames)[:, None]
        rows = [
            self._targets(prompt, text, n / FRAMES_PER_SECOND, rng)
            for prompt, text, n in zip(prompts, texts, frames, strict=True)
        ]
        spectrograms = torch.from_numpy(mel), torch.from_numpy(target), frame_mask
        return Batch(*spectrograms, *_pack(rows, self._end), *_spell(texts))

    def _features(self, samples: np.ndarray, n_frames: int, zeros_behind: bool) -> np.ndarray:
        """The log-mel (n_mels, T) of samples (S,): n_frames long, or only as long as they are."""
        if not zeros_behind:
            n_samples = n_frames * HOP_LENGTH
            samples = np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))
        return log_mel(samples, self.n_mels)[:, :n_frames]

    def _targets(self, prompt: list[int], text: str, seconds: float, rng: np.random.Generator) -> Targets:
        no_timestamps = self._vocabulary[NO_TIMESTAMPS]
        if not text:
            # Whisper, and whoever decodes with it, asks for no speech right behind the start, in the language's place.
            labels = [self._no_speech, *[IGNORE] * (len(prompt) - 1), self._end]
            return Targets([*prompt, no_timestamps], labels, range(0))
        spells = rng.random() < self.plan.bpe_dropout
        words = self._speller.spelled(" " + text, rng) if spells else self._speller.whole(" " + text)
        words = words[:MAX_TEXT_TOKENS]
        opening, closing = [*prompt, no_timestamps], []
        if self._first_timestamp is not None and rng.random() < self.plan.timestamps:
            opening = [*prompt, self._first_timestamp]
            closing = [self._first_timestamp + round(seconds / TIMESTAMP_SECONDS)]
        inputs = [*opening, *words, *closing]
        return Targets(inputs, [*inputs[1:], self._end], range(len(opening), len(opening) + len(words)))


def _lead_in(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to a quarter of a second of near-silence in front."""
    silence = rng.standard_normal(int(rng.integers(0, SAMPLE_RATE // 4)), dtype=np.float32) * 1e-4
    return np.concatenate([silence, samples])


def _pack(rows: list[Targets], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Decoder inputs, labels and the mask of text, all (B, L)."""
    length = max(len(row.inputs) for row in rows)
    tokens = torch.full((len(rows), length), pad)
    labels = torch.full((len(rows), length), IGNORE)
    text_mask = torch.zeros((len(rows), length), dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row.inputs)] = torch.tensor(row.inputs)
        labels[i, : len(row.labels)] = torch.tensor(row.labels)
        text_mask[i, row.text.start : row.text.stop] = True
    return tokens, labels, text_mask


def _spell(texts: list[str]) -> tuple[Tensor, Tensor]:
    """The characters of all texts in one row, and how many each has."""
    spelled = [[CHARACTERS.index(c) + 1 for c in text.lower() if c in CHARACTERS] for text in texts]
    characters = torch.tensor([c for row in spelled for c in row], dtype=torch.long)
    return characters, torch.tensor([len(row) for row in spelled])
