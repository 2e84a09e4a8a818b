"""Stage 1: the projector alone learns what the LLM can read; the LLM is frozen (paper 3.2)."""

from pathlib import Path

from accelerate import Accelerator

from textpro.slm import TextProSLM
from textpro.training.optimizer import FlatAdamW
from textpro.training.stage import Objective, Stage, train
from textpro.training.turn_batches import TurnBatches


def align(
    slm: TextProSLM,
    batches: TurnBatches,
    out: Path,
    stage: Stage,
    accelerator: Accelerator,
    *,
    stop_after: int | None = None,
) -> int:
    """Trains the projector in place; returns the step it reached. slm: on the device, with a projector."""
    assert slm.projector is not None
    slm.requires_grad_(False)
    slm.projector.requires_grad_(True)
    # Without prosody in its prompt the student is the untouched text model, and so its own teacher.
    objective = Objective(slm, lambda text: slm(text.packed, text.places), alpha=stage.alpha, tau=stage.tau)
    optimizer = FlatAdamW(slm.projector.parameters(), dtype=slm.llm.dtype)
    return train(objective, batches, out, stage, optimizer, accelerator, stop_after=stop_after)
