import copy

import pytest
import torch
from torch import nn

from textpro.errors import TrainingError
from textpro.training.optimizer import FlatAdamW


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def _backward(net: nn.Module, seed: int) -> None:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(seed))
    net(x).square().mean().backward()


def test_flat_updates_equal_pytorchs_adamw() -> None:
    ours, theirs = _net(), _net()
    flat = FlatAdamW(ours.parameters(), clip=1e9)
    adam = torch.optim.AdamW(theirs.parameters(), lr=1e-2, betas=(0.9, 0.98), weight_decay=0.01)
    for seed in range(5):
        _backward(ours, seed)
        flat.step(1e-2)
        _backward(theirs, seed)
        adam.step()
        adam.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_saved_state_goes_on_exactly_where_it_was() -> None:
    whole, first = _net(), _net()
    straight, half = FlatAdamW(whole.parameters()), FlatAdamW(first.parameters())
    for seed in range(3):
        for net, optimizer in ((whole, straight), (first, half)):
            _backward(net, seed)
            optimizer.step(1e-2)
    resumed_net = _net()
    resumed = FlatAdamW(resumed_net.parameters())
    resumed.load(copy.deepcopy(half.state()))
    for net, optimizer in ((whole, straight), (resumed_net, resumed)):
        _backward(net, 9)
        optimizer.step(1e-2)
    torch.testing.assert_close(straight.master, resumed.master, rtol=0, atol=0)


def test_updates_smaller_than_bfloat16_can_hold_are_not_lost() -> None:
    net = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    nn.init.ones_(net.weight)
    optimizer = FlatAdamW(net.parameters(), weight_decay=0.0)
    for _ in range(100):
        net(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        optimizer.step(1e-4)
    assert net.weight.item() < 1.0


def test_what_bfloat16_rounds_away_of_the_first_weights_stays_in_the_copy() -> None:
    net = _net()
    start = torch.cat([p.detach().flatten() for p in net.parameters()])
    optimizer = FlatAdamW(net.parameters(), dtype=torch.bfloat16)
    net.to(torch.bfloat16)
    assert all(p.dtype == torch.bfloat16 for p in net.parameters())
    torch.testing.assert_close(optimizer.master, start, rtol=0, atol=0)
    net(torch.ones(1, 4, dtype=torch.bfloat16)).sum().backward()
    assert optimizer.step(1e-2) > 0
    torch.testing.assert_close(
        torch.cat([p.detach().flatten() for p in net.parameters()]), optimizer.master.to(torch.bfloat16), rtol=0, atol=0
    )


def test_a_checkpoint_of_another_model_is_refused() -> None:
    state = FlatAdamW(_net().parameters()).state()
    with pytest.raises(TrainingError, match="holds 49 weights"):
        FlatAdamW(nn.Linear(2, 2).parameters()).load(state)


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    net = _net()
    optimizer = FlatAdamW(net.parameters())
    (net(torch.full((1, 4), float("nan")))).sum().backward()
    with pytest.raises(TrainingError, match="not finite"):
        optimizer.step(1e-2)
