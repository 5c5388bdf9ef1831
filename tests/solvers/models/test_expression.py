"""Expressions as models: what is minimized, what is refused, and a million rows in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize

from nablad import solvers
from nablad.expressions import ROWS, Graph, Shape, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Expression, InvalidModel

RNG = np.random.default_rng(5)
X = np.linspace(0.5, 10.0, 40)
Y = 3.0 * (1.0 - np.exp(-0.4 * X)) + 0.01 * RNG.normal(size=40)


def graph_of(output: Symbol, *inputs: Symbol) -> Graph:
    return Graph(tuple(x.node for x in inputs), (output.node,))


def misra(shape: Shape = (ROWS,)) -> Graph:
    b1, b2, x = parameter("b1", ()), parameter("b2", ()), data("x", shape)
    return graph_of(b1 * (1.0 - s.exp(-b2 * x)), b1, b2, x)


START = {"b1": 2.0, "b2": 0.3}


@pytest.mark.parametrize("shape", [(ROWS,), (40,)], ids=["rows", "fixed"])
def test_a_response_makes_a_sum_of_squares(shape: Shape) -> None:
    model = Expression(misra(shape), START, {"x": X}, Y)
    objective, theta = model.objective(), model.start()
    f = 2.0 * (1.0 - np.exp(-0.3 * X))
    jacobian = -np.stack([1.0 - np.exp(-0.3 * X), 2.0 * X * np.exp(-0.3 * X)], 1)
    assert (model.size, model.names, model.dtype, theta.tolist()) == (2, ("b1", "b2"), np.float64, [2.0, 0.3])
    np.testing.assert_allclose(objective.residual(theta), Y - f, rtol=1e-13)
    np.testing.assert_allclose(objective.value(theta), np.sum((Y - f) ** 2), rtol=1e-13)
    np.testing.assert_allclose(objective.gradient(theta), 2 * jacobian.T @ (Y - f), rtol=1e-12)
    np.testing.assert_allclose(objective.jacobian(theta), jacobian, rtol=1e-13)
    np.testing.assert_allclose(objective.gram(theta).jtj, jacobian.T @ jacobian, rtol=1e-12)
    assert objective.capabilities.residual
    assert objective.capabilities.separable is (shape == (ROWS,))
    report = solvers.solve(objective, solvers.Newton(), theta)
    expected = scipy.optimize.curve_fit(lambda x, a, b: a * (1 - np.exp(-b * x)), X, Y, [2, 0.3], xtol=1e-14)[0]
    assert report.status.success
    np.testing.assert_allclose(report.theta, expected, rtol=1e-7)


def test_a_residual_whose_rows_have_several_entries() -> None:
    """r_n = A z_n - c."""
    A, c, z = parameter("A", (2, 2)), parameter("c", (2,)), data("z", (ROWS, 2))
    points = RNG.normal(size=(30, 2))
    model = Expression(graph_of(z @ A.T - c, A, c, z), {"A": np.eye(2), "c": [1.0, 2.0]}, {"z": points}, residual=True)
    residual = points - [1.0, 2.0]
    np.testing.assert_allclose(model.objective().residual(model.start()), residual.reshape(-1), rtol=1e-14)
    np.testing.assert_allclose(model.objective().value(model.start()), np.sum(residual**2), rtol=1e-13)
    assert model.objective().capabilities.affine
    assert model.rows == 30


def test_a_fixed_residual_of_two_axes() -> None:
    A = parameter("A", (3, 2))
    target = RNG.normal(size=(3, 2))
    model = Expression(graph_of(s.square(A), A), {"A": np.ones((3, 2))}, response=target)
    np.testing.assert_allclose(model.objective().gram(model.start()).jtr, 2.0 * -(target - 1.0).ravel(), rtol=1e-13)
    assert model.objective().hessian(model.start()).shape == (6, 6)


def test_a_scalar_is_its_own_objective_and_an_array_none() -> None:
    x = parameter("x", (2,))
    scalar = Expression(graph_of(s.sum(s.exp(x)), x), {"x": [0.0, 1.0]})
    assert scalar.solvable
    np.testing.assert_allclose(scalar.objective().gradient(scalar.start()), np.exp([0.0, 1.0]), rtol=1e-15)
    array = Expression(graph_of(s.exp(x), x), {"x": [0.0, 1.0]})
    assert not array.solvable
    assert array.cost().parameters == 2
    with pytest.raises(InvalidModel, match="residual=True") as refused:
        array.objective()
    assert refused.value.field == "model"


def test_a_scalar_is_stretched_to_its_response() -> None:
    m = parameter("m", ())
    model = Expression(graph_of(s.exp(m), m), {"m": 0.0}, response=Y)
    np.testing.assert_allclose(model.objective().gradient(np.array([0.5])), -2 * np.exp(0.5) * np.sum(Y - np.exp(0.5)))
    assert model.rows == 40
    single = Expression(graph_of(s.exp(m), m), {"m": 0.0}, response=2.0)
    np.testing.assert_allclose(single.objective().value(np.zeros(1)), 1.0)


def test_a_result_whose_rows_are_not_in_front_is_computed_whole() -> None:
    w, z = parameter("w", (3,)), data("z", (ROWS, 3))
    points = RNG.normal(size=(7, 3))
    model = Expression(graph_of((z * w).T, w, z), {"w": np.ones(3)}, {"z": points}, residual=True)
    np.testing.assert_allclose(model.objective().residual(model.start()), points.T.reshape(-1))
    gram = z @ (s.reshape(w, (3, 1)) * z.T)
    square = Expression(graph_of(gram, w, z), {"w": np.ones(3)}, {"z": points}, np.eye(7))
    np.testing.assert_allclose(square.objective().value(np.ones(3)), np.sum((np.eye(7) - points @ points.T) ** 2))


def test_names_of_the_engine_may_be_used() -> None:
    theta, direction, response = parameter("theta", ()), data("direction", (ROWS,)), data("response", (ROWS,))
    f = theta * direction + response
    model = Expression(graph_of(f, theta, direction, response), {"theta": 1.0}, {"direction": X, "response": X}, Y)
    np.testing.assert_allclose(model.objective().hessian(model.start()), [[2 * X @ X]], rtol=1e-13)


def test_single_precision_only_where_everything_is() -> None:
    x, start = X.astype(np.float32), {"b1": np.float32(2), "b2": np.float32(0.3)}
    single = Expression(misra(), start, {"x": x}, Y.astype(np.float32))
    assert single.dtype == np.float32
    assert single.objective().gradient(single.start()).dtype == np.float32
    assert Expression(misra(), start, {"x": x}, Y).dtype == np.float64
    assert Expression(misra(), START, {"x": x}).dtype == np.float64


def test_predictions() -> None:
    model = Expression(misra(), START, {"x": X}, Y)
    new = np.array([1.0, 2.0])
    expected = 3.0 * (1.0 - np.exp(-0.4 * new))
    np.testing.assert_allclose(model.predict([3.0, 0.4], new), expected, rtol=1e-14)
    np.testing.assert_allclose(model.predict([3.0, 0.4], {"x": new}), expected, rtol=1e-14)
    a, u, v, w = parameter("a", ()), data("u", (ROWS,)), data("v", (ROWS,)), data("w", (2,))
    two = Expression(graph_of(a * u * v + s.sum(w), a, u, v, w), {"a": 2.0}, {"u": X, "v": X, "w": [1.0, 2.0]}, Y)
    np.testing.assert_allclose(two.predict([2.0], {"u": new, "v": new}), 2 * new * new + 3, rtol=1e-14)
    for inputs, field in [(new, "inputs"), ({"u": new}, "inputs.v"), ({"u": new, "v": X}, "inputs.v")]:
        with pytest.raises(InvalidModel) as refused:
            two.predict([2.0], inputs)
        assert refused.value.field == field
    with pytest.raises(InvalidModel, match="no such data"):
        two.predict([2.0], {"u": new, "v": new, "z": new})


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("start", {"start": {}}, "at least one"),
    ("start.b2", {"start": {"b1": 1.0}}, "missing"),
    ("start.b9", {"start": {**START, "b9": 1.0}}, "no such parameter"),
    ("start.b1", {"start": {**START, "b1": [1.0]}}, "shape"),
    ("start.b1", {"start": {**START, "b1": np.inf}}, "finite"),
    ("start.b1", {"start": {**START, "b1": 1j}}, "complex"),
    ("start.b1", {"start": {**START, "b1": "one"}}, "dtype"),
    ("start.b1", {"start": {**START, "b1": [[1.0], [1.0, 2.0]]}}, "not an array"),
    ("data.x", {"data": {}}, "missing"),
    ("data.x[2]", {"data": {"x": [1.0, 2.0, np.nan]}}, "finite"),
    ("data.x", {"data": {"x": np.ones((40, 1))}}, "shape"),
    ("data.x", {"data": {"x": []}}, "empty"),
    ("data.x", {"data": {"x": X + 1j}}, "complex"),
    ("data.z", {"data": {"x": X, "z": X}}, "no such data"),
    ("response", {"response": Y[:-1]}, "39 rows, but"),
    ("response", {"response": np.ones((40, 2, 1))}, "does not stretch"),
    ("response[1]", {"response": np.array([0.0, np.inf])}, "finite"),
    ("residual", {"residual": True}, "a response is given"),
]


@pytest.mark.parametrize(("field", "change", "text"), REFUSED, ids=lambda x: x if isinstance(x, str) else "")
def test_what_cannot_be_is_refused_with_its_field(field: str, change: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"start": START, "data": {"x": X}, "response": Y} | change
    with pytest.raises(InvalidModel, match=text) as refused:
        Expression(misra(), **given)
    assert refused.value.field == field


def test_graphs_that_are_no_expression_are_refused() -> None:
    x, y = parameter("x", ()), parameter("y", ())
    with pytest.raises(InvalidModel, match="true or false"):
        Expression(graph_of(s.greater(x, 0.0), x), {"x": 1.0})
    with pytest.raises(InvalidModel, match="not used") as refused:
        Expression(graph_of(s.exp(x), x, y), {"x": 1.0, "y": 2.0})
    assert refused.value.field == "start.y"
    with pytest.raises(InvalidModel, match="2 outputs"):
        Expression(Graph((x.node,), (x.node, s.exp(x).node)), {"x": 1.0})
    u, v = data("u", (ROWS,)), data("v", (ROWS,))
    with pytest.raises(InvalidModel, match=r"3 rows, but data\.u has 2"):
        Expression(graph_of(x * u * v, x, u, v), {"x": 1.0}, {"u": np.ones(2), "v": np.ones(3)})


def test_a_million_rows_in_bounded_memory() -> None:
    """y = a exp(-b x) + c, with every buffer of every program counted, and Newton run to the end."""
    rows = 1_000_000
    a, b, c, x = parameter("a", ()), parameter("b", ()), parameter("c", ()), data("x", (ROWS,))
    columns = np.linspace(0.0, 5.0, rows)
    truth = np.array([2.0, 1.3, 0.5])
    response = truth[0] * np.exp(-truth[1] * columns) + truth[2]
    start = {"a": 1.8, "b": 1.2, "c": 0.4}
    model = Expression(graph_of(a * s.exp(-b * x) + c, a, b, c, x), start, {"x": columns}, response)
    for name in ("value", "value_and_gradient", "hvp", "hessian", "jacobian"):
        program = model.compiled.program(name)
        assert program.separable
        assert program.bytes(rows) < 4 << 20, name
        assert program.bytes(100 * rows) == program.bytes(rows)
    objective, theta = model.objective(threads=2), model.start()
    assert model.cost().workspace_bytes < 4 << 20 < model.cost().tape_bytes
    decay = np.exp(-theta[1] * columns)
    jacobian = -np.stack([decay, -theta[0] * columns * decay, np.ones(rows)], 1)
    residual = response - (theta[0] * decay + theta[2])
    np.testing.assert_allclose(objective.value(theta), residual @ residual, rtol=1e-11)
    np.testing.assert_allclose(objective.gradient(theta), 2 * jacobian.T @ residual, rtol=1e-10)
    np.testing.assert_allclose(objective.gram(theta).jtj, jacobian.T @ jacobian, rtol=1e-11)
    curvature = 2 * jacobian.T @ jacobian
    cross = 2 * residual @ (columns * decay)
    curvature[0, 1] += cross
    curvature[1, 0] += cross
    curvature[1, 1] -= 2 * residual @ (theta[0] * columns**2 * decay)
    np.testing.assert_allclose(objective.hessian(theta), curvature, rtol=1e-10)
    report = solvers.solve(objective, solvers.Newton(), theta)
    assert report.status.success
    np.testing.assert_allclose(report.theta, truth, rtol=1e-12)


def test_text_and_code_make_the_same_model() -> None:
    text = Expression.parse("b1*(1 - exp(-b2*x))", data={"x": X}, response=Y, start=START)
    code = Expression.trace(
        lambda p, d: p["b1"] * (1 - np.exp(-p["b2"] * d["x"])), data={"x": X}, response=Y, start=START
    )
    assert text.graph == code.graph == misra()
    assert text.problem == code.problem
    single = Expression.trace(lambda theta: (theta**2).sum(), start=[1.0, 2.0])
    assert (single.names, single.objective().value(single.start())) == (("theta",), 5.0)
    # what tells rows apart has fixed shapes
    ends = Expression.parse("a*x[-1] - x[0]", data={"x": X}, start={"a": 2.0})
    assert ends.objective().value(ends.start()) == 2 * X[-1] - X[0]


@pytest.mark.parametrize(
    ("text", "given", "field", "words"),
    [
        ("b1*(1 - exp(-b2*x)", {}, "text", "never closed"),
        ("b1 + b2 + b3", {}, "text", "b3"),
        ("b1*x + b2*z", {"data": {"x": X, "z": np.ones(3)}}, "text", "40"),
        ("b1*x", {}, "start.b2", "not used"),
        ("b1 + b2", {"data": {"b1": X}}, "data.b1", "both"),
        ("b1 + b2", {"start": {**START, "2b": 1.0}}, "start.2b", "name"),
    ],
)
def test_texts_that_cannot_be(text: str, given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidModel, match=words) as refused:
        Expression.parse(text, **{"data": {"x": X}, "start": START, **given})
    assert refused.value.field == field
