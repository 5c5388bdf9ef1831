"""Derivatives beside busy, dying and leaving others."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from server.derivations import FEATURES, LINE, SCALAR, TARGETS, THETA, ask, at
from server.expressions import text
from server.running import (
    TIMEOUT,
    Running,
    array_of,
    children,
    end,
    endless,
    least_squares,
    refused,
    serving,
    wait_for,
)

from nablad.v1 import dataset_pb2, event_pb2, solver_pb2, tensor_pb2
from nablad.v1 import derivative_pb2 as pb
from nablad.wire.tensors import encode


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
        worker = server.worker_of(job.name)
        os.kill(worker, signal.SIGSTOP)  # so that the end takes its time
        server.process.terminate()
        wait_for(lambda: server.logged("stopping"), "the signal")
        details = refused(lambda: ask(server, "Value", at(SCALAR)))
        assert (details.code, details.reason) == ("UNAVAILABLE", "SHUTTING_DOWN")
        os.kill(worker, signal.SIGKILL)  # one that is stopped does not notice the server's end
