"""TextPro-SLM: the projector and the LLM behind it, as they are trained and evaluated (paper 3.2).

Letters: B batch, L positions, A places, N Whisper tokens, W Whisper width, D LLM width, V vocabulary.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from textpro.bundle import Bundle
from textpro.config import Layout
from textpro.data.turns import Turn
from textpro.errors import BundleError
from textpro.language_model import bundle_llm
from textpro.packing import Packed, buckets, pack, pack_tree
from textpro.projector import Projector
from textpro.prompt import ChatTemplate, PromptError, Segment, n_positions, spoken

POSITIONS = 8192  # padded, of one batch when evaluating
ATTENTION_ON_CPU = "eager"  # the fastest there for turns this short
POSITIONS_ON_CPU = 1024  # a CPU is faster while its caches hold a layer


class TextProSLM(nn.Module):
    """Prosody and text in, text out. Without a projector it is the text LLM: prosody is left out of its prompts."""

    def __init__(
        self,
        llm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        projector: Projector | None,
        *,
        layout: Layout = "global",
        ratio: int = 5,
    ) -> None:
        """Raises BundleError when the projector does not fit the LLM, or the tokenizer has no end token."""
        super().__init__()
        width = cast(nn.Embedding, llm.get_input_embeddings()).embedding_dim
        if projector is not None and projector.llm_width != width:
            raise BundleError(f"the projector gives {projector.llm_width} values; the LLM's embeddings have {width}")
        if tokenizer.eos_token_id is None:
            raise BundleError("the LLM's tokenizer names no end-of-text token; an answer could not end")
        self.llm, self.projector, self.tokenizer = llm, projector, tokenizer
        self.template = ChatTemplate(tokenizer)
        self.layout: Layout = layout
        self.ratio = ratio
        self.end_id = cast(int, tokenizer.eos_token_id)
        self.reads_prefix_once = True  # but not where processes share the weights: each must make as many passes

    @classmethod
    def load(
        cls,
        bundle: Bundle,
        cache: Path,
        *,
        llm: str | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Self:
        """A bundle as it is served, its adapter merged in. llm: another LLM's name. Raises BundleError."""
        path = bundle_llm(bundle, cache, name=llm)
        projector = Projector.load(bundle.projector_path) if bundle.projector_path is not None else None
        attention = ATTENTION_ON_CPU if torch.device(device).type == "cpu" else None
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation=attention)
        tokenizer = AutoTokenizer.from_pretrained(path)
        config = bundle.config
        slm = cls(model, tokenizer, projector, layout=config.layout, ratio=config.interleave_ratio)
        return slm.to(device).eval()

    def messages(self, turn: Turn, prosody: Tensor | None) -> list[dict[str, Any]]:
        """What the LLM is told: the one place that says how a turn becomes a prompt. prosody: (N, W), W the
        projector's. Raises PromptError."""
        question = [turn.question] if turn.question else []
        if prosody is None or self.projector is None:
            return [{"role": "user", "content": [turn.transcript, *question]}]
        if prosody.shape[1] != self.projector.width:
            raise PromptError(f"the projector reads {self.projector.width} values, the prosody has {prosody.shape[1]}")
        heard = spoken(
            prosody.float(),
            turn.transcript,
            layout=self.layout,
            ratio=self.ratio,
            tokenize=self.template.tokenize,
        )
        return [{"role": "user", "content": [*heard, *question]}]

    def prompt(self, turn: Turn, prosody: Tensor | None) -> list[Segment]:
        """The whole prompt, up to the answer. prosody: (N, W), None for a typed turn. Raises PromptError."""
        return self.template.sequence(self.messages(turn, prosody))

    def conversation(self, turns: Sequence[Turn], prosody: Sequence[Tensor | None]) -> tuple[list[Segment], list[int]]:
        """The prompt of a conversation's last turn, with the earlier turns and their answers in it, and the positions
        at which the turns' answers begin. prosody: (N, W) of each turn. Raises PromptError."""
        messages: list[dict[str, Any]] = []
        starts: list[int] = []
        sequence: list[Segment] = []
        for turn, rows in zip(turns, prosody, strict=True):
            messages += self.messages(turn, rows)
            sequence = self.template.sequence(messages)
            starts.append(n_positions(sequence))
            messages.append({"role": "assistant", "content": turn.answer})
        return sequence, starts

    def answer(self, turn: Turn) -> list[int]:
        """The tokens that follow the prompt: the answer and the template's end."""
        return [*self.template.tokenize(turn.answer), self.end_id]

    def forward(self, packed: Packed, places: Tensor) -> Tensor:
        """The logits at the places alone: the LLM's head, its largest product, runs nowhere else.

        packed: padded on the right. places: (A,) indices into (B * L) -> (A, V). For models whose head is their output
        embedding alone, as Llama's and Qwen's.
        """
        embedded = self.embed(packed)
        rows, columns = places // embedded.shape[1], places % embedded.shape[1]
        skipped = packed.prefix if self._shares(packed, columns) else 0
        seen = self._seen(packed, skipped, embedded.dtype)
        if skipped:
            past = self.llm.base_model(inputs_embeds=embedded[:1, :skipped], use_cache=True).past_key_values
            past.batch_repeat_interleave(len(packed))
            rest = embedded[:, skipped:]
            found = self.llm.base_model(inputs_embeds=rest, past_key_values=past, use_cache=True, **seen)
        else:
            found = self.llm.base_model(inputs_embeds=embedded, use_cache=False, **seen)
        states = found.last_hidden_state[rows, columns - skipped]
        return cast(nn.Module, self.llm.get_output_embeddings())(states)

    def _seen(self, packed: Packed, skipped: int, dtype: torch.dtype) -> dict[str, Tensor]:
        """What each position but the first `skipped` sees, and where it stands, in the LLM's own words."""
        if packed.branches is None:
            # Padding stands behind all that is real, where a causal model does not look: no mask is needed.
            return {}
        visible = packed.visible()[:, skipped:]
        hidden = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        hidden.masked_fill_(~visible, torch.finfo(dtype).min)
        return {"attention_mask": hidden[:, None], "position_ids": visible.sum(-1) - 1}

    def _shares(self, packed: Packed, columns: Tensor) -> bool:
        """Whether what begins all sequences alike is read once for all of them."""
        if not self.reads_prefix_once or len(packed) == 1 or packed.prefix == 0:
            return False
        if self.llm.is_gradient_checkpointing:  # layers that are run again keep no cache
            return False
        return not len(columns) or int(columns.min()) >= packed.prefix

    def embed(self, packed: Packed) -> Tensor:
        """The LLM's input: embedded tokens, and projected rows in their places (eq. 8, 9): (B, L, D)."""
        embedded = self.llm.get_input_embeddings()(packed.ids)
        if self.projector is None:
            return embedded
        if not len(packed.rows):
            if not torch.is_grad_enabled():
                return embedded
            # Processes that share the weights must agree on what has a gradient, though one read typed turns alone.
            nothing = self.projector(packed.rows.new_zeros(1, self.projector.width))
            return embedded + 0 * nothing.to(embedded.dtype)
        projected = self.projector(packed.rows).to(embedded.dtype)
        return embedded.masked_scatter(packed.soft[..., None], projected)

    @torch.no_grad()
    def log_likelihoods(self, prompts: Sequence[list[Segment]], continuations: Sequence[Sequence[int]]) -> Tensor:
        """The log-probability of each continuation behind its prompt, summed over its tokens: (B,) float32 on the CPU.

        Options of one question are cheap when they pass the same prompt object: what they share is read once.
        """
        of_prompt: dict[int, list[int]] = {}
        for i, prompt in enumerate(prompts):
            of_prompt.setdefault(id(prompt), []).append(i)
        trees = list(of_prompt.values())
        trunks = [prompts[tree[0]] for tree in trees]
        # A continuation's last token is never read, so options of one token have one and the same branch, without any.
        branches = [list(dict.fromkeys(tuple(continuations[i][:-1]) for i in tree)) for tree in trees]
        lengths = [n_positions(t) + sum(map(len, of)) for t, of in zip(trunks, branches, strict=True)]
        totals = torch.zeros(len(prompts))
        for batch in buckets(lengths, self._positions):
            packed = pack_tree([trunks[k] for k in batch], [branches[k] for k in batch]).to(self.llm.device)
            spans: dict[int, list[int]] = {}  # continuation -> the places that foretell its tokens
            for row, k in enumerate(batch):
                root = row * packed.ids.shape[1] + n_positions(trunks[k])
                starts = dict(zip(branches[k], itertools.accumulate(map(len, branches[k]), initial=root), strict=False))
                for i in trees[k]:
                    if continuations[i]:
                        start = starts[tuple(continuations[i][:-1])]
                        spans[i] = [root - 1, *range(start, start + len(continuations[i]) - 1)]
            if not spans:  # nothing but empty continuations
                continue
            places = torch.tensor(list(itertools.chain.from_iterable(spans.values())), device=self.llm.device)
            scores = self(packed, places).float().log_softmax(-1).split([len(span) for span in spans.values()])
            for i, score in zip(spans, scores, strict=True):
                tokens = torch.tensor(continuations[i], device=score.device)[:, None]
                totals[i] = score.gather(1, tokens).sum().cpu()
        return totals

    def generate(self, prompts: Sequence[list[Segment]], max_tokens: int) -> list[str]:
        """Greedy answers, each up to its end token or `max_tokens`."""
        answers = [""] * len(prompts)
        for batch in buckets([n_positions(p) + max_tokens for p in prompts], self._positions):
            tokens = self._greedy(pack([prompts[i] for i in batch], pad_left=True).to(self.llm.device), max_tokens)
            for i, ids in zip(batch, tokens, strict=True):
                answers[i] = str(self.tokenizer.decode(ids, skip_special_tokens=True))
        return answers

    @torch.no_grad()
    def _greedy(self, packed: Packed, max_tokens: int) -> list[list[int]]:
        """The answers' tokens without their end. packed: padded on the left."""
        ends = self._end_ids()
        answers: list[list[int]] = [[] for _ in range(len(packed))]
        waiting = set(range(len(packed)))
        cache, mask = DynamicCache(config=self.llm.config), packed.real.long()
        inputs, positions = self.embed(packed), (mask.cumsum(1) - 1).clamp(min=0)
        for _ in range(max_tokens):
            logits = self.llm(
                inputs_embeds=inputs,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits
            chosen = logits[:, -1].argmax(-1)
            for row, token in enumerate(chosen.tolist()):
                if token in ends:
                    waiting.discard(row)
                if row in waiting:
                    answers[row].append(token)
            if not waiting:
                break
            inputs = self.llm.get_input_embeddings()(chosen[:, None])
            positions = positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        return answers

    @property
    def _positions(self) -> int:
        return POSITIONS_ON_CPU if self.llm.device.type == "cpu" else POSITIONS

    def _end_ids(self) -> set[int]:
        """As the engines stop: at the ends the model names, else at the tokenizer's."""
        stated = self.llm.generation_config.eos_token_id if self.llm.generation_config else None
        return {self.end_id} if stated is None else set(stated) if isinstance(stated, list) else {stated}
