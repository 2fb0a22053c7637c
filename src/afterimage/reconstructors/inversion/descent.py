"""Optimisers for many small problems at once: each row of `[N, D]` values is a problem of its own.

No number of one row enters another, so a batch gives what its rows give one by one. `torch.optim.LBFGS` would take
one step length and one history for all. A step costs one evaluation of loss and gradient, whatever the optimiser.
"""

import abc
import math

import torch
from torch import Tensor

from afterimage.core.compute import sqrt

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
        return values - rate * mean / (sqrt(square) + self.EPSILON)


class Lbfgs(Descent):
    """L-BFGS, each row with its own history and its own step length.

    A row whose trial lowers its loss enough (Armijo) moves there and turns to a new direction; one whose trial does
    not, tries a quarter of the way at the next evaluation, while the other rows go on. The direction comes from the
    compact form of the inverse (Byrd, Nocedal and Schnabel, "Representations of Quasi-Newton Matrices and their Use
    in Limited Memory Methods", 1994, equation 3.1), which looks at the long history twice a step; the two loops of
    the textbooks look forty times, and that took as long as a light network.

    Args:
        learning_rate: how far a value moves in the first trial, on average; later directions have a length.
    """

    MEMORY = 10
    """Evaluations that are remembered; those in vain leave their place empty."""
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
            "count": torch.zeros((), dtype=torch.int64),
            # A move and the bend of the slope along it are kept on the scale on which their product is 1
            "moves": values.new_zeros(rows, self.MEMORY, width),
            "bends": values.new_zeros(rows, self.MEMORY, width),
            "filled": torch.zeros(rows, self.MEMORY, dtype=torch.bool, device=values.device),
            "moves_bends": values.new_zeros(rows, self.MEMORY, self.MEMORY, dtype=torch.float64),
            "bends_bends": values.new_zeros(rows, self.MEMORY, self.MEMORY, dtype=torch.float64),
            "scale": values.new_ones(rows),
        }

    def step(self, values: Tensor, loss: Tensor, slope: Tensor) -> Tensor:
        state = self.state
        promised = self.ENOUGH * state["length"] * _dot(state["slope"], state["direction"])
        accepted = loss <= state["loss"] + promised
        move, bend = values - state["point"], slope - state["slope"]
        state["point"] = _where(accepted, values, state["point"])
        state["slope"] = _where(accepted, slope, state["slope"])
        state["loss"] = torch.where(accepted, loss, state["loss"])
        state["trials"] = torch.where(accepted, 0, state["trials"] + 1)
        stuck = state["trials"] >= self.TRIALS
        state["trials"] = torch.where(stuck, 0, state["trials"])
        state["filled"] = state["filled"] & ~stuck[:, None]
        direction = self._direction(accepted, move, bend)
        renewed = accepted | stuck
        uphill = _dot(direction, state["slope"]) >= 0
        direction = _where(uphill, -state["slope"], direction)
        fresh = uphill | ~state["filled"].any(1)
        first = self.learning_rate / state["slope"].abs().mean(1).clamp_min(1e-30)
        state["direction"] = _where(renewed, direction, state["direction"])
        begun = torch.where(fresh, first * torch.where(stuck, state["length"].clamp_max(1), 1), 1)
        state["length"] = torch.where(renewed, begun, state["length"] * self.SHRINK)
        return state["point"] + state["length"][:, None] * state["direction"]

    def _direction(self, accepted: Tensor, move: Tensor, bend: Tensor) -> Tensor:
        """Remember a move and the bend along it, for the rows that moved and met positive curvature; then the
        direction of each row from its point."""
        state = self.state
        place = int(state["count"]) % self.MEMORY
        state["count"] = state["count"] + 1
        product = _dot(move, bend)
        # The first evaluation has no move before it: its product is 0
        kept = accepted & (product > 1e-10 * sqrt(_dot(bend, bend)) * sqrt(_dot(move, move)))
        share = product.clamp_min(1e-38).rsqrt()[:, None]
        zero = torch.zeros_like(move)
        move, bend = _where(kept, move * share, zero), _where(kept, bend * share, zero)
        state["scale"] = torch.where(kept, 1 / _dot(bend, bend).clamp_min(1e-30), state["scale"])
        for name, new in (("moves", move), ("bends", bend), ("filled", kept)):
            state[name][:, place] = new

        seen = torch.stack([move, bend, state["slope"]], dim=1).mT
        by_moves, by_bends = (torch.bmm(state[name], seen).double() for name in ("moves", "bends"))
        state["moves_bends"][:, :, place], state["moves_bends"][:, place] = by_moves[..., 1], by_bends[..., 0]
        state["bends_bends"][:, :, place], state["bends_bends"][:, place] = by_bends[..., 1], by_bends[..., 1]

        order = torch.arange(place + 1, place + 1 + self.MEMORY, device=move.device) % self.MEMORY  # oldest first
        filled = state["filled"][:, order]
        scale = torch.where(filled.any(1), state["scale"], 1).double()[:, None]
        both = filled[:, :, None] & filled[:, None]
        crossed, squared = (
            torch.where(both, state[name][:, order][:, :, order], 0) for name in ("moves_bends", "bends_bends")
        )
        upper = crossed.triu(1) + torch.eye(self.MEMORY, dtype=torch.float64, device=move.device)
        along_moves, along_bends = (torch.where(filled, by[:, order, 2], 0) for by in (by_moves, by_bends))
        inner = torch.linalg.solve_triangular(upper, along_moves[..., None], upper=True)[..., 0]
        outer = inner + scale * (torch.einsum("nij,nj->ni", squared, inner) - along_bends)
        outer = torch.linalg.solve_triangular(upper.mT, outer[..., None], upper=False)[..., 0]
        back = torch.argsort(order)
        weights = [part[:, None, back].to(move.dtype) for part in (outer, -scale * inner)]
        direction = -scale.to(move.dtype) * state["slope"]
        for name, weight in zip(("moves", "bends"), weights, strict=True):
            direction = direction - torch.bmm(weight, state[name])[:, 0]
        return direction


OPTIMISERS: dict[str, type[Adam] | type[Lbfgs]] = {"adam": Adam, "lbfgs": Lbfgs}


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum(1)


def _where(rows: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(rows[:, None], yes, no)
