import numpy as np
import pytest
import torch

from afterimage.reconstructors.pixelrnn import likelihoods
from afterimage.reconstructors.pixelrnn.likelihoods import LEVELS, Likelihood, Logistics, SquaredError

NAMES = ("softmax", "logistics", "mse")


def make(name: str) -> tuple[Likelihood, torch.Tensor]:
    """A likelihood and parameters of one pixel, the same each time."""
    likelihood = likelihoods.make(name, 3 if name == "logistics" else None).double()
    generator = torch.Generator().manual_seed(4)
    size = likelihood.turns * likelihood.size
    parameters = torch.randn(1, size, 1, 1, dtype=torch.float64, generator=generator)
    return likelihood, parameters * 0.4


def summed(likelihood: Likelihood, parameters: torch.Tensor, channel: int) -> float:
    """The probability of all pixels that are 100 in the other two channels."""
    levels = torch.full((LEVELS, 3, 1, 1), 100)
    levels[:, channel, 0, 0] = torch.arange(LEVELS)
    with torch.no_grad():
        return float(torch.exp(-likelihood.nll(parameters.expand(LEVELS, -1, -1, -1), levels)).sum())


@pytest.mark.parametrize("name", NAMES)
def test_the_levels_of_a_channel_have_probability_one(name: str) -> None:
    likelihood, parameters = make(name)
    if name == "logistics":  # one component that does not lean: channels are independent, as elsewhere
        likelihood = Logistics(1).double()
        parameters = parameters[:, :10].clone()
        parameters[:, 7:] = 0
    with torch.no_grad():
        one = float(torch.exp(-likelihood.nll(parameters, torch.full((1, 3, 1, 1), 100))))
    sums = [summed(likelihood, parameters, channel) for channel in range(3)]
    assert np.prod(sums) == pytest.approx(one**2, rel=1e-4)


def test_blue_has_probability_one_whatever_it_leans_on() -> None:
    likelihood, parameters = make("logistics")
    others = parameters.clone()
    for row in (3, 6, 8, 9):  # blue's mean, scale and leans
        others.view(10, 3)[row] += 0.7
    assert summed(likelihood, parameters, 2) == pytest.approx(summed(likelihood, others, 2), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_follows_what_is_said(name: str) -> None:
    likelihood, parameters = make(name)
    count = 20_000
    noise = np.random.default_rng(0).random((count, 3, 2))
    table = parameters.view(likelihood.turns, likelihood.size).numpy()
    drawn = np.concatenate(
        [likelihood.draw(np.repeat(table[turn][None], count, 0), turn, noise, 1.0) for turn in range(likelihood.turns)],
        1,
    )
    assert drawn.shape == (count, 3) and drawn.min() >= 0 and drawn.max() <= LEVELS - 1
    assert (drawn == np.rint(drawn)).all()
    levels = torch.from_numpy(drawn).long()[:, :, None, None]
    with torch.no_grad():
        mine = likelihood.nll(parameters.expand(count, -1, -1, -1), levels).mean()
        others = likelihood.nll(parameters.expand(count, -1, -1, -1), torch.flip(levels, [1])).mean()
    assert float(mine) < float(others)
    if name == "softmax":
        share = np.bincount(drawn[:, 1].astype(int), minlength=LEVELS) / count
        assert np.abs(share - torch.softmax(parameters.view(3, LEVELS)[1], 0).numpy()).max() < 0.005


@pytest.mark.parametrize("name", NAMES)
def test_temperature_zero_takes_the_peak(name: str) -> None:
    likelihood, parameters = make(name)
    table = parameters.view(likelihood.turns, likelihood.size).numpy()
    noise = np.random.default_rng(0).random((8, 3, 2))
    for turn in range(likelihood.turns):
        drawn = likelihood.draw(np.repeat(table[turn][None], 8, 0), turn, noise, 0.0)
        assert (drawn == drawn[:1]).all()


def test_a_mixture_is_the_sum_of_its_logistics() -> None:
    likelihood = Logistics(2).double()
    parameters = torch.zeros(1, 20, 1, 1, dtype=torch.float64)
    grid = parameters.view(10, 2)
    grid[1:4] = torch.tensor([-0.5, 0.5])
    grid[4:7] = -3.0

    def cdf(level: float, mean: float) -> float:
        return 1 / (1 + np.exp(-(level / 127.5 - 1 - mean) * np.exp(3.0)))

    levels = torch.tensor([60, 70, 255])[None, :, None, None]
    expected = 0.0
    for mean in (-0.5, 0.5):
        inner = [cdf(level + 0.5, mean) - cdf(level - 0.5, mean) for level in (60, 70)]
        expected += 0.5 * inner[0] * inner[1] * (1 - cdf(254.5, mean))
    assert float(likelihood.nll(parameters, levels)) == pytest.approx(
        -np.log(expected), rel=1e-4
    )  # the level far out by its density


def test_the_width_of_squared_error_is_fitted_and_leaves_the_mean_alone() -> None:
    likelihood = SquaredError()
    means = torch.zeros(1, 3, 1, 1, requires_grad=True)
    levels = torch.full((1, 3, 1, 1), 200)
    likelihood.loss(means, levels).sum().backward()
    assert means.grad is not None
    torch.testing.assert_close(means.grad, torch.full_like(means, -2 * (200 / 127.5 - 1)))
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        likelihood.loss(means.detach(), levels).sum().backward()
        optimizer.step()
    assert torch.exp(likelihood.log_width).flatten().tolist() == pytest.approx([200 / 127.5 - 1] * 3, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_guess_moves_the_means_alike_for_training_and_sampling(name: str) -> None:
    likelihood, parameters = make(name)
    guess = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64).view(1, 3, 1, 1)
    moved = likelihood.around(parameters, guess)
    lean = likelihood.lean(guess.view(1, 3).numpy())
    np.testing.assert_allclose(moved.view(1, -1).numpy(), parameters.view(1, -1).numpy() + lean)
