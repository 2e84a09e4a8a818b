"""Stage 1 and what both stages share: the objective and the loop."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from textpro.data import turns as turns_file
from textpro.data.turns import ProsodyStore
from textpro.errors import TrainingError
from textpro.slm import TextProSLM
from textpro.training.align import align
from textpro.training.loop import Schedule
from textpro.training.projector import attach_projector
from textpro.training.stage import Objective, Stage
from textpro.training.student import load_student
from textpro.training.turn_batches import TurnBatches, TurnPlan, TurnSource

ACCELERATOR = Accelerator(cpu=True)


def make(llm: Path, *folders: Path, plan: TurnPlan | None = None, alpha: float = 0.0) -> tuple[TextProSLM, TurnBatches]:
    torch.manual_seed(0)
    slm = load_student(llm, layout="global", ratio=5, dtype=torch.float32)
    sources = [TurnSource(folder) for folder in folders]
    batches = TurnBatches(sources, slm, plan or TurnPlan(global_batch=4, positions=200), with_teacher=alpha > 0)
    attach_projector(slm, batches, None)
    return slm, batches


def stage(steps: int, lr: float = 1e-2, **changes: float) -> Stage:
    return Stage(Schedule(steps, lr, warmup_steps=0, shape="line"), log_every=1, save_every=2, **changes)  # type: ignore[arg-type]


def text_logits(slm: TextProSLM) -> "Tensor":
    prompt = slm.prompt(turns_file.Turn("a", "chat", "Hello there.", "Hi."), None)
    return slm.log_likelihoods([prompt] * 90, [[token] for token in range(90)])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_only_the_projector_moves(tiny_llm: Path, voices: Path, tmp_path: Path, dtype: str) -> None:
    slm, batches = make(tiny_llm, voices)
    slm.llm.to(getattr(torch, dtype))
    before = {name: value.clone() for name, value in slm.state_dict().items()}
    text = text_logits(slm)
    align(slm, batches, tmp_path, stage(3), ACCELERATOR)
    moved = {name for name, value in slm.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"projector.{part}.{kind}" for part in ("hidden", "output") for kind in ("weight", "bias")}
    torch.testing.assert_close(text_logits(slm), text)  # without prosody it is the text model still


def test_the_projector_alone_learns_to_tell_voices(tiny_llm: Path, voices: Path, tmp_path: Path) -> None:
    slm, batches = make(tiny_llm, voices, plan=TurnPlan(global_batch=12))
    align(slm, batches, tmp_path, stage(60, 3e-2), ACCELERATOR)
    turns, store = turns_file.read(voices), ProsodyStore(voices)
    prompts = [slm.prompt(turn, store[turn.prosody or ""]) for turn in turns]
    man, woman = ([slm.template.tokenize(word)] * len(turns) for word in ("man", "woman"))
    margins = (slm.log_likelihoods(prompts, man) - slm.log_likelihoods(prompts, woman)).tolist()
    men = [margin for margin, turn in zip(margins, turns, strict=True) if turn.answer == "man"]
    women = [margin for margin, turn in zip(margins, turns, strict=True) if turn.answer == "woman"]
    assert min(men) > max(women)


def test_the_loss_is_the_papers(tiny_llm: Path, chats: Path, voices: Path) -> None:
    slm, batches = make(tiny_llm, chats, voices, plan=TurnPlan(global_batch=20, positions=10**6), alpha=0.3)
    (batch,) = batches[0]
    loss, sums = Objective(slm, lambda q: slm(q.packed, q.places), alpha=0.3, tau=2.0)(batch)
    student = slm(batch.student.packed, batch.student.places)
    assert batch.teacher is not None
    teacher = slm(batch.teacher.packed, batch.teacher.places)
    want, used = torch.zeros(()), 0
    for i, task in enumerate(batch.tasks):
        mine = batch.owners == i
        ce = F.cross_entropy(student[mine], batch.labels[mine])
        if task == "chat":
            expected = teacher[used : used + int(mine.sum())]
            used += int(mine.sum())
            kl = F.kl_div((student[mine] / 2).log_softmax(-1), (expected / 2).softmax(-1), reduction="batchmean")
            want = want + 0.7 * ce + 0.3 * 2.0**2 * kl
        else:  # a text model does not know how it sounded
            want = want + ce
    torch.testing.assert_close(loss, want / 20)
    assert {name: count for name, (_, count) in sums.items()} == {"ce_chat": 8, "ce_gender": 12, "kl": 8}


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_an_update_in_small_batches_is_the_update_in_one(
    tiny_llm: Path, chats: Path, voices: Path, alpha: float
) -> None:
    gradients = []
    for positions in (1, 10**6):
        plan = TurnPlan(global_batch=20, positions=positions)
        slm, batches = make(tiny_llm, chats, voices, plan=plan, alpha=alpha)
        objective = Objective(slm, lambda q, slm=slm: slm(q.packed, q.places), alpha=alpha)
        for batch in batches[0]:
            objective(batch)[0].backward()
        assert slm.projector is not None
        gradients.append(slm.projector.hidden.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_run_stopped_by_sigterm_goes_on_to_the_same_weights(tiny_llm: Path, chats: Path, tmp_path: Path) -> None:
    def run(out: Path, stop_at: int | None) -> tuple[int, dict[str, Tensor]]:
        slm, batches = make(tiny_llm, chats)
        if stop_at is not None:
            seen = [0]

            def stop(*_: object) -> None:
                seen[0] += 1
                if seen[0] == stop_at:
                    os.kill(os.getpid(), signal.SIGTERM)

            slm.llm.base_model.register_forward_pre_hook(stop)
        reached = align(slm, batches, out, stage(6), ACCELERATOR)
        return reached, slm.state_dict()

    handler = signal.getsignal(signal.SIGTERM)
    assert run(tmp_path / "whole", None)[0] == 6
    reached, _ = run(tmp_path / "halves", 5)
    assert 0 < reached < 6
    assert signal.getsignal(signal.SIGTERM) is handler
    _, whole = run(tmp_path / "whole", None)  # a finished run changes nothing
    reached, halves = run(tmp_path / "halves", None)
    assert reached == 6
    for name, value in whole.items():
        assert torch.equal(halves[name], value), name
    steps = [json.loads(line)["step"] for line in (tmp_path / "halves" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_recomputing_activations_changes_nothing(tiny_llm: Path, voices: Path) -> None:
    gradients = []
    for recompute in (False, True):
        slm, batches = make(tiny_llm, voices)
        if recompute:
            slm.llm = load_student(tiny_llm, layout="global", ratio=5, dtype=torch.float32, recompute=True).llm
        objective = Objective(slm, None).train()
        objective(batches[0][0])[0].backward()
        assert slm.projector is not None
        gradients.append(slm.projector.hidden.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_checkpoint_of_another_model_is_refused(tiny_llm: Path, chats: Path, tmp_path: Path) -> None:
    slm, batches = make(tiny_llm, chats)
    align(slm, batches, tmp_path, stage(1), ACCELERATOR)
    (tmp_path / "metrics.jsonl").unlink()
    slm, batches = make(tiny_llm, chats)
    assert slm.projector is not None
    slm.projector.output.bias = None
    with pytest.raises(TrainingError, match="checkpoint holds"):
        align(slm, batches, tmp_path, stage(1), ACCELERATOR)
    (tmp_path / "checkpoint.json").write_text("{}")
    with pytest.raises(TrainingError, match="share the weights"):
        align(slm, batches, tmp_path, stage(1), ACCELERATOR)
