"""Derivatives through both clients and a real server: forms of theta, jobs, details, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad.client import (
    Conflict,
    CsrMatrix,
    Derivation,
    DerivativeCheck,
    Expression,
    GradientDescent,
    GraphDescription,
    InvalidRequest,
    Layer,
    LeastSquares,
    Named,
    Network,
    Newton,
    NotFound,
    RecordTheta,
    Stopping,
)

ROSENBROCK = Expression.parse("100*(x2 - x1**2)**2 + (1 - x1)**2", start={"x1": -1.2, "x2": 1.0})


def rosenbrock_gradient(a: Any, b: Any) -> Any:
    return np.stack([-400 * a * (b - a * a) - 2 * (1 - a), 200 * (b - a * a)], axis=-1)


def lecture(p: Any) -> Any:
    x = p["x"]
    return np.sqrt(x**2 + np.exp(x**2)) + np.cos(x**2 + np.exp(x**2))


LECTURE = Expression.trace(lecture, start={"x": 1.0})
B = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]])
MATRIX = Expression.trace(lambda A: A @ B.T, start=np.arange(6.0).reshape(2, 3))


def test_a_flat_theta_gives_flat_arrays(client: Any) -> None:
    theta = [0.5, 2.0]
    assert client.value(ROSENBROCK, theta) == pytest.approx(100 * 1.75**2 + 0.25)
    assert isinstance(client.value(ROSENBROCK, theta), float)
    np.testing.assert_allclose(client.gradient(ROSENBROCK, theta), rosenbrock_gradient(0.5, 2.0), rtol=1e-13)
    H = client.hessian(ROSENBROCK, theta)
    np.testing.assert_allclose(H, [[1200 * 0.25 - 800 + 2, -200.0], [-200.0, 200.0]], rtol=1e-13)
    np.testing.assert_allclose(client.hvp(ROSENBROCK, theta, [1.0, 2.0]), H @ [1.0, 2.0], rtol=1e-13)


def test_names_give_names(client: Any) -> None:
    theta = {"x2": 2.0, "x1": 0.5}
    gradient = client.gradient(ROSENBROCK, theta)
    assert isinstance(gradient, Named)
    assert dict(gradient) == pytest.approx(dict(zip(["x1", "x2"], rosenbrock_gradient(0.5, 2.0), strict=True)))
    assert client.hessian(ROSENBROCK, theta)["x1"]["x2"] == pytest.approx(-200.0)
    product = client.hvp(ROSENBROCK, theta, {"x1": 1.0, "x2": 0.0})
    assert product["x2"] == pytest.approx(-200.0)
    many = {"x1": np.linspace(-1, 1, 7), "x2": np.linspace(0, 3, 7)}
    np.testing.assert_allclose(
        client.gradient(ROSENBROCK, many)["x2"], rosenbrock_gradient(*many.values())[:, 1], rtol=1e-12
    )
    assert client.value(ROSENBROCK, many).shape == (7,)


def test_the_start_is_the_point_unless_given(client: Any) -> None:
    gradient = client.gradient(ROSENBROCK)
    assert isinstance(gradient, Named)
    np.testing.assert_allclose(gradient.flat, rosenbrock_gradient(-1.2, 1.0), rtol=1e-12)
    np.testing.assert_allclose(client.hvp(ROSENBROCK, None, [1.0, 0.0]), client.hessian(ROSENBROCK)["x1"].flat)
    assert client.jvp(ROSENBROCK, None, {"x1": 0.0, "x2": 1.0}) == pytest.approx(gradient["x2"])


def test_a_thousand_points_are_one_call(client: Any) -> None:
    points = np.random.default_rng(0).normal(size=(1000, 2))
    np.testing.assert_allclose(client.gradient(ROSENBROCK, points), rosenbrock_gradient(*points.T), rtol=1e-11)
    assert client.hessian(ROSENBROCK, points).shape == (1000, 2, 2)
    assert client.taylor(ROSENBROCK, points, [1.0, 0.0], 4).shape == (1000, 5)


def test_one_number_and_many_numbers(client: Any) -> None:
    """The lecture's example: f = sqrt(x^2 + exp(x^2)) + cos(x^2 + exp(x^2))."""

    def derivative(x: Any) -> Any:
        c = x**2 + np.exp(x**2)
        return 2 * x * (1 / (2 * np.sqrt(c)) - np.sin(c)) * (1 + np.exp(x**2))

    assert client.gradient(LECTURE, 0.7) == pytest.approx(derivative(0.7), rel=1e-14)
    assert isinstance(client.hessian(LECTURE, 0.7), float)
    x = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(client.gradient(LECTURE, x), derivative(x), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(client.value(LECTURE, x), lecture({"x": x}), rtol=1e-14)
    series = client.taylor(LECTURE, 0.7, 1.0, 3)
    np.testing.assert_allclose(series[:2], [lecture({"x": 0.7}), derivative(0.7)], rtol=1e-13)
    assert 2 * series[2] == pytest.approx(client.hessian(LECTURE, 0.7), rel=1e-12)


def test_a_matrix_in_its_own_shape(client: Any) -> None:
    """d(A B')/dA in (2 x 2) x (2 x 3): entry (i, j; k, l) is [i = k] B[j, l]."""
    expected = np.einsum("ik,jl->ijkl", np.eye(2), B)
    np.testing.assert_allclose(client.jacobian(MATRIX), expected, atol=1e-15)
    np.testing.assert_allclose(client.jacobian(MATRIX, np.ones((2, 3))), expected, atol=1e-15)
    np.testing.assert_allclose(client.jacobian(MATRIX, np.ones(6)), expected.reshape(2, 2, 6), atol=1e-15)
    np.testing.assert_allclose(client.jacobian(MATRIX, {"theta": np.ones((2, 3))})["theta"], expected, atol=1e-15)
    np.testing.assert_allclose(client.gradient(MATRIX, np.ones((4, 2, 3)))[3], expected, atol=1e-15)
    V, u = np.arange(6.0).reshape(2, 3) ** 2, np.array([[1.0, 2.0], [3.0, -1.0]])
    np.testing.assert_allclose(client.jvp(MATRIX, None, V), V @ B.T)
    np.testing.assert_allclose(client.vjp(MATRIX, None, u), u @ B)
    assert client.hessian(MATRIX).shape == (2, 2, 2, 3, 2, 3)


def test_a_network_by_name(client: Any) -> None:
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    model = Network(X, y, [Layer(4, "tanh"), Layer(1)], seed=3)
    theta = {name: rng.normal(size=shape) for name, shape in model.layout.items()}
    z = np.tanh(X @ theta["A_0"].T + theta["b_0"])
    delta = -2 * (y - (z @ theta["A_1"].T + theta["b_1"])[:, 0])
    gradient = client.gradient(model, theta)
    np.testing.assert_allclose(gradient["A_1"][0], delta @ z, rtol=1e-12)
    np.testing.assert_allclose(gradient["b_1"], [delta.sum()], rtol=1e-12)
    inner = (delta[:, None] * theta["A_1"]) * (1 - z**2)
    np.testing.assert_allclose(gradient["A_0"], inner.T @ X, rtol=1e-12)
    H = client.hessian(model, theta)
    assert H["A_0"]["b_1"].shape == (4, 3, 1)
    np.testing.assert_allclose(H["A_1"]["A_1"][0, :, 0, :], 2 * z.T @ z, rtol=1e-12)
    J = client.jacobian(model, theta)
    assert J["A_0"].shape == (*client.value(model, theta, of="output").shape, 4, 3)
    assert J.flat.shape[-1] == 21


def test_details_say_how_and_another_way_gives_the_same(client: Any) -> None:
    value, how = client.jacobian(MATRIX, details=True)
    assert isinstance(how, Derivation)
    assert how.way in str(how)
    ways = {choice.derivative: choice for choice in client.describe(MATRIX).choices}
    names = [ways["jacobian"].chosen.way, *(other.way for other in ways["jacobian"].others)]
    assert how.way == names[0]
    assert len(names) > 1
    for name in names:
        again, told = client.jacobian(MATRIX, way=name, details=True)
        assert told.way == name
        np.testing.assert_allclose(again, value, atol=1e-14)
    assert client.gradient(ROSENBROCK, details=True).derivation.passes >= 1
    assert client.hessian(ROSENBROCK, details=True).value["x2"]["x2"] == pytest.approx(200.0)


def test_jobs_at_their_result_and_at_an_iterate(client: Any, regression: Any) -> None:
    X, y = regression
    model = LeastSquares(X, y, intercept=True)
    run = client.solve(
        model,
        GradientDescent(),
        stopping=Stopping(max_iterations=20, relative_gradient_tolerance=0.0),
        record_theta=RecordTheta.every(1),
    )
    result = run.result()
    iterates = list(result.history)
    for subject in (result, run, run.name, run.job):
        np.testing.assert_allclose(client.gradient(subject).flat, result.gradient, rtol=1e-9, atol=1e-9)
    for k in (0, 7):
        assert client.value(run.name, iteration=k) == iterates[k].loss
        at_theta = client.gradient(model, iterates[k].theta)
        np.testing.assert_array_equal(client.gradient(result, iteration=k).flat, at_theta)
    shapes = {name: np.shape(value) for name, value in client.gradient(run.name, iteration=2).items()}
    assert shapes == {"theta": (4,), "intercept": ()}
    named = client.gradient(run.name, {"theta": np.zeros(4), "intercept": 0.0})
    np.testing.assert_allclose(named["theta"], -2 * y @ X, rtol=1e-12)
    assert client.describe(run.name, iteration=3).nodes[-1].value is not None


def test_a_check_is_a_table_and_a_verdict(client: Any) -> None:
    check = client.check_derivatives(ROSENBROCK)
    assert isinstance(check, DerivativeCheck)
    assert check
    lines = str(check).splitlines()
    assert lines[1].split()[0] == "parameter"
    assert [line.split()[0] for line in lines[2:]] == ["x1", "x2"]
    corner = client.check_derivatives(Expression.parse("abs(x)*3 + y", start={"x": 0.0, "y": 1.0}))
    assert not corner
    assert [(block.parameter, block.corner) for block in corner.blocks] == [("x", True), ("y", False)]
    assert "CORNER" in str(corner)


def test_a_description_shows_backpropagation(client: Any) -> None:
    graph = client.describe(LECTURE, 1.0)
    assert isinstance(graph, GraphDescription)
    ordered = sorted((n for n in graph.nodes if n.adjoint_order), key=lambda n: n.adjoint_order or 0)
    assert ordered[0] is graph.nodes[graph.output]
    assert ordered[0].adjoint is not None
    assert ordered[0].adjoint.elements == (1.0,)
    assert ordered[-1].label == "x"
    assert ordered[-1].adjoint is not None
    assert ordered[-1].adjoint.elements[0] == pytest.approx(client.gradient(LECTURE, 1.0))
    assert [node.adjoint_order for node in ordered] == list(range(1, len(ordered) + 1))
    assert "np.exp(x**2)" in graph.svg()
    assert graph._repr_svg_() == graph.svg()
    assert "adjoint" in graph.dot()
    assert "adjoint" in graph.mermaid()
    assert client.describe(LECTURE).nodes[0].value is None
    short = client.describe(LECTURE, max_nodes=3)
    assert (len(short.nodes), short.total_nodes) == (3, graph.total_nodes)
    assert "3 of" in short.svg()


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda c: c.gradient(ROSENBROCK, [1.0, 2.0, 3.0]), "theta"),
        (lambda c: c.gradient(ROSENBROCK, {"x1": 1.0}), "theta['x2']"),
        (lambda c: c.gradient(ROSENBROCK, [np.nan, 1.0]), "theta[0]"),
        (lambda c: c.gradient(ROSENBROCK, [1j, 1.0]), "theta"),
        (lambda c: c.gradient(ROSENBROCK, iteration=1), "iteration"),
        (lambda c: c.gradient(ROSENBROCK, of="wibble"), "of"),
        (lambda c: c.gradient(ROSENBROCK, of=7), "of"),
        (lambda c: c.hvp(ROSENBROCK, None, [1.0, 2.0, 3.0]), "v"),
        (lambda c: c.vjp(MATRIX, None, np.ones(3)), "u"),
        (lambda c: c.vjp(MATRIX, None, [[np.inf, 1.0], [1.0, 1.0]]), "u[0, 0]"),
        (lambda c: c.jvp(ROSENBROCK, None, [np.nan, 1.0]), "v[0]"),
        (lambda c: c.taylor(ROSENBROCK, None, [1.0, 1.0], -1), "order"),
        (lambda c: c.taylor(ROSENBROCK, None, [1.0, 1.0], 1.5), "order"),
        (lambda c: c.jacobian(ROSENBROCK, way="wibble"), "way"),
        (lambda c: c.describe(ROSENBROCK, max_nodes=0), "max_nodes"),
        (lambda c: c.check_derivatives(ROSENBROCK, max_entries=0), "max_entries"),
        (lambda c: c.gradient(Expression), "model"),
        (lambda c: c.gradient(None), "model"),
        (lambda c: c.gradient(LeastSquares(np.ones((3, 2)), np.ones(4))), "model.targets"),
        (lambda c: c.gradient(Expression.parse("a*x", start={"a": np.inf}, data={"x": [1.0]})), "model.start.a"),
        (lambda c: c.solve(Expression.parse("a*x", start={"a": 1.0}, data={"x": [1.0, np.nan]})), "model.data.x[1]"),
        (lambda c: c.solve(Expression.parse("a*x", start={"a": 1.0}, data={"x": [1.0, 2.0]})), "model"),
    ],
)
def test_the_argument_at_fault_is_named(client: Any, ask: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask(client)
    assert [violation.field for violation in caught.value.violations] == [field], caught.value


def test_other_errors(client: Any, long_model: LeastSquares) -> None:
    with pytest.raises(NotFound, match="solveJobs/none"):
        client.gradient("solveJobs/none")
    with pytest.raises(InvalidRequest, match=r"model: is 'x\*\*2'; .* Expression\.parse"):
        client.gradient("x**2", 1.0)  # a text, but no job's name
    with pytest.raises(InvalidRequest, match="give one of them"):
        client.gradient("solveJobs/none", [1.0], iteration=2)
    run = client.solve(long_model, GradientDescent(step=1e-12), stopping=Stopping(max_iterations=10**6))
    with pytest.raises(Conflict, match="has not ended"):
        client.gradient(run)
    with pytest.raises(Conflict, match="yet to come"):
        client.gradient(run, iteration=10**6)
    run.cancel()
    run.result()


def test_a_large_hessian_and_a_large_batch_travel_unnoticed(client: Any) -> None:
    size = 400
    model = Expression.parse("sum(x**4)/12", start={"x": np.arange(float(size))})
    np.testing.assert_allclose(client.hessian(model, np.arange(float(size))), np.diag(np.arange(size) ** 2.0))
    points = np.random.default_rng(0).normal(size=(1000, size))
    np.testing.assert_allclose(client.gradient(model, points), points**3 / 3, rtol=1e-12)


def test_float32_stays(client: Any) -> None:
    model = Expression.parse("sum(x**2)", start={"x": np.ones(3, np.float32)})
    gradient = client.gradient(model, [1.0, 2.0, 3.0])
    assert gradient.dtype == np.float32


def test_solves_of_expressions(client: Any) -> None:
    result = client.solve(ROSENBROCK, Newton()).result()
    np.testing.assert_allclose(result.theta, [1.0, 1.0], rtol=1e-9)
    assert result.parameters["x1"] == pytest.approx(1.0)
    x = np.linspace(0, 3, 40)
    y = 2.5 * (1 - np.exp(-1.5 * x))
    for made in (
        Expression.parse("b1*(1 - exp(-b2*x))", start={"b1": 1.0, "b2": 1.0}, data={"x": x}, response=y),
        Expression.trace(
            lambda p, d: p["b1"] * (1 - np.exp(-p["b2"] * d["x"])),
            start={"b1": 1.0, "b2": 1.0},
            data={"x": x},
            response=y,
        ),
    ):
        fitted = client.solve(made, Newton()).result()
        np.testing.assert_allclose(fitted.theta, [2.5, 1.5], rtol=1e-7)
        assert client.validate(made).rows == 40


def test_predictions_of_an_expression(client: Any) -> None:
    x = np.linspace(0, 1, 9)
    model = Expression.parse("a*x + b", start={"a": 0.0, "b": 0.0}, data={"x": x}, response=3 * x + 1)
    result = client.solve(model).result()
    for new in ({"x": [2.0, 3.0]}, [2.0, 3.0]):
        np.testing.assert_allclose(client.predict(result, new), [7.0, 10.0], rtol=1e-9)
    with pytest.raises(InvalidRequest) as caught:
        client.predict(result, {"z": [1.0]})
    assert caught.value.violations[0].field == "X['z']"


def test_sparse_matrices(client: Any) -> None:
    x = np.linspace(0.0, 1.0, 50)
    model = Expression.trace(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2), start=x)
    found, how = client.hessian(model, sparse=True, details=True)
    assert isinstance(found, CsrMatrix)
    assert how.passes < 10
    np.testing.assert_allclose(found.toarray(), client.hessian(model), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found.to_scipy().toarray(), found.toarray())
    assert found.nnz == 3 * 50 - 2
    J = client.jacobian(Expression.trace(lambda x: x[1:] * x[:-1], start=x), sparse=True)
    assert (J.shape, J.nnz) == ((49, 50), 98)
    with pytest.raises(InvalidRequest) as caught:
        client.hessian(model, np.ones((2, 50)), sparse=True)
    assert caught.value.violations[0].field == "sparse"
