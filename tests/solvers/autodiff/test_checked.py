"""Checked mode: the first non-finite result by its source text, layer, data row and operands; values, then adjoints."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from nablad.expressions import ROWS, data, parameter
from nablad.expressions import symbols as s
from nablad.expressions.parser import parse
from nablad.solvers import GradientDescent, Layer, LeastSquares, Network, Status, solve
from nablad.solvers.autodiff import checked
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.models.expression import Expression

X = np.linspace(0.0, 1.0, 11)

# text, data, start, what the message says. The first results to be to blame, then the first adjoints.
VALUES: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("sqrt(a - b) + a", {}, {"a": 1.0, "b": 1.3}, ["sqrt(a - b) is nan", "a - b = -0.3"]),
    ("log(a) + sqrt(a)", {}, {"a": 0.0}, ["log(a) is -inf", "a = 0"]),
    ("a / (b - 2) * 3", {}, {"a": 1.0, "b": 2.0}, ["a / (b - 2) is inf", "a = 1", "(b - 2) = 0"]),
    ("exp(exp(a))", {}, {"a": 10.0}, ["exp(exp(a)) is inf", "exp(a) = 22026.5"]),
    ("a**b", {}, {"a": -8.0, "b": 1 / 3}, ["a**b is nan", "a = -8", "b = 0.333333"]),
    ("sum(log(a - x))", {"x": X}, {"a": 0.75}, ["log(a - x) is nan", "data row 8", "a - x = -0.05"]),
    ("sum(where(x > 2, log(x - 2), a * x) / a)", {"x": X}, {"a": 0.0}, ["/ a is nan", "data row 0"]),
    ("sum((a * x)**2)", {"x": X}, {"a": 1e200}, ["(a * x)**2 is inf", "(a * x) = 1e+199"]),
]
ADJOINTS: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("sqrt(x) + 2", {}, {"x": 0.0}, ["the adjoint of x through sqrt(x) is inf", "x = 0"]),
    ("sqrt(x*y)", {}, {"x": 0.0, "y": 3.0}, ["the adjoint of x*y through sqrt(x*y) is inf", "x*y = 0"]),
    ("sum(sqrt(b * x))", {"x": X}, {"b": 1.0}, ["the adjoint of b * x through sqrt(b * x) is inf", "data row 0"]),
    ("arccos(t)", {}, {"t": 1.0}, ["the adjoint of t through arccos(t) is -inf", "t = 1"]),
]


def expression(text: str, columns: dict[str, Any], start: dict[str, Any], response: Any = None) -> Expression:
    shapes = {name: np.shape(value) for name, value in start.items()}
    traced = parse(text, shapes, {name: (ROWS, *np.shape(value)[1:]) for name, value in columns.items()})
    return Expression(traced.graph, start, columns, response, labels=traced.labels)


def explained(text: str, columns: dict[str, Any], start: dict[str, Any]) -> str | None:
    model = expression(text, columns, start)
    return model.objective().explain(model.initial())


@pytest.mark.parametrize(("text", "columns", "start", "says"), VALUES + ADJOINTS, ids=lambda x: str(x)[:30])
def test_the_source_text_of_the_first_nonfinite_result(
    text: str, columns: dict[str, Any], start: dict[str, Any], says: list[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = explained(text, columns, start)
    assert message is not None
    for part in says:
        assert part in message, message


def test_nothing_is_said_where_all_is_finite() -> None:
    assert explained("sqrt(a)*b", {}, {"a": 1.0, "b": 2.0}) is None
    # NaN in the branch that is not chosen is nobody's fault.
    assert explained("sum(where(x > 2, log(x - 2), a * x))", {"x": X}, {"a": 1.0}) is None


@pytest.mark.parametrize("elements", [1, 40, 1 << 22])
def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch, elements: int) -> None:
    """A later row's earlier node comes before an earlier row's later node."""
    monkeypatch.setattr(checked, "BLOCK", elements)
    columns = {"x": np.array([1.0, 2.0, -3.0, 1.0]), "y": np.array([0.0, 1.0, 1.0, 1.0])}
    message = explained("sum(log(a*x) / y)", columns, {"a": 1.0})
    assert message is not None
    assert "log(a*x) is nan in data row 2" in message


def test_a_solve_that_cannot_start_says_where() -> None:
    model = expression("b1*log(b2*x)", {"x": X + 0.5}, {"b1": 1.0, "b2": -1.0}, X)
    report = solve(model.objective(), GradientDescent(), model.start())
    assert report.status is Status.NONFINITE_START
    assert "log(b2*x) is nan in data row 0, where b2*x = -0.5" in report.message


def test_networks_name_the_layer() -> None:
    model = Network(np.full((3, 2), 1e200), np.ones((3, 1)), [Layer(4, "softplus"), Layer(1)])
    theta = np.full(model.size, 1e150)
    message = model.objective().explain(theta)
    assert message is not None
    assert "layer 1, A f + b is inf" in message
    assert "data row 0" in message
    model = Network(np.ones((3, 2)), np.ones((3, 1)), [Layer(4, "relu"), Layer(1)])
    message = model.objective().explain(np.full(model.size, 1e120))
    assert message is not None
    assert "the loss (squared_error) is inf" in message


def test_a_model_without_labels_writes_the_op_out() -> None:
    model = LeastSquares(np.ones((5, 2)), np.ones(5))
    found = model.objective().first_nonfinite(np.full(2, 1e200))
    assert found is not None
    assert found.row == 0
    assert "square(" in str(found)


def test_graphs_that_mix_rows_are_looked_at_whole() -> None:
    theta, x = parameter("theta", ()), data("x", (ROWS,))
    shifted = x - s.sum(x) / s.rows()
    f = s.sum(s.log(shifted * theta))
    found = checked.Checked(f.node, theta.node, {"theta": np.array(1.0), "x": X + 1}, 11, np.dtype(float)).first()
    assert found is not None
    assert (found.node.op, found.row) == ("log", 0)


def test_complex_numbers_are_refused_with_the_reason() -> None:
    for make in (
        lambda: LeastSquares(np.ones((3, 2)) * 1j, np.ones(3)),
        lambda: Network(np.ones((3, 2)), np.ones(3) * 1j, [Layer(1)]),
        lambda: LeastSquares(np.ones((3, 2)), np.ones(3)).start(np.ones(2) * 1j),
        lambda: expression("a*x", {"x": X}, {"a": 1j}),
    ):
        with pytest.raises(InvalidModel, match="real functions of real numbers"):
            make()
