"""Training all weights of an LLM on several GPUs: each has a share of weights, gradients and AdamW's moments (FSDP).

The weights are float32, products run in the stage's type. Checkpoints are the processes' own shares as safetensors, so
nothing is gathered to write them; they are taken up by as many processes as wrote them.
"""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from textpro.errors import TrainingError
from textpro.slm import TextProSLM

POINTER = "checkpoint.json"


def shard(slm: TextProSLM, accelerator: Accelerator, dtype: torch.dtype) -> None:
    """Shares the weights among all processes, layer by layer, so that only one layer's are ever whole in float32."""
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    # Inputs stay as they are: prosody is whitened in float32, and the rest has the embeddings' type by itself.
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    trained = any(p.requires_grad for p in slm.parameters())
    layers = cast(nn.ModuleList, slm.llm.base_model.layers)
    for module in (*layers, slm):
        fully_shard(module.float() if trained else module, mesh=mesh, mp_policy=policy)
    slm.reads_prefix_once = False


def whole_weights(module: nn.Module, accelerator: Accelerator) -> dict[str, Tensor]:
    """All weights and buffers on the CPU of the first process, shared or not; the others help and get none."""
    whole: dict[str, Tensor] = {}
    tied: set[int] = set()  # a weight with two names is written once, under the first
    for name, value in module.state_dict(keep_vars=True).items():
        if id(value) in tied:
            continue
        tied.add(id(value))
        gathered = value.full_tensor() if isinstance(value, DTensor) else value
        if accelerator.is_main_process:
            whole[name] = gathered.detach().cpu()
    return whole


class ShardedAdamW:
    """FlatAdamW's twin for shared weights: clips by the norm over all shares."""

    def __init__(
        self,
        slm: TextProSLM,
        *,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 0.01,
        clip: float = 1.0,
    ) -> None:
        self.parameters = [p for p in slm.parameters() if p.requires_grad]
        self.adam = torch.optim.AdamW(self.parameters, lr=0.0, betas=betas, weight_decay=weight_decay)
        self.clip, self.step_count = clip, 0

    def step(self, lr: float, accelerator: Accelerator | None = None) -> float:
        """One update; returns the gradient's norm. Raises TrainingError if it is not finite."""
        total = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        norm = float(total.full_tensor() if isinstance(total, DTensor) else total)
        if not math.isfinite(norm):
            raise TrainingError(f"the gradient is not finite at step {self.step_count}; lower the learning rate")
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        self.adam.zero_grad()
        self.step_count += 1
        return norm

    def save(self, folder: Path, step: int, accelerator: Accelerator) -> None:
        """Every process writes its share, then the first points to the new ones; a crash leaves the old checkpoint."""
        own = folder / f"checkpoint-{step}"
        own.mkdir(exist_ok=True)
        shares = {name: value.detach().cpu().contiguous() for name, value in self._shares()}
        part = own / f"{accelerator.process_index}.part"
        save_file(shares, part)
        part.replace(part.with_suffix(".safetensors"))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            pointer = {"step": step, "processes": accelerator.num_processes}
            (folder / "checkpoint.part").write_text(json.dumps(pointer))
            (folder / "checkpoint.part").replace(folder / POINTER)
            for old in folder.glob("checkpoint-*"):
                if old != own:
                    shutil.rmtree(old)
        accelerator.wait_for_everyone()

    @torch.no_grad()
    def load(self, folder: Path, accelerator: Accelerator) -> int:
        """Takes up the folder's checkpoint; returns the step it was saved at, 0 where there is none."""
        if not (folder / POINTER).is_file():
            return 0
        pointer = json.loads((folder / POINTER).read_text())
        if pointer["processes"] != accelerator.num_processes:
            raise TrainingError(
                f"{folder} was trained by {pointer['processes']} processes and can only go on with as many; "
                f"these are {accelerator.num_processes}"
            )
        shares = load_file(folder / f"checkpoint-{pointer['step']}" / f"{accelerator.process_index}.safetensors")
        for p in self.parameters:  # AdamW makes its moments at the first step
            self.adam.state[p] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
        for name, value in self._shares():
            if shares[name].shape != value.shape:
                raise TrainingError(f"{folder} holds a checkpoint of another model: {name} is {shares[name].shape}")
            value.copy_(shares[name])
        self.step_count = int(pointer["step"])
        return self.step_count

    def _shares(self) -> Iterator[tuple[str, Tensor]]:
        for i, p in enumerate(self.parameters):
            for name, value in {"weight": p, **self.adam.state.get(p, {})}.items():
                yield f"{i}.{name}", value.to_local() if isinstance(value, DTensor) else value
