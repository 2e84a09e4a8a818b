from pathlib import Path

import pytest
import torch

from textpro.errors import TrainingError
from textpro.projector import Projector
from textpro.training.projector import WhitenedProjector, attach_projector
from textpro.training.student import load_student
from textpro.training.turn_batches import TurnBatches, TurnPlan, TurnSource


@pytest.fixture
def rows() -> torch.Tensor:
    """Prosody as Whispers have it: an outlier, a value that never changes, and two that nearly always agree."""
    rows = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    rows[:, 2] = rows[:, 2] * 30 + 200
    rows[:, 4] = 7.0
    rows[:, 5] = rows[:, 0] + 0.3 * rows[:, 5]
    return rows


def test_the_plain_projector_that_is_saved_does_the_same(rows: torch.Tensor, tmp_path: Path) -> None:
    made = WhitenedProjector.fresh(rows, torch.randn(40, 16))
    made.save(tmp_path / "projector.safetensors")
    plain = Projector.load(tmp_path / "projector.safetensors")
    torch.testing.assert_close(plain(rows), made(rows), rtol=1e-3, atol=1e-3)
    again = WhitenedProjector.around(plain, rows[:20])
    torch.testing.assert_close(again(rows), plain(rows), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(WhitenedProjector.restored(made.state_dict())(rows), made(rows))


def test_a_fresh_one_reads_whitened_values_and_writes_ones_of_the_embeddings_size(rows: torch.Tensor) -> None:
    embeddings = torch.randn(40, 16) * 0.03
    made = WhitenedProjector.fresh(rows, embeddings)
    seen: list[torch.Tensor] = []
    made.hidden.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.testing.assert_close(made(rows).square().mean(), embeddings.square().mean(), rtol=0.01, atol=0)
    assert seen[0].isfinite().all()
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    # Shrinkage leaves a variance of v / (v + 0.1) of the correlations' v: here 0.95 (shared) and 0.3 (what differs).
    covariance = torch.cov(seen[0].T, correction=0)
    variances = torch.linalg.eigvalsh(covariance[[0, 1, 2, 3, 5]][:, [0, 1, 2, 3, 5]])
    assert variances[0] > 0.25
    assert variances[-1] < 1.0
    before = torch.corrcoef(rows[:, [0, 5]].T)[0, 1]
    assert before > 0.9
    assert covariance[0, 5] / (covariance[0, 0] * covariance[5, 5]).sqrt() < 0.7


def test_an_llm_gets_a_fresh_projector_or_a_saved_one_that_fits(tiny_llm: Path, chats: Path, tmp_path: Path) -> None:
    slm = load_student(tiny_llm, layout="interleaved", ratio=5, dtype=torch.float32)
    batches = TurnBatches([TurnSource(chats)], slm, TurnPlan(4))
    attach_projector(slm, batches, None)
    assert slm.projector is not None
    slm.projector.save(tmp_path / "a.safetensors")
    rows = batches.prosody_rows(8)
    want = slm.projector(rows)
    attach_projector(slm, batches, tmp_path / "a.safetensors")
    torch.testing.assert_close(slm.projector(rows), want, rtol=1e-4, atol=1e-4)
    Projector(6, 8).save(tmp_path / "b.safetensors")
    with pytest.raises(TrainingError, match="6 values to 8"):
        attach_projector(slm, batches, tmp_path / "b.safetensors")
