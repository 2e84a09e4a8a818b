"""The half decoder: prosody from an encoder output and a finished transcript, in one parallel pass (paper 3.1).

Whisper's decoder is causal, so teacher forcing over finished tokens gives the states of step-by-step decoding; and the
states after layer `prosody_layer` need no later layer. Letters: B batch, E encoder states, N text tokens, W width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperDecoder

from textpro.bundle import Bundle
from textpro.errors import BundleError
from textpro.whisperpro import decoder_states

_PREFIX = "model.decoder."


class ProsodyTap:
    """The embeddings and first layers of a Whisper's decoder, alone, in float32."""

    def __init__(self, decoder: WhisperDecoder) -> None:
        self._decoder = decoder
        self._device = decoder.embed_tokens.weight.device

    @classmethod
    def load(cls, bundle: Bundle, *, device: str = "cpu") -> "ProsodyTap":
        """Reads only the weights it needs. Raises BundleError when the bundle lacks one."""
        config = WhisperConfig.from_pretrained(str(bundle.encoder_path))
        config.decoder_layers = bundle.config.prosody_layer
        with torch.device("meta"):
            decoder = WhisperDecoder(config)
        weights: dict[str, Tensor] = {}
        for path in bundle.encoder_weights:
            with safe_open(path, "pt", device=device) as file:
                for name in file.keys():  # noqa: SIM118 - not a dict
                    if name.removeprefix(_PREFIX) in decoder.state_dict():
                        weights[name.removeprefix(_PREFIX)] = file.get_tensor(name).float()
        if missing := sorted(decoder.state_dict().keys() - weights.keys()):
            raise BundleError(f"{bundle.encoder_path} lacks {len(missing)} decoder weights, first {missing[0]}")
        decoder.load_state_dict(weights, assign=True)
        return cls(decoder.requires_grad_(False).eval())

    @property
    def width(self) -> int:
        """W, the width of a prosody row."""
        return self._decoder.config.d_model

    @torch.inference_mode()
    def __call__(
        self, memory: Tensor, prompts: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]
    ) -> list[np.ndarray]:
        """memory: (B, E, W), prompts of equal length and text tokens of B utterances -> prosody (N, W) float32 of each.

        One row per text token, read where it is the decoder's input. Utterances without tokens give (0, W) at no cost.
        """
        spoken = [row for row, words in enumerate(tokens) if words]
        prosody = [np.zeros((0, self.width), dtype=np.float32) for _ in tokens]
        if not spoken:
            return prosody
        longest = max(len(tokens[row]) for row in spoken)
        # What follows a row's last token is never looked at: attention is causal.
        padded = [[*prompts[row], *tokens[row], *[0] * (longest - len(tokens[row]))] for row in spoken]
        memory = memory if len(spoken) == len(tokens) else memory[spoken]
        inputs = torch.tensor(padded, device=self._device)
        states = decoder_states(self._decoder, inputs, memory.float(), layers=slice(None))
        for row, found in zip(spoken, states[:, len(prompts[0]) :].cpu().numpy(), strict=True):
            prosody[row] = found[: len(tokens[row])].copy()
        return prosody
