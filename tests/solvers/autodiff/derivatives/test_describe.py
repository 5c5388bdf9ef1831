"""The graph told to a reader: the lecture's backpropagation, rows in bounded memory, limits, choices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from solvers.autodiff.derivatives.functions import EXAMPLES, RNG, Example

from nablad.solvers import Derivatives, Expression, InvalidModel, Layer, LeastSquares, Network
from nablad.solvers.autodiff.derivatives.describe import GraphNode


def test_backpropagation_as_in_the_lecture() -> None:
    """f(x) = sqrt(x^2 + exp(x^2)) + cos(x^2 + exp(x^2)), a = x^2 ... f = d + e, and every adjoint by hand."""
    x = 0.8
    model = Expression.parse("sqrt(x**2 + exp(x**2)) + cos(x**2 + exp(x**2))", start={"x": x})
    told = Derivatives(model).describe(theta=[x])
    a = x * x
    b = math.exp(a)
    c = a + b
    df_dc = 1 / (2 * math.sqrt(c)) - math.sin(c)
    df_da = df_dc * b + df_dc
    expected = [
        ("input", (), "x", x, df_da * 2 * x),
        ("square", (0,), "x**2", a, df_da),
        ("exp", (1,), "exp(x**2)", b, df_dc),
        ("add", (1, 2), "x**2 + exp(x**2)", c, df_dc),
        ("sqrt", (3,), "sqrt(x**2 + exp(x**2))", math.sqrt(c), 1.0),
        ("cos", (3,), "cos(x**2 + exp(x**2))", math.cos(c), 1.0),
        ("add", (4, 5), "sqrt(x**2 + exp(x**2)) + cos(x**2 + exp(x**2))", math.sqrt(c) + math.cos(c), 1.0),
    ]
    assert [(n.op, n.operands, n.label) for n in told.nodes] == [row[:3] for row in expected]
    for node, (*_, value, adjoint) in zip(told.nodes, expected, strict=True):
        assert node.value is not None
        assert node.adjoint is not None
        assert node.value.elements == pytest.approx((value,), rel=1e-14)
        assert node.adjoint.elements == pytest.approx((adjoint,), rel=1e-14)
    assert [node.adjoint_order for node in told.nodes] == [7, 6, 5, 4, 3, 2, 1]
    assert (told.output, told.total_nodes, told.linearity, told.separable) == (6, 7, "none", False)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_values_and_adjoints_are_those_of_the_model(example: Example) -> None:
    model = example.model()
    derivatives, theta = Derivatives(model), model.start()
    told = derivatives.describe("output", theta)
    value = derivatives.value(theta)
    output = told.nodes[told.output].value
    assert output is not None
    assert output.norm == pytest.approx(float(np.linalg.norm(value)), rel=1e-12)
    assert output.largest == pytest.approx(float(np.max(value)), rel=1e-12)
    adjoints = model.parameters(derivatives.vjp(theta, np.ones(value.shape)))
    for node in told.nodes:
        if node.label in adjoints and node.op == "input":
            assert node.adjoint is not None
            exact = adjoints[node.label]
            assert node.adjoint.norm == pytest.approx(float(np.linalg.norm(exact)), rel=1e-12)
            assert node.adjoint.elements == () or node.adjoint.elements == pytest.approx(
                tuple(exact.ravel()), rel=1e-11
            )
    plain = derivatives.describe("output")
    assert all(node.value is None and node.adjoint is None for node in plain.nodes)
    assert [(n.op, n.operands) for n in plain.nodes] == [(n.op, n.operands) for n in told.nodes]
    assert told.live_bytes <= told.tape_bytes
    assert 0 < told.value_operations <= told.gradient_operations
    assert told.separable is bool(example.rows and example.name != "rows that mix")


def named(nodes: tuple[GraphNode, ...]) -> set[str]:
    return {node.label for node in nodes if node.op == "input"}


def test_models_of_every_kind_are_told_by_their_parameters_names() -> None:
    features, targets = RNG.normal(size=(30, 3)), RNG.normal(size=30)
    for model, names in [
        (LeastSquares(features, targets), {"theta", "features", "targets"}),
        (LeastSquares(features, targets, intercept=True, ridge=1.0),
         {"all parameters", "theta", "features", "targets"}),
        (Network(features, targets[:, None], [Layer(4, "tanh"), Layer(1)], ridge=0.1),
         {"A_0", "b_0", "A_1", "b_1", "inputs", "targets"}),
        (Expression.parse("a*x", start={"a": 1.0}, data={"x": targets}, response=targets), {"a", "x", "response"}),
        (Expression.parse("a*response", start={"a": 1.0}, data={"response": targets}, response=targets),
         {"a", "response", "the response"}),
    ]:  # fmt: skip
        told = Derivatives(model).describe(theta=model.initial())
        assert named(told.nodes) == names
        labels = [node.label for node in told.nodes]
        if isinstance(model, Network):
            assert any("layer 1, tanh" in label for label in labels)


def test_a_long_column_is_summed_up_block_by_block() -> None:
    x = np.linspace(0.0, 1.0, 200_000)
    model = Expression.parse("a*exp(-b*x)", start={"a": 2.0, "b": 1.0}, data={"x": x}, response=np.ones(200_000))
    told = Derivatives(model).describe(theta=[2.0, 1.0])
    (node,) = [n for n in told.nodes if n.label == "a*exp(-b*x)"]
    f = 2.0 * np.exp(-x)
    assert node.value is not None
    assert node.adjoint is not None
    assert (node.shape, node.value.elements) == ((-1,), ())
    assert node.value.largest == pytest.approx(2.0)
    assert node.value.norm == pytest.approx(float(np.linalg.norm(f)), rel=1e-12)
    assert node.adjoint.norm == pytest.approx(float(np.linalg.norm(2 * (f - 1))), rel=1e-12)
    assert node.operations == 200_000.0
    assert told.separable
    assert told.live_bytes < 2 << 20 < told.tape_bytes


def test_at_most_so_many_nodes_from_the_output_down() -> None:
    def chain(p: dict[str, np.ndarray]) -> np.ndarray:
        x = p["x"]
        for _ in range(1_000):
            x = np.sin(x)
        return x

    model = Expression.trace(chain, start={"x": 0.5})
    told = Derivatives(model).describe(theta=[0.5], max_nodes=10)
    assert (len(told.nodes), told.total_nodes, told.output) == (10, 1_001, 9)
    assert [node.adjoint_order for node in told.nodes] == list(range(10, 0, -1))
    assert told.nodes[0].operands == ()
    assert told.nodes[5].operands == (4,)
    with pytest.raises(InvalidModel, match="max_nodes"):
        Derivatives(model).describe(max_nodes=0)


def test_numbers_that_are_not_finite_are_told() -> None:
    told = Derivatives(Expression.trace(lambda p: np.log(p["x"]).sum(), start={"x": [1.0, 2.0]})).describe(
        theta=[-1.0, 1.0]
    )
    logarithm = next(node for node in told.nodes if node.op == "log").value
    assert logarithm is not None
    assert not logarithm.finite
    assert math.isnan(logarithm.elements[0])
    assert (logarithm.smallest, logarithm.largest) == (0.0, 0.0)


def test_choices_are_told_with_their_alternatives() -> None:
    features, targets = RNG.normal(size=(30, 3)), RNG.normal(size=30)
    model = LeastSquares(features, targets)
    told = Derivatives(model).describe()
    assert told.linearity == "quadratic"
    chosen = {choice.derivative: choice for choice in told.choices}
    assert set(chosen) == {"gradient", "jacobian", "hessian"}
    assert chosen["gradient"].chosen.way == "reverse"
    assert chosen["hessian"].chosen.way == "gauss_newton_exact"
    assert {other.way for other in chosen["hessian"].others} == {"forward_over_reverse", "forward_over_forward"}
    for choice in told.choices:
        for way in (choice.chosen, *choice.others):
            assert way.passes > 0
            assert way.operations > 0
            assert way.reason
    theta = np.zeros(3)
    for choice in told.choices[1:]:
        for other in choice.others:
            call = getattr(Derivatives(model), choice.derivative)
            np.testing.assert_allclose(
                call(theta, "objective", other.way).array, call(theta, "objective").array, rtol=1e-12, atol=1e-12
            )
