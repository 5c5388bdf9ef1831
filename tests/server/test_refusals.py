"""What a server does not accept, and how it says so: all violations, in the client's own field names."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from server.running import TIMEOUT, Running, data, endless, least_squares, quick, refused, result_of, serving

from nablad.server.worker import definitions, method_definitions
from nablad.v1 import event_pb2, expression_pb2, method_pb2, model_pb2, solver_pb2, tensor_pb2
from nablad.wire.tensors import encode

FEATURES, TARGETS = data()
NAN = np.where(np.arange(60) == 7, np.nan, TARGETS)


def network(**fields: Any) -> model_pb2.Model:
    given: dict[str, Any] = {
        "inputs": encode(FEATURES),
        "targets": encode(TARGETS),
        "layers": [model_pb2.Layer(width=1)],
    }
    return model_pb2.Model(network=model_pb2.Network(**given | fields))


def model(**fields: Any) -> solver_pb2.SolveSpec:
    given: dict[str, Any] = {"features": encode(FEATURES), "targets": encode(TARGETS)}
    return solver_pb2.SolveSpec(model=model_pb2.Model(least_squares=model_pb2.LeastSquares(**given | fields)))


def layers(*rows: model_pb2.Layer) -> solver_pb2.SolveSpec:
    return solver_pb2.SolveSpec(model=network(layers=rows))


def method(**fields: Any) -> solver_pb2.SolveSpec:
    return quick(method=method_pb2.Method(**fields))


Layer = model_pb2.Layer
Descent = method_pb2.GradientDescent
F64 = tensor_pb2.DATA_TYPE_FLOAT64

CASES: list[tuple[str, solver_pb2.SolveSpec]] = [
    ("spec.model", solver_pb2.SolveSpec()),
    ("spec.model", solver_pb2.SolveSpec(model=model_pb2.Model())),
    ("spec.model.least_squares.features", solver_pb2.SolveSpec(model={"least_squares": {"targets": encode(TARGETS)}})),
    ("spec.model.least_squares.targets", model(targets=encode(TARGETS[:-1]))),
    ("spec.model.least_squares.targets[7]", model(targets=encode(NAN))),
    ("spec.model.least_squares.features", model(features=encode(TARGETS))),
    ("spec.model.least_squares.features[0, 0]", model(features=encode(np.full_like(FEATURES, np.inf)))),
    ("spec.model.least_squares.features", model(features=encode(FEATURES[:0]), targets=encode(TARGETS[:0]))),
    ("spec.model.least_squares.features", model(features=encode(FEATURES[:, :0]))),
    ("spec.model.least_squares.features.dtype", model(features=tensor_pb2.Tensor(shape=[2, 2], fill=1))),
    ("spec.model.least_squares.features.shape[0]", model(features=tensor_pb2.Tensor(dtype=F64, shape=[-1, 2], fill=1))),
    ("spec.model.least_squares.features.shape", model(features=tensor_pb2.Tensor(dtype=F64, shape=[2**62, 9], fill=1))),
    ("spec.model.least_squares.features.fill", model(features=tensor_pb2.Tensor(dtype=F64, shape=[10**9, 9], fill=1))),
    ("spec.model.least_squares.features.raw", model(features=tensor_pb2.Tensor(dtype=F64, shape=[2, 2], raw=b"1"))),
    ("spec.model.least_squares.features", model(features=tensor_pb2.Tensor(dtype=F64, shape=[2, 2]))),
    (
        "spec.model.least_squares.features.dataset",
        model(features=tensor_pb2.Tensor(dtype=F64, shape=[2, 2], dataset="datasets/" + "0" * 64)),
    ),
    (
        "spec.model.least_squares.features.dataset",
        model(features=tensor_pb2.Tensor(dtype=F64, shape=[2, 2], dataset="../../etc/passwd")),
    ),
    ("spec.model.least_squares.weights[0]", model(weights=encode(np.where(np.arange(60) == 0, -1.0, 1.0)))),
    ("spec.model.least_squares.ridge", model(ridge=-1.0)),
    ("spec.model.least_squares.ridge", model(ridge=float("nan"))),
    ("spec.model.least_squares.reduction", model(reduction=7)),  # type: ignore[arg-type]
    ("spec.model.network.layers", layers()),
    ("spec.model.network.layers[1].width", layers(Layer(width=2), Layer(width=-3))),
    ("spec.model.network.layers[0].activation", layers(Layer(width=1, activation="wibble"))),
    ("spec.model.network.layers[0].initialization", layers(Layer(width=1, initialization="wibble"))),
    ("spec.model.network.layers", layers(Layer(width=2**31 - 1), Layer(width=1))),
    ("spec.model.network.layers", layers(*[Layer(width=1)] * 1000)),
    ("spec.model.network.loss", solver_pb2.SolveSpec(model=network(loss="wibble"))),
    ("spec.method", method()),
    ("spec.method.gradient_descent.constant.step_size", method(gradient_descent=Descent(constant={"step_size": -1.0}))),
    ("spec.method.gradient_descent.constant.step_size", method(gradient_descent=Descent(constant={}))),
    ("spec.method.gradient_descent.momentum", method(gradient_descent=Descent(momentum=1.0))),
    ("spec.method.gradient_descent.armijo.shrink", method(gradient_descent=Descent(armijo={"shrink": 2.0}))),
    ("spec.method.newton.line_search.max_trials", method(newton={"line_search": {"max_trials": 0}})),
    ("spec.stopping.max_iterations", quick(stopping=method_pb2.Stopping(max_iterations=-1))),
    ("spec.stopping.max_iterations", quick(stopping=method_pb2.Stopping(max_iterations=2**62))),
    ("spec.stopping.max_time", quick(stopping=method_pb2.Stopping(max_time=Duration()))),
    ("spec.stopping.max_time", quick(stopping=method_pb2.Stopping(max_time=Duration(seconds=1, nanos=-5)))),
    ("spec.stopping.max_time", quick(stopping=method_pb2.Stopping(max_time=Duration(nanos=2 * 10**9)))),
    ("spec.stopping.max_time", quick(stopping=method_pb2.Stopping(max_time=Duration(seconds=2**60)))),
    (
        "spec.stopping.decrement_tolerance",
        quick(
            method=method_pb2.Method(lbfgs=method_pb2.LBFGS()), stopping=method_pb2.Stopping(decrement_tolerance=1e-3)
        ),
    ),
    ("spec.stopping.gradient_tolerance", quick(stopping=method_pb2.Stopping(gradient_tolerance=float("nan")))),
    ("spec.start", quick(start=encode(np.zeros(4)))),
    ("spec.start", quick(start=encode(np.array([0.0, np.nan, 0.0])))),
    ("spec.record_theta.every", quick(record_theta=solver_pb2.RecordTheta(every=0))),
    ("spec.record_theta.every", quick(record_theta=solver_pb2.RecordTheta(every=-5))),
    ("spec.title", quick(title="x" * 121)),
]


@pytest.mark.parametrize(("field", "spec"), CASES, ids=[f"{i}-{field}" for i, (field, _) in enumerate(CASES)])
def test_the_field_at_fault_is_named(server: Running, field: str, spec: solver_pb2.SolveSpec) -> None:
    details = refused(lambda: server.create(spec, validate_only=True))
    assert details.code == "INVALID_ARGUMENT"
    assert field in [violation.field for violation in details.violations], details.violations
    assert all(violation.description for violation in details.violations)


def test_all_that_is_wrong_is_told_at_once(server: Running) -> None:
    spec = solver_pb2.SolveSpec(
        model=network(layers=[Layer(width=0, activation="tanh"), Layer(width=-1)], ridge=-1.0),
        method=method_pb2.Method(gradient_descent=Descent(constant={"step_size": 0.0}, momentum=2.0)),
        stopping=method_pb2.Stopping(max_iterations=-1, step_tolerance=-1.0),
        title="x" * 1000,
    )
    fields = {violation.field for violation in refused(lambda: server.create(spec)).violations}
    assert {
        "spec.model.network.layers[0].width",
        "spec.model.network.layers[1].width",
        "spec.model.network.ridge",
        "spec.method.gradient_descent.constant.step_size",
        "spec.method.gradient_descent.momentum",
        "spec.stopping.max_iterations",
        "spec.stopping.step_tolerance",
    } <= fields


def test_many_violations_fit_into_a_reply(server: Running) -> None:
    details = refused(lambda: server.create(layers(*[Layer(width=-1)] * 200)))
    assert 1 < len(details.violations) <= 50


def test_sizes_are_bounded_before_work_starts() -> None:
    limits = {"hessian_bytes": 100, "rows": 50, "layers": 2, "parameters": 20, "journal_bytes": 1000, "queue": 1}
    with serving(workers=1, limits=limits) as server:
        wide = quick()
        few = least_squares(*data(20))
        (violation,) = refused(lambda: server.create(wide)).violations
        assert violation.field == "spec.model.least_squares.features"
        assert "50" in violation.description
        wide.model.CopyFrom(few)
        wide.model.least_squares.features.CopyFrom(encode(data(20, 4)[0]))
        wide.method.newton.linear_solver = "dense"
        (violation,) = refused(lambda: server.create(wide)).violations
        assert violation.field == "spec.method.newton"
        assert "gradient_descent" in violation.description
        recording = quick(
            record_theta=solver_pb2.RecordTheta(every=1), stopping=method_pb2.Stopping(max_iterations=1000)
        )
        recording.model.CopyFrom(few)
        (violation,) = refused(lambda: server.create(recording)).violations
        assert violation.field == "spec.record_theta.every"


def test_what_accumulates_is_bounded() -> None:
    with serving(workers=1, limits={"queue": 1, "watchers": 2, "finished_jobs": 2}) as server:
        jobs = [server.create(endless())]
        server.wait_until_it_iterates(jobs[0].name)
        jobs.append(server.create(endless()))
        full = refused(lambda: server.create(endless()))
        assert (full.code, full.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
        assert full.retry_delay is not None
        streams = [server.watch(job.name) for job in jobs]
        for stream in streams:
            next(stream)
        assert refused(lambda: server.watch(jobs[0].name)).reason == "TOO_MANY_WATCHERS"
        for job in jobs:
            server.cancel(job.name)
            server.wait_until(job.name, event_pb2.JOB_STATE_CANCELLED)
        server.solve(quick())
        assert refused(lambda: server.get(jobs[0].name)).code == "NOT_FOUND"
        listed = server.solver.ListSolveJobs(solver_pb2.ListSolveJobsRequest(), timeout=TIMEOUT).solve_jobs
        assert [job.state for job in listed] == [event_pb2.JOB_STATE_SUCCEEDED, event_pb2.JOB_STATE_CANCELLED]


@pytest.mark.parametrize(
    "method_name",
    ["Solve", "CreateSolveJob", "GetSolveJob", "WatchSolveJob", "ListSolveJobs", "Predict", "CancelSolveJob"],
)
@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x7f"])
def test_malformed_bytes_are_the_clients_fault(server: Running, method_name: str, garbage: bytes) -> None:
    path = f"/nablad.v1.SolverService/{method_name}"
    make = server.channel.unary_stream if method_name in ("Solve", "WatchSolveJob") else server.channel.unary_unary
    call = make(path)
    outcome = refused(lambda: call(garbage, timeout=TIMEOUT))
    assert outcome.code == "INVALID_ARGUMENT"


def test_a_message_that_is_too_large_is_refused(server: Running) -> None:
    spec = model(features=encode(np.zeros((600_000, 4))))
    with pytest.raises(grpc.RpcError) as caught:
        server.create(spec)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert result_of(server.solve(quick())).termination.success


@pytest.mark.parametrize("name", ["solveJobs/none", "datasets/x", "", "solveJobs/../x", "\N{SNOWMAN}"])
def test_an_unknown_job_is_named(server: Running, name: str) -> None:
    details = refused(lambda: server.get(name))
    assert details.code == ("NOT_FOUND" if name else "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "thinning",
    [
        {"every": 0},
        {"budget": -1},
        {"per_decade": 10**6},
        {"interval": Duration()},
        {"interval": Duration(seconds=1, nanos=-5)},
        {"interval": Duration(seconds=2**60)},
    ],
)
def test_a_thinning_that_cannot_be_is_refused(server: Running, thinning: dict[str, Any]) -> None:
    request = solver_pb2.SolveRequest(spec=quick(), thinning=solver_pb2.Thinning(**thinning))
    details = refused(lambda: server.solver.Solve(request, timeout=TIMEOUT))
    assert details.violations[0].field == f"thinning.{next(iter(thinning))}"


def test_the_border_knows_every_field_of_the_wire() -> None:
    pairs: list[tuple[type, Any]] = [
        (definitions.Spec, solver_pb2.SolveSpec),
        (definitions.Model, model_pb2.Model),
        (definitions.LeastSquares, model_pb2.LeastSquares),
        (definitions.Network, model_pb2.Network),
        (definitions.Expression, expression_pb2.Expression),
        (definitions.NamedArray, tensor_pb2.NamedTensor),
        (definitions.Layer, model_pb2.Layer),
        (definitions.Stopping, method_pb2.Stopping),
        (definitions.RecordTheta, solver_pb2.RecordTheta),
        (definitions.Bounds, solver_pb2.Bounds),
    ]
    of_methods = set(method_pb2.DESCRIPTOR.message_types_by_name) - {"Stopping"}
    pairs += [(getattr(method_definitions, name), getattr(method_pb2, name)) for name in sorted(of_methods)]
    for definition, message in pairs:
        assert set(definition.model_fields) == {field.name for field in message.DESCRIPTOR.fields}, definition
