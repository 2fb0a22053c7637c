"""The features of the row that is being completed, and what later rows need of it: one class a kind of layer.

Arrays have the layout `[.., W, N, channels]`, so that the features of a pixel or a run are one block of memory; gates
are sorted by turn, so that a turn's are one as well. W includes the padding at both sides, which stays zero.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from afterimage.core.images import Uint8
from afterimage.reconstructors.pixelrnn.blocks import ENTRY, DiagonalBiLstm, Gated, PixelCnn, RowLstm
from afterimage.reconstructors.pixelrnn.masked import Along
from afterimage.reconstructors.pixelrnn.network import PixelRnn

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Where = int | slice
"""A pixel of a row or a run of them, padding included."""
EDGE = ENTRY // 2


class Rows:
    """What all kinds have in common.

    Attributes:
        features: `[layers + 1, W, N, width]`: the input of each block, and the output of the last.
        hidden: `[layers, W, N, width]`: what the activations give.
        base: `[layers, W without padding, N, gates]`: what the gates take from above and from the trunk.

    Args:
        levels: `[N, H, W, 3]`, 8-bit.
        missing: `[N, H, W]`.
        trunk: `[H, W, n, channels]`, where n divides N; None without a trunk.
        guess: `[H, W, n, 3]`, the trunk's; None without one.
    """

    whole = True
    """Whether later rows need the features of all pixels of a row."""

    def __init__(self, network: PixelRnn, levels: Uint8, missing: Bools, trunk: Floats | None, guess: Floats | None):
        blocks: Any = list(network.blocks)
        count, self.height, self.width = missing.shape
        self.layers, channels = len(blocks), blocks[0].last.in_channels
        self.likelihood, self.turns = network.likelihood, network.likelihood.turns
        self.gates = network.gates // channels
        self.residual = blocks[0].residual
        self.missing = missing.transpose(1, 2, 0)
        self.levels = levels.transpose(1, 2, 0, 3).astype(np.float64)
        self.image = np.zeros((EDGE + self.height, EDGE + self.width + EDGE, count, 3))
        self.trunk = trunk
        self.copies = 1 if trunk is None else count // trunk.shape[2]
        self.guess = np.zeros_like(self.levels) if guess is None else np.repeat(guess, self.copies, 2)
        self.image[EDGE:, EDGE:-EDGE] = self.levels / 255 * 2 - 1 - self.guess

        self.entry_above, self.entry_above_bias = wide(network.entry.above), numbers(network.entry.above.bias)
        self.entry_left, self.entry_here = self.along(network.entry.along, first=True)
        self.entry_bias = numbers(network.entry.along.bias)
        self.left, self.here, self.bias = self.inputs([self.input_of(block) for block in blocks])
        self.last = [self.along(block.last)[1] for block in blocks]
        self.last_bias = [numbers(block.last.bias).reshape(self.turns, -1) for block in blocks]
        self.head, self.head_bias = self.along(network.head)[1], numbers(network.head.bias)
        self.out = self.along(network.parameters_of)[1]
        self.out_bias = numbers(network.parameters_of.bias).reshape(self.turns, -1)
        if network.condition is not None:
            self.condition, self.condition_bias = wide(network.condition), numbers(network.condition.bias)

        self.pad = max(self.left.shape[1], 1)
        self.inside = slice(self.pad, self.pad + self.width)
        self.features = np.zeros((self.layers + 1, self.width + 2 * self.pad, count, channels))
        self.hidden = np.zeros_like(self.features[:-1])
        self.base = np.zeros((self.layers, self.width, count, network.gates))
        self.said = np.zeros((count, network.head.out_channels))
        self.said_base = np.zeros((self.width, *self.said.shape))
        self.lean_parts = self._parts(self.turns * self.likelihood.size)
        self.parts = self._parts(channels)
        self.head_parts = self._parts(network.head.out_channels)
        self.prepare(blocks)

    # What a kind brings

    @classmethod
    def reach(cls, network: PixelRnn) -> int | None:
        """How many px up and to both sides a pixel sees; None: without end."""
        block: Any = network.blocks[0]
        return EDGE + len(network.blocks) * (block.along.kernel_size[1] - 1)

    def input_of(self, block: Any) -> Along:
        """The convolution through which a block takes its input along the row."""
        return block.along

    def prepare(self, blocks: Sequence[Any]) -> None:
        """Copy the weights that only this kind has."""
        raise NotImplementedError

    def first(self, vertical: Floats) -> Floats:
        """What the first features take from above, `[W, N, width]` without padding."""
        return vertical + self.entry_bias

    def above(self) -> None:
        """Add to `base` what the row takes from the rows above."""
        raise NotImplementedError

    def activate(self, layer: int, where: Where, part: slice, gates: Floats) -> Floats:
        """Features `[.., channels of a turn]` from its gates `[.., gates, channels of a turn]`."""
        raise NotImplementedError

    def shown(self, layer: int, where: Where) -> Floats:
        """What the last convolution of a block sees."""
        return self.hidden[layer, where]

    def finish(self) -> None:
        """Keep of a row what the next ones need."""

    # The order of work

    def complete(self, draws: Floats, temperature: float) -> Floats:
        """Go through all rows; levels `[N, H, W, 3]`."""
        draws = draws.transpose(1, 2, 0, 3, 4)
        missing: Bools = np.asarray(self.missing.any(-1))
        for y in range(self.height):
            self._begin(y)
            done = 0
            for x in np.flatnonzero(missing[y]).tolist():
                self.run(y, done, x)
                self._draw(y, x, draws[y, x], temperature)
                done = x + 1
            if self.whole:
                self.run(y, done, self.width)
            self.finish()
        return self.levels.transpose(2, 0, 1, 3)

    def _begin(self, y: int) -> None:
        self.entry = self.first(around(self.image[y : y + EDGE], self.width) @ self.entry_above + self.entry_above_bias)
        self.base[:] = self.bias[:, None, None]
        self.said_base[:] = self.head_bias
        self.lean = self.likelihood.lean(self.guess[y])
        if self.trunk is not None:
            told = self.trunk[y] @ self.condition + self.condition_bias
            *parts, last = np.split(told, np.arange(1, self.layers + 1) * self.base.shape[-1], -1)
            self.base += np.repeat([self.sort(part) for part in parts], self.copies, 2)
            self.said_base += np.repeat(last, self.copies, 1)
        self.above()

    def run(self, y: int, start: int, stop: int) -> None:
        """The features of pixels that are known."""
        if start == stop:
            return
        where = slice(self.pad + start, self.pad + stop)
        image = self.image[y + EDGE]
        lefts = (image[start + tap : stop + tap] @ weight for tap, weight in enumerate(self.entry_left))
        entry = self.entry[start:stop] + sum(lefts)
        for turn in range(self.turns):
            self.enter(turn, where, entry, image[start + EDGE : stop + EDGE])
        for layer in range(self.layers):
            gates = self.base[layer, start:stop]
            for tap, weight in enumerate(self.left[layer]):
                by = len(self.left[layer]) - tap
                gates = gates + self.features[layer, where.start - by : where.stop - by] @ weight
            for turn in range(self.turns):
                self.go(layer, turn, where, gates)

    def _draw(self, y: int, x: int, draws: Floats, temperature: float) -> None:
        """Draw a missing pixel; images that know it keep theirs."""
        where, image, channels = self.pad + x, self.image[y + EDGE], 3 // self.turns
        here, missing = image[x + EDGE], self.missing[y, x]
        entry = self.entry[x] + (image[x : x + EDGE] @ self.entry_left).sum(0)
        gates = self.base[:, x] + self.from_left(where)
        for turn in range(self.turns):
            self.enter(turn, where, entry, here)
            for layer in range(self.layers):
                self.go(layer, turn, where, gates[layer])
            drawn = self.likelihood.draw(self._say(turn, x), turn, draws, temperature)[missing]
            mine = slice(turn * channels, (turn + 1) * channels)
            self.levels[y, x, missing, mine] = drawn
            here[missing, mine] = drawn / 255 * 2 - 1 - self.guess[y, x, missing, mine]

    def from_left(self, where: int) -> Floats:
        """What the gates of all layers take from the left of a pixel, `[layers, N, gates]`."""
        found = self.features[:-1, where - 1] @ self.left[:, -1]
        for by in range(2, self.left.shape[1] + 1):
            found += self.features[:-1, where - by] @ self.left[:, -by]
        return found

    def enter(self, turn: int, where: Where, entry: Floats, seen: Floats) -> None:
        """The first features of a turn; of the pixel's own channels it sees those of earlier turns."""
        part = self.parts[turn]
        own = seen[..., :turn] @ self.entry_here[turn] if turn else 0
        self.features[0, where, :, part] = entry[..., part] + own

    def go(self, layer: int, turn: int, where: Where, gates: Floats) -> None:
        """A block's features of one turn; `gates` `[.., gates]` has what all turns take from elsewhere."""
        part, size = self.parts[turn], gates.shape[-1] // self.turns
        features = self.features[layer, where]
        mine = gates[..., turn * size : (turn + 1) * size] + features[..., : part.stop] @ self.here[layer][turn]
        mine = mine.reshape(*mine.shape[:-1], self.gates, -1)
        self.hidden[layer, where, :, part] = self.activate(layer, where, part, mine)
        found = self.shown(layer, where)[..., : part.stop] @ self.last[layer][turn]
        found += self.last_bias[layer][turn]
        if self.residual:
            found += features[..., part]
        self.features[layer + 1, where, :, part] = found

    def _say(self, turn: int, x: int) -> Floats:
        """The likelihood's parameters of a turn, `[N, size]`."""
        seen = np.maximum(self.features[-1, self.pad + x, :, : self.parts[turn].stop], 0)
        part = self.head_parts[turn]
        self.said[:, part] = np.maximum(seen @ self.head[turn] + self.said_base[x, :, part], 0)
        return self.said[:, : part.stop] @ self.out[turn] + self.out_bias[turn] + self.lean[x, :, self.lean_parts[turn]]

    # Weights

    def _parts(self, channels: int) -> list[slice]:
        size = channels // self.turns
        return [slice(turn * size, (turn + 1) * size) for turn in range(self.turns)]

    def sort(self, gates: Floats) -> Floats:
        """Order gates `[.., gates * width]`, which networks keep gate by gate, by turn."""
        by_gate = gates.reshape(*gates.shape[:-1], self.gates, self.turns, -1)
        return by_gate.swapaxes(-3, -2).reshape(gates.shape)

    def along(self, layer: Along, first: bool = False, gated: bool = False) -> tuple[Floats, list[Floats]]:
        """The weights of each pixel on the left, `[taps, inside, outside]`, and those of the pixel itself by turn.

        A turn's are `[what it sees, its part of the outside]`: what a mask blanks is left out.
        """
        weight = numbers(layer.weight * layer.mask)[:, :, 0].transpose(2, 1, 0)
        weight = (self.sort(weight) if gated else weight).copy()
        inside, outside = (size // self.turns for size in weight.shape[1:])
        own = [
            weight[-1, : (turn + (not first)) * inside, turn * outside : (turn + 1) * outside].copy()
            for turn in range(self.turns)
        ]
        return weight[:-1], own

    def inputs(self, layers: Sequence[Along]) -> tuple[Floats, list[list[Floats]], Floats]:
        """Of the input of each block: the weights on the left, those of the pixel by turn, the bias."""
        left, own = zip(*(self.along(layer, gated=True) for layer in layers), strict=True)
        return np.stack(left), list(own), np.stack([self.sort(numbers(layer.bias)) for layer in layers])


class PixelCnnRows(Rows):
    """Rows above are seen through the features of every layer."""

    def prepare(self, blocks: Sequence[Any]) -> None:
        self.up = [self.sort(wide(block.above)) for block in blocks]
        self.rows_above = np.zeros((self.layers, self.left.shape[1], *self.features.shape[1:]))

    def above(self) -> None:
        for layer, up in enumerate(self.up):
            self.base[layer] += around(self.rows_above[layer], self.width) @ up

    def activate(self, layer: int, where: Where, part: slice, gates: Floats) -> Floats:
        return np.maximum(gates[..., 0, :], 0)

    def finish(self) -> None:
        self.rows_above = np.concatenate([self.rows_above[:, 1:], self.features[:-1, None]], 1)


class GatedRows(Rows):
    """The vertical stack takes a row at once; the other needs known pixels only where they stand left of a hole."""

    whole = False

    def prepare(self, blocks: Sequence[Any]) -> None:
        self.up = [wide(block.above) for block in blocks]
        self.up_bias = [numbers(block.above.bias) for block in blocks]
        self.across = [self.sort(wide(block.across)) for block in blocks]
        self.vertical = np.zeros((self.layers, self.left.shape[1] + 1, *self.features.shape[1:]))

    def first(self, vertical: Floats) -> Floats:
        self.vertical = np.roll(self.vertical, -1, 1)
        self.vertical[0, -1, self.inside] = vertical
        return np.broadcast_to(self.entry_bias, vertical.shape)

    def above(self) -> None:
        for layer in range(self.layers):
            gates = around(self.vertical[layer], self.width) @ self.up[layer] + self.up_bias[layer]
            self.base[layer] += gates @ self.across[layer]
            if layer + 1 < self.layers:
                signal, gate = np.split(gates, 2, -1)
                self.vertical[layer + 1, -1, self.inside] = np.tanh(signal) * sigmoid(gate)

    def activate(self, layer: int, where: Where, part: slice, gates: Floats) -> Floats:
        return np.tanh(gates[..., 0, :]) * sigmoid(gates[..., 1, :])


class RowLstmRows(Rows):
    """States come from the row above."""

    @classmethod
    def reach(cls, network: PixelRnn) -> int | None:
        return None

    def prepare(self, blocks: Sequence[Any]) -> None:
        self.up = [
            self.sort(numbers(block.above.weight).transpose(2, 1, 0).reshape(-1, self.base.shape[-1]))
            for block in blocks
        ]
        self.cells = np.zeros_like(self.hidden)
        self.cells_above = np.zeros_like(self.hidden)

    def above(self) -> None:
        for layer, up in enumerate(self.up):
            self.base[layer] += around(self.hidden[layer, None], self.width) @ up

    def activate(self, layer: int, where: Where, part: slice, gates: Floats) -> Floats:
        hidden, cells = lstm(gates, self.cells_above[layer, where][..., part])
        self.cells[layer, where, :, part] = cells
        return hidden

    def finish(self) -> None:
        self.cells, self.cells_above = self.cells_above, self.cells


class DiagonalRows(Rows):
    """States come from the left and from above; those of the other direction are had once a row is whole."""

    @classmethod
    def reach(cls, network: PixelRnn) -> int | None:
        return None

    def input_of(self, block: Any) -> Along:
        return block.left.along

    def prepare(self, blocks: Sequence[Any]) -> None:
        self.up, self.side = self._states([block.left for block in blocks])
        self.other_up, self.other_side = self._states([block.right for block in blocks])
        layers = [block.right.along for block in blocks]
        self.other_own = np.stack([self.sort(wide(layer, layer.mask)) for layer in layers])
        self.other_bias = np.stack([self.sort(numbers(layer.bias)) for layer in layers])
        self.cells, self.other, self.other_cells = (np.zeros_like(self.hidden) for _ in range(3))

    def _states(self, directions: Sequence[Any]) -> tuple[Floats, Floats]:
        """Weights of the state above and of the one beside, each `[layers, width, gates]`."""
        weights = np.stack([self.sort(numbers(direction.states.weight).transpose(2, 1, 0)) for direction in directions])
        return weights[:, 0].copy(), weights[:, 1].copy()

    def above(self) -> None:
        self.base += self.hidden[:, self.inside] @ self.up[:, None]

    def run(self, y: int, start: int, stop: int) -> None:
        """States follow each other, so this goes pixel by pixel as well."""
        image = self.image[y + EDGE]
        for x in range(start, stop):
            where = self.pad + x
            entry = self.entry[x] + (image[x : x + EDGE] @ self.entry_left).sum(0)
            gates = self.base[:, x] + self.from_left(where)
            for turn in range(self.turns):
                self.enter(turn, where, entry, image[x + EDGE])
                for layer in range(self.layers):
                    self.go(layer, turn, where, gates[layer])

    def from_left(self, where: int) -> Floats:
        return self.hidden[:, where - 1] @ self.side

    def activate(self, layer: int, where: Where, part: slice, gates: Floats) -> Floats:
        assert isinstance(where, int)
        hidden, cells = lstm(gates, self.cells[layer, where - 1][..., part])
        self.cells[layer, where, :, part] = cells
        return hidden

    def shown(self, layer: int, where: Where) -> Floats:
        return self.hidden[layer, where] + self.other[layer, where]

    def finish(self) -> None:
        gates = self.features[:-1, self.inside] @ self.other_own[:, None] + self.other_bias[:, None, None]
        gates += self.other[:, self.inside] @ self.other_up[:, None]
        size = (self.layers, self.missing.shape[-1], self.turns)
        for where in range(self.pad + self.width - 1, self.pad - 1, -1):
            mine = gates[:, where - self.pad] + self.other[:, where + 1] @ self.other_side
            cells = self.other_cells[:, where + 1].reshape(*size, -1)
            hidden, cells = lstm(mine.reshape(*size, self.gates, -1), cells)
            self.other[:, where] = hidden.reshape(self.other[:, where].shape)
            self.other_cells[:, where] = cells.reshape(self.other[:, where].shape)


ROWS: dict[type[nn.Module], type[Rows]] = {
    PixelCnn: PixelCnnRows,
    Gated: GatedRows,
    RowLstm: RowLstmRows,
    DiagonalBiLstm: DiagonalRows,
}


def numbers(tensor: Tensor | None) -> Floats:
    assert tensor is not None
    return tensor.detach().numpy().astype(np.float64)


def wide(layer: nn.Conv2d, mask: Tensor | float = 1.0) -> Floats:
    """A convolution's weights as a matrix for what `around` gathers: `[kernel px * inside, outside]`."""
    weight = numbers(layer.weight * mask)
    return weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)).copy()


def around(rows: Floats, width: int) -> Floats:
    """The neighbours of each pixel side by side: `[W, N, rows * px * channels]` from `[rows, W, N, channels]`."""
    across = rows.shape[1] - width + 1
    return np.concatenate([row[x : x + width] for row in rows for x in range(across)], -1)


def sigmoid(x: Floats) -> Floats:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def lstm(gates: Floats, cells: Floats) -> tuple[Floats, Floats]:
    """Hidden state and cells of `[.., gates, channels]`, in the order of `blocks`."""
    signal, take, keep, show = (gates[..., gate, :] for gate in range(4))
    cells = sigmoid(keep) * cells + sigmoid(take) * np.tanh(signal)
    return sigmoid(show) * np.tanh(cells), cells
