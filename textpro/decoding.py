"""WhisperPro on the serving path: CTranslate2 finds the words, the tap in PyTorch the prosody (paper 3.1).

Letters: B batch, S samples, T mel frames, E = T / 2 encoder states, L decoder inputs, N text tokens, W width.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import ctranslate2
import numpy as np
import torch
from ctranslate2 import StorageView

from textpro.audio import (
    FRAMES_PER_SECOND,
    FRAMES_PER_STATE,
    FRAMES_PER_WINDOW,
    HOP_LENGTH,
    SAMPLE_RATE,
    WINDOW_SECONDS,
    log_mel,
    n_states,
)
from textpro.bundle import Bundle
from textpro.cublas import load_cublas
from textpro.errors import AudioError, BundleError
from textpro.guards import Guards, NoSpeechReason, VoiceDetector
from textpro.tap import Finished, ProsodyTap, as_tensor
from textpro.vocabulary import ENGLISH, Vocabulary
from textpro.windows import VOICE_FRAME, cut_at_pauses, heard_part, voiced_part

MAX_TOKENS = 224  # half of the decoder's context, as in Whisper
SHORTEST_FRAMES = 16
# CTranslate2 4.8's `generate` takes an input with as many rows as there are mels for a spectrogram: an encoder output
# of 80 or 128 states is encoded again, in silence, and the text is wrong. No utterance is given these lengths.
MISREAD_FRAMES = frozenset(FRAMES_PER_STATE * n_mels for n_mels in (80, 128))
STAGES = ("voice", "features", "encode", "decode", "prosody")


@dataclass(frozen=True)
class DecodingOptions:
    """How text is searched for.

    `tokens_per_second` and `tokens_at_least` bound the text of a window, so that a loop costs little; nobody speaks
    that fast. `max_batch` windows share a pass of the model.
    """

    beam_size: int = 1
    tokens_per_second: float = 20.0
    tokens_at_least: int = 24
    max_batch: int = 16
    guards: Guards = field(default_factory=Guards)

    def most_tokens(self, n_frames: int) -> int:
        """How many tokens a window of so many mel frames may be answered with."""
        return min(MAX_TOKENS, self.tokens_at_least + round(self.tokens_per_second * n_frames / FRAMES_PER_SECOND))


@dataclass(frozen=True)
class DecodedToken:
    """A text token and its natural-log probability among the tokens allowed; with a beam it is the sequence's mean."""

    id: int
    text: str
    log_probability: float


@dataclass(frozen=True)
class Decoded:
    """What was said and how.

    prosody: (N, W) float32, a row per token. log_probability: mean over the tokens and the end of text. When
    `no_speech_reason` is set nothing was said: text, tokens and prosody are empty. timing_ms: the stages of the whole
    call, which all its utterances waited for.
    """

    text: str
    language: str
    tokens: list[DecodedToken]
    no_speech_probability: float
    no_speech_reason: NoSpeechReason | None
    prosody: np.ndarray
    log_probability: float
    timing_ms: dict[str, float]


@dataclass(frozen=True)
class _Window:
    """speech: the encoder states, of which a tap in the encoder reads."""

    utterance: int
    audio: np.ndarray
    n_frames: int
    speech: slice


@dataclass(frozen=True)
class _Words:
    text: str
    tokens: list[DecodedToken]
    log_probability: float
    no_speech_probability: float
    reason: NoSpeechReason | None


@dataclass(frozen=True)
class _Heard:
    language: str
    words: _Words
    prosody: np.ndarray


class Stopwatch:
    """Milliseconds per stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.ms[name] += (time.perf_counter() - started) * 1000


class SpeechDecoder:
    """Utterances in, transcripts and prosody out. Not for several threads at once: one call at a time."""

    def __init__(
        self, bundle: Bundle, engine: ctranslate2.models.Whisper, tap: ProsodyTap, options: DecodingOptions
    ) -> None:
        self.bundle, self.options = bundle, options
        self._engine, self._tap = engine, tap
        self._voice = VoiceDetector()
        self._vocabulary = Vocabulary.of(bundle)

    @classmethod
    def load(
        cls,
        bundle: Bundle,
        *,
        cache: Path,
        device: str = "cpu",
        compute_type: str = "float32",
        threads: int = 1,
        options: DecodingOptions | None = None,
    ) -> "SpeechDecoder":
        """Loads a bundle's encoder. device: `cpu`, `cuda` or `cuda:1`; compute_type: CTranslate2's.

        threads: per call on a CPU, and PyTorch's in this process. cache: where the CTranslate2 twin is kept.
        Raises BundleError when the bundle, the device or the compute type can't be used.
        """
        kind, _, index = device.partition(":")
        if kind == "cuda":
            load_cublas()
        path = bundle.ct2_path(compute_type, cache=cache)
        try:
            engine = ctranslate2.models.Whisper(
                str(path), device=kind, device_index=int(index or 0), compute_type=compute_type, intra_threads=threads
            )
        except (RuntimeError, ValueError) as error:
            raise BundleError(f"{path} can't run on {device} with compute type {compute_type!r}: {error}") from error
        if kind == "cpu":
            torch.set_num_threads(threads)
        return cls(bundle, engine, ProsodyTap.load(bundle, engine, device=device), options or DecodingOptions())

    @property
    def width(self) -> int:
        """W, the width of a prosody row."""
        return self._tap.width

    @property
    def fingerprint(self) -> str:
        """The bundle's."""
        return self.bundle.fingerprint

    def decode(self, audio: Sequence[np.ndarray], *, language: str | None = None) -> list[Decoded]:
        """Transcribes utterances and reads their prosody.

        audio: (S,) float32 each, 16 kHz. An utterance gives the same result alone and in any batch: only utterances of
        the same padded length share a pass of the model. language: ISO 639-1, detected when None; an English-only model
        ignores it. Raises AudioError for anything but finite mono samples or an unknown language.
        """
        for samples in audio:
            if samples.ndim != 1 or not np.isfinite(samples).all():
                raise AudioError(f"expected finite mono samples of shape (S,), got shape {samples.shape}")
        if language is not None:
            self._vocabulary.check(language)
        watch = Stopwatch()
        with watch.stage("voice"):
            reasons, windows = self._cut(audio)
        heard: list[list[_Heard]] = [[] for _ in audio]
        results: dict[int, _Heard] = {}
        for group in _groups(windows, self.options.max_batch):
            results |= zip(group, self._pass([windows[i] for i in group], language, watch), strict=True)
        for i, window in enumerate(windows):
            heard[window.utterance].append(results[i])
        return [self._join(parts, reason, watch.ms) for parts, reason in zip(heard, reasons, strict=True)]

    def warm_up(self, audio: np.ndarray) -> None:
        """Runs every stage once on (S,), the tap even where no words are heard: no caller shall pay for first calls."""
        self.decode([audio])
        mel = np.zeros((1, self._engine.n_mels, self._n_frames(len(audio))), dtype=np.float32)
        encoded, prompt = self._tap.encode(mel), self._vocabulary.prompt(ENGLISH)
        self._tap(encoded, Finished([slice(0, encoded.states.shape[1])], [prompt], [prompt]))

    def transcribe(self, audio: Sequence[np.ndarray]) -> list[str]:
        """The text alone of `decode`."""
        return [decoded.text for decoded in self.decode(audio)]

    def _cut(self, audio: Sequence[np.ndarray]) -> tuple[list[NoSpeechReason | None], list[_Window]]:
        reasons: list[NoSpeechReason | None] = []
        windows: list[_Window] = []
        for number, samples in enumerate(audio):
            reason, pieces = self._said(samples)
            reasons.append(reason)
            for piece, voiced in pieces:
                windows.append(_Window(number, piece, self._n_frames(len(piece)), states_of(voiced, len(piece))))
        return reasons, windows

    def _said(self, samples: np.ndarray) -> tuple[NoSpeechReason | None, list[tuple[np.ndarray, slice]]]:
        """Why there is nothing to hear, or the windows to listen to and where in each of them the voice is."""
        guards, long = self.options.guards, len(samples) > WINDOW_SECONDS * SAMPLE_RATE
        if guards.silent(samples):
            return "silence", []
        if not guards.voice_ms and not long:
            return None, [(samples, slice(0, len(samples)))]
        voice = self._voice(samples)
        if guards.voiceless(voice):
            return "no_voice", []
        kept = heard_part(voice)
        samples, voice = samples[kept], voice[kept.start // VOICE_FRAME : kept.stop // VOICE_FRAME]
        places = [(at, voice[at.start // VOICE_FRAME : at.stop // VOICE_FRAME]) for at in cut_at_pauses(samples, voice)]
        # For a window without voice words would only be invented.
        spoken = [(at, of_it) for at, of_it in places if not guards.voiceless(of_it)] or places
        return None, [(samples[at], voiced_part(of_it)) for at, of_it in spoken]

    def _n_frames(self, n_samples: int) -> int:
        return padded_frames(n_samples) if self.bundle.config.variable_length else FRAMES_PER_WINDOW

    def _pass(self, windows: list[_Window], language: str | None, watch: Stopwatch) -> list[_Heard]:
        """One pass of the model over windows of the same padded length."""
        n_frames = windows[0].n_frames
        with watch.stage("features"):
            mel = np.stack([self._features(window) for window in windows])
        with watch.stage("encode"):
            encoded = self._tap.encode(mel)
        with watch.stage("decode"):
            languages = self._languages(encoded.memory, len(windows), language)
            prompts = [self._vocabulary.prompt(spoken) for spoken in languages]
            words = self._search(encoded.memory, prompts, n_frames)
        with watch.stage("prosody"):
            tokens = [[token.id for token in found.tokens] for found in words]
            rows = self._tap(encoded, Finished([window.speech for window in windows], prompts, tokens))
        return [_Heard(*parts) for parts in zip(languages, words, rows, strict=True)]

    def _features(self, window: _Window) -> np.ndarray:
        """(n_mels, n_frames): silence is put behind the samples, as Whisper does, before the spectrogram is taken."""
        n_samples = window.n_frames * HOP_LENGTH
        samples = window.audio[:n_samples]
        return log_mel(np.pad(samples, (0, n_samples - len(samples))), self._engine.n_mels)

    def _languages(self, memory: StorageView, count: int, language: str | None) -> list[str]:
        if not self._vocabulary.multilingual:
            return [ENGLISH] * count
        if language is not None:
            return [language] * count
        if not self._engine.is_multilingual:
            raise AudioError("this bundle's model can't detect the language of speech; name it")
        return [ranked[0][0].strip("<|>") for ranked in self._engine.detect_language(memory)]

    def _search(self, memory: StorageView, prompts: list[list[int]], n_frames: int) -> list[_Words]:
        greedy = self.options.beam_size == 1
        results = self._engine.generate(
            memory,
            prompts,
            beam_size=self.options.beam_size,
            # CTranslate2 writes at most half of it, as Whisper does of its context.
            max_length=2 * self.options.most_tokens(n_frames),
            return_scores=True,
            return_no_speech_prob=True,
            return_logits_vocab=greedy,  # a beam gives no logits for its hypotheses
        )
        return [self._words(result, greedy=greedy) for result in results]

    def _words(self, result: ctranslate2.models.WhisperGenerationResult, *, greedy: bool) -> _Words:
        sequence = result.sequences_ids[0]
        if greedy and sequence:
            steps = torch.stack([as_tensor(step) for step in result.logits[0][: len(sequence)]]).float().cpu()
            chosen = steps[torch.arange(len(sequence)), torch.tensor(sequence)]
            scores = (chosen - steps.logsumexp(dim=-1)).tolist()
        else:
            scores = [result.scores[0]] * len(sequence)
        kept = [(id, score) for id, score in zip(sequence, scores, strict=True) if self._vocabulary.is_text(id)]
        text = self._vocabulary.text([id for id, _ in kept])
        # The score is the mean over the words, end of text in the sum but not in the count.
        mean = result.scores[0] * len(sequence) / (len(sequence) + 1) if sequence else result.scores[0]
        reason = self.options.guards.after(text, log_probability=mean, no_speech_probability=result.no_speech_prob)
        tokens = [DecodedToken(id, self._vocabulary.piece(id), score) for id, score in kept] if reason is None else []
        return _Words(text if reason is None else "", tokens, mean, result.no_speech_prob, reason)

    def _join(self, parts: list[_Heard], reason: NoSpeechReason | None, timing_ms: dict[str, float]) -> Decoded:
        """The windows of one utterance as one. A window in which nothing was said adds nothing."""
        said = [part for part in parts if part.words.reason is None]
        if reason is None and not said:
            reason = parts[0].words.reason
        shown = said or parts
        n_tokens = sum(len(part.words.tokens) for part in said)
        return Decoded(
            text=" ".join(part.words.text for part in said),
            language=shown[0].language if shown else ENGLISH,
            tokens=[token for part in said for token in part.words.tokens],
            no_speech_probability=min((part.words.no_speech_probability for part in shown), default=1.0),
            no_speech_reason=reason,
            prosody=np.concatenate([np.zeros((0, self.width), np.float32), *(part.prosody for part in said)]),
            log_probability=sum(part.words.log_probability * len(part.words.tokens) for part in said) / n_tokens
            if n_tokens
            else min((part.words.log_probability for part in parts), default=0.0),
            timing_ms=dict(timing_ms),
        )


def states_of(part: slice, n_samples: int) -> slice:
    """The encoder's states of a part of so many samples."""
    return slice(part.start // (FRAMES_PER_STATE * HOP_LENGTH), n_states(min(part.stop, n_samples)))


def padded_frames(n_samples: int) -> int:
    """The length T that an utterance of so many samples is padded to: on a ladder of eight steps an octave.

    So little is added, utterances of like length meet on a step and share a batch, and how long one is padded depends
    on itself alone.
    """
    n_frames = max(-(-n_samples // HOP_LENGTH), SHORTEST_FRAMES)
    step = max(FRAMES_PER_STATE, 1 << (n_frames.bit_length() - 4))
    padded = -(-n_frames // step) * step
    if padded in MISREAD_FRAMES:
        return padded_frames((padded + 1) * HOP_LENGTH)
    return min(padded, FRAMES_PER_WINDOW)


def _groups(windows: Sequence[_Window], size: int) -> list[list[int]]:
    """Indices of windows of equal padded length, at most `size` together."""
    by_length: dict[int, list[int]] = {}
    for index, window in enumerate(windows):
        by_length.setdefault(window.n_frames, []).append(index)
    return [group[at : at + size] for group in by_length.values() for at in range(0, len(group), size)]
