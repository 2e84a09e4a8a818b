"""Stage 2: projector and LLM learn together (paper 3.2): LoRA beside every linear layer, or all weights."""

from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from textpro.slm import TextProSLM
from textpro.training.optimizer import FlatAdamW
from textpro.training.sharded import ShardedAdamW, shard
from textpro.training.stage import Objective, Stage, train
from textpro.training.turn_batches import Questioned, TurnBatches


def add_lora(slm: TextProSLM, *, rank: int = 16, saved: Path | None = None) -> PeftModel:
    """Puts an adapter beside every linear layer of the LLM: a saved one, or a fresh one that changes nothing yet."""
    if saved is not None:
        made = PeftModel.from_pretrained(slm.llm, str(saved), is_trainable=True)
    else:
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        made = cast(PeftModel, get_peft_model(slm.llm, config))
    slm.llm = cast(PreTrainedModel, made.get_base_model())
    return made


def joint_lora(
    slm: TextProSLM,
    adapter: PeftModel,
    batches: TurnBatches,
    out: Path,
    stage: Stage,
    accelerator: Accelerator,
    *,
    stop_after: int | None = None,
) -> int:
    """Trains projector and adapter in place; returns the step it reached. The LLM's own weights are frozen."""
    assert slm.projector is not None
    slm.projector.requires_grad_(True)

    def teacher(text: Questioned) -> Tensor:
        with adapter.disable_adapter():
            return slm(text.packed, text.places)

    objective = Objective(slm, teacher, alpha=stage.alpha, tau=stage.tau)
    optimizer = FlatAdamW(slm.parameters(), dtype=slm.llm.dtype)
    return train(objective, batches, out, stage, optimizer, accelerator, stop_after=stop_after)


def joint_full(
    slm: TextProSLM,
    teacher: TextProSLM | None,
    batches: TurnBatches,
    out: Path,
    stage: Stage,
    accelerator: Accelerator,
    *,
    dtype: torch.dtype,
    stop_after: int | None = None,
) -> int:
    """Trains all weights in place, shared among the processes when there are several; returns the step it reached.

    slm: still on the CPU. teacher: the LLM as it was, needed when α > 0. dtype: what products run in.
    """
    slm.requires_grad_(True)
    sharded = accelerator.num_processes > 1
    if teacher is not None:
        teacher.requires_grad_(False).eval()
    for model in (slm, teacher):
        if model is not None:
            shard(model, accelerator, dtype) if sharded else model.to(accelerator.device)
    forward = None if teacher is None else lambda text: teacher(text.packed, text.places)
    objective = Objective(slm, forward, alpha=stage.alpha, tau=stage.tau)
    optimizer = ShardedAdamW(slm) if sharded else FlatAdamW(slm.parameters(), dtype=dtype)
    return train(objective, batches, out, stage, optimizer, accelerator, stop_after=stop_after)


def save_adapter(adapter: PeftModel, path: Path, *, base: str) -> None:
    """Writes the adapter in float16, as PEFT and vLLM read it. base: the LLM's name."""
    path.mkdir(parents=True)
    weights = {name: value.half().cpu().contiguous() for name, value in get_peft_model_state_dict(adapter).items()}
    save_file(weights, path / "adapter_model.safetensors", metadata={"format": "pt"})
    config = cast(LoraConfig, adapter.peft_config["default"])
    config.target_modules = sorted(config.target_modules or [])  # a set's order would change the bundle's fingerprint
    config.base_model_name_or_path, config.inference_mode = base, True
    config.save_pretrained(str(path))


def save_llm(slm: TextProSLM, weights: dict[str, Tensor], path: Path) -> None:
    """Writes the LLM, in the type its own weights were stored in, with its tokenizer. weights: all of `slm.llm`'s."""
    stored = getattr(torch, str(slm.llm.config.dtype).removeprefix("torch."))
    slm.llm.save_pretrained(str(path), state_dict={name: value.to(stored) for name, value in weights.items()})
    slm.llm.config.dtype = stored  # `save_pretrained` took it from the weights that were trained
    slm.llm.config.save_pretrained(str(path))
    slm.tokenizer.save_pretrained(str(path))
