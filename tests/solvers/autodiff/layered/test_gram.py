"""J, and J'J, of layered residuals against forward mode with p directions and the folds over it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nablad.expressions import Graph
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.problem import Compiled
from nablad.solvers.models import Expression, Layer, Network
from nablad.solvers.models.activations import ACTIVATIONS
from nablad.solvers.models.base import Model
from nablad.solvers.objective import Gram


def forward(model: Model) -> GraphObjective:
    """The plain path: an objective that knows of no layers."""
    compiled = Compiled(model.problem, model.dtype)
    vars(compiled).update(layered=None)
    return GraphObjective(compiled, model.data)


def agrees(model: Model, theta: np.ndarray, tolerance: float = 1e-13) -> Gram:
    objective, slow = model.objective(), forward(model)
    assert objective._compiled.layered_gram is not None
    assert objective._compiled.reverse_jacobian is not None
    jacobian, expected = objective.jacobian(theta), slow.jacobian(theta)
    np.testing.assert_allclose(jacobian, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(objective.column_norms(theta), slow.column_norms(theta), rtol=100 * tolerance)
    found, plain = objective.gram(theta), slow.gram(theta)
    triangle = objective.tsqr(theta)
    square = triangle.r.T @ triangle.r
    np.testing.assert_allclose(square, plain.jtj, rtol=0, atol=10 * tolerance * np.abs(plain.jtj).max())
    np.testing.assert_array_equal(found.jtj, found.jtj.T)
    for one, other in ((found.jtj, plain.jtj), (found.jtr, plain.jtr), (found.rtr, plain.rtr)):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())
    return found


@settings(max_examples=10, deadline=None)
@given(
    widths=st.lists(st.integers(1, 20), min_size=3, max_size=5),
    rows=st.integers(1, 70),
    last=st.sampled_from(sorted(ACTIVATIONS)),
    reduction=st.sampled_from(("sum", "mean")),
    ridge=st.sampled_from((0.0, 0.3)),
    seed=st.integers(0, 1_000),
)
def test_any_network(widths: list[int], rows: int, last: str, reduction: str, ridge: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = [*(Layer(w, "sigmoid") for w in widths[1:-1]), Layer(widths[-1], last)]
    inputs, targets = rng.standard_normal((rows, widths[0])), rng.standard_normal((rows, widths[-1]))
    model = Network(inputs, targets, layers, reduction=reduction, ridge=ridge)
    theta = rng.standard_normal(model.size)
    found = agrees(model, theta)
    np.testing.assert_allclose(2 * found.jtr, model.objective().gradient(theta), rtol=0, atol=1e-12 * abs(theta).size)
    np.testing.assert_allclose(found.rtr, model.objective().value(theta), rtol=1e-12)


def test_an_expression_with_columns_of_outputs() -> None:
    rng = np.random.default_rng(3)
    data = {"x": rng.standard_normal((50, 3)), "s": rng.uniform(0.5, 2.0, 50)}
    start = {"A": rng.standard_normal((4, 3)), "w": rng.standard_normal((2, 4))}
    model = Expression.trace(
        lambda p, d: np.sin(np.tanh(d["x"] @ p["A"].T) @ p["w"].T) * d["s"][:, None],
        data=data,
        start=start,
        response=rng.standard_normal((50, 2)),
    )
    agrees(model, model.initial())


def test_bits_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(5)
    model = Network(
        rng.standard_normal((3_000, 6)), rng.standard_normal(3_000), [Layer(20, "tanh"), Layer(18), Layer(1)]
    )
    theta = rng.standard_normal(model.size)
    one, many = model.objective(threads=1).gram(theta), model.objective(threads=3).gram(theta)
    np.testing.assert_array_equal(one.jtj, many.jtj)
    np.testing.assert_array_equal(one.jtr, many.jtr)
    assert one.rtr == many.rtr


def test_float32() -> None:
    rng = np.random.default_rng(6)
    inputs, targets = rng.standard_normal((200, 4)).astype("f4"), rng.standard_normal((200, 2)).astype("f4")
    model = Network(inputs, targets, [Layer(9, "gelu"), Layer(2)], ridge=0.1)
    found = agrees(model, model.initial(), 5e-5)
    assert found.jtj.dtype == found.jtr.dtype == np.float32


def test_complex_step() -> None:
    """r at theta + i h e_k in the interpreter: no derivative is taken."""
    rng = np.random.default_rng(8)
    layers = [Layer(4, "tanh"), Layer(3, "silu"), Layer(2, "sin")]
    model = Network(rng.standard_normal((9, 2)), rng.standard_normal((9, 2)), layers, reduction="mean")
    theta = rng.standard_normal(model.size)
    residual = model.problem.residual
    assert residual is not None
    graph = Graph((model.problem.parameters, *model.problem.data), (residual,))
    columns = []
    for k in range(model.size):
        moved = theta.astype(complex)
        moved[k] += 1e-30j
        (r,) = interpret(graph, {**model.data, "theta": moved})
        columns.append(r.imag.reshape(-1) / 1e-30)
    found, jacobian = agrees(model, theta), np.array(columns).T
    np.testing.assert_allclose(model.objective().jacobian(theta), jacobian, rtol=0, atol=1e-14 * np.abs(jacobian).max())
    product = jacobian.T @ jacobian
    np.testing.assert_allclose(found.jtj, product, rtol=0, atol=1e-14 * np.abs(product).max())


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_no_jacobian_is_made(ridge: float) -> None:
    rng = np.random.default_rng(7)
    model = Network(rng.standard_normal((30, 2)), rng.standard_normal(30), [Layer(5, "tanh"), Layer(1)], ridge=ridge)
    objective = model.objective()
    objective.gram(model.initial())
    assert "jacobian" not in objective._evaluators
    assert objective.counters.jacobian == objective.counters.residual == 1


def test_parameters_in_another_order_than_the_layers() -> None:
    """Whole pieces in any order, and by columns, are put side by side; others go by forward mode."""
    rng = np.random.default_rng(9)
    data = {"x": rng.standard_normal((30, 3))}
    parts = {"w": rng.standard_normal(4), "A": rng.standard_normal((4, 3)), "b": rng.standard_normal(4)}
    response = rng.standard_normal(30)
    model = Expression.trace(
        lambda p, d: np.tanh(d["x"] @ p["A"].T + p["b"]) @ p["w"], data=data, start=parts, response=response
    )
    agrees(model, model.initial())
    turned = Expression.trace(
        lambda p, d: np.tanh(d["x"] @ p["A"] + p["b"]) @ p["w"],
        data=data,
        start=parts | {"A": parts["A"].T},
        response=response,
    )
    agrees(turned, turned.initial())
    apart = Expression.trace(
        lambda p, d: np.tanh(d["x"] @ p["A"][:, ::2] + p["b"]) @ p["w"],
        data=data,
        start=parts | {"A": rng.standard_normal((3, 8))},
        response=response,
    )
    objective, slow, theta = apart.objective(), forward(apart), apart.initial()
    assert objective._compiled.layered_gram is not None
    assert objective._compiled.reverse_jacobian is None
    np.testing.assert_allclose(objective.gram(theta).jtj, slow.gram(theta).jtj, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(objective.jacobian(theta), slow.jacobian(theta))


def test_reverse_mode_takes_fewer_operations() -> None:
    rng = np.random.default_rng(10)
    for widths in ((4, 10, 1), (8, 20, 20, 4)):
        layers = [Layer(w, "tanh") for w in widths[1:]]
        model = Network(rng.standard_normal((9, widths[0])), rng.standard_normal((9, widths[-1])), layers)
        reverse, pushed = (x._compiled.program("jacobian").body.flops[0] for x in (model.objective(), forward(model)))
        assert reverse < pushed / 10
