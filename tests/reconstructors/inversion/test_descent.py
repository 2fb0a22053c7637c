import math

import pytest
import torch

from afterimage.reconstructors.inversion.descent import Adam, Lbfgs


def quadratic(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Badly scaled bowls, each with its own bottom."""
    scales = torch.logspace(0, 3, 12).expand(count, 12)
    return scales, torch.randn(count, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rows", [[0, 1, 2], [1], [2, 0]])
def test_lbfgs_finds_the_bottom_of_each_bowl_by_itself(rows: list[int]) -> None:
    scales, bottom = (part[rows] for part in quadratic(3))
    values = torch.zeros_like(bottom)
    descent = Lbfgs(values, 0.1, 100)
    for _ in range(100):
        difference = values - bottom
        values = descent.step(values, (scales * difference.square()).sum(1), 2 * scales * difference)
    torch.testing.assert_close(descent.state["point"], bottom, atol=1e-3, rtol=0)


def test_lbfgs_goes_where_the_two_loops_of_the_textbook_go() -> None:
    """Nocedal and Wright 2006, algorithm 7.4, from the moves that were accepted."""
    scales, bottom = (part[:1].double() for part in quadratic(1))
    values = torch.zeros_like(bottom)
    descent = Lbfgs(values, 0.01, 30)
    history: list[tuple[torch.Tensor, torch.Tensor]] = []
    for _ in range(8):
        before = (descent.state["point"], descent.state["slope"])
        values = descent.step(values, (scales * (values - bottom).square()).sum(1), 2 * scales * (values - bottom))
        move, bend = (descent.state[name] - old for name, old in zip(("point", "slope"), before, strict=True))
        if float((move * bend).sum()) > 0:
            history.append((move, bend))
    direction = -descent.state["slope"]
    weights = []
    for move, bend in reversed(history):
        weights.append((move * direction).sum() / (move * bend).sum())
        direction = direction - weights[-1] * bend
    move, bend = history[-1]
    direction = direction * (move * bend).sum() / bend.square().sum()
    for (move, bend), weight in zip(history, reversed(weights), strict=True):
        direction = direction + (weight - (bend * direction).sum() / (move * bend).sum()) * move
    assert 2 < len(history) <= 8
    torch.testing.assert_close(descent.state["direction"], direction, rtol=1e-6, atol=1e-9)


def test_lbfgs_never_moves_uphill_and_survives_what_is_not_finite() -> None:
    values = torch.full((2, 3), 2.0)
    descent = Lbfgs(values, 100.0, 50)  # far too far: the first trials leave the domain
    lowest = torch.full((2,), math.inf)
    for _ in range(60):
        loss = torch.where((values.abs() < 5).all(1), values.pow(4).sum(1), math.nan)
        slope = torch.where((values.abs() < 5).all(1, keepdim=True), 4 * values.pow(3), math.nan)
        values = descent.step(values, loss, slope)
        assert bool((descent.state["loss"] <= lowest).all())
        lowest = descent.state["loss"]
    assert float(lowest.max()) < 1e-3


def test_adam_is_that_of_torch_but_for_its_rate() -> None:
    scales, bottom = quadratic(2)
    ours = torch.zeros_like(bottom)
    theirs = torch.zeros_like(bottom, requires_grad=True)
    descent, torchs = Adam(ours, 0.05, 20), torch.optim.Adam([theirs], lr=0.05, eps=1e-12)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(torchs, 20)
    for _ in range(20):
        ours = descent.step(ours, torch.zeros(2), 2 * scales * (ours - bottom))
        torchs.zero_grad()
        (scales * (theirs - bottom).square()).sum().backward()
        torchs.step()
        schedule.step()
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-4, rtol=1e-4)
