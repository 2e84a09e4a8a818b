"""What both stages of TextPro-SLM share: the objective and the loop (paper 3.2, app. F).

Letters: A answer positions, V vocabulary.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from textpro.data.turns import DISTILLATION
from textpro.errors import TrainingError
from textpro.losses import kd_ce, kd_kl
from textpro.training.interruption import Interruption
from textpro.training.loop import RunLog, Schedule, load_checkpoint, save_checkpoint, seed_update
from textpro.training.optimizer import FlatAdamW
from textpro.training.sharded import POINTER, ShardedAdamW
from textpro.training.turn_batches import Questioned, TurnBatch, TurnBatches

Teacher = Callable[[Questioned], Tensor]
Optimizer = FlatAdamW | ShardedAdamW
Sums = dict[str, tuple[Tensor | float, int]]  # of a loss over turns, and of how many


@dataclass(frozen=True)
class Stage:
    """One training run. alpha: the share of KL in the loss of distilled turns, at temperature tau (eq. 27; the paper
    found 0 best; its τ is lost from our copy). Paralinguistic turns have no teacher: a text model can't hear.

    Raises TrainingError for an alpha that is no share, and a tau that is not positive."""

    schedule: Schedule
    alpha: float = 0.0
    tau: float = 1.0
    save_every: int = 200
    log_every: int = 10
    workers: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise TrainingError(f"alpha is {self.alpha}; expected 0 to 1")
        if not 0 < self.tau < math.inf:
            raise TrainingError(f"tau is {self.tau}; expected more than 0")


class Objective(nn.Module):
    """`L = (1-α) CE + α τ² KL(teacher ‖ student)`, a mean over turns of the mean over each answer's positions."""

    def __init__(self, student: nn.Module, teacher: Teacher | None, *, alpha: float = 0.0, tau: float = 1.0) -> None:
        """student: a TextProSLM. teacher: gives the logits (A, V) of the untouched text LLM; needed when α > 0."""
        super().__init__()
        self.student = student
        self._teacher, self._alpha, self._tau = teacher, alpha, tau

    def forward(self, batch: TurnBatch) -> tuple[Tensor, Sums]:
        """The batch's part of an update's loss, and what to log."""
        distils = self._teacher is not None and batch.teacher is not None and self._alpha > 0
        alpha = self._alpha * batch.distilled if distils else torch.zeros_like(batch.weights)
        logits = self.student(batch.student.packed, batch.student.places)
        tasks = sorted(set(batch.tasks))
        of_task = torch.tensor([tasks.index(task) for task in batch.tasks], device=logits.device)[batch.owners]
        masks = [batch.weights * (of_task == i) for i in range(len(tasks))]
        ce = kd_ce(logits, batch.labels, torch.stack([batch.weights * (1 - alpha), *masks]))
        loss = ce[0]
        sums: Sums = {f"ce_{t}": (ce[i + 1].detach(), batch.tasks.count(t)) for i, t in enumerate(tasks)}
        if distils:
            assert self._teacher is not None
            assert batch.teacher is not None
            with torch.no_grad():
                expected = self._teacher(batch.teacher)
            kl = kd_kl(logits[batch.distilled], expected, tau=self._tau, weights=batch.weights[batch.distilled])
            loss = loss + self._alpha * kl
            if n_distilled := batch.tasks.count(DISTILLATION):
                sums["kl"] = (kl.detach(), n_distilled)
        return loss / batch.n_turns, sums


def train(
    objective: Objective,
    batches: TurnBatches,
    out: Path,
    stage: Stage,
    optimizer: Optimizer,
    accelerator: Accelerator,
    *,
    stop_after: int | None = None,
) -> int:
    """Trains in place and returns the step it reached; the weights are float32 then.

    Writes checkpoints and metrics.jsonl under `out`, and goes on from what lies there. Stops early, with a checkpoint,
    on SIGTERM or at `stop_after`. Raises TrainingError for a checkpoint of another model.
    """
    out.mkdir(parents=True, exist_ok=True)
    step = saved = _take_up(out, optimizer, accelerator)
    last = min(stop_after or stage.schedule.steps, stage.schedule.steps)
    log = RunLog(out, total=stage.schedule.steps, first_step=step, visible=accelerator.is_main_process)
    objective.train()
    sums: Sums = {}
    with Interruption(accelerator) as interruption:
        for update in batches.loader(step, last, stage.workers):
            seed_update(batches.plan.seed, step, accelerator.process_index)
            for batch in update:
                loss, parts = objective(batch.to(accelerator.device))
                loss.backward()
                _add(sums, parts)
            norm = optimizer.step(stage.schedule.lr(step), accelerator)
            step += 1
            log.advance()
            if step % stage.log_every == 0 or step == last:
                log.write(step, **_means(sums), lr=stage.schedule.lr(step - 1), norm=norm)
                sums = {}
            if interruption.asked():
                break
            if step % stage.save_every == 0:
                saved = _save(out, step, optimizer, accelerator)
        if step != saved:
            _save(out, step, optimizer, accelerator)
    log.close()
    if isinstance(optimizer, FlatAdamW):
        optimizer.release()
    objective.eval()
    return step


def _add(sums: Sums, parts: Sums) -> None:
    for name, (value, n_turns) in parts.items():
        total, count = sums.get(name, (0.0, 0))
        sums[name] = (total + value, count + n_turns)


def _means(sums: Sums) -> dict[str, float]:
    """Over the turns of all processes, which need not have met the same tasks."""
    together: Sums = {}
    for part in gather_object([{name: (float(total), n_turns) for name, (total, n_turns) in sums.items()}]):
        _add(together, part)
    return {name: float(total) / n_turns for name, (total, n_turns) in together.items()}


def _take_up(out: Path, optimizer: Optimizer, accelerator: Accelerator) -> int:
    own, shared = out / "checkpoint.safetensors", out / POINTER
    sharded = isinstance(optimizer, ShardedAdamW)
    if (own if sharded else shared).exists():
        one, several = "one process", "several processes that share the weights"
        wrote, now = (one, several) if sharded else (several, one)
        raise TrainingError(f"{out} holds the checkpoint of a run by {wrote}; {now} can't take it up")
    if sharded:
        return optimizer.load(out, accelerator)
    return load_checkpoint(own, optimizer) if own.exists() else 0


def _save(out: Path, step: int, optimizer: Optimizer, accelerator: Accelerator) -> int:
    if isinstance(optimizer, ShardedAdamW):
        optimizer.save(out, step, accelerator)
    elif accelerator.is_main_process:
        save_checkpoint(out, step, optimizer)
    return step
