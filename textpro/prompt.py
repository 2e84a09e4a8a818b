"""Where prosody stands in the LLM's prompt: the two layouts (paper 3.2, eq. 7-9) and the one function that makes it.

Letters: N prosody vectors (one a Whisper token), M LLM tokens of the transcript, K groups, R rows, L positions,
W Whisper width, D LLM width.

A message's content is a text, or a list of texts and blocks. A block is what stands in one place of the content without
being rendered by the chat template: prosody rows, in the interleaved layout with the transcript's tokens between them.
Parts are joined by one newline, which is how vLLM joins them, so training and both engines see the same positions:

    global        <user> g(p̄) \\n x_1 … x_M <end>
    interleaved   <user> g_1 x_1 … x_r g_2 x_{r+1} … x_M <end>
"""

import copy
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from textpro.config import Layout
from textpro.errors import TextProError

# vLLM's name for the token that holds a block's place while the chat template is rendered; no text may contain it.
PLACEHOLDER = "<prompt_embeds>"
PART_SEPARATOR = "\n"


class PromptError(TextProError):
    """The messages can't be made into a prompt: template or tokenizer refuses them, or a text holds the placeholder."""


@dataclass(frozen=True)
class TextSpan:
    """Positions that are ordinary LLM tokens."""

    token_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True, eq=False)
class ProsodyRows:
    """Positions that are soft tokens; rows: (R, W) before the projector, (R, D) after it."""

    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)


Segment = TextSpan | ProsodyRows
Block = tuple[Segment, ...]
Content = str | Sequence[str | Block]


def pool(prosody: Tensor) -> Tensor:
    """`p̄ = (1/N) Σ p_i` (eq. 7). prosody: (N, W) -> (1, W)."""
    return prosody.mean(dim=0, keepdim=True)


def group(prosody: Tensor, n_groups: int) -> Tensor:
    """The means of K groups into which the vectors are split evenly, in order (eq. 9). prosody: (N, W) -> (K, W).

    When N < K, a group without a vector of its own takes the nearest one.
    """
    n = len(prosody)
    if n < n_groups:
        nearest = [(2 * k + 1) * n // (2 * n_groups) for k in range(n_groups)]
        return prosody[nearest]
    ends = [k * n // n_groups for k in range(n_groups + 1)]
    return torch.cat([pool(prosody[start:end]) for start, end in itertools.pairwise(ends)])


def interleave(prosody: Tensor, token_ids: Sequence[int], ratio: int) -> Block:
    """`[g_1, x_1..x_r, g_2, x_{r+1}..x_{2r}, …]` with K = ⌈M/r⌉ (eq. 9); one group when there is no token.

    prosody: (N, W); the block's rows are (1, W) each.
    """
    block: list[Segment] = []
    for k, row in enumerate(group(prosody, max(1, -(-len(token_ids) // ratio)))):
        block.append(ProsodyRows(row[None]))
        if tokens := tuple(token_ids[k * ratio : (k + 1) * ratio]):
            block.append(TextSpan(tokens))
    return tuple(block)


def spoken(
    prosody: Tensor, transcript: str, *, layout: Layout, ratio: int, tokenize: Callable[[str], Sequence[int]]
) -> list[str | Block]:
    """The content of a user turn that was spoken; more texts may follow it. prosody: (N, W) -> rows of width W.

    tokenize: the LLM's tokens of a bare text (`ChatTemplate.tokenize`).
    """
    if layout == "interleaved":
        return [interleave(prosody, tokenize(transcript), ratio)]
    return [(ProsodyRows(pool(prosody)),), transcript]


class ChatTemplate:
    """An LLM's chat template and tokenizer, for messages with blocks in them. Threads may share it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._plain = tokenizer
        self._marked = copy.deepcopy(tokenizer)
        self._marked.add_special_tokens({"additional_special_tokens": [PLACEHOLDER]})
        self._placeholder_id = self._marked.convert_tokens_to_ids(PLACEHOLDER)
        self._lock = threading.Lock()

    def tokenize(self, text: str) -> list[int]:
        """The tokens of a bare text, without begin or end. Raises PromptError for the placeholder, and for no text."""
        _refuse_placeholder(text)
        try:
            with self._lock:
                return list(self._plain(text, add_special_tokens=False)["input_ids"])
        except (ValueError, TypeError) as error:  # half of a surrogate pair, which JSON lets through
            raise PromptError(f"the tokenizer refuses {text[:40]!r}: {error}") from error

    def sequence(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True) -> list[Segment]:
        """The whole prompt as segments: exactly what is trained and served (L = the sum of their lengths).

        messages: `{"role": …, "content": Content}`. Raises PromptError.
        """
        blocks: list[Block] = []
        rendered = [{**message, "content": self._marked_content(message["content"], blocks)} for message in messages]
        try:
            with self._lock:
                text = self._marked.apply_chat_template(
                    rendered, tokenize=False, add_generation_prompt=add_generation_prompt
                )
                token_ids = self._marked(str(text), add_special_tokens=False)["input_ids"]
        except (TemplateError, ValueError, TypeError) as error:
            raise PromptError(f"the chat template refuses these messages: {error}") from error
        return self._spliced(list(token_ids), blocks)

    def _marked_content(self, content: Content, blocks: list[Block]) -> str:
        texts = []
        for part in [content] if isinstance(content, str) else content:
            if isinstance(part, str):
                _refuse_placeholder(part)
                texts.append(part)
            else:
                blocks.append(part)
                texts.append(PLACEHOLDER)
        return PART_SEPARATOR.join(texts)

    def _spliced(self, token_ids: list[int], blocks: list[Block]) -> list[Segment]:
        places = [place for place, token in enumerate(token_ids) if token == self._placeholder_id]
        if len(places) != len(blocks):
            raise PromptError(
                f"the chat template shows {len(places)} of {len(blocks)} spoken parts; each must show once"
            )
        segments: list[Segment] = []
        start = 0
        for place, block in zip(places, blocks, strict=True):
            segments += [TextSpan(tuple(token_ids[start:place])), *block]
            start = place + 1
        segments.append(TextSpan(tuple(token_ids[start:])))
        return [segment for segment in segments if len(segment)]


def _refuse_placeholder(text: str) -> None:
    if PLACEHOLDER in text:
        raise PromptError(f"a text may not contain {PLACEHOLDER!r}: it marks the place of prosody in the prompt")


def n_positions(segments: Sequence[Segment]) -> int:
    """L, the prompt's length in tokens and rows."""
    return sum(len(segment) for segment in segments)


def embed(
    segments: Sequence[Segment],
    token_embedding: Callable[[Tensor], Tensor],
    project: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The LLM's input embeddings of a sequence or block: (L, D).

    token_embedding: the LLM's table, (R,) int64 -> (R, D). project: the projector, (R, W) -> (R, D); None when the rows
    are projected already. Differentiable in both.
    """
    # All rows go through the projector at once: one matrix product, whatever stands between them.
    rows = [segment.rows for segment in segments if isinstance(segment, ProsodyRows)]
    projected = torch.cat(rows) if rows else torch.empty(0)
    if project is not None and rows:
        projected = project(projected)
    pieces: list[Tensor] = []
    used = 0
    for segment in segments:
        if isinstance(segment, ProsodyRows):
            pieces.append(projected[used : used + len(segment)])
            used += len(segment)
        else:
            pieces.append(token_embedding(torch.tensor(segment.token_ids, dtype=torch.int64)))
    return torch.cat(pieces)
