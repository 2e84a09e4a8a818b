"""AdamW over one flat float32 copy of all trained weights.

The model itself may hold bfloat16: matrix products then run in it, updates do not lose their small steps, and gradients
of all processes are averaged in one call. State is three flat vectors, so a checkpoint needs no pickle.
"""

import math
from collections.abc import Iterable
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from textpro.errors import TrainingError


class FlatAdamW:
    """`step` clips by the global norm, applies AdamW in float32 and writes the result back in the model's type."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 0.01,
        clip: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        """dtype: what the model's weights become; its own when None. The float32 copy is taken before."""
        self.parameters = [p for p in parameters if p.requires_grad]
        self.clip = clip
        self.master = torch.cat([p.detach().float().flatten() for p in self.parameters])
        self.adam = torch.optim.AdamW([self.master], lr=0.0, betas=betas, weight_decay=weight_decay, fused=True)
        self.master.grad = torch.zeros_like(self.master)
        self.step_count = 0
        self._flatten(dtype or self.parameters[0].dtype)

    def _flatten(self, dtype: torch.dtype) -> None:
        """Lets every weight and gradient be a view into one buffer."""
        self._weights = self.master.to(dtype)
        self._gradients = torch.zeros_like(self._weights)
        offset = 0
        for p in self.parameters:
            p.data = self._weights[offset : offset + p.numel()].view_as(p)
            p.grad = self._gradients[offset : offset + p.numel()].view_as(p)
            offset += p.numel()

    @torch.no_grad()
    def step(self, lr: float, accelerator: Accelerator | None = None) -> float:
        """One update at learning rate `lr`; returns the gradient's norm. Raises TrainingError if it is not finite."""
        gradient = self._gradients
        if accelerator is not None and accelerator.num_processes > 1:
            gradient = cast(Tensor, accelerator.reduce(gradient, "mean"))
        assert self.master.grad is not None
        self.master.grad.copy_(gradient)
        norm = float(torch.linalg.vector_norm(self.master.grad))
        if not math.isfinite(norm):
            raise TrainingError(f"the gradient is not finite at step {self.step_count}; lower the learning rate")
        self.master.grad.mul_(min(1.0, self.clip / (norm + 1e-6)))
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        self.step_count += 1
        self._weights.copy_(self.master)
        self._gradients.zero_()
        return norm

    @torch.no_grad()
    def release(self) -> None:
        """Gives every weight its exact float32 value, as it is to be saved; no step may follow."""
        offset = 0
        for p in self.parameters:
            p.grad = None
            p.data = self.master[offset : offset + p.numel()].view_as(p)
            offset += p.numel()

    def state(self) -> dict[str, Tensor]:
        """The flat weights and, once a step was made, AdamW's moments."""
        moments = {k: v for k, v in self.adam.state[self.master].items() if isinstance(v, Tensor)}
        return {
            "master": self.master,
            **{k: v.reshape(-1) for k, v in moments.items()},
            "count": torch.tensor([self.step_count]),
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes up a saved state; raises TrainingError if it belongs to another model."""
        if state["master"].shape != self.master.shape:
            raise TrainingError(
                f"the checkpoint holds {state['master'].numel():,} weights, this model trains {self.master.numel():,}"
            )
        self.master.copy_(state["master"])
        device = self.master.device
        moments = {k: state[k].to(device) for k in ("exp_avg", "exp_avg_sq") if k in state}
        if moments:
            self.adam.state[self.master] = moments | {"step": state["step"].reshape(()).to(device)}
        self.step_count = int(state["count"])
        self._weights.copy_(self.master)
