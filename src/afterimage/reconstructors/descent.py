"""Optimisers for many small problems at once: each row of `[N, D]` values is a problem of its own.

No number of one row enters another, so a batch gives what its rows give one by one. `torch.optim.LBFGS` would take
one step length and one history for all. A step costs one evaluation of loss and gradient, whatever the optimiser.
"""

import abc
import math

import torch
from torch import Tensor

State = dict[str, Tensor]


class Descent(abc.ABC):
    """Where a descent stands is all in `state`: tensors that a checkpoint keeps."""

    state: State

    @abc.abstractmethod
    def step(self, values: Tensor, loss: Tensor, slope: Tensor) -> Tensor:
        """The values to look at next, from those that were looked at last.

        Args:
            values: `[N, D]`, as this method returned them.
            loss: `[N]`, at those values.
            slope: `[N, D]`, the gradient there.
        """


class Adam(Descent):
    """Adam (Kingma and Ba 2015); the learning rate falls to zero over `steps` along a cosine."""

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-12
    """A relative feature error has slopes of 1e-6 and less: the usual epsilon of 1e-8 would brake."""

    def __init__(self, values: Tensor, learning_rate: float, steps: int):
        self.learning_rate, self.steps = learning_rate, steps
        zeros = torch.zeros_like(values)
        self.state = {"mean": zeros, "square": zeros.clone(), "count": torch.zeros((), dtype=torch.int64)}

    def step(self, values: Tensor, loss: Tensor, slope: Tensor) -> Tensor:
        state = self.state
        done = int(state["count"])
        state["count"] = state["count"] + 1
        state["mean"] = state["mean"].lerp(slope, 1 - self.BETA1)
        state["square"] = state["square"].lerp(slope.square(), 1 - self.BETA2)
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done / self.steps, 1)))
        mean = state["mean"] / (1 - self.BETA1 ** (done + 1))
        square = state["square"] / (1 - self.BETA2 ** (done + 1))
        return values - rate * mean / (square.sqrt() + self.EPSILON)


class Lbfgs(Descent):
    """L-BFGS (Nocedal and Wright 2006, algorithm 7.4), each row with its own history and its own step length.

    A row whose trial lowers its loss enough (Armijo) moves there and turns to a new direction; one whose trial does
    not, tries a quarter of the way at the next evaluation, while the other rows go on.

    Args:
        learning_rate: how far a value moves in the first trial, on average; later directions have a length.
    """

    MEMORY = 10
    ENOUGH = 1e-4
    SHRINK = 0.25
    TRIALS = 8
    """After so many trials in vain the history is forgotten, and the row goes downhill."""

    def __init__(self, values: Tensor, learning_rate: float, steps: int):
        self.learning_rate = learning_rate
        rows, width = values.shape
        self.state = {
            "point": values.clone(),
            "slope": torch.zeros_like(values),
            "direction": torch.zeros_like(values),
            "loss": values.new_full((rows,), math.inf),  # so that the first evaluation is always accepted
            "length": values.new_ones(rows),
            "trials": torch.zeros(rows, dtype=torch.int64, device=values.device),
            "moves": values.new_zeros(self.MEMORY, rows, width),
            "bends": values.new_zeros(self.MEMORY, rows, width),
            "curvature": values.new_zeros(self.MEMORY, rows),  # 1 / (move . bend); 0: this place of a row is empty
        }

    def step(self, values: Tensor, loss: Tensor, slope: Tensor) -> Tensor:
        state = self.state
        promised = self.ENOUGH * state["length"] * _dot(state["slope"], state["direction"])
        accepted = loss <= state["loss"] + promised
        self._remember(accepted, values - state["point"], slope - state["slope"])
        state["point"] = _where(accepted, values, state["point"])
        state["slope"] = _where(accepted, slope, state["slope"])
        state["loss"] = torch.where(accepted, loss, state["loss"])
        state["trials"] = torch.where(accepted, 0, state["trials"] + 1)
        stuck = state["trials"] >= self.TRIALS
        state["trials"] = torch.where(stuck, 0, state["trials"])
        state["curvature"] = torch.where(stuck, 0, state["curvature"])
        renewed = accepted | stuck
        direction = self._direction()
        uphill = _dot(direction, state["slope"]) >= 0
        direction = _where(uphill, -state["slope"], direction)
        fresh = uphill | (state["curvature"] == 0).all(0)
        first = self.learning_rate / state["slope"].abs().mean(1).clamp_min(1e-30)
        state["direction"] = _where(renewed, direction, state["direction"])
        begun = torch.where(fresh, first * torch.where(stuck, state["length"].clamp_max(1), 1), 1)
        state["length"] = torch.where(renewed, begun, state["length"] * self.SHRINK)
        return state["point"] + state["length"][:, None] * state["direction"]

    def _remember(self, accepted: Tensor, move: Tensor, bend: Tensor) -> None:
        """Push a move and the bend of the slope along it, for the rows that moved and met positive curvature."""
        product = _dot(move, bend)
        # The first evaluation has no move before it: its product is 0
        kept = accepted & (product > 1e-10 * _dot(bend, bend).sqrt() * _dot(move, move).sqrt())
        inverse = torch.where(kept, 1 / product.clamp_min(1e-38), 0)
        for name, new in (("moves", move), ("bends", bend), ("curvature", inverse)):
            old = self.state[name]
            mask = kept if new.ndim == 1 else kept[:, None]
            self.state[name] = torch.where(mask, torch.cat([old[1:], new[None]]), old)

    def _direction(self) -> Tensor:
        moves, bends, curvature = (self.state[name] for name in ("moves", "bends", "curvature"))
        direction = -self.state["slope"]
        weights: list[Tensor] = []
        for place in reversed(range(self.MEMORY)):
            weight = curvature[place] * _dot(moves[place], direction)
            direction = direction - weight[:, None] * bends[place]
            weights.insert(0, weight)
        newest = curvature[-1]
        scale = torch.where(newest > 0, 1 / (newest * _dot(bends[-1], bends[-1])).clamp_min(1e-30), 1)
        direction = direction * scale[:, None]
        for place, weight in enumerate(weights):
            back = curvature[place] * _dot(bends[place], direction)
            direction = direction + (weight - back)[:, None] * moves[place]
        return direction


OPTIMISERS: dict[str, type[Adam] | type[Lbfgs]] = {"adam": Adam, "lbfgs": Lbfgs}


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum(1)


def _where(rows: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(rows[:, None], yes, no)
