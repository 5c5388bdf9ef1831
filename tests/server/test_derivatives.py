"""DerivativeService over the wire: every call against the formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from server.derivations import FEATURES, LINE, TARGETS, THETA, ask, at
from server.expressions import graph, misra, text
from server.running import (
    TIMEOUT,
    Running,
    array_of,
    least_squares,
    serving,
)

from nablad.v1 import dataset_pb2, tensor_pb2
from nablad.wire import csr


def test_every_call_on_least_squares_agrees_with_its_formula(server: Running) -> None:
    residual, subject = TARGETS - FEATURES @ THETA, at(LINE, THETA)
    value = ask(server, "Value", subject)
    np.testing.assert_allclose(array_of(value.value), residual @ residual, rtol=1e-14)
    np.testing.assert_array_equal(array_of(value.theta), THETA)
    assert [(row.name, list(row.shape)) for row in value.layout] == [("theta", [3])]
    gradient = ask(server, "Gradient", subject)
    np.testing.assert_allclose(array_of(gradient.gradient), -2 * residual @ FEATURES, rtol=1e-13)
    assert array_of(gradient.value) == array_of(value.value)
    jacobian = ask(server, "Jacobian", subject)
    np.testing.assert_array_equal(array_of(jacobian.jacobian), FEATURES)
    assert jacobian.derivation.way
    assert jacobian.derivation.reason
    H = array_of(ask(server, "Hessian", subject).hessian)
    np.testing.assert_allclose(H, 2 * FEATURES.T @ FEATURES, rtol=1e-13)
    np.testing.assert_array_equal(H, H.T)
    v, u = np.array([1.0, 2.0, -1.0]), np.linspace(-1, 1, len(TARGETS))
    np.testing.assert_allclose(array_of(ask(server, "HessianVectorProduct", subject, vector=v).product), H @ v)
    np.testing.assert_allclose(array_of(ask(server, "JacobianVectorProduct", subject, vector=v).product), FEATURES @ v)
    np.testing.assert_allclose(array_of(ask(server, "VectorJacobianProduct", subject, vector=u).product), u @ FEATURES)
    taylor = array_of(ask(server, "Taylor", subject, direction=v, order=3).coefficients)
    expected = [residual @ residual, -2 * residual @ FEATURES @ v, v @ H @ v / 2, 0.0]
    np.testing.assert_allclose(taylor, expected, rtol=1e-13, atol=1e-12)
    check = ask(server, "CheckDerivatives", subject)
    assert check.passed
    assert [block.parameter for block in check.blocks] == ["theta"]
    told = ask(server, "DescribeGraph", subject)
    assert told.linearity == "quadratic"
    assert told.separable
    assert told.nodes[told.output].value.elements[0] == pytest.approx(residual @ residual)
    assert {choice.derivative for choice in told.choices} == {"gradient", "jacobian", "hessian"}
    assert not any(n.HasField("value") for n in ask(server, "DescribeGraph", at(LINE)).nodes)


@pytest.mark.parametrize("made", [text, graph])
def test_of_names_the_function(server: Running, made: Any) -> None:
    source, start, columns, response = misra()
    b, x = np.array(list(start.values())), np.array(columns["x"])
    subject = at(made(source, start, columns, response=response))
    J = np.column_stack([1 - np.exp(-b[1] * x), b[0] * x * np.exp(-b[1] * x)])
    f = b[0] * (1 - np.exp(-b[1] * x))
    for of, value, jacobian in (
        ("output", f, J),
        ("residual", np.array(response) - f, -J),
        ("objective", np.sum((response - f) ** 2), -2 * (response - f) @ J),
    ):
        subject.of = of
        np.testing.assert_allclose(array_of(ask(server, "Value", subject).value), value, rtol=1e-13)
        np.testing.assert_allclose(array_of(ask(server, "Jacobian", subject).jacobian), jacobian, rtol=1e-12)


def test_a_hessian_of_an_array_is_a_tensor(server: Running) -> None:
    model = text("stack([x[0]*x[1], x[1]**3, x[2]])", {"x": [2.0, 3.0, 4.0]})
    H = array_of(ask(server, "Hessian", at(model)).hessian)
    expected = np.zeros((3, 3, 3))
    expected[0, 0, 1] = expected[0, 1, 0] = 1.0
    expected[1, 1, 1] = 18.0
    np.testing.assert_allclose(H, expected, atol=1e-14)


def test_thousands_of_points_in_one_call(server: Running) -> None:
    points = np.random.default_rng(0).normal(size=(4000, 2))
    rosenbrock = text("100*(x[1] - x[0]**2)**2 + (1 - x[0])**2", {"x": [0.0, 0.0]})
    a, b = points.T
    subject = at(rosenbrock, points)
    np.testing.assert_allclose(array_of(ask(server, "Value", subject).value), 100 * (b - a * a) ** 2 + (1 - a) ** 2)
    gradient = np.column_stack([-400 * a * (b - a * a) - 2 * (1 - a), 200 * (b - a * a)])
    np.testing.assert_allclose(array_of(ask(server, "Gradient", subject).gradient), gradient, rtol=1e-10)
    H = array_of(ask(server, "Hessian", subject).hessian)
    assert H.shape == (4000, 2, 2)
    np.testing.assert_allclose(H[:, 0, 0], 1200 * a * a - 400 * b + 2, rtol=1e-11)
    v = np.array([1.0, -2.0])
    product = ask(server, "HessianVectorProduct", subject, vector=v)
    np.testing.assert_allclose(array_of(product.product), H @ v, rtol=1e-10, atol=1e-10)
    directions = np.random.default_rng(1).normal(size=(50, 2))
    several = ask(server, "HessianVectorProduct", at(rosenbrock, points[0]), vector=directions)
    np.testing.assert_allclose(array_of(several.product), directions @ H[0], rtol=1e-10, atol=1e-10)
    residuals = np.sum((TARGETS - points[:500] @ FEATURES[:, :2].T) ** 2, axis=1)
    on_rows = ask(server, "Value", at(least_squares(FEATURES[:, :2], TARGETS), points[:500]))
    np.testing.assert_allclose(array_of(on_rows.value), residuals, rtol=1e-12)


def test_sparse_matrices(server: Running) -> None:
    size = 300
    x = np.linspace(0.0, 1.0, size)
    model = text("sum((x[1:] - x[:-1]**2)**2)", {"x": x})
    reply = ask(server, "Hessian", at(model), sparse=True)
    found = csr.decode(reply.sparse_hessian)
    assert found.shape == (size, size)
    assert len(found.values) == 3 * size - 2
    assert reply.derivation.passes < 10
    dense = array_of(ask(server, "Hessian", at(model)).hessian)
    rows = np.repeat(np.arange(size), np.diff(found.row_starts))
    np.testing.assert_allclose(found.values, dense[rows, found.column_indices], rtol=1e-12, atol=1e-12)
    assert np.count_nonzero(dense) <= len(found.values)
    jacobian = csr.decode(ask(server, "Jacobian", at(text("x[1:]*x[:-1]", {"x": x})), sparse=True).sparse_jacobian)
    assert jacobian.shape == (size - 1, size)
    assert len(jacobian.values) == 2 * (size - 1)


def test_a_reply_over_a_mebibyte_is_a_dataset(server: Running) -> None:
    model = text("sum(x**4)/12", {"x": np.arange(400.0)})
    reply = ask(server, "Hessian", at(model))
    assert reply.hessian.WhichOneof("encoding") == "dataset"
    assert list(reply.hessian.shape) == [400, 400]
    assert reply.theta.WhichOneof("encoding") == "raw"


def test_answers_that_are_datasets_do_not_pile_up() -> None:
    size = 400 * 400 * 8
    with serving(workers=1, limits={"answers_bytes": 3 * size}) as server:
        names = []
        for k in range(6):
            model = text(f"sum(x**4)*{k + 1}", {"x": np.arange(400.0)})
            names.append(ask(server, "Hessian", at(model)).hessian.dataset)
            if k == 1:
                server.datasets.GetDataset(dataset_pb2.GetDatasetRequest(name=names[1]), timeout=TIMEOUT)
        listed = server.datasets.ListDatasets(dataset_pb2.ListDatasetsRequest(), timeout=TIMEOUT).datasets
        # The one that somebody asked for stays, and the three newest.
        assert {dataset.name for dataset in listed} == {names[1], *names[3:]}
        again = ask(server, "Hessian", at(text("sum(x**4)*1", {"x": np.arange(400.0)}))).hessian
        assert again.dataset == names[0]


def test_a_point_may_be_a_dataset(server: Running) -> None:
    points = np.random.default_rng(0).normal(size=(60_000, 3))
    name = server.upload(points).name
    reference = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT64, shape=points.shape, dataset=name)
    reply = ask(server, "JacobianVectorProduct", at(text("sum(x**2)", {"x": THETA}), reference), vector=THETA)
    np.testing.assert_allclose(array_of(reply.product), 2 * points @ THETA, rtol=1e-12, atol=1e-12)
