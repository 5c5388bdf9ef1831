"""Functions to differentiate, each written twice: with symbols, and with autograd's numpy for the oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import autograd.numpy as anp
import numpy as np

from nablad.expressions import ROWS, Graph, Shape, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Expression

Array = Any
RNG = np.random.default_rng(3)
X = RNG.uniform(0.5, 2.0, 7)
Z = RNG.normal(size=(7, 3))
M = RNG.normal(size=(3, 4))


@dataclass(frozen=True)
class Example:
    """f of named parameters and data."""

    name: str
    build: Callable[..., Symbol]
    """(dict of parameter symbols, dict of data symbols) -> f."""
    oracle: Callable[..., Array]
    """The same of arrays."""
    start: Mapping[str, Array]
    data: Mapping[str, Array] = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    """Data whose first axis are rows."""

    def __str__(self) -> str:
        return self.name

    def model(self, residual: bool = False, dtype: Any = np.float64) -> Expression:
        parameters = {k: parameter(k, np.shape(x)) for k, x in self.start.items()}
        columns = {k: data(k, self._shape(k)) for k in self.data}
        inputs = tuple(x.node for x in (*parameters.values(), *columns.values()))
        graph = Graph(inputs, (self.build(parameters, columns).node,))
        start = {k: np.asarray(x, dtype) for k, x in self.start.items()}
        return Expression(graph, start, {k: np.asarray(x, dtype) for k, x in self.data.items()}, residual=residual)

    def flat(self, theta: Array) -> Array:
        """The oracle's f of the flat vector."""
        parts, position = {}, 0
        for name, value in self.start.items():
            size = int(np.size(value))
            parts[name] = anp.reshape(theta[position : position + size], np.shape(value))
            position += size
        return self.oracle(parts, dict(self.data))

    def _shape(self, name: str) -> Shape:
        shape = np.shape(self.data[name])
        return (ROWS, *shape[1:]) if name in self.rows else shape


EXAMPLES = [
    Example(
        "rosenbrock",
        lambda p, d: 100.0 * s.square(p["y"] - s.square(p["x"])) + s.square(1.0 - p["x"]),
        lambda p, d: 100.0 * (p["y"] - p["x"] ** 2) ** 2 + (1.0 - p["x"]) ** 2,
        {"x": -1.2, "y": 1.0},
    ),
    Example(
        "lecture",
        lambda p, d: (
            s.sqrt(s.square(p["x"]) + s.exp(s.square(p["x"]))) + s.cos(s.square(p["x"]) + s.exp(s.square(p["x"])))
        ),
        lambda p, d: anp.sqrt(p["x"] ** 2 + anp.exp(p["x"] ** 2)) + anp.cos(p["x"] ** 2 + anp.exp(p["x"] ** 2)),
        {"x": 0.8},
    ),
    Example(
        "gram matrix",
        lambda p, d: s.matmul(p["R"].T, p["R"]),
        lambda p, d: anp.dot(p["R"].T, p["R"]),
        {"R": RNG.normal(size=(3, 2))},
    ),
    Example(
        "A x",
        lambda p, d: s.matmul(p["A"], p["x"]),
        lambda p, d: anp.dot(p["A"], p["x"]),
        {"A": RNG.normal(size=(3, 4)), "x": RNG.normal(size=4)},
    ),
    Example(
        "many outputs of one parameter",
        lambda p, d: s.sin(p["t"] * X) * s.exp(p["t"]),
        lambda p, d: anp.sin(p["t"] * X) * anp.exp(p["t"]),
        {"t": 0.3},
    ),
    Example(
        "residual of rows",
        lambda p, d: d["x"] - p["a"] * s.exp(-p["b"] * d["x"]),
        lambda p, d: d["x"] - p["a"] * anp.exp(-p["b"] * d["x"]),
        {"a": 1.5, "b": 0.7},
        {"x": X},
        ("x",),
    ),
    Example(
        "two layers",
        lambda p, d: s.tanh(d["z"] @ p["A"].T + p["b"]) @ p["C"].T + s.sum(d["w"]),
        lambda p, d: anp.dot(anp.tanh(anp.dot(d["z"], p["A"].T) + p["b"]), p["C"].T) + anp.sum(d["w"]),
        {"A": RNG.normal(size=(4, 3)), "b": RNG.normal(size=4), "C": RNG.normal(size=(2, 4))},
        {"z": Z, "w": [0.25, 0.5]},
        ("z",),
    ),
    Example(
        "mean over rows",
        lambda p, d: s.sum(s.square(d["x"] - s.exp(p["a"]))) / s.rows() + s.square(p["a"]),
        lambda p, d: anp.sum((d["x"] - anp.exp(p["a"])) ** 2) / 7.0 + p["a"] ** 2,
        {"a": 0.2},
        {"x": X},
        ("x",),
    ),
    Example(
        "sums over rows, one for each column",
        lambda p, d: s.sum(s.sin(d["z"] * p["w"]), [0]),
        lambda p, d: anp.sum(anp.sin(d["z"] * p["w"]), 0),
        {"w": RNG.normal(size=3)},
        {"z": Z},
        ("z",),
    ),
    Example(
        "rows that mix",
        lambda p, d: d["x"] * p["a"] - s.sum(s.exp(p["b"] * d["x"])) / s.rows(),
        lambda p, d: d["x"] * p["a"] - anp.sum(anp.exp(p["b"] * d["x"])) / 7.0,
        {"a": 1.5, "b": -0.7},
        {"x": X},
        ("x",),
    ),
    Example(
        "theta does not matter to one element",
        lambda p, d: s.concatenate([s.reshape(s.exp(p["a"]) * p["b"], (1,)), s.ones((2,))], 0),
        lambda p, d: anp.concatenate([anp.reshape(anp.exp(p["a"]) * p["b"], (1,)), anp.ones(2)]),
        {"a": 0.5, "b": 2.0},
    ),
    Example(
        "every row alike",
        lambda p, d: s.sum(s.square(p["v"])) + s.broadcast_to(p["a"], (ROWS, 2)) * s.sum(d["z"], [1], True),
        lambda p, d: anp.sum(p["v"] ** 2) + p["a"] * anp.sum(d["z"], 1, keepdims=True) * anp.ones((7, 2)),
        {"v": [1.0, 2.0], "a": 3.0},
        {"z": Z},
        ("z",),
    ),
]
