"""The projector as it is trained: on whitened prosody, its output as large as the LLM's own embeddings.

A Whisper's states have a few values far larger than the rest, and much of the voice, its accent first, lies where they
vary little; an output far from the embeddings' size drowns the text. Without these cares a projector hardly learns.
What is saved is the plain projector of the paper.

Letters: R prosody rows, W Whisper width, D LLM width.
"""

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from textpro.errors import TrainingError
from textpro.projector import Projector
from textpro.slm import TextProSLM
from textpro.training.turn_batches import TurnBatches

SMALLEST_DEVIATION = 1e-3  # of its mean square root over all values; a value that never changes is not blown up
SHRINKAGE = 0.1  # added to the variance in each direction, where 1 is the mean: a sample tells the smallest badly
TURNS_MEASURED = 4096
EMBEDDINGS_MEASURED = 8192  # of the LLM's table


def attach_projector(slm: TextProSLM, batches: TurnBatches, saved: Path | None) -> None:
    """Gives an LLM a projector to train: a saved one, or a fresh one. Raises TrainingError when it does not fit."""
    table = slm.llm.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    if (width := batches.prosody_width) is None:
        raise TrainingError("all turns were typed; there is nothing a projector could learn")
    plain = Projector.load(saved) if saved is not None else Projector(width, table.embedding_dim)
    if (plain.width, plain.llm_width) != (width, table.embedding_dim):
        raise TrainingError(
            f"the projector maps {plain.width} values to {plain.llm_width}; the turns' prosody has {width}, "
            f"the LLM's embeddings {table.embedding_dim}"
        )
    slm.projector = plain  # from here on prompts have rows
    rows = batches.prosody_rows(TURNS_MEASURED)
    if saved is not None:
        slm.projector = WhitenedProjector.around(plain, rows)
    else:
        slm.projector = WhitenedProjector.fresh(rows, table.weight.detach())
    slm.projector.to(table.weight.device)


class WhitenedProjector(Projector):
    """`g(S (p - mean))`, S whitens: another parametrisation of the plain projector, which `folded` gives back.

    S is ZCA-cor whitening (Kessy, Lewin & Strimmer 2018): of all that make values uncorrelated and of variance 1 it is
    the one that stays closest to them, standardised.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, rows: Tensor, llm_width: int) -> None:
        """rows: (R, W), a sample of what it will read."""
        super().__init__(rows.shape[1], llm_width)
        mean, whitening = _whitening(rows)
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening)

    def forward(self, prosody: Tensor) -> Tensor:
        """prosody: (..., W) -> (..., D)."""
        return super().forward((prosody.float() - self.mean) @ self.whitening.T)

    @classmethod
    @torch.no_grad()
    def fresh(cls, rows: Tensor, embeddings: Tensor) -> Self:
        """Untrained; its output has the root mean square of embeddings (V, D)."""
        made = cls(rows, embeddings.shape[1])
        sample = embeddings[:: max(1, len(embeddings) // EMBEDDINGS_MEASURED)]
        wanted = sample.float().square().mean().sqrt().cpu()
        scale = wanted / made(rows).square().mean().sqrt()
        made.output.weight.mul_(scale)
        made.output.bias.mul_(scale)
        return made

    @classmethod
    @torch.no_grad()
    def around(cls, projector: Projector, rows: Tensor) -> Self:
        """The same function as a plain projector."""
        made = cls(rows, projector.llm_width)
        made.load_state_dict(projector.state_dict(), strict=False)
        made.hidden.bias.add_(made.hidden.weight @ made.mean)
        made.hidden.weight.copy_(torch.linalg.solve(made.whitening.double(), made.hidden.weight.double(), left=False))
        return made

    @classmethod
    def restored(cls, weights: dict[str, Tensor]) -> Self:
        """From its `state_dict`."""
        llm_width, width = weights["hidden.weight"].shape
        made = cls(torch.zeros(1, width), llm_width)
        made.load_state_dict(weights)
        return made

    @torch.no_grad()
    def folded(self) -> Projector:
        """The plain projector that does the same, float32 on the CPU."""
        plain = Projector(self.width, self.llm_width)
        weight = self.hidden.weight.detach().float().cpu() @ self.whitening.cpu()
        plain.hidden.weight.copy_(weight)
        plain.hidden.bias.copy_(self.hidden.bias.detach().float().cpu() - weight @ self.mean.cpu())
        plain.output.load_state_dict(self.output.state_dict())
        return plain

    def save(self, path: Path) -> None:
        """Writes the plain one."""
        self.folded().save(path)


def _whitening(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of a sample (R, W): its mean (W,), and S (W, W) = R^-1/2 V^-1/2 of its correlations R and variances V."""
    rows = rows.double()
    mean, deviation = rows.mean(dim=0), rows.std(dim=0, correction=0)
    smallest = SMALLEST_DEVIATION * float(deviation.square().mean().sqrt()) or 1.0
    deviation = deviation.clamp(min=smallest)
    standardised = (rows - mean) / deviation
    variances, directions = torch.linalg.eigh(standardised.T @ standardised / len(rows))
    decorrelate = directions @ torch.diag((variances + SHRINKAGE).rsqrt()) @ directions.T
    return mean.float(), (decorrelate / deviation).float()
