"""Expressions as models of jobs: solved end to end, and refused with the field at fault."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from server.expressions import (
    MISRA_CERTIFIED,
    MISRA_SUM_OF_SQUARES,
    ROSENBROCK,
    ROSENBROCK_START,
    graph,
    misra,
    named,
    text,
)
from server.running import TIMEOUT, Running, array_of, refused, result_of, serving

from nablad.v1 import dataset_pb2, event_pb2, expression_pb2, method_pb2, model_pb2, solver_pb2, tensor_pb2
from nablad.wire.tensors import encode

NEWTON = method_pb2.Method(newton=method_pb2.Newton())
DESCENT = method_pb2.Method(gradient_descent=method_pb2.GradientDescent())
F64 = tensor_pb2.DATA_TYPE_FLOAT64


@pytest.mark.parametrize("made", [text, graph])
@pytest.mark.parametrize(
    ("method", "start", "tolerance"), [(NEWTON, None, 1e-9), (NEWTON, [2.0, 2.0], 1e-9), (DESCENT, [0.9, 0.8], 1e-2)]
)
def test_a_scalar_objective_is_minimized(server: Running, made: Any, method: Any, start: Any, tolerance: float) -> None:
    spec = solver_pb2.SolveSpec(model=made(ROSENBROCK, ROSENBROCK_START), method=method)
    if start is not None:
        spec.start.CopyFrom(encode(np.array(start)))
    events = server.solve(spec)
    result = result_of(events)
    np.testing.assert_allclose(array_of(result.theta), [1.0, 1.0], atol=tolerance)
    assert [row.name for row in result.parameters] == ["x1", "x2"]
    first = next(event.iterate for event in events if event.HasField("iterate"))
    x1, x2 = start or ROSENBROCK_START.values()
    assert first.loss == pytest.approx(100 * (x2 - x1**2) ** 2 + (1 - x1) ** 2, rel=1e-14)


@pytest.mark.parametrize("made", [text, graph])
def test_a_fit_of_certified_data(server: Running, made: Any) -> None:
    source, start, data, response = misra()
    spec = solver_pb2.SolveSpec(model=made(source, start, data, response=response), method=NEWTON)
    result = result_of(server.solve(spec))
    assert result.termination.success, result.termination.message
    np.testing.assert_allclose(array_of(result.theta), MISRA_CERTIFIED, rtol=1e-8)
    assert result.loss == pytest.approx(MISRA_SUM_OF_SQUARES, rel=1e-9)


def test_a_residual_of_matrices(server: Running) -> None:
    rng = np.random.default_rng(3)
    A = rng.normal(size=(6, 2))
    model = graph("A @ X - B", {"X": np.zeros((2, 3))}, {"A": A, "B": rng.normal(size=(6, 3))}, residual=True)
    result = result_of(server.solve(solver_pb2.SolveSpec(model=model, method=NEWTON)))
    B = array_of(model.expression.data[1].value)
    np.testing.assert_allclose(array_of(result.parameters[0].value), np.linalg.lstsq(A, B)[0], rtol=1e-10)


def test_large_data_and_constants_are_datasets(server: Running) -> None:
    x = np.linspace(0.0, 1.0, 200_000)
    dataset = server.upload(x)
    reference = tensor_pb2.Tensor(dtype=F64, shape=x.shape, dataset=dataset.name)
    model = text("a + b*x", {"a": 0.0, "b": 0.0}, {"x": reference})
    model.expression.response.CopyFrom(reference)
    job = server.create(solver_pb2.SolveSpec(model=model))
    assert job.model_summary.rows == 200_000
    np.testing.assert_allclose(array_of(result_of(server.events(job.name)).theta), [0.0, 1.0], atol=1e-12)
    details = refused(
        lambda: server.datasets.DeleteDataset(dataset_pb2.DeleteDatasetRequest(name="datasets/none"), timeout=TIMEOUT)
    )
    assert details.code == "NOT_FOUND"


def test_a_list_of_jobs_leaves_the_nodes_out(server: Running) -> None:
    server.solve(solver_pb2.SolveSpec(model=graph(ROSENBROCK, ROSENBROCK_START)))
    listed = server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(page_size=1), timeout=TIMEOUT).solve_jobs
    assert listed[0].spec.model.expression.HasField("graph")
    assert not listed[0].spec.model.expression.graph.nodes
    assert server.get(listed[0].name).spec.model.expression.graph.nodes


X = {"x": np.arange(1.0, 6.0)}
Y = np.arange(5.0)


def without(model: model_pb2.Model, *fields: str) -> model_pb2.Model:
    for field in fields:
        model.expression.ClearField(field)  # type: ignore[arg-type]
    return model


def lied(**changes: Any) -> model_pb2.Model:
    """A graph whose second node has been changed."""
    model = graph("exp(a)", {"a": 1.0})
    for name, value in changes.items():
        node = model.expression.graph.nodes[1]
        node.ClearField(name)  # type: ignore[arg-type]
        node.MergeFrom(expression_pb2.ExpressionNode(**{name: value}))
    return model


FILLED = tensor_pb2.Tensor(dtype=F64, shape=[10**10], fill=1)
TWICE = text("a", {"a": 1.0})
TWICE.expression.parameters.extend(named({"a": 2.0}))
CASES: list[tuple[str, model_pb2.Model]] = [
    ("", without(text("a", {"a": 1.0}), "text")),
    ("parameters", text("1", {})),
    ("text", text("", {"a": 1.0})),
    ("text", text("a +", {"a": 1.0})),
    ("text", text("a + wibble", {"a": 1.0})),
    ("text", text("a @ a", {"a": np.ones((2, 3))})),
    ("text", text("(" * 3000 + "a" + ")" * 3000, {"a": 1.0})),
    ("text", text("a + " * 40_000 + "a", {"a": 1.0})),
    ("text", text("sum(exp(broadcast_to(1.0, (1000000, 1000000)))) + a", {"a": 1.0})),
    ("", text("a*x", {"a": 1.0}, X)),
    ("parameters[0].value", text("x", {"a": 1.0}, X, response=Y)),
    ("parameters[0].value", text("a", {"a": np.nan})),
    ("parameters[1].value[2]", text("b[0] + a", {"a": 1.0, "b": [1.0, 2.0, np.inf]})),
    ("parameters[0].value.raw", text("a", {"a": tensor_pb2.Tensor(dtype=F64, shape=[3], raw=b"1")})),
    ("parameters[0].value.fill", text("a", {"a": FILLED})),
    ("parameters[1].name", TWICE),
    ("data[0].name", text("a", {"a": 1.0}, {"a": 2.0})),
    ("data[0].value[3]", text("a*x", {"a": 1.0}, {"x": np.where(np.arange(5) == 3, np.nan, 1.0)}, response=Y)),
    ("response", text("a*x", {"a": 1.0}, X, response=Y[:4])),
    ("residual", text("a*x", {"a": 1.0}, X, response=Y, residual=True)),
    ("graph.nodes[1].op", lied(op="wibble")),
    ("graph.nodes[1].operands[0]", lied(operands=[7])),
    ("graph.nodes[1].attributes", lied(attributes=[expression_pb2.Attribute(integer=1)])),
    ("graph.nodes[1].label", lied(label="x" * 201)),
]


@pytest.mark.parametrize(("field", "model"), CASES, ids=[f"{i}-{row[0]}" for i, row in enumerate(CASES)])
def test_the_field_at_fault_is_named(server: Running, field: str, model: model_pb2.Model) -> None:
    details = refused(lambda: server.create(solver_pb2.SolveSpec(model=model), validate_only=True))
    assert details.code == "INVALID_ARGUMENT"
    path = f"spec.model.expression.{field}".removesuffix(".")
    assert path in [violation.field for violation in details.violations], details.violations


def test_the_text_is_shown_with_a_caret(server: Running) -> None:
    details = refused(lambda: server.create(solver_pb2.SolveSpec(model=text("a + wibble*2", {"a": 1.0}))))
    (violation,) = details.violations
    assert "a + wibble*2\n" in violation.description
    assert "^^^^^^" in violation.description
    assert violation.description.index("^") > violation.description.index("wibble*2")


def test_graphs_are_bounded_before_they_are_looked_at() -> None:
    limits = {"expression_nodes": 50, "expression_text": 30, "expression_inputs": 3, "expression_constant_bytes": 100}
    with serving(workers=1, limits=limits) as server:
        long = graph("+".join(["a"] * 3 + [f"sin({k}*a)" for k in range(40)]), {"a": 1.0})
        many = text("a", {f"a{k}": 1.0 for k in range(5)})
        large = graph("sum(x) + a", {"a": 1.0}, {"x": np.ones(3)})
        large.expression.graph.constants.append(encode(np.ones(20)))
        for model, field in (
            (long, "graph.nodes"),
            (text("a" + " + a" * 20, {"a": 1.0}), "text"),
            (many, "parameters"),
            (large, "graph.constants[0]"),
        ):
            details = refused(lambda model=model: server.create(solver_pb2.SolveSpec(model=model)))
            assert [row.field for row in details.violations] == [f"spec.model.expression.{field}"]


def test_a_large_graph_is_read_off_the_event_loop(server: Running) -> None:
    """While it is read, other calls are answered."""
    source = "+".join(f"sin(a + {k})" for k in range(4_000))
    model = graph(source, {"a": 1.0})
    request = solver_pb2.CreateSolveJobRequest(spec=solver_pb2.SolveSpec(model=model), validate_only=True)
    future = server.solver.CreateSolveJob.future(request, timeout=TIMEOUT)
    waits = []
    while not future.done():
        start = time.monotonic()
        server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(page_size=1), timeout=TIMEOUT)
        waits.append(time.monotonic() - start)
    assert future.result().model_summary.parameters == 1
    assert len(waits) >= 3


def test_predictions_of_an_expression_take_new_data_by_name(server: Running) -> None:
    x, g = np.linspace(0.0, 1.0, 9), np.arange(9.0) ** 2
    model = text("a*x + b*g", {"a": 0.0, "b": 0.0}, {"x": x, "g": g}, response=2 * x - g)
    job = server.create(solver_pb2.SolveSpec(model=model)).name
    server.wait_until(job, event_pb2.JOB_STATE_SUCCEEDED)

    def predict(**fields: Any) -> Any:
        return server.solver.Predict(solver_pb2.PredictRequest(solve_job=job, **fields), timeout=TIMEOUT)

    outputs = array_of(predict(data=named({"x": [1.0, 2.0], "g": [0.0, 1.0]})).outputs)
    np.testing.assert_allclose(outputs, [2.0, 3.0], rtol=1e-10)
    for field, fields in (
        ("inputs", {"inputs": encode(x)}),
        ("data[1].value", {"data": named({"x": [1.0], "g": [1.0, 2.0]})}),
        ("data[0].value", {"data": named({"wibble": [1.0], "g": [1.0]})}),
        ("data", {"data": named({"x": [1.0]})}),
        ("data", {"data": named({"x": [1.0]}), "inputs": encode(x)}),
        ("data[0].value.raw", {"data": named({"x": tensor_pb2.Tensor(dtype=F64, shape=[3], raw=b"1")})}),
    ):
        details = refused(lambda fields=fields: predict(**fields))
        assert [violation.field for violation in details.violations] == [field], details.violations
