"""What every training run has: a learning-rate schedule, checkpoints that resume, JSON metrics, a progress bar."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from textpro.errors import TrainingError
from textpro.training.optimizer import FlatAdamW


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to `peak`, then to zero at `steps` along a cosine or a line (the paper's, 3.1)."""

    steps: int
    peak: float
    warmup_steps: int = 500
    shape: Literal["cosine", "line"] = "cosine"

    def lr(self, step: int) -> float:
        """The learning rate of the update number `step`, counted from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        share = min(1.0, (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps))
        return self.peak * (0.5 * (1 + math.cos(math.pi * share)) if self.shape == "cosine" else 1 - share)


class RunLog:
    """metrics.jsonl and a progress bar; silent in all processes but the first."""

    def __init__(self, folder: Path, *, total: int, first_step: int, visible: bool) -> None:
        self._file = open(folder / "metrics.jsonl", "a") if visible else None  # noqa: SIM115 - closed in close()
        self._bar = tqdm(total=total, initial=first_step, disable=not visible, mininterval=5, dynamic_ncols=True)
        self._started = time.monotonic()

    def write(self, step: int, **values: Any) -> None:
        if self._file:
            row = {"step": step, "seconds": round(time.monotonic() - self._started, 1), **values}
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
            self._bar.set_postfix({k: f"{v:.3g}" for k, v in values.items() if isinstance(v, float)})

    def advance(self) -> None:
        self._bar.update()

    def close(self) -> None:
        self._bar.close()
        if self._file:
            self._file.close()


def seed_update(seed: int, step: int, rank: int) -> None:
    """Lets what torch draws in an update (dropout) depend on nothing before it: a run that goes on draws the same."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]))


def save_checkpoint(folder: Path, step: int, optimizer: FlatAdamW) -> None:
    """Weights and optimizer state as one safetensors file, replaced in one move so that a crash leaves the old one."""
    state = {name: value.cpu() for name, value in optimizer.state().items()} | {"at": torch.tensor([step])}
    save_file(state, folder / "checkpoint.part")
    (folder / "checkpoint.part").replace(folder / "checkpoint.safetensors")


def load_checkpoint(path: Path, optimizer: FlatAdamW) -> int:
    """Takes up a checkpoint file; returns the step it was saved at. Raises TrainingError for one that is none."""
    try:
        state = load_file(path)
        optimizer.load(state)
        return int(state["at"])
    except (SafetensorError, KeyError, OSError) as error:
        raise TrainingError(f"{path} is no checkpoint of such a training ({type(error).__name__}: {error})") from error
