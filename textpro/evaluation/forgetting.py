"""How far training moved the LLM on plain text: `F = KL(base ‖ trained)` of the next token (SALAD).

Letters: A answer positions, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from textpro.data.turns import DISTILLATION, Turn
from textpro.losses import kd_kl
from textpro.packing import pack
from textpro.prompt import Segment, TextSpan, n_positions
from textpro.slm import TextProSLM

MAX_TOKENS = 32


@torch.no_grad()
def forgetting(base: TextProSLM, trained: TextProSLM, texts: Sequence[str], *, max_tokens: int = MAX_TOKENS) -> float:
    """The mean over all positions of the base model's own greedy answers to typed texts, in nats."""
    prompts = [base.prompt(Turn("", DISTILLATION, text, ""), None) for text in texts]
    total = count = 0.0
    for prompt, answer in zip(prompts, base.generate(prompts, max_tokens), strict=True):
        tokens = [*base.template.tokenize(answer), base.end_id]
        teacher, student = (_logits(slm, prompt, tokens) for slm in (base, trained))
        total += float(kd_kl(student, teacher)) * len(tokens)
        count += len(tokens)
    return total / max(1.0, count)


def _logits(slm: TextProSLM, prompt: list[Segment], tokens: list[int]) -> Tensor:
    """(A, V): what the model expects at each token of an answer."""
    sequence = [*prompt, TextSpan(tuple(tokens[:-1]))]
    end = n_positions(sequence)
    places = torch.arange(end - len(tokens), end, device=slm.llm.device)
    return slm(pack([sequence]).to(slm.llm.device), places).float().cpu()
