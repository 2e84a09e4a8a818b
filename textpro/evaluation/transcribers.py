"""Other ways to run a bundle's Whisper, to judge the serving path against: faster-whisper, and PyTorch alone.

Letters: S samples, N text tokens, W width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput

from textpro.audio import FRAMES_PER_WINDOW, HOP_LENGTH, SAMPLE_RATE, log_mel
from textpro.bundle import Bundle, load_training
from textpro.cublas import load_cublas
from textpro.decoding import DecodingOptions, padded_frames, states_of
from textpro.errors import AudioTooLong, BundleError
from textpro.guards import VoiceDetector
from textpro.vocabulary import ENGLISH, Vocabulary
from textpro.whisperpro import Speech, decoder_states, encode_with_states, spans
from textpro.windows import VOICE_FRAME, heard_part, voiced_part


class Transcriber(Protocol):
    """Whatever turns utterances, (S,) float32 at 16 kHz each, into texts. SpeechDecoder is one."""

    def transcribe(self, audio: Sequence[np.ndarray]) -> list[str]: ...


class FasterWhisper:
    """Stock faster-whisper over the bundle's CTranslate2 twin: no timestamps, no fallback, no filter."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        cache: Path,
        device: str = "cpu",
        compute_type: str = "float32",
        threads: int = 1,
        beam_size: int = 1,
    ) -> None:
        """As `SpeechDecoder.load`. Raises BundleError."""
        from faster_whisper import WhisperModel

        kind, _, index = device.partition(":")
        if kind == "cuda":
            load_cublas()
        path = str(bundle.ct2_path(compute_type, cache=cache))
        try:
            self._model = WhisperModel(
                path, device=kind, device_index=int(index or 0), compute_type=compute_type, cpu_threads=threads
            )
        except (RuntimeError, ValueError) as error:
            raise BundleError(f"{path} can't run on {device} with compute type {compute_type!r}: {error}") from error
        self._beam_size = beam_size

    def transcribe(self, audio: Sequence[np.ndarray]) -> list[str]:
        return [self._one(samples) for samples in audio]

    def _one(self, samples: np.ndarray) -> str:
        segments, _ = self._model.transcribe(
            samples,
            language=None if self._model.model.is_multilingual else ENGLISH,
            beam_size=self._beam_size,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
        )
        return " ".join(segment.text.strip() for segment in segments)


class TorchWhisper:
    """PyTorch alone: encoder, transformers' `generate`, then the whole decoder over the finished tokens for its states.

    Utterances up to one window, in float32 on a CPU; English, as a multilingual Whisper is not asked for the language.
    """

    def __init__(self, bundle: Bundle, *, beam_size: int = 1, whole: bool = False) -> None:
        """whole: silence before and after the speech is listened to, too, as it is with the guards off."""
        self._beam_size, self._whole = beam_size, whole
        model, _ = load_training(bundle, with_reconstructor=False)
        self._model = model.requires_grad_(False).eval()
        self._vocabulary = Vocabulary.of(bundle)
        self._variable = bundle.config.variable_length
        self._voice = VoiceDetector()

    def transcribe(self, audio: Sequence[np.ndarray]) -> list[str]:
        return [self.listen(samples).text for samples in audio]

    @torch.inference_mode()
    def listen(self, samples: np.ndarray) -> Speech:
        """Text, tokens and prosody (N, W) of one utterance (S,), read from the full model. Raises AudioTooLong."""
        whisper, words, config = self._model.whisper, self._vocabulary, self._model.config
        samples, voiced = self._parts(samples)
        if len(samples) > HOP_LENGTH * FRAMES_PER_WINDOW:
            raise AudioTooLong(f"{len(samples) / SAMPLE_RATE:.1f} s are more than one window of 30 s")
        encoder, decoder, layer = whisper.model.encoder, whisper.model.decoder, config.prosody_layer
        n_samples = HOP_LENGTH * (padded_frames(len(samples)) if self._variable else FRAMES_PER_WINDOW)
        padded = np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))
        mel = torch.from_numpy(log_mel(padded, whisper.config.num_mel_bins))[None]
        memory, below = encode_with_states(encoder, mel, layer)
        prompt = words.prompt(ENGLISH)
        written = whisper.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=cast(torch.FloatTensor, memory)),
            decoder_input_ids=torch.tensor([prompt]),
            max_length=DecodingOptions().most_tokens(n_samples // HOP_LENGTH),  # to which it adds the prompt's
            num_beams=self._beam_size,
            do_sample=False,
        )
        written = cast(torch.Tensor, written)[0].tolist()
        tokens = [token for token in written if words.is_text(token)]
        states = decoder_states(decoder, torch.tensor([[*prompt, *tokens]]), memory, layers=slice(None, layer))
        decoder_states(decoder, torch.tensor([[*prompt, *tokens]]), memory, layers=slice(layer, None), states=states)
        prosody = states[0, len(prompt) :]
        if config.tap_side == "encoder" and tokens:
            prosody = spans(below[0, states_of(voiced, len(samples))], len(tokens))
        return Speech(words.text(tokens), tokens, prosody)

    def _parts(self, samples: np.ndarray) -> tuple[np.ndarray, slice]:
        """What is listened to, and where in it the voice is."""
        if self._whole:
            return samples, slice(0, len(samples))
        voice = self._voice(samples)
        kept = heard_part(voice)
        return samples[kept], voiced_part(voice[kept.start // VOICE_FRAME : kept.stop // VOICE_FRAME])
