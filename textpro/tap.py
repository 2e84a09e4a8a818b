"""Half of a Whisper, alone: prosody from what the other half has found, in one parallel pass (paper 3.1).

Whisper's decoder is causal, so teacher forcing over finished tokens gives the states of step-by-step decoding; and the
states after a layer need no later layer. Letters: B batch, T mel frames, E encoder states, N text tokens, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperEncoder

from textpro.bundle import Bundle
from textpro.errors import BundleError
from textpro.whisperpro import decoder_states, encoder_states, spans


@dataclass(frozen=True)
class Finished:
    """What is known of B utterances once they are decoded.

    mel: (B, n_mels, T). memory: (B, E, W), the encoder's output. n_states: how many of the E are speech, not padding.
    prompts: of equal length. tokens: the text of each.
    """

    mel: np.ndarray
    memory: Tensor
    n_states: Sequence[int]
    prompts: Sequence[Sequence[int]]
    tokens: Sequence[Sequence[int]]


class ProsodyTap:
    """Whisper's layers up to the tap's and no others, in float32."""

    def __init__(self, half: WhisperEncoder | WhisperDecoder) -> None:
        self._half = half

    @classmethod
    def load(cls, bundle: Bundle, *, device: str = "cpu") -> "ProsodyTap":
        """Reads only the weights it needs. Raises BundleError when the bundle lacks one."""
        config, side = WhisperConfig.from_pretrained(str(bundle.encoder_path)), bundle.config.tap_side
        setattr(config, f"{side}_layers", bundle.config.prosody_layer)
        with torch.device("meta"):
            half = WhisperEncoder(config) if side == "encoder" else WhisperDecoder(config)
        _load(half, bundle, f"model.{side}.", device)
        return cls(half.requires_grad_(False).eval())

    @property
    def width(self) -> int:
        """W, the width of a prosody row."""
        return self._half.config.d_model

    @torch.inference_mode()
    def __call__(self, finished: Finished) -> list[np.ndarray]:
        """Prosody (N, W) float32 of each utterance, a row per text token. Without tokens it is (0, W), at no cost."""
        prosody = [np.zeros((0, self.width), dtype=np.float32) for _ in finished.tokens]
        spoken = [row for row, words in enumerate(finished.tokens) if words]
        if spoken:
            read = self._in_encoder if isinstance(self._half, WhisperEncoder) else self._in_decoder
            for row, found in zip(spoken, read(finished, spoken), strict=True):
                prosody[row] = found.cpu().numpy().copy()
        return prosody

    def _in_decoder(self, finished: Finished, rows: list[int]) -> list[Tensor]:
        """Read where a text token is the decoder's input."""
        assert isinstance(self._half, WhisperDecoder)
        prompts, tokens = ([of[row] for row in rows] for of in (finished.prompts, finished.tokens))
        longest = max(map(len, tokens))
        # What follows a row's last token is never looked at: attention is causal.
        padded = [[*prompt, *text, *[0] * (longest - len(text))] for prompt, text in zip(prompts, tokens, strict=True)]
        memory = finished.memory if len(rows) == len(finished.tokens) else finished.memory[rows]
        inputs = torch.tensor(padded, device=memory.device)
        states = decoder_states(self._half, inputs, memory.float(), layers=slice(None))[:, len(prompts[0]) :]
        return [found[: len(text)] for found, text in zip(states, tokens, strict=True)]

    def _in_encoder(self, finished: Finished, rows: list[int]) -> list[Tensor]:
        """Read over the span of time that would be a token's if all were equally long."""
        assert isinstance(self._half, WhisperEncoder)
        mel = torch.from_numpy(finished.mel[rows]).to(finished.memory.device)
        states = encoder_states(self._half, mel, layers=slice(None))
        return [
            spans(found[: finished.n_states[row]], len(finished.tokens[row]))
            for found, row in zip(states, rows, strict=True)
        ]


def _load(half: nn.Module, bundle: Bundle, prefix: str, device: str) -> None:
    weights: dict[str, Tensor] = {}
    for path in bundle.encoder_weights:
        with safe_open(path, "pt", device=device) as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                if name.startswith(prefix) and name.removeprefix(prefix) in half.state_dict():
                    weights[name.removeprefix(prefix)] = file.get_tensor(name).float()
    if missing := sorted(half.state_dict().keys() - weights.keys()):
        raise BundleError(f"{bundle.encoder_path} lacks {len(missing)} weights below {prefix}, first {missing[0]}")
    half.load_state_dict(weights, assign=True)
