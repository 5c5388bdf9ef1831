"""Kept products against cold ones and the whole Hessian; budgets; two points at once; what is not recomputed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nablad.expressions import ROWS, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.problem import Compiled, Problem
from nablad.solvers.models import Layer, LeastSquares, Network

FLOAT = np.dtype(np.float64)
RNG = np.random.default_rng(5)


def network(rows: int = 700, threads: int = 1) -> GraphObjective:
    inputs, targets = RNG.normal(size=(rows, 5)), RNG.normal(size=(rows, 3))
    return Network(inputs, targets, [Layer(7, "tanh"), Layer(6, "gelu"), Layer(3)], ridge=0.1).objective(
        threads=threads
    )


def classifier() -> GraphObjective:
    layers = [Layer(6, "leaky_relu"), Layer(4)]
    inputs, classes = RNG.normal(size=(300, 5)), RNG.integers(0, 4, 300)
    return Network(inputs, classes, layers, loss="softmax_cross_entropy", reduction="mean").objective()


def least_squares() -> GraphObjective:
    return LeastSquares(RNG.normal(size=(400, 6)), RNG.normal(size=400), ridge=0.5).objective()


def curve() -> GraphObjective:
    """A row-wise expression whose rows lie along the last axis, with a comparison that does not move."""
    theta, x = parameter("theta", (4,)), data("x", (ROWS,))
    a, b, c, d = (s.reshape(s.slice_of(theta, [(k, k + 1)]), ()) for k in range(4))
    both = s.concatenate([s.reshape(s.exp(-a * x), (1, ROWS)), s.reshape(s.sin(b * x), (1, ROWS))], 0)
    weighted = s.sum(s.reshape(s.concatenate([s.reshape(c, (1,)), s.reshape(d, (1,))], 0), (2, 1)) * both, [0])
    f = s.sum(s.where(s.greater(weighted, 0.3), s.square(weighted), weighted * b))
    problem = Problem(theta.node, (x.node,), f.node, weighted.node)
    return GraphObjective(Compiled(problem, FLOAT), {"x": np.linspace(0, 2, 500)})


def vector() -> GraphObjective:
    """No data rows: what is kept are vectors of theta's size."""
    theta = parameter("theta", (600,))
    left, right = (s.slice_of(theta, [bounds]) for bounds in ((0, 599), (1, 600)))
    f = s.sum(s.exp(-s.square(left * right)) / (1.0 + s.square(left))) + s.logsumexp(theta)
    return GraphObjective(Compiled(Problem(theta.node, (), f.node, f.node), FLOAT), {})


def mixing() -> GraphObjective:
    """The variance over the rows: not separable."""
    theta, columns = parameter("theta", (3,)), data("x", (ROWS, 3))
    output: Symbol = s.tanh(columns @ theta)
    f = s.sum(s.square(output - s.sum(output) / s.rows()))
    problem = Problem(theta.node, (columns.node,), f.node, output.node)
    return GraphObjective(Compiled(problem, FLOAT), {"x": RNG.normal(size=(90, 3))})


OBJECTIVES: dict[str, Callable[[], GraphObjective]] = {
    f.__name__: f for f in (network, classifier, least_squares, curve, vector, mixing)
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_products_are_those_of_the_hessian(name: str) -> None:
    objective = OBJECTIVES[name]()
    for seed in range(2):
        rng = np.random.default_rng(seed)
        theta, v, w = 0.5 * rng.normal(size=(3, objective.size))
        linear = objective.linearize(theta)
        hessian = objective.hessian(theta)
        scale = np.abs(hessian).max() * np.sqrt(objective.size)
        for direction in (v, w, v):
            found = linear.hvp(direction)
            np.testing.assert_allclose(found, hessian @ direction, rtol=1e-9, atol=1e-13 * scale)
            np.testing.assert_allclose(found, objective.hvp(theta, direction), rtol=1e-10, atol=1e-14 * scale)
        value, gradient = objective.value_and_gradient(theta)
        np.testing.assert_allclose(linear.value, value, rtol=1e-13)
        np.testing.assert_allclose(linear.gradient, gradient, rtol=1e-11, atol=1e-13 * np.abs(gradient).max())


def test_two_points_are_kept_apart() -> None:
    objective = network()
    first, second = RNG.normal(size=(2, objective.size))
    v = RNG.normal(size=objective.size)
    at_first, at_second = objective.linearize(first), objective.linearize(second)
    once = at_first.hvp(v)
    other = at_second.hvp(v)
    assert np.array_equal(once, at_first.hvp(v))
    assert np.array_equal(other, at_second.hvp(v))
    np.testing.assert_allclose(other, objective.hvp(second, v), rtol=1e-9, atol=1e-10)


def test_threads_leave_no_mark() -> None:
    inputs, targets = RNG.normal(size=(5_000, 5)), RNG.normal(size=5_000)
    v = np.linspace(-1, 1, 6 * 7 + 8)
    products = []
    for threads in (1, 2):
        model = Network(inputs, targets, [Layer(7, "tanh"), Layer(1)])
        objective = model.objective(threads=threads)
        products.append(objective.linearize(model.start()).hvp(v))
    assert np.array_equal(*products)


def test_over_the_budget_products_are_cold() -> None:
    objective = network()
    theta, v = RNG.normal(size=(2, objective.size))
    cold = objective.linearize(theta, budget=0)
    assert np.array_equal(cold.hvp(v), objective.hvp(theta, v))
    assert cold.value == objective.value_and_gradient(theta)[0]


def test_calls_are_counted_as_they_are_for_cold_products() -> None:
    for budget in (0, 1 << 30):
        objective = network()
        linear = objective.linearize(np.zeros(objective.size), budget=budget)
        linear.hvp(np.ones(objective.size))
        linear.hvp(np.ones(objective.size))
        counters = objective.counters
        assert (counters.value, counters.gradient, counters.hvp) == (1, 1, 2)


def test_a_product_computes_no_function_of_the_point_again() -> None:
    """Elementary functions and the layers' own products are the primal part's; a product has about half the work."""
    model = Network(RNG.normal(size=(50, 5)), RNG.normal(size=(50, 3)), [Layer(7, "tanh"), Layer(6, "gelu"), Layer(3)])
    parts = model.compiled.kept_product
    assert parts is not None
    body = parts.moving.body
    assert not {node.op for node in body.nodes} & {"tanh", "normal_cdf", "exp", "logsumexp"}
    assert body.flops[0] < 0.7 * model.compiled.program("hvp").body.flops[0]


def test_what_is_kept_is_told_before_it_is_computed() -> None:
    model = Network(np.ones((50, 5)), np.ones((50, 3)), [Layer(7, "tanh"), Layer(3)])
    parts = model.compiled.kept_product
    assert parts is not None
    objective = model.objective()
    results = objective._run("primal", model.start())
    assert parts.bytes(50) == sum(x.nbytes for x in results[2:])
