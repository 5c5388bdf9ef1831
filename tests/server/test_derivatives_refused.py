"""What DerivativeService refuses: by the client's own field, and before it takes memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from server.derivations import CALLS, FEATURES, SCALAR, TARGETS, ask, at
from server.expressions import text
from server.running import (
    TIMEOUT,
    Running,
    array_of,
    least_squares,
    refused,
    serving,
)

from nablad.v1 import model_pb2, tensor_pb2

FIT = text("a*x", {"a": 1.0}, {"x": np.arange(1.0, 6.0)}, response=np.arange(5.0))
OUTPUT = text("x*2", {"x": [1.0, 2.0]})
LONG = np.ones((3, 2))

REFUSALS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("Value", "subject", {}, {}),
    ("Value", "subject.model", {"model": model_pb2.Model()}, {}),
    ("Value", "subject.model.expression.text", {"model": text("a +", {"a": 1.0})}, {}),
    ("Value", "subject.model.expression.parameters[0].value", {"model": text("a", {"a": np.inf})}, {}),
    ("Value", "subject.model.expression.parameters[1].name", {"model": text("a", {"a": 1.0, "1b": 1.0})}, {}),
    ("Value", "subject.model.expression.data[0].name", {"model": text("a", {"a": 1.0}, {"x\n": [1.0]})}, {}),
    ("Value", "subject.model.least_squares.targets", {"model": least_squares(FEATURES, TARGETS[:-1])}, {}),
    ("Value", "subject.iteration", {"model": SCALAR, "iteration": 0}, {}),
    ("Value", "subject.solve_job", {"solve_job": ""}, {}),
    ("Value", "subject.theta", {"model": SCALAR, "theta": np.ones(3)}, {}),
    ("Value", "subject.theta", {"model": SCALAR, "theta": np.ones((2, 2, 2))}, {}),
    ("Value", "subject.theta", {"model": SCALAR, "theta": np.ones((0, 2))}, {}),
    ("Value", "subject.theta", {"model": SCALAR, "theta": 1.0}, {}),
    ("Value", "subject.theta", {"model": SCALAR, "theta": tensor_pb2.Tensor(dtype=1, shape=[2])}, {}),
    ("Value", "subject.theta.raw", {"model": SCALAR, "theta": tensor_pb2.Tensor(dtype=1, shape=[2], raw=b"1")}, {}),
    (
        "Value",
        "subject.theta.fill",
        {"model": SCALAR, "theta": tensor_pb2.Tensor(dtype=1, shape=[9**9, 2], fill=1)},
        {},
    ),
    ("Gradient", "subject.theta[1]", {"model": SCALAR, "theta": [0.0, math.nan]}, {}),
    ("Hessian", "subject.theta[1, 0]", {"model": SCALAR, "theta": [[0.0, 1.0], [math.inf, 0.0]]}, {}),
    ("Value", "subject.of", {"model": SCALAR, "of": "wibble"}, {}),
    ("Value", "subject.of", {"model": SCALAR, "of": "residual"}, {}),
    ("Jacobian", "way", {"model": FIT}, {"way": "wibble"}),
    ("Hessian", "way", {"model": SCALAR}, {"way": "gauss_newton_exact"}),
    ("Jacobian", "sparse", {"model": SCALAR, "theta": LONG}, {"sparse": True}),
    ("Hessian", "sparse", {"model": SCALAR, "theta": LONG}, {"sparse": True}),
    ("Hessian", "sparse", {"model": OUTPUT}, {"sparse": True}),
    ("HessianVectorProduct", "vector", {"model": SCALAR}, {}),
    ("HessianVectorProduct", "vector", {"model": SCALAR}, {"vector": np.ones(3)}),
    ("HessianVectorProduct", "vector", {"model": SCALAR, "theta": LONG}, {"vector": np.ones((4, 2))}),
    ("HessianVectorProduct", "vector[0]", {"model": SCALAR}, {"vector": np.array([np.nan, 1.0])}),
    ("JacobianVectorProduct", "vector", {"model": FIT}, {"vector": np.ones(5)}),
    ("VectorJacobianProduct", "vector", {"model": FIT}, {"vector": np.ones(1)}),
    ("VectorJacobianProduct", "vector", {"model": FIT}, {"vector": np.ones((2, 2, 5))}),
    ("VectorJacobianProduct", "vector[4]", {"model": FIT}, {"vector": np.array([1.0, 1.0, 1.0, 1.0, np.inf])}),
    ("Taylor", "direction", {"model": SCALAR}, {"direction": np.ones(3), "order": 2}),
    ("Taylor", "direction", {"model": SCALAR}, {"order": 2}),
    ("Taylor", "order", {"model": SCALAR}, {"direction": np.ones(2), "order": -1}),
    ("Taylor", "order", {"model": SCALAR}, {"direction": np.ones(2), "order": 10**6}),
    ("CheckDerivatives", "subject.theta", {"model": SCALAR, "theta": LONG}, {}),
    ("CheckDerivatives", "max_entries", {"model": SCALAR}, {"max_entries": 0}),
    ("CheckDerivatives", "max_entries", {"model": SCALAR}, {"max_entries": 2**31 - 1}),
    ("DescribeGraph", "subject.theta", {"model": SCALAR, "theta": LONG}, {}),
    ("DescribeGraph", "max_nodes", {"model": SCALAR}, {"max_nodes": -1}),
    ("DescribeGraph", "max_nodes", {"model": SCALAR}, {"max_nodes": 2**31 - 1}),
]


@pytest.mark.parametrize(
    ("call", "field", "subject", "rest"), REFUSALS, ids=[f"{i}-{r[0]}-{r[1]}" for i, r in enumerate(REFUSALS)]
)
def test_the_field_at_fault_is_named(server: Running, call: str, field: str, subject: Any, rest: Any) -> None:
    details = refused(lambda: ask(server, call, at(**subject), **rest))
    assert details.code == "INVALID_ARGUMENT"
    assert [violation.field for violation in details.violations] == [field], details.violations
    assert all(violation.description for violation in details.violations)


@pytest.mark.parametrize("name", ["solveJobs/none", "datasets/x", "wibble"])
def test_an_unknown_job_is_named(server: Running, name: str) -> None:
    assert refused(lambda: ask(server, "Gradient", at(solve_job=name))).code == "NOT_FOUND"


@pytest.mark.parametrize("call", CALLS)
def test_malformed_bytes_are_the_clients_fault(server: Running, call: str) -> None:
    method: Any = server.channel.unary_unary(f"/nablad.v1.DerivativeService/{call}")
    assert refused(lambda: method(b"\x0a\x7f", timeout=TIMEOUT)).code == "INVALID_ARGUMENT"


def test_what_would_be_too_large_is_refused_before_it_is_computed() -> None:
    with serving(workers=1, limits={"derivative_bytes": 10_000}) as server:
        wide = text("sum(x**2)", {"x": np.ones(100)})
        assert array_of(ask(server, "Gradient", at(wide)).gradient).shape == (100,)
        for call, subject, rest in (
            ("Hessian", at(wide), {}),
            ("Gradient", at(wide, np.ones((13, 100))), {}),
            ("HessianVectorProduct", at(wide), {"vector": np.ones((13, 100))}),
            ("Jacobian", at(text("x*2", {"x": np.ones(100)})), {}),
            ("Taylor", at(text("x*2", {"x": np.ones(100)})), {"direction": np.ones(100), "order": 20}),
            ("Value", at(wide, np.ones((2000, 100))), {}),
        ):
            details = refused(lambda call=call, subject=subject, rest=rest: ask(server, call, subject, **rest))
            assert [row.field for row in details.violations] == ["subject"]
            assert "10000" in details.message
        full = text("sum(x)**2", {"x": np.ones(100)})
        details = refused(lambda: ask(server, "Hessian", at(full), sparse=True))
        assert [row.field for row in details.violations] == ["subject.of"]
        thin = text("sum(x**2)", {"x": np.ones(100)})
        assert ask(server, "Hessian", at(thin), sparse=True).sparse_hessian.rows == 100


def test_work_that_would_take_too_much_memory_is_refused_before_it_is_done() -> None:
    """The model passes; what is asked of it would not."""
    with serving(workers=1, limits={"workspace_bytes": 64 << 20}) as server:
        # A triangle must stand in memory, where sines of sines need not.
        model = text("sum(sin(tril(sin(tril(outer(x, x))))))", {"x": np.ones(1000)})
        assert array_of(ask(server, "Value", at(model)).value) == pytest.approx(
            1000 * 1001 / 2 * math.sin(math.sin(1.0)), rel=1e-12
        )
        for call, rest in (("Taylor", {"direction": np.ones(1000), "order": 40}), ("DescribeGraph", {})):
            details = refused(lambda call=call, rest=rest: ask(server, call, at(model, np.ones(1000)), **rest))
            assert [row.field for row in details.violations] == ["subject.of"]
            assert "to compute this takes about" in details.message
        assert not server.logged("reserved worker ended")
