"""WhisperPro: Whisper whose middle decoder states are the prosody (paper 3.1, app. B). The training path, in PyTorch.

Letters: B batch, T mel frames, E = T / 2 encoder states, L decoder inputs, N text tokens, W width, V vocabulary.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperEncoder

from textpro.config import BundleConfig
from textpro.reconstructor import MelReconstructor


@dataclass(frozen=True)
class Speech:
    """What was said and how: text, its Whisper tokens y_1..y_N, and prosody (N, W), one row per token (eq. 1-2)."""

    text: str
    tokens: list[int]
    prosody: Tensor


def encode(encoder: WhisperEncoder, mel: Tensor) -> Tensor:
    """Runs Whisper's encoder on an utterance of any length up to its window: mel (B, n_mels, T) -> (B, E, W).

    Whisper's encoder positions are sinusoids, so they crop; the stock forward accepts the full window only.
    """
    return encoder.layer_norm(encoder_states(encoder, mel, layers=slice(None)))


def encoder_states(encoder: WhisperEncoder, mel: Tensor, *, layers: slice, states: Tensor | None = None) -> Tensor:
    """Raw output of the last of the given encoder layers, before any final norm: mel (B, n_mels, T) -> (B, E, W).

    states: the output of the layers before; `mel` is not looked at then.
    """
    if states is None:
        x = F.gelu(encoder.conv1(mel))
        x = F.gelu(encoder.conv2(x)).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
    else:
        x = states
    for layer in encoder.layers[layers]:
        x = layer(x, None)
    return x


def encode_with_states(encoder: WhisperEncoder, mel: Tensor, layer: int) -> tuple[Tensor, Tensor]:
    """The encoder's output and the raw states after a layer on its way: mel (B, n_mels, T) -> twice (B, E, W)."""
    below = encoder_states(encoder, mel, layers=slice(layer))
    above = encoder_states(encoder, mel, layers=slice(layer, None), states=below)
    return cast(Tensor, encoder.layer_norm(above)), below


def spans(states: Tensor, n_rows: int) -> Tensor:
    """The means of as many spans of time as an utterance has text tokens: (E, W) -> (N, W).

    The spans are of even length, in order; where a state lies on a border both take it.
    """
    return F.adaptive_avg_pool1d(states.T, n_rows).T


def decoder_states(
    decoder: WhisperDecoder, tokens: Tensor, memory: Tensor, *, layers: slice, states: Tensor | None = None
) -> Tensor:
    """Teacher-forced raw output of the last of the given decoder layers, before any final norm.

    tokens: (B, L), memory: (B, E, W) -> (B, L, W). states: the output of the layers before, in place of the embeddings.
    """
    length = tokens.shape[1]
    x = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[:length] if states is None else states
    causal = torch.full((length, length), float("-inf"), dtype=x.dtype, device=x.device).triu(1)[None, None]
    for layer in decoder.layers[layers]:
        x = layer(x, causal, encoder_hidden_states=memory, use_cache=False)
    return x


@dataclass(frozen=True)
class Heard:
    """One teacher-forced pass: logits (B, L, V); memory (B, E, W), the encoder's output; states, the tap's layer: of a
    decoder (B, L, W), prosody where its input is text; of an encoder (B, E, W), to be split into `spans`, or None
    where it did not run."""

    logits: Tensor
    states: Tensor | None
    memory: Tensor


class WhisperPro(nn.Module):
    """Whisper with the prosody tap, and in training the mel reconstructor."""

    def __init__(
        self, whisper: WhisperForConditionalGeneration, config: BundleConfig, *, with_reconstructor: bool = False
    ) -> None:
        super().__init__()
        self.config = config
        self.whisper = whisper
        self.reconstructor = (
            MelReconstructor(
                config.reconstructor,
                vocabulary=whisper.config.vocab_size,
                prosody_width=whisper.config.d_model,
                n_mels=whisper.config.num_mel_bins,
            )
            if with_reconstructor
            else None
        )

    def forward(self, mel: Tensor, tokens: Tensor, memory: Tensor | None = None) -> Heard:
        """mel: (B, n_mels, T), tokens: (B, L) decoder inputs -> what the losses look at (paper eq. 10-13).

        memory: the encoder's output (B, E, W) if it is known; `mel` is not looked at then.
        """
        encoder, decoder, layer = self.whisper.model.encoder, self.whisper.model.decoder, self.config.prosody_layer
        below = None
        if memory is None:
            memory, below = encode_with_states(encoder, mel, layer)
        states = decoder_states(decoder, tokens, memory, layers=slice(None, layer))
        top = decoder_states(decoder, tokens, memory, layers=slice(layer, None), states=states)
        logits = self.whisper.proj_out(decoder.layer_norm(top))
        return Heard(logits, below if self.config.tap_side == "encoder" else states, memory)
