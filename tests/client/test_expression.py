"""The client's expressions: what is sent, and what is refused before anything is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad.client import Dataset, InvalidRequest
from nablad.client.core.encode import Encoder
from nablad.client.expression import Expression
from nablad.expressions import ExpressionError, ShapeError
from nablad.solvers.autodiff.interpret import interpret
from nablad.v1 import expression_pb2, tensor_pb2
from nablad.wire import graphs, tensors

X = np.linspace(0.0, 2.0, 6)
Y = 3.0 * (1 - np.exp(-0.5 * X))
START = {"b1": 500.0, "b2": 1e-4}
LIMITS = graphs.GraphLimits(10_000, 1 << 20, 1 << 20)


def misra(p: Any, d: Any) -> Any:
    return p["b1"] * (1 - np.exp(-p["b2"] * d["x"]))


def sent(expression: Expression) -> expression_pb2.Expression:
    return expression.to_proto(Encoder()).expression


def received(message: expression_pb2.Expression) -> graphs.Decoded:
    parameters, data = (
        {row.name: tuple(row.value.shape) for row in rows} for rows in (message.parameters, message.data)
    )
    return graphs.decode(message.graph, parameters, data, lambda t, field: tensors.decode(t, field=field), LIMITS)


def test_text_is_sent_as_text_with_everything_given() -> None:
    message = sent(Expression.parse("b1*(1-exp(-b2*x))", data={"x": X}, response=Y, start=START))
    assert message.WhichOneof("definition") == "text"
    assert message.text == "b1*(1-exp(-b2*x))"
    assert [row.name for row in message.parameters] == ["b1", "b2"]
    assert [row.name for row in message.data] == ["x"]
    np.testing.assert_array_equal(tensors.decode(message.data[0].value), X)
    np.testing.assert_array_equal(tensors.decode(message.response), Y)
    assert not message.residual


def test_code_is_sent_as_a_graph_with_its_labels() -> None:
    expression = Expression.trace(misra, start=START, data={"x": X}, response=Y)
    message = sent(expression)
    assert message.WhichOneof("definition") == "graph"
    graph, labels = received(message)
    assert graph == expression.traced.graph
    assert 'test_expression.py:25: p["b1"] * (1 - np.exp(-p["b2"] * d["x"]))' in labels.values()
    (value,) = interpret(graph, {"b1": 3.0, "b2": 0.5, "x": X})
    np.testing.assert_allclose(value, Y, rtol=1e-15)


def test_text_and_code_are_one_graph() -> None:
    text = Expression.parse("b1*(1-exp(-b2*x))", data={"x": X}, start=START, residual=True)
    code = Expression.trace(misra, data={"x": X}, start=START, residual=True)
    assert text.traced.graph == code.traced.graph
    assert sent(text).residual


def test_one_array_is_theta() -> None:
    expression = Expression.trace(lambda theta: theta @ theta, start=[1.0, 2.0])
    assert expression.single
    assert [row.name for row in sent(expression).parameters] == ["theta"]
    assert Expression.parse("theta @ theta", start=np.ones(3)).single
    assert not Expression.parse("theta @ theta", start={"theta": np.ones(3)}).single


def test_large_constants_are_left_with_the_encoder() -> None:
    big = np.random.default_rng(0).standard_normal((40, 40))
    expression = Expression.trace(lambda p: np.sum(big @ p["v"]), start={"v": np.ones(40)})
    encoder = Encoder(inline_limit=1024)
    message = expression.to_proto(encoder).expression
    assert [array.shape for array in encoder.uploads.values()] == [(40, 40)]
    assert any(constant.dataset for constant in message.graph.constants)


def test_a_dataset_stands_for_an_array() -> None:
    x = Dataset("datasets/" + "0" * 64, np.dtype(np.float64), (1000,))
    message = sent(Expression.trace(misra, start=START, data={"x": x}, response=x))
    assert message.data[0].value.dataset == x.name
    assert message.response.dataset == x.name


def test_single_precision_stays() -> None:
    x = X.astype(np.float32)
    message = sent(Expression.parse("b*x", start={"b": np.float32(2)}, data={"x": x}))
    assert {row.value.dtype for row in (*message.parameters, *message.data)} == {tensor_pb2.DATA_TYPE_FLOAT32}


def test_code_that_tells_rows_apart_has_fixed_shapes() -> None:
    fixed = Expression.trace(lambda p, d: p["b"] * np.diff(d["x"]), start={"b": 1.0}, data={"x": X})
    assert fixed.traced.output.shape == (5,)
    graph, _ = received(sent(fixed))
    assert graph == fixed.traced.graph


@pytest.mark.parametrize(
    ("text", "given", "field", "words"),
    [
        ("b1*(1-exp(-b3*x))", {}, "model.text", "unknown name 'b3': did you mean 'b2' or 'b1'?\n  b1*(1-exp(-b3*x))\n"),
        ("b1*b2", {"start": {**START, "c": 1.0}}, "model.start.c", "is not used by the expression"),
        ("b1*b2", {"start": {}}, "model.start", "is empty"),
        ("b1*b2", {"start": {**START, "2x": 1.0}}, "model.start.2x", "is not a name"),
        ("b1*b2", {"data": {"b1": X}}, "model.start.b1", "is both a parameter and data"),
        ("b1*b2", {"data": {"a b": X}}, "model.data.a b", "is not a name"),
        ("b1*b2", {"data": [X]}, "model.data", "is a dict of arrays by name, not list"),
        ("b1*b2", {"start": {**START, "b1": 1j}}, "model.start.b1", "gradients here are of real functions"),
        ("b1*b2*x", {"data": {"x": X * 1j}}, "model.data.x", "gradients here are of real functions"),
        ("b1*b2", {"response": 1j}, "model.response", "gradients here are of real functions"),
        ("b1*b2*x", {"data": {"x": [[1.0, 2.0], [3.0]]}}, "model.data.x", "cannot be read as an array"),
        ("b1*b2", {"start": {**START, "b1": "two"}}, "model.start.b1", "numbers are needed"),
        ("b1*b2", {"response": Y, "residual": True}, "model.residual", "a response makes the residual itself"),
        (3, {}, "model.text", "must be text, not int"),
    ],
)
def test_what_is_wrong_is_refused_here(text: Any, given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Expression.parse(text, **{"start": START, "data": {"x": X}, **given})
    (violation,) = caught.value.violations
    assert violation.field == field
    assert words in violation.description


def test_errors_of_the_language_are_the_cause_and_those_of_code_come_through() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Expression.parse("b1 +", start={"b1": 1.0})
    assert isinstance(caught.value.__cause__, ExpressionError)
    with pytest.raises(ShapeError, match=r"add\(\(2,\), \(3,\)\)"):
        Expression.trace(lambda p: p["a"] + p["b"], start={"a": [1, 2], "b": [1, 2, 3]})
    with pytest.raises(TypeError, match="returned None"):
        Expression.trace(lambda p: None, start={"a": 1.0})
    with pytest.raises(ZeroDivisionError):
        Expression.trace(lambda p: 1 / 0, start={"a": 1.0})
    with pytest.raises(TypeError, match="complex numbers have no place"):
        Expression.trace(lambda p: 1j * p["a"], start={"a": 1.0})


def test_data_may_be_a_table_with_columns() -> None:
    class Table:
        """As a DataFrame: no Mapping, and without a truth value."""

        def keys(self) -> list[str]:
            return ["x"]

        def __getitem__(self, name: str) -> Any:
            return X

        def __bool__(self) -> bool:
            raise ValueError

    table: Any = Table()
    expression = Expression.parse("b1*(1-exp(-b2*x))", data=table, response=Y, start=START)
    np.testing.assert_array_equal(expression.data["x"], X)


def test_an_expression_tells_what_it_is_of() -> None:
    given: dict[str, Any] = {"data": {"x": X}, "response": Y, "start": START}
    assert repr(Expression.parse("b1*(1-exp(-b2*x))", **given)).splitlines() == [
        "Expression: b1*(1-exp(-b2*x))",
        "  parameters  b1 (), b2 ()",
        f"  data        x {X.shape}",
        f"  response    {Y.shape}",
    ]
    traced = Expression.trace(lambda p: p["a"] ** 2, start={"a": np.ones((2, 3))}, residual=True)
    assert repr(traced) == "Expression: 2 nodes\n  parameters  a (2, 3)\n  a residual"
