"""Stage 2: through LoRA, and with all weights."""

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from textpro.bundle import Bundle
from textpro.config import BundleConfig
from textpro.data.turns import Turn
from textpro.slm import TextProSLM
from textpro.training.joint import add_lora, joint_full, joint_lora, save_adapter, save_llm
from textpro.training.loop import Schedule
from textpro.training.projector import attach_projector
from textpro.training.sharded import whole_weights
from textpro.training.stage import Stage
from textpro.training.student import load_student, save_student
from textpro.training.turn_batches import TurnBatches, TurnPlan, TurnSource

ACCELERATOR = Accelerator(cpu=True)
TURN, HEARD = Turn("a", "gender", "Hello there.", "man", question="Who?"), torch.ones(3, 6)
SPACE = 98  # tokens of the tiny LLM


def make(
    llm: Path, *folders: Path, batch: int = 4, alpha: float = 0.0, dtype: torch.dtype | None = torch.float32
) -> tuple[TextProSLM, TurnBatches]:
    torch.manual_seed(0)
    slm = load_student(llm, layout="global", ratio=5, dtype=dtype)
    sources = [TurnSource(folder) for folder in folders]
    batches = TurnBatches(sources, slm, TurnPlan(batch, positions=400), with_teacher=alpha > 0)
    attach_projector(slm, batches, None)
    return slm, batches


def stage(steps: int, lr: float = 1e-2, alpha: float = 0.0) -> Stage:
    return Stage(Schedule(steps, lr, warmup_steps=0, shape="line"), alpha, log_every=1, save_every=2)


def next_token(slm: TextProSLM, prosody: Tensor | None) -> Tensor:
    return slm.log_likelihoods([slm.prompt(TURN, prosody)] * SPACE, [[token] for token in range(SPACE)])


def test_lora_moves_the_adapter_and_the_projector_alone(tiny_llm: Path, voices: Path, tmp_path: Path) -> None:
    slm, batches = make(tiny_llm, voices)
    adapter = add_lora(slm, rank=2)
    before = {name: value.clone() for name, value in slm.state_dict().items()}
    text = next_token(slm, None)
    joint_lora(slm, adapter, batches, tmp_path, stage(4), ACCELERATOR)
    moved = {name for name, value in slm.state_dict().items() if not torch.equal(value, before[name])}
    assert {name for name in before if "lora_" in name} <= moved
    assert all("lora_" in name or name.startswith("projector.") for name in moved)
    assert not torch.allclose(next_token(slm, None), text)
    with adapter.disable_adapter():
        torch.testing.assert_close(next_token(slm, None), text)


def test_all_weights_move_and_one_batch_overfits(tiny_llm: Path, voices: Path, tmp_path: Path) -> None:
    slm, batches = make(tiny_llm, voices, batch=12)
    before = {name: value.clone() for name, value in slm.state_dict().items()}
    run = stage(60, 2e-2)
    joint_full(slm, None, batches, tmp_path, run, ACCELERATOR, dtype=torch.float32)
    still = {name for name, value in slm.state_dict().items() if torch.equal(value, before[name])}
    assert still == {"projector.mean", "projector.whitening"}
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["ce_gender"] < 0.1 * rows[0]["ce_gender"]


def test_the_teacher_is_the_untouched_model_however_far_the_student_is(
    tiny_llm: Path, chats: Path, tmp_path: Path
) -> None:
    slm, batches = make(tiny_llm, chats, alpha=1.0)
    adapter = add_lora(slm, rank=2)
    with torch.no_grad():
        for name, weight in adapter.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    joint_lora(slm, adapter, batches, tmp_path, stage(40, 2e-2, alpha=1.0), ACCELERATOR)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["kl"] < 0.5 * rows[0]["kl"]
    # With all weights the teacher is a copy: at first both are the same model, but for the prosody.
    slm, batches = make(tiny_llm, chats, alpha=1.0)
    copy = load_student(tiny_llm, layout="global", ratio=5, dtype=torch.float32)
    frozen = {name: value.clone() for name, value in copy.state_dict().items()}
    run = stage(3, alpha=1.0)
    joint_full(slm, copy, batches, tmp_path / "full", run, ACCELERATOR, dtype=torch.float32)
    assert all(torch.equal(value, frozen[name]) for name, value in copy.state_dict().items())


def test_a_stopped_run_goes_on_to_the_same_weights(tiny_llm: Path, voices: Path, tmp_path: Path) -> None:
    def run(out: Path, *stops: int) -> dict[str, Tensor]:
        for stop in stops:
            slm, batches = make(tiny_llm, voices)
            adapter = add_lora(slm, rank=2)
            joint_lora(slm, adapter, batches, out, stage(4), ACCELERATOR, stop_after=stop)
        return slm.state_dict()

    whole, halves = run(tmp_path / "a", 4), run(tmp_path / "b", 3, 4)
    assert all(torch.equal(halves[name], value) for name, value in whole.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_merged_adapter_is_served_with_the_trained_models_logits(
    tiny_llm: Path, voices: Path, tmp_path: Path, hollow_bundle: Path, dtype: torch.dtype
) -> None:
    slm, batches = make(tiny_llm, voices)
    slm.llm.to(dtype)
    adapter = add_lora(slm, rank=4)
    joint_lora(slm, adapter, batches, tmp_path, stage(6), ACCELERATOR)
    config = BundleConfig(name="made", tap="decoder.1", llm=str(tiny_llm))
    assert slm.projector is not None
    made = save_student(
        Bundle.load(hollow_bundle),
        tmp_path / "bundle",
        config,
        slm.projector,
        lambda path: save_adapter(adapter, path / "adapter", base="tiny"),
    )
    assert sorted(file.name for file in (made.path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert (made.path / "MODEL_CARD.md").read_text() == "# Ours\n"
    served = TextProSLM.load(made, tmp_path / "cache")
    slm.llm.float()
    for prosody in (HEARD, None):
        torch.testing.assert_close(next_token(served, prosody), next_token(slm, prosody), rtol=2e-3, atol=2e-3)
    # And it can be trained further from there.
    again, _ = make(tiny_llm, voices)
    resumed = add_lora(again, saved=made.adapter_path)
    assert isinstance(resumed, PeftModel)
    again.projector = served.projector
    torch.testing.assert_close(next_token(again, HEARD), next_token(served, HEARD), rtol=1e-4, atol=1e-4)
    assert all(p.requires_grad for name, p in again.llm.named_parameters() if "lora_" in name)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_all_weights_are_served_as_an_ordinary_model_of_the_type_that_was_stored(
    tiny_llm: Path, voices: Path, tmp_path: Path, hollow_bundle: Path, stored: torch.dtype
) -> None:
    llm = AutoModelForCausalLM.from_pretrained(tiny_llm, dtype=stored)
    llm.save_pretrained(tmp_path / "llm")
    AutoTokenizer.from_pretrained(tiny_llm).save_pretrained(tmp_path / "llm")
    slm, batches = make(tmp_path / "llm", voices, dtype=None)
    joint_full(slm, None, batches, tmp_path, stage(3), ACCELERATOR, dtype=torch.bfloat16)
    weights = whole_weights(slm.llm, ACCELERATOR)
    config = BundleConfig(name="made", tap="decoder.1", llm=str(tiny_llm))
    assert slm.projector is not None
    made = save_student(
        Bundle.load(hollow_bundle),
        tmp_path / "bundle",
        config,
        slm.projector,
        lambda path: save_llm(slm, weights, path / "llm"),
    )
    slm.llm.to(stored).float()
    served = TextProSLM.load(made, tmp_path / "cache")
    torch.testing.assert_close(next_token(served, HEARD), next_token(slm, HEARD), rtol=1e-4, atol=1e-4)
    assert AutoConfig.from_pretrained(made.path / "llm").dtype == stored
    assert {value.dtype for value in load_file(made.path / "llm" / "model.safetensors").values()} == {stored}
