"""DerivativeService over the wire: on models and on jobs, against the formulas; and what it refuses."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from server.expressions import graph, misra, tensor, text
from server.running import (
    TIMEOUT,
    Running,
    array_of,
    children,
    data,
    descent,
    end,
    endless,
    iterates_of,
    least_squares,
    refused,
    serving,
    wait_for,
)

from nablad.v1 import dataset_pb2, event_pb2, model_pb2, solver_pb2, tensor_pb2
from nablad.v1 import derivative_pb2 as pb
from nablad.wire import csr
from nablad.wire.tensors import encode

FEATURES, TARGETS = data()
THETA = np.array([0.5, -1.0, 2.0])
LINE = least_squares(FEATURES, TARGETS)
CALLS = {
    "Value": pb.ValueRequest,
    "Gradient": pb.GradientRequest,
    "Jacobian": pb.JacobianRequest,
    "Hessian": pb.HessianRequest,
    "HessianVectorProduct": pb.HessianVectorProductRequest,
    "JacobianVectorProduct": pb.JacobianVectorProductRequest,
    "VectorJacobianProduct": pb.VectorJacobianProductRequest,
    "Taylor": pb.TaylorRequest,
    "CheckDerivatives": pb.CheckDerivativesRequest,
    "DescribeGraph": pb.DescribeGraphRequest,
}


def ask(server: Running, call: str, subject: pb.Subject, **fields: Any) -> Any:
    fields = {name: tensor(value) if isinstance(value, np.ndarray) else value for name, value in fields.items()}
    return getattr(server.derivatives, call)(CALLS[call](subject=subject, **fields), timeout=TIMEOUT)


def at(model: model_pb2.Model | None = None, theta: Any = None, **fields: Any) -> pb.Subject:
    """A model, or a job by `solve_job`, at a point."""
    if theta is not None:
        fields["theta"] = theta if isinstance(theta, tensor_pb2.Tensor) else tensor(theta)
    return pb.Subject(model=model, **fields)


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


# Jobs


def recording(**fields: Any) -> solver_pb2.SolveSpec:
    return solver_pb2.SolveSpec(model=LINE, **descent(1e-3, max_iterations=40), **fields)


def test_an_iteration_that_was_not_recorded_is_computed_again_to_the_same_bits(server: Running) -> None:
    recorded = server.solve(recording(record_theta=solver_pb2.RecordTheta(every=1)))
    job = server.create(recording(record_theta=solver_pb2.RecordTheta(never=True))).name
    losses = [it.loss for it in iterates_of(server.events(job))]
    for k in (0, 1, 17, 40):
        theta = array_of(iterates_of(recorded)[k].theta)
        reply = ask(server, "Gradient", at(solve_job=job, iteration=k))
        assert array_of(reply.theta).tobytes() == theta.tobytes()
        assert array_of(reply.value) == pytest.approx(losses[k], rel=1e-14)
    result = array_of(server.get(job).result.theta)
    np.testing.assert_array_equal(array_of(ask(server, "Value", at(solve_job=job)).theta), result)
    elsewhere = ask(server, "Value", at(solve_job=job, theta=np.zeros(3)))
    assert array_of(elsewhere.value) == pytest.approx(TARGETS @ TARGETS)


def test_a_recorded_iteration_is_taken_from_the_journal(server: Running) -> None:
    events = server.solve(recording(record_theta=solver_pb2.RecordTheta(every=1), title="recorded"))
    (job, *_) = server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(page_size=1), timeout=TIMEOUT).solve_jobs
    iterate = iterates_of(events)[23]
    reply = ask(server, "Value", at(solve_job=job.name, iteration=23))
    assert array_of(reply.theta).tobytes() == array_of(iterate.theta).tobytes()


def test_iterations_that_are_not_there(server: Running) -> None:
    job = server.create(recording()).name
    server.wait_until(job, event_pb2.JOB_STATE_SUCCEEDED)
    for k, word in ((41, "after iteration 40"), (-1, "first"), (2**62, "after iteration 40")):
        details = refused(lambda k=k: ask(server, "Value", at(solve_job=job, iteration=k)))
        assert [row.field for row in details.violations] == ["subject.iteration"]
        assert word in details.message
    running = server.create(endless()).name
    server.wait_until_it_iterates(running)
    details = refused(lambda: ask(server, "Value", at(solve_job=running, iteration=10**8)))
    assert (details.code, details.reason) == ("FAILED_PRECONDITION", "ITERATION_NOT_REACHED")
    assert refused(lambda: ask(server, "Value", at(solve_job=running))).reason == "JOB_NOT_ENDED"
    k = server.get(running).last_iterate.iteration
    assert np.isfinite(array_of(ask(server, "Gradient", at(solve_job=running, iteration=k)).gradient)).all()
    server.cancel(running)
    server.wait_until(running, event_pb2.JOB_STATE_CANCELLED)


def test_a_late_iteration_is_computed_from_the_nearest_checkpoint(server: Running) -> None:
    running = server.create(endless(record_theta=solver_pb2.RecordTheta(never=True))).name
    wait_for(lambda: any(e.HasField("checkpoint") for e in first_events(server, running)), "a checkpoint")
    k = server.wait_until_it_iterates(running, 2000).last_iterate.iteration
    reply = ask(server, "Value", at(solve_job=running, iteration=k))
    server.cancel(running)
    loss = next(it.loss for it in iterates_of(server.events(running)) if it.iteration == k)
    assert array_of(reply.value) == pytest.approx(loss, rel=1e-15)


def first_events(server: Running, job: str) -> list[event_pb2.SolveEvent]:
    """The journal as it is now."""
    last = server.get(job).last_seq
    events: list[event_pb2.SolveEvent] = []
    stream = server.watch(job)
    for block in stream:
        events += block.events
        if events and events[-1].seq >= last:
            break
    stream.cancel()
    return events


# Refusals

FIT = text("a*x", {"a": 1.0}, {"x": np.arange(1.0, 6.0)}, response=np.arange(5.0))
SCALAR = text("x[0]**2 + x[1]**2", {"x": [1.0, 2.0]})
OUTPUT = text("x*2", {"x": [1.0, 2.0]})
LONG = np.ones((3, 2))

REFUSALS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("Value", "subject", {}, {}),
    ("Value", "subject.model", {"model": model_pb2.Model()}, {}),
    ("Value", "subject.model.expression.text", {"model": text("a +", {"a": 1.0})}, {}),
    ("Value", "subject.model.expression.parameters[0].value", {"model": text("a", {"a": np.inf})}, {}),
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


# Trouble


def slow() -> pb.Subject:
    """Some seconds of work in many blocks."""
    x = np.linspace(0.0, 1.0, 40_000)
    terms = "+".join(f"sin({k}*b[{k}]*x)*exp(b[{(k + 1) % 30}])" for k in range(30))
    return at(text(terms, {"b": np.ones(30)}, {"x": x}, response=x))


def test_a_gradient_does_not_wait_behind_solves(server: Running) -> None:
    busy = [server.create(endless()) for _ in range(3)]
    server.wait_until_it_iterates(busy[0].name)
    server.wait_until_it_iterates(busy[1].name)
    started = time.monotonic()
    ask(server, "Gradient", at(LINE, THETA))
    assert time.monotonic() - started < 2.0
    for job in busy:
        server.cancel(job.name)
        server.wait_until(job.name, event_pb2.JOB_STATE_CANCELLED)


@pytest.fixture(scope="module")
def hardy() -> Iterator[Running]:
    with serving(workers=1) as running:
        yield running
        assert not running.logged("call failed inside the server"), running.log_text()


def test_a_derivative_survives_the_death_of_its_worker(hardy: Running) -> None:
    (template,) = children(hardy.process.pid)
    future = hardy.derivatives.Hessian.future(pb.HessianRequest(subject=slow()), timeout=60)
    time.sleep(0.3)
    for pid in children(template):
        end(pid)
    assert list(future.result().hessian.shape) == [30, 30]


def test_who_goes_away_leaves_the_line_free(hardy: Running) -> None:
    calls = [hardy.derivatives.Hessian.future(pb.HessianRequest(subject=slow())) for _ in range(4)]
    time.sleep(0.3)
    for call in calls:
        call.cancel()
    started = time.monotonic()
    ask(hardy, "Gradient", at(LINE, THETA))
    assert time.monotonic() - started < 5.0


def test_a_worker_that_does_not_give_up_is_replaced(hardy: Running) -> None:
    product = text("sum((outer(x, x) @ outer(x, x)))", {"x": np.ones(6000)})
    call = hardy.derivatives.Value.future(pb.ValueRequest(subject=at(product)))
    time.sleep(0.5)
    call.cancel()
    started = time.monotonic()
    ask(hardy, "Gradient", at(LINE, THETA))
    assert time.monotonic() - started < 8.0


def test_many_at_once_are_all_answered(server: Running) -> None:
    failures: list[str] = []

    def client(k: int) -> None:
        theta = np.full(3, float(k))
        found = array_of(ask(server, "Gradient", at(LINE, theta)).gradient)
        expected = -2 * (TARGETS - FEATURES @ theta) @ FEATURES
        if not np.allclose(found, expected, rtol=1e-12):
            failures.append(f"{k}: {found} is not {expected}")

    threads = [threading.Thread(target=client, args=(k,)) for k in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_token_is_needed() -> None:
    with serving(workers=1, token="secret") as server:
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            ask(server, "Value", at(SCALAR))
        request = pb.ValueRequest(subject=at(SCALAR))
        metadata = (("authorization", "Bearer secret"),)
        reply = server.derivatives.Value(request, timeout=TIMEOUT, metadata=metadata)
        assert array_of(reply.value) == 5.0


def test_a_deleted_dataset_is_told(server: Running) -> None:
    features = np.random.default_rng(5).normal(size=(50, 3))
    name = server.upload(features).name
    model = least_squares(features, features[:, 0])
    model.least_squares.features.CopyFrom(
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT64, shape=features.shape, dataset=name)
    )
    job = server.create(solver_pb2.SolveSpec(model=model)).name
    server.wait_until(job, event_pb2.JOB_STATE_SUCCEEDED)
    server.datasets.DeleteDataset(dataset_pb2.DeleteDatasetRequest(name=name), timeout=TIMEOUT)
    assert refused(lambda: ask(server, "Value", at(solve_job=job))).reason == "DATASET_DELETED"
    fresh = np.random.default_rng(6).normal(size=(50, 3))
    model.least_squares.features.dataset = "datasets/" + "0" * 64
    model.least_squares.targets.CopyFrom(encode(fresh[:, 0]))
    (violation,) = refused(lambda: ask(server, "Value", at(model))).violations
    assert violation.field == "subject.model.least_squares.features.dataset"


def test_a_server_that_ends_takes_no_derivatives() -> None:
    with serving(workers=1, shutdown_seconds=3.0) as server:
        job = server.create(endless())
        server.wait_until_it_iterates(job.name)
        os.kill(server.worker_of(job.name), signal.SIGSTOP)  # so that the end takes its time
        server.process.terminate()
        wait_for(lambda: server.logged("stopping"), "the signal")
        details = refused(lambda: ask(server, "Value", at(SCALAR)))
        assert (details.code, details.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
