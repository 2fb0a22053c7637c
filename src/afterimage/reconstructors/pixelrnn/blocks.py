"""The layers of PixelRNN: how a pixel's features gather what came before.

All have one shape: gates are computed from the row above, from the left and from the pixel itself, an activation
makes features of them, a masked 1 x 1 convolution ends the layer, and with `residual` the input is added.

Sources: van den Oord et al., "Pixel Recurrent Neural Networks" (ICML 2016), sections 3.1 to 3.5: Row LSTM, Diagonal
BiLSTM, PixelCNN, residual connections; van den Oord et al., "Conditional Image Generation with PixelCNN Decoders"
(NeurIPS 2016), section 2: the gated layer with two stacks.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afterimage.reconstructors.pixelrnn.masked import Above, Along
from afterimage.training.processes import Dropout

ENTRY = 7
"""Side in px of the first layer's kernel, as in both papers."""


class Stacks(NamedTuple):
    """Features `[N, width, H, W]` of each pixel."""

    vertical: Tensor
    """What the rows above hold, for the gated layer; others have it in `row`."""
    row: Tensor
    """What all earlier pixels hold."""


class Entry(nn.Module):
    """The first layer: a masked convolution (mask A) of `ENTRY` px, from images to features."""

    def __init__(self, width: int, turns: int, split: bool):
        super().__init__()
        self.split = split
        self.above = Above(3, width, ENTRY)
        self.along = Along(3, width, ENTRY, turns, first=True)

    def forward(self, x: Tensor) -> Stacks:
        vertical, row = self.above(x), self.along(x)
        return Stacks(vertical, row if self.split else row + vertical)


class Block(nn.Module):
    """What the layers have in common.

    Args:
        width: channels of the features; `turns` divides it.
        kernel: side in px of what a layer sees.
        dropout: share of the features that training blanks before the last convolution.
    """

    gates: int
    """Maps of `width` channels that the activation takes."""

    def __init__(self, width: int, kernel: int, turns: int, residual: bool, dropout: float):
        super().__init__()
        self.residual = residual
        self.dropout = Dropout(dropout)
        self.last = Along(width, width, 1, turns)

    def forward(self, stacks: Stacks, condition: Tensor | None) -> Stacks:
        """The next features; `condition` `[N, gates * width, H, W]` is added to the gates."""
        raise NotImplementedError

    def _end(self, stacks: Stacks, features: Tensor, vertical: Tensor | None = None) -> Stacks:
        row = self.last(self.dropout(features))
        return Stacks(stacks.vertical if vertical is None else vertical, row + stacks.row if self.residual else row)


class PixelCnn(Block):
    """A masked convolution and a ReLU. Above and right of a pixel is a cone that no depth reaches: the blind spot."""

    gates = 1

    def __init__(self, width: int, kernel: int, turns: int, residual: bool, dropout: float):
        super().__init__(width, kernel, turns, residual, dropout)
        self.above = Above(width, width, kernel, bias=False)
        self.along = Along(width, width, kernel, turns)

    def forward(self, stacks: Stacks, condition: Tensor | None) -> Stacks:
        gates = self.above(stacks.row) + self.along(stacks.row)
        return self._end(stacks, torch.relu(gates if condition is None else gates + condition))


class Gated(Block):
    """Two stacks: one sees all rows above, the other the row with the first stack's help. There is no blind spot."""

    gates = 2

    def __init__(self, width: int, kernel: int, turns: int, residual: bool, dropout: float):
        super().__init__(width, kernel, turns, residual, dropout)
        self.above = Above(width, 2 * width, kernel, row=True)
        self.across = nn.Conv2d(2 * width, 2 * width, 1, bias=False)
        self.along = Along(width, 2 * width, kernel, turns, gates=2)

    def forward(self, stacks: Stacks, condition: Tensor | None) -> Stacks:
        vertical = self.above(stacks.vertical)
        gates = self.along(stacks.row) + self.across(vertical)
        row = _gate(gates if condition is None else gates + condition)
        return self._end(stacks, row, _gate(vertical))


class RowLstm(Block):
    """An LSTM that runs down the rows: input to state by a masked row, state to state by a row of `kernel` px."""

    gates = 4

    def __init__(self, width: int, kernel: int, turns: int, residual: bool, dropout: float):
        super().__init__(width, kernel, turns, residual, dropout)
        self.along = Along(width, 4 * width, kernel, turns, gates=4)
        self.above = nn.Conv1d(width, 4 * width, kernel, padding=kernel // 2, bias=False)

    def forward(self, stacks: Stacks, condition: Tensor | None) -> Stacks:
        inputs = self.along(stacks.row)
        inputs = inputs if condition is None else inputs + condition
        hidden = cell = torch.zeros_like(stacks.row[:, :, 0])
        rows = []
        for row in inputs.unbind(2):
            hidden, cell = _lstm(row + self.above(hidden), cell)
            rows.append(hidden)
        return self._end(stacks, torch.stack(rows, 2))


class DiagonalBiLstm(Block):
    """Two LSTMs that run along the diagonals from both upper corners and see everything above.

    The map is skewed, each row one pixel further than the one above, so that columns of the skewed map are diagonals.
    The state from the right belongs to the row above: it moves down by one row before the two are added.
    """

    gates = 4

    def __init__(self, width: int, kernel: int, turns: int, residual: bool, dropout: float):
        super().__init__(width, kernel, turns, residual, dropout)
        self.left = Diagonal(width, turns)
        self.right = Diagonal(width, turns)

    def forward(self, stacks: Stacks, condition: Tensor | None) -> Stacks:
        left = self.left(stacks.row, condition)
        right = self.right(stacks.row.flip(-1), None).flip(-1)
        return self._end(stacks, left + F.pad(right, (0, 0, 1, 0))[..., :-1, :])


class Diagonal(nn.Module):
    """One direction: the state of a pixel comes from its left and its upper neighbour."""

    def __init__(self, width: int, turns: int):
        super().__init__()
        self.along = Along(width, 4 * width, 1, turns, gates=4)
        self.states = nn.Conv1d(width, 4 * width, 2, bias=False)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        inputs = self.along(x)
        columns = skew(inputs if condition is None else inputs + condition).unbind(-1)
        hidden = cell = torch.zeros_like(x[..., 0])
        found = []
        for column in columns:
            hidden, cell = _lstm(column + self.states(F.pad(hidden, (1, 0))), cell)
            found.append(hidden)
        return unskew(torch.stack(found, -1))


def skew(x: Tensor) -> Tensor:
    """Move row y of `[N, C, H, W]` right by y px: `[N, C, H, W + H - 1]`, zeros where nothing is."""
    height, width = x.shape[-2:]
    # A row of W + H numbers, cut off by one, begins one place further in each line
    return F.pad(x, (0, height)).flatten(2)[..., :-height].unflatten(2, (height, width + height - 1))


def unskew(x: Tensor) -> Tensor:
    """The inverse of `skew`."""
    height, long = x.shape[-2:]
    return F.pad(x.flatten(2), (0, height)).unflatten(2, (height, long + 1))[..., : long - height + 1]


def _gate(gates: Tensor) -> Tensor:
    signal, gate = gates.chunk(2, 1)
    return torch.tanh(signal) * torch.sigmoid(gate)


def _lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    signal, take, keep, show = gates.chunk(4, 1)
    cell = torch.sigmoid(keep) * cell + torch.sigmoid(take) * torch.tanh(signal)
    return torch.sigmoid(show) * torch.tanh(cell), cell


BLOCKS: dict[str, type[Block]] = {
    "pixelcnn": PixelCnn,
    "gated": Gated,
    "row_lstm": RowLstm,
    "diagonal_bilstm": DiagonalBiLstm,
}
"""What `arch` may be."""
