"""Where the nodes of a graph stand in a picture: layer by layer, operands above (Sugiyama, Tagawa, Toda 1981).

1. A node's layer is the length of the longest path to it; leaves then come down to just above their first reader.
2. An edge that crosses layers gets a bend in each of them; edges from one node share theirs.
3. Within a layer, order is by the mean place of the neighbours, swept down and up until few edges cross.
4. Across, each node wants to stand at the mean of its neighbours, not nearer to the next than their widths allow: the
   least squares solution of that is an isotonic regression (pool adjacent violators), one linear pass a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

GAP = 28.0
LAYER_GAP = 44.0
BEND_WIDTH = 10.0
SWEEPS = 10


class Placed(NamedTuple):
    """A picture's geometry. Boxes are (left, top, width, height), in pixels; y goes down."""

    boxes: list[tuple[float, float, float, float]]
    edges: list[tuple[int, int, list[tuple[float, float]]]]
    """(operand, node, points from the operand's lower edge to the node's upper one)."""
    width: float
    height: float


def place(sizes: Sequence[tuple[float, float]], operands: Sequence[Sequence[int]]) -> Placed:
    """The layout of nodes of the given (width, height); operands come before their readers."""
    if not sizes:
        return Placed([], [], 0.0, 0.0)
    net = _Net(sizes, operands)
    net.order()
    net.spread()
    return net.placed()


class _Net:
    """Nodes and bends, as one graph whose edges join neighbouring layers."""

    def __init__(self, sizes: Sequence[tuple[float, float]], operands: Sequence[Sequence[int]]) -> None:
        self.sizes = sizes
        self.layer = _layers(operands)
        self.widths = [width for width, _ in sizes]
        self.above: list[list[int]] = [[] for _ in sizes]
        self.below: list[list[int]] = [[] for _ in sizes]
        self.chains: list[list[int]] = []
        """Of each edge: operand, bends, node."""
        self.bends: dict[tuple[int, int], int] = {}
        """Of a node, in a layer."""
        for node, sources in enumerate(operands):
            for source in dict.fromkeys(sources):
                self._join(source, node)
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
        for item, layer in enumerate(self.layer):
            self.rows[layer].append(item)
        self.x = [0.0] * len(self.layer)

    def _join(self, source: int, node: int) -> None:
        chain = [source]
        for layer in range(self.layer[source] + 1, self.layer[node]):
            if (source, layer) not in self.bends:
                self.bends[source, layer] = len(self.layer)
                self.layer.append(layer)
                self.widths.append(BEND_WIDTH)
                self.above.append([])
                self.below.append([])
                self._link(chain[-1], self.bends[source, layer])
            chain.append(self.bends[source, layer])
        self._link(chain[-1], node)
        self.chains.append([*chain, node])

    def _link(self, upper: int, lower: int) -> None:
        self.below[upper].append(lower)
        self.above[lower].append(upper)

    def order(self) -> None:
        place = [0.0] * len(self.layer)
        for row in self.rows:
            for position, item in enumerate(row):
                place[item] = float(position)
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            neighbours = self.above if down else self.below
            for row in self.rows if down else reversed(self.rows):
                means = {i: _mean([place[n] for n in neighbours[i]], place[i]) for i in row}
                row.sort(key=means.__getitem__)
                for position, item in enumerate(row):
                    place[item] = float(position)

    def spread(self) -> None:
        for row in self.rows:
            self._settle(row, [0.0] * len(row))
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            neighbours = self.above if down else self.below
            for row in self.rows if down else reversed(self.rows):
                self._settle(row, [_mean([self.x[n] for n in neighbours[i]], self.x[i]) for i in row])

    def _settle(self, row: list[int], wanted: list[float]) -> None:
        """The places nearest to the wanted ones, in this order and far enough apart."""
        offsets, offset = [], 0.0
        for position, item in enumerate(row):
            if position:
                offset += (self.widths[row[position - 1]] + self.widths[item]) / 2 + GAP
            offsets.append(offset)
        level = _isotonic([w - o for w, o in zip(wanted, offsets, strict=True)])
        for item, base, offset in zip(row, level, offsets, strict=True):
            self.x[item] = base + offset

    def placed(self) -> Placed:
        left = min(x - width / 2 for x, width in zip(self.x, self.widths, strict=True))
        right = max(x + width / 2 for x, width in zip(self.x, self.widths, strict=True))
        tops, top = [], 0.0
        heights = [max((self.sizes[i][1] for i in row if i < len(self.sizes)), default=0.0) for row in self.rows]
        for height in heights:
            tops.append(top)
            top += height + LAYER_GAP
        boxes = []
        for item, (width, height) in enumerate(self.sizes):
            layer = self.layer[item]
            y = tops[layer] + (heights[layer] - height) / 2
            boxes.append((self.x[item] - width / 2 - left, y, width, height))
        edges = []
        for chain in self.chains:
            source, node = chain[0], chain[-1]
            points = [(self.x[source] - left, boxes[source][1] + boxes[source][3])]
            for bend in chain[1:-1]:
                y, x = tops[self.layer[bend]], self.x[bend] - left
                points += [(x, y), (x, y + heights[self.layer[bend]])]
            points.append((self.x[node] - left, boxes[node][1]))
            edges.append((source, node, points))
        return Placed(boxes, edges, right - left, top - LAYER_GAP)


def _layers(operands: Sequence[Sequence[int]]) -> list[int]:
    layer = [0] * len(operands)
    for node, sources in enumerate(operands):
        layer[node] = max((layer[source] + 1 for source in sources), default=0)
    first: dict[int, int] = {}
    for node, sources in enumerate(operands):
        for source in sources:
            first[source] = min(first.get(source, layer[node]), layer[node])
    return [first.get(node, 1) - 1 if not operands[node] else layer[node] for node in range(len(operands))]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _isotonic(values: list[float]) -> list[float]:
    """The nondecreasing sequence nearest to the values in least squares."""
    pools: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            before, size = pools.pop()
            mean = (mean * count + before * size) / (count + size)
            count += size
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]
