from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import distributed

from textpro.training.projector import WhitenedProjector
from textpro.training.sharded import shard
from textpro.training.student import load_student
from textpro.training.turn_batches import TurnBatches, TurnPlan, TurnSource


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Any]:
    """An accelerator of one process, in a group of its own."""
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield SimpleNamespace(device=torch.device("cpu"), num_processes=1)
    finally:
        distributed.destroy_process_group()


def test_prosody_is_whitened_as_it_was_heard_though_products_run_in_bfloat16(
    alone: Any, tiny_llm: Path, voices: Path
) -> None:
    slm = load_student(tiny_llm, layout="global", ratio=5, dtype=torch.float32)
    rows = 10 + 0.05 * torch.randn(200, 6, generator=torch.Generator().manual_seed(0))  # bfloat16 would lose it
    slm.projector = projector = WhitenedProjector.fresh(rows, torch.randn(40, 16))
    (batch,) = TurnBatches([TurnSource(voices)], slm, TurnPlan(4, 10**6))[0]
    batch.student.packed.rows.copy_(rows[: len(batch.student.packed.rows)])
    wanted = slm(batch.student.packed, batch.student.places)
    shard(slm, cast(Any, alone), torch.bfloat16)
    seen: list[torch.Tensor] = []
    projector.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    found = slm(batch.student.packed, batch.student.places)
    assert [read.dtype for read in seen] == [torch.float32]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)
