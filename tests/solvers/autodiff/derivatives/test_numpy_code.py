"""Ordinary numpy code through every way: arrays and linear algebra against autograd, data rows against fixed shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from nablad.expressions import trace
from nablad.solvers import Derivatives, Expression

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
B = RNG.normal(size=3)
BOTH = {"A": A, "b": B}
JACOBIAN_WAYS = ("forward", "reverse", "forward_compressed", "reverse_compressed")
HESSIAN_WAYS = ("forward_over_reverse", "forward_over_forward")

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Mapping[str, Any]]] = {
    "det": (lambda p: np.linalg.det(p["A"]), {"A": A}),
    "logdet": (lambda p: np.linalg.slogdet(p["A"])[1], {"A": A}),
    "inv": (lambda p: np.linalg.inv(p["A"]), {"A": A}),
    "solve": (lambda p: np.linalg.solve(p["A"], p["b"]), BOTH),
    "cholesky": (lambda p: np.linalg.cholesky(p["A"] @ p["A"].T + 0.1 * np.eye(3)), {"A": A}),
    "einsum": (lambda p: np.einsum("ij,jk,k->i", p["A"], p["A"], p["b"]), BOTH),
    "quadratic form": (lambda p: p["b"] @ p["A"] @ p["b"], BOTH),
    "trace": (lambda p: np.trace(p["A"] @ p["A"] @ p["A"]), {"A": A}),
    "norm": (lambda p: np.linalg.norm(p["b"]), {"b": B}),
    "variance": (lambda p: np.var(p["A"], axis=0), {"A": A}),
    "product": (lambda p: np.prod(p["A"], axis=1), {"A": A}),
    "running sum": (lambda p: np.cumsum(p["b"]) ** 2, {"b": B}),
    "largest": (lambda p: np.max(p["A"], axis=0) ** 2, {"A": A}),
    "where": (lambda p: np.where(p["b"] > 0, p["b"] ** 3, np.sin(p["b"])), {"b": B}),
    "power": (lambda p: np.abs(p["b"]) ** p["b"], {"b": B}),
    "outer": (lambda p: np.outer(p["b"], np.exp(p["b"])), {"b": B}),
    "triangles": (lambda p: np.tril(p["A"]) @ np.triu(p["A"]), {"A": A}),
    "concatenate": (lambda p: np.concatenate([p["b"], p["A"].ravel() ** 2]), BOTH),
    "index": (lambda p: p["b"][[2, 0, 0]] ** 2, {"b": B}),
    "diagonals": (lambda p: np.diag(p["b"]) @ p["A"] + np.diag(np.diag(p["A"])), BOTH),
}

N = 9
X, x, GROUP = RNG.normal(size=(N, 3)), RNG.uniform(0.5, 2.0, N), RNG.integers(0, 3, N)
BY_ROWS: dict[str, tuple[Callable[[Any, Any], Any], Mapping[str, Any], Mapping[str, Any]]] = {
    "inverse": (lambda p, d: d["X"] @ np.linalg.inv(p["A"]).T, {"A": A}, {"X": X}),
    "columns": (lambda p, d: d["X"][:, 0] * p["b"][0] + np.exp(d["X"][:, 1] * p["b"][1]), {"b": B}, {"X": X}),
    "groups": (lambda p, d: p["b"][d["g"]] * d["x"] ** 2 + p["b"][0] ** 2, {"b": B}, {"g": GROUP, "x": x}),
    "bumps": (lambda p, d: np.exp(-((d["x"][:, None] - p["b"]) ** 2).sum(axis=1)), {"b": B}, {"x": x}),
    "quadratic": (lambda p, d: np.einsum("ni,ij,nj->n", d["X"], p["A"], d["X"]), {"A": A}, {"X": X}),
    "softmax": (
        lambda p, d: np.exp(d["X"] @ p["A"]) / np.exp(d["X"] @ p["A"]).sum(axis=1, keepdims=True),
        {"A": A},
        {"X": X},
    ),
    "distance": (lambda p, d: np.linalg.norm(d["X"] - p["b"], axis=1), {"b": B}, {"X": X}),
    "mean taken off": (lambda p, d: d["x"] * p["b"] - np.mean(d["x"] * p["b"]), {"b": 0.5}, {"x": x}),
    "two outputs": (lambda p, d: np.stack([d["x"] * p["a"], d["x"] ** p["b"]], axis=1), {"a": 0.5, "b": 2.5}, {"x": x}),
    "pairs": (lambda p, d: np.exp(-((d["x"][:, None] - d["x"][None, :]) ** 2) / p["b"]), {"b": 0.5}, {"x": x}),
    "matrix a row": (lambda p, d: np.linalg.det(d["x"][:, None, None] * p["A"]), {"A": A}, {"x": x}),
    "summed": (lambda p, d: np.maximum(d["X"] @ p["b"], 0).sum(), {"b": B}, {"X": X}),
}


def near(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    scale = max(1e-3, float(np.max(np.abs(expected))))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_autograd(name: str) -> None:
    function, start = FUNCTIONS[name]
    model = Expression.trace(function, start=start)
    derivatives, theta = Derivatives(model), model.start()
    points = np.stack([theta, 1.01 * theta])
    # the same code, with autograd's numpy where it says np
    twin = FunctionType(function.__code__, {**function.__globals__, "np": anp})

    def flat(vector: Any) -> Any:
        parts, position = {}, 0
        for key, shape in model.layout.shapes.items():
            size = int(np.prod(shape))
            parts[key] = anp.reshape(vector[position : position + size], shape)
            position += size
        return twin(parts)

    jacobian, hessian = autograd.jacobian(flat), autograd.jacobian(autograd.jacobian(flat))
    for way in JACOBIAN_WAYS:
        near(derivatives.jacobian(points, way=way).array, [jacobian(point) for point in points])
    for way in HESSIAN_WAYS:
        near(derivatives.hessian(points, "output", way).array, [hessian(point) for point in points], 1e-11)
    assert derivatives.check(theta).passed
    assert derivatives.describe(theta=theta).total_nodes > 0


@pytest.mark.parametrize("name", BY_ROWS)
def test_rows_and_fixed_shapes_say_the_same(name: str) -> None:
    function, start, data = BY_ROWS[name]
    by_rows = Expression.trace(function, start=start, data=data)
    shapes = [{k: np.shape(v) for k, v in given.items()} for given in (start, data)]
    fixed = Expression(trace(function, shapes[0], shapes[1]).graph, start, data)
    theta = fixed.start()
    points = np.stack([theta, 1.01 * theta])
    exact = Derivatives(fixed)
    jacobian = exact.jacobian(points, way="forward").array
    hessian = exact.hessian(points, "output", "forward_over_forward").array
    taylor = exact.taylor(points, theta, 3)
    for derivatives in (Derivatives(by_rows), exact):
        for way in (None, *JACOBIAN_WAYS):
            near(derivatives.jacobian(points, way=way).array, jacobian)
        for way in (None, *HESSIAN_WAYS):
            near(derivatives.hessian(points, "output", way).array, hessian)
        near(derivatives.taylor(points, theta, 3), taylor)
    assert Derivatives(by_rows).check(theta).passed
    squares = Expression.trace(function, start=start, data=data, residual=True)
    near(squares.objective().hessian(theta), Derivatives(squares).hessian(theta).array)
