"""Recognition of a layered spine: z_l = A_l f_{l-1} + b_l, f_l = sigma_l(z_l), and a loss of z_K, in any graph.

What is looked for in the graph of an objective f(theta, data):

    weights           views of theta: slices, reshapes and transposes of it, each element read once. Where they lie is
                      found by evaluating that part of the graph on 0, 1, ..., p - 1
    pre-activations   z_l = f_{l-1} A_l' (+ b_l), a matrix product of a view with something that has the data rows along
                      one axis; f_0 does not depend on theta
    activations       f_l depends on z_l elementwise, and on nothing else that depends on theta
    the loss          df/dz_K, where z_K stands for itself, is free of theta, and its row n needs row n of z_K only;
                      so f = sum_n loss_n(z_{K,n}) + penalty(theta)

Each is proved of the graph's structure, or the answer is None: for shared weights, connections that skip a layer,
several products of one layer, scales that are parameters, batch statistics, and rows whose number is written into the
graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nablad.expressions import ROWS, Graph, Node, Shape, Symbol, input_node, rebuild, topological
from nablad.expressions import symbols as s
from nablad.expressions.dimension import concrete, row_size
from nablad.solvers.autodiff.ops import MEANING, Pointwise
from nablad.solvers.autodiff.rows import classify
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.transform import NotDifferentiable, gradient

Places = NDArray[np.intp]

VIEWS = ("slice", "reshape", "transpose", "broadcast_to")


@dataclass(frozen=True, eq=False)
class Layer:
    """z = A f + b for each data row: `width` outputs of `fan_in` inputs."""

    places: Places
    """Where A and b lie in theta, (width, fan_in), or (width, fan_in + 1) with b as the last column."""
    weights: Symbol
    """A, (width, fan_in)."""
    biased: bool
    entering: Symbol
    """f, (ROWS, fan_in)."""
    product: Node
    pre_activation: Node
    """z as the graph has it: (ROWS, width), (width, ROWS), or (ROWS,) where the width is 1."""

    @property
    def width(self) -> int:
        return int(self.places.shape[0])

    @property
    def fan_in(self) -> int:
        return int(self.places.shape[1]) - self.biased


@dataclass(frozen=True, eq=False)
class Spine:
    """f(theta) = sum_n loss_n(z_{K,n}) + penalty(theta)."""

    layers: tuple[Layer, ...]
    output: Node
    """A stand-in for z_K, (ROWS, C)."""
    slope: Node
    """df/dz_K in terms of the stand-in, (ROWS, C)."""
    penalty_gradient: Node | None
    """The penalty's gradient (p,), free of data rows; None where there is no penalty."""


def find_spine(objective: Node, theta: Node) -> Spine | None:
    """The spine of a scalar objective of the vector theta, None where it has none."""
    if objective.shape != ():
        return None
    (objective,) = simplify(Graph(_leaves(objective), (objective,))).outputs
    layers = _layers(objective, theta)
    if not layers or not _disjoint(layers):
        return None
    return _with_loss(objective, theta, layers)


def in_terms_of_output(spine: Spine, node: Node, theta: Node) -> Node | None:
    """What the problem has over its rows as a function of the stand-in for z_K; None if it depends on theta elsewise.

    Also None unless its row n needs row n of z_K only, with the rows along the first axis.
    """
    graph = simplify(Graph(_leaves(node), (node,)))
    last = spine.layers[-1].pre_activation
    (found,) = rebuild(graph.outputs, {last: as_in(last, Symbol(spine.output)).node})
    if theta in topological([found]) or found.shape[:1] != (ROWS,):
        return None
    classes = classify(Graph(_leaves(found), (found,)))
    return found if classes is not None and classes[found] == "row" else None


def rows_first(x: Symbol) -> Symbol:
    """(ROWS, w), (w, ROWS) or (ROWS,) as (ROWS, w)."""
    if x.ndim == 1:
        return s.reshape(x, (ROWS, 1))
    return x if x.shape[0] is ROWS else s.transpose(x, (1, 0))


def as_in(node: Node, x: Symbol) -> Symbol:
    """(ROWS, w) in the shape that `node` has: the inverse of `rows_first`."""
    if len(node.shape) == 1:
        return s.reshape(x, (ROWS,))
    return x if node.shape[0] is ROWS else s.transpose(x, (1, 0))


def _leaves(node: Node) -> tuple[Node, ...]:
    return tuple(x for x in topological([node]) if x.op == "input")


@dataclass(frozen=True)
class _Product:
    """A matrix product of something over the rows with a view of theta."""

    node: Node
    entering: Node
    view: Node
    weights: Symbol


def _layers(objective: Node, theta: Node) -> list[Layer]:
    """The chain of layers from the data upward; empty where there is none, or no single one."""
    nodes = topological([objective])
    moving = {theta}
    for node in nodes:
        if any(x in moving for x in node.operands):
            moving.add(node)
    views = _views(nodes, theta)
    products = [found for node in nodes if (found := _product(node, views)) is not None]
    readers: dict[Node, list[Node]] = {}
    for node in nodes:
        for x in dict.fromkeys(node.operands):
            readers.setdefault(x, []).append(node)
    current = [x for x in products if x.entering not in moving]
    layers: list[Layer] = []
    while len(current) == 1:
        layer = _layer(current[0], views, readers)
        if layer is None:
            return []
        layers.append(layer)
        reached = _elementwise(nodes, layer.pre_activation, moving)
        current = [x for x in products if x.entering in reached]
    return [] if current else layers


def _views(nodes: Sequence[Node], theta: Node) -> dict[Node, Places]:
    """What only moves elements of theta about, with the index of each; a stretch over the rows counts as one row."""
    (size,) = theta.shape
    assert isinstance(size, int)
    views: dict[Node, Places] = {theta: np.arange(size)}
    for node in nodes:
        if node.op in VIEWS and node.operands[0] in views:
            views[node] = MEANING[node.op].evaluate(views[node.operands[0]], *concrete(node.attributes, 1))
    return views


def _product(node: Node, views: dict[Node, Places]) -> _Product | None:
    if node.op != "matmul" or sorted(row_size(x.shape)[0] for x in node.operands) != [0, 1]:
        return None
    left, right = node.operands
    if right in views and left.shape[0] is ROWS and len(left.shape) == 2:
        flat = len(right.shape) == 1
        weights = s.reshape(Symbol(right), (1, *right.shape)) if flat else s.transpose(Symbol(right), (1, 0))
        return _Product(node, left, right, weights)
    if left in views and len(left.shape) == 2 and len(right.shape) == 2 and right.shape[1] is ROWS:
        return _Product(node, right, left, Symbol(left))
    return None


def _layer(product: _Product, views: dict[Node, Places], readers: dict[Node, list[Node]]) -> Layer | None:
    node = product.node
    places = views[product.view]
    places = places if product.weights.node is product.view else np.atleast_2d(places.T)
    biased = False
    reading = readers.get(node, [])
    if len(reading) == 1 and reading[0].op == "add" and reading[0].shape == node.shape:
        others = [x for x in reading[0].operands if x is not node]
        if len(others) == 1 and others[0] in views:
            stretched = np.broadcast_to(views[others[0]], concrete(node.shape, 1))
            places = np.concatenate([places, stretched.reshape(-1, 1)], 1)
            node, biased = reading[0], True
    if not places.size:
        return None
    return Layer(places, product.weights, biased, rows_first(Symbol(product.entering)), product.node, node)


def _elementwise(nodes: Sequence[Node], pre_activation: Node, moving: set[Node]) -> set[Node]:
    """What depends on the pre-activation element by element, in the same or the transposed order."""
    reached = {pre_activation}
    shapes = _arrangements(pre_activation.shape)
    for node in nodes:
        if node.shape not in shapes or not any(x in reached for x in node.operands):
            continue
        if not all(x in reached or x not in moving for x in node.operands):
            continue
        if isinstance(MEANING[node.op].derivative, Pointwise):
            if all(x.shape == node.shape for x in node.operands if x in reached):
                reached.add(node)
        elif node.op == "transpose" or (node.op == "reshape" and len(shapes) > 2):
            reached.add(node)
    return reached


def _arrangements(shape: Shape) -> set[Shape]:
    """The shapes in which the rows' elements may stand."""
    (width,) = [d for d in shape if d is not ROWS] or [1]
    two: set[Shape] = {(ROWS, width), (width, ROWS)}
    return two | {(ROWS,)} if width == 1 else two


def _disjoint(layers: Sequence[Layer]) -> bool:
    """Whether each element of theta is read once."""
    every = np.concatenate([layer.places.reshape(-1) for layer in layers])
    return len(np.unique(every)) == every.size


def _with_loss(objective: Node, theta: Node, layers: Sequence[Layer]) -> Spine | None:
    last = layers[-1]
    output = input_node("the last pre-activation", (ROWS, last.width), "data")
    (loss,) = rebuild([objective], {last.pre_activation: as_in(last.pre_activation, Symbol(output)).node})
    try:
        slope, penalty = gradient(loss, [output, theta])
    except NotDifferentiable:
        return None
    graph = simplify(Graph(_leaves(loss), (slope.node, penalty.node)))
    below = set(topological(graph.outputs[:1]))
    beside = topological(graph.outputs[1:])
    if theta in below or any(row_size(x.shape)[0] for x in beside):
        return None
    classes = classify(Graph(graph.inputs, graph.outputs[:1]))
    if classes is None or classes[graph.outputs[0]] != "row":
        return None
    return Spine(tuple(layers), output, graph.outputs[0], graph.outputs[1] if theta in beside else None)
