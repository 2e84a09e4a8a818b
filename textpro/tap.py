"""The tap: where prosody is read while CTranslate2 finds the words (paper 3.1).

With a tap in the decoder CTranslate2 encodes, and half a decoder in PyTorch reads the finished text in one parallel
pass: Whisper's decoder is causal, so teacher forcing gives the states of step-by-step decoding, and the states after a
layer need no later layer. With a tap in the encoder PyTorch encodes, keeps the states it comes by, and hands its output
to CTranslate2. So nothing is computed twice but the lower decoder layers. Letters: B batch, T mel frames, E encoder
states, N text tokens, W width.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import ctranslate2
import numpy as np
import torch
from ctranslate2 import DataType, StorageView
from safetensors import safe_open
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperEncoder

from textpro.bundle import Bundle
from textpro.errors import BundleError
from textpro.whisperpro import decoder_states, encode_with_states, spans

CT2_TYPES = {
    "float16": DataType.float16,
    "int8_float16": DataType.float16,
    "bfloat16": DataType.bfloat16,
    "int8_bfloat16": DataType.bfloat16,
}
"""What CTranslate2 computes in where it is not float32."""


@dataclass(frozen=True)
class Encoded:
    """B utterances before their words are known. memory: (B, E, W), the encoder's output as CTranslate2 takes it.
    states: (B, E, W), what the tap will read."""

    memory: StorageView
    states: Tensor


@dataclass(frozen=True)
class Finished:
    """What decoding found of B utterances.

    speech: which of the E are, not silence nor padding. prompts: of equal length. tokens: the text of each.
    """

    speech: Sequence[slice]
    prompts: Sequence[Sequence[int]]
    tokens: Sequence[Sequence[int]]


class ProsodyTap(ABC):
    """Encodes, and reads prosody once the words are known."""

    @staticmethod
    def load(bundle: Bundle, engine: ctranslate2.models.Whisper, *, device: str = "cpu") -> "ProsodyTap":
        """The bundle's, in float32. Reads only the weights it needs. Raises BundleError when the bundle lacks one."""
        config, layer = WhisperConfig.from_pretrained(str(bundle.encoder_path)), bundle.config.prosody_layer
        if bundle.config.tap_side == "encoder":
            with torch.device("meta"):
                encoder = WhisperEncoder(config)
            _load(encoder, bundle, "model.encoder.", device)
            return EncoderTap(encoder, layer, CT2_TYPES.get(engine.compute_type, DataType.float32))
        config.decoder_layers = layer
        with torch.device("meta"):
            half = WhisperDecoder(config)
        _load(half, bundle, "model.decoder.", device)
        return DecoderTap(half, engine)

    def __init__(self, width: int) -> None:
        """width: W, that of a prosody row."""
        self.width = width

    @abstractmethod
    def encode(self, mel: np.ndarray) -> Encoded:
        """mel: (B, n_mels, T) float32."""

    @torch.inference_mode()
    def __call__(self, encoded: Encoded, finished: Finished) -> list[np.ndarray]:
        """Prosody (N, W) float32 of each utterance, a row per text token. Without tokens it is (0, W), at no cost."""
        prosody = [np.zeros((0, self.width), dtype=np.float32) for _ in finished.tokens]
        spoken = [row for row, words in enumerate(finished.tokens) if words]
        if spoken:
            for row, found in zip(spoken, self._read(encoded.states, finished, spoken), strict=True):
                prosody[row] = found.cpu().numpy().copy()
        return prosody

    @abstractmethod
    def _read(self, states: Tensor, finished: Finished, rows: list[int]) -> list[Tensor]:
        """Prosody of the rows that have words."""


class DecoderTap(ProsodyTap):
    """Read where a text token is the decoder's input."""

    def __init__(self, half: WhisperDecoder, engine: ctranslate2.models.Whisper) -> None:
        super().__init__(half.config.d_model)
        self._half, self._engine = half.requires_grad_(False).eval(), engine

    def encode(self, mel: np.ndarray) -> Encoded:
        memory = self._engine.encode(StorageView.from_array(mel))
        return Encoded(memory, as_tensor(memory))

    def _read(self, states: Tensor, finished: Finished, rows: list[int]) -> list[Tensor]:
        prompts, tokens = ([of[row] for row in rows] for of in (finished.prompts, finished.tokens))
        longest = max(map(len, tokens))
        # What follows a row's last token is never looked at: attention is causal.
        padded = [[*prompt, *text, *[0] * (longest - len(text))] for prompt, text in zip(prompts, tokens, strict=True)]
        memory = states if len(rows) == len(states) else states[rows]
        inputs = torch.tensor(padded, device=memory.device)
        found = decoder_states(self._half, inputs, memory.float(), layers=slice(None))[:, len(prompts[0]) :]
        return [of_row[: len(text)] for of_row, text in zip(found, tokens, strict=True)]


class EncoderTap(ProsodyTap):
    """Read over the span of time that would be a token's if all were equally long."""

    def __init__(self, encoder: WhisperEncoder, layer: int, memory_type: DataType) -> None:
        super().__init__(encoder.config.d_model)
        self._encoder, self._layer, self._memory_type = encoder.requires_grad_(False).eval(), layer, memory_type

    @torch.inference_mode()
    def encode(self, mel: np.ndarray) -> Encoded:
        memory, states = encode_with_states(self._encoder, torch.from_numpy(mel).to(self._encoder.device), self._layer)
        # On a GPU the two libraries share an array by the CUDA array interface, on a CPU by NumPy's.
        view = StorageView.from_array(memory if memory.is_cuda else memory.numpy())
        return Encoded(view if view.dtype == self._memory_type else view.to(self._memory_type), states)

    def _read(self, states: Tensor, finished: Finished, rows: list[int]) -> list[Tensor]:
        return [spans(states[row, finished.speech[row]], len(finished.tokens[row])) for row in rows]


def as_tensor(view: StorageView) -> Tensor:
    """CTranslate2's memory as a tensor, not copied but for bfloat16, which the array interface does not know."""
    if view.dtype == DataType.bfloat16:
        view = view.to(DataType.float32)
    if view.device == "cuda":
        return torch.as_tensor(view, device=f"cuda:{view.device_index}")
    return torch.from_numpy(np.asarray(view))


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
