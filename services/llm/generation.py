"""One answer, token by token: prefill in slices, then decode; whoever calls `step` may stop calling at any moment.

Letters: L prompt positions, D LLM width, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

# A long prompt must neither hold up the other answers nor its own abort.
PREFILL_SLICE = 256
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen; temperature 0 takes the likeliest. The same seed gives the same answer."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None


class Generation:
    """The decode loop of one prompt with a key-value cache of its own; not for two threads at once."""

    def __init__(
        self, model: PreTrainedModel, prompt: Callable[[], Tensor], sampling: Sampling, eos_ids: frozenset[int]
    ) -> None:
        """prompt: gives the input embeddings (L, D) when the first step is taken, so that waiting costs no memory."""
        self.finish_reason: FinishReason | None = None
        self.n_tokens = 0
        self._model = model
        self._prompt = prompt
        self._sampling = sampling
        self._eos_ids = eos_ids
        self._cache = DynamicCache(config=model.config)
        self._pending: Tensor | None = None
        self._random = torch.Generator()
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed)

    @torch.inference_mode()
    def step(self) -> int | None:
        """One forward pass; the token it gave, or None when it gave no text (a slice of the prefill, end of text)."""
        if self._pending is None:
            self._pending = self._prompt()
        now, self._pending = self._pending[:PREFILL_SLICE], self._pending[PREFILL_SLICE:]
        output = self._model(inputs_embeds=now[None], past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        if len(self._pending):
            return None
        token = choose(output.logits[0, -1], self._sampling, self._random)
        self.n_tokens += 1
        if token in self._eos_ids:
            self.finish_reason = "stop"
            return None
        if self.n_tokens >= self._sampling.max_tokens:
            self.finish_reason = "length"
        else:
            self._pending = self._model.get_input_embeddings()(torch.tensor([token], device=now.device))
        return token


def choose(logits: Tensor, sampling: Sampling, random: torch.Generator) -> int:
    """The next token: the likeliest at temperature 0, else drawn from the top_p of the mass. logits: (V,)."""
    if sampling.temperature < 1e-5:
        return int(logits.argmax())
    weights = torch.softmax(logits.float().cpu() / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        ordered, ids = weights.sort(descending=True)
        # Keep the fewest tokens whose mass reaches top_p: those before which less than top_p has been seen.
        weights[ids[ordered.cumsum(0) - ordered >= sampling.top_p]] = 0
    return int(torch.multinomial(weights, 1, generator=random))
