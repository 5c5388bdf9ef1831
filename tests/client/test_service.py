"""What the two clients do with a real server, the same for both."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from nablad.client import (
    ArmijoSearch,
    Conflict,
    Dataset,
    Done,
    GradientDescent,
    InvalidRequest,
    Iterate,
    Layer,
    LeastSquares,
    Network,
    Newton,
    NotFound,
    RecordTheta,
    ServerUnavailable,
    StateChange,
    Stopping,
    Thinning,
    Unauthenticated,
)

SLOW = GradientDescent(step=1e-9)


def test_a_solve_from_end_to_end(client: Any, regression: Any) -> None:
    X, y = regression
    run = client.solve(LeastSquares(X, y, intercept=True), Newton(), title="a regression")
    seen = list(run)
    result = run.result()
    with_ones = np.column_stack([X, np.ones(len(y))])
    expected, rss = np.linalg.lstsq(with_ones, y, rcond=None)[:2]
    np.testing.assert_allclose(result.theta, expected, rtol=1e-12)
    np.testing.assert_allclose(result.loss, rss[0], rtol=1e-12)
    np.testing.assert_array_equal(result.parameters["theta"], result.theta[:4])
    np.testing.assert_array_equal(result.parameters["intercept"], result.theta[4])
    assert result.success
    assert result.family == "CONVERGED"
    assert result.evidence.verdict == "minimum"
    assert [it.iteration for it in seen] == list(range(len(seen)))
    assert [it.seq for it in result.history] == [it.seq for it in seen]
    assert seen[0].step_size is None
    assert seen[-1].loss == result.loss
    assert run.state == "SUCCEEDED"
    assert result.job == run.name


def test_the_result_can_be_asked_for_at_once(client: Any, regression: Any) -> None:
    result = client.solve(LeastSquares(*regression)).result()
    assert result.success
    assert [it.iteration for it in result.history] == list(range(result.iterations + 1))


def test_events_are_typed_and_gapless(client: Any, regression: Any) -> None:
    events = list(client.solve(LeastSquares(*regression)).events())
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert [e.state for e in events if isinstance(e, StateChange)] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert isinstance(events[-2], Done)


def test_leaving_the_loop_only_detaches(client: Any, regression: Any) -> None:
    run = client.solve(LeastSquares(*regression), GradientDescent(), stopping=Stopping(max_iterations=50))
    first = []
    for it in run:
        first.append(it.iteration)
        if it.iteration == 3:
            break
    rest = [it.iteration for it in run]
    assert first + rest == list(range(first[0], run.result().iterations + 1))
    assert run.job.state == "SUCCEEDED"


def test_a_job_is_a_resource(client: Any, regression: Any) -> None:
    job = client.submit(LeastSquares(*regression), Newton(), title="kept")
    result = job.result()
    again = client.job(job.name).refresh()
    assert (again.title, again.state, again.ended) == ("kept", "SUCCEEDED", True)
    assert again.create_time <= again.start_time <= again.end_time
    assert again.last_iterate.loss == result.history[-1].loss
    assert again.best_iterate.loss == result.loss
    np.testing.assert_array_equal(again.result().theta, result.theta)
    assert [it.iteration for it in again.result().history] == list(range(result.iterations + 1))
    assert [it.iteration for it in again.watch(after_seq=3)] == list(range(1, result.iterations + 1))
    assert job.name in [j.name for j in client.jobs(states=["SUCCEEDED"])]
    assert job.name not in [j.name for j in client.jobs(states=["RUNNING", "QUEUED"])]
    again.delete()
    with pytest.raises(NotFound, match=job.name):
        client.job(job.name)


def test_validate_tells_what_the_model_is(client: Any) -> None:
    summary = client.validate(Network(np.zeros((9, 4)), np.zeros((9, 2)), [Layer(5, "tanh"), Layer(2)]), Newton())
    assert (summary.rows, summary.parameters) == (9, 37)
    assert dict(summary.layout) == {"A_0": (5, 4), "b_0": (5,), "A_1": (2, 5), "b_1": (2,)}


def test_predict(client: Any, regression: Any) -> None:
    X, y = regression
    run = client.solve(LeastSquares(X, y, intercept=True))
    result = run.result()
    expected = X[:7] @ result.parameters["theta"] + result.parameters["intercept"]
    for of in (result, run, run.name, run.job):
        np.testing.assert_allclose(client.predict(of, X[:7]), expected, rtol=1e-13)


def test_classes(client: Any) -> None:
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(-2, 1, (40, 2)), rng.normal(2, 1, (40, 2))])
    y = np.repeat([0, 1], 40)
    model = Network(X, y, [Layer(2)], loss="softmax_cross_entropy", ridge=1e-3)
    result = client.solve(model, Newton()).result()
    probabilities = client.predict(result, X)
    assert probabilities.shape == (80, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert (probabilities.argmax(axis=1) == y).mean() > 0.95


def test_float32_stays_float32(client: Any, regression: Any) -> None:
    X, y = regression
    result = client.solve(LeastSquares(X.astype("f4"), y)).result()
    assert result.theta.dtype == np.float32
    np.testing.assert_allclose(result.theta, np.linalg.lstsq(X, y, rcond=None)[0], rtol=1e-4)


def test_the_same_request_id_is_the_same_job(client: Any, regression: Any) -> None:
    X, y = regression
    name = "0b9e4c0e-5f3f-4b0e-9f51-" + ("a" * 12 if type(client).__name__ == "Client" else "b" * 12)
    first = client.solve(LeastSquares(X, y), request_id=name)
    assert client.solve(LeastSquares(X, y), request_id=name).name == first.name
    assert first.result().success
    with pytest.raises((InvalidRequest, Conflict), match=r"request_id|another"):
        client.solve(LeastSquares(X, y[::-1]), request_id=name)


LAYERS = [Layer(3, "tanh"), Layer(1)]
Z = np.zeros
BAD = {
    "rows that differ": (lambda: {"model": LeastSquares(Z((5, 2)), Z(4))}, "model.targets"),
    "features of one axis": (lambda: {"model": LeastSquares(Z(5), Z(5))}, "model.features"),
    "no rows": (lambda: {"model": LeastSquares(Z((0, 2)), Z(0))}, "model.features"),
    "NaN in the data": (lambda: {"model": LeastSquares(np.full((5, 2), np.nan), Z(5))}, "model.features"),
    "negative weights": (lambda: {"model": LeastSquares(Z((5, 2)), Z(5), weights=-np.ones(5))}, "model.weights"),
    "a negative ridge": (lambda: {"model": LeastSquares(Z((5, 2)), Z(5), ridge=-1.0)}, "model.ridge"),
    "an unknown activation": (
        lambda: {"model": Network(Z((5, 2)), Z(5), [Layer(3, "tan"), Layer(1)])},
        "model.layers[0]",
    ),
    "an unknown loss": (lambda: {"model": Network(Z((5, 2)), Z(5), LAYERS, loss="hinge")}, "model.loss"),
    "no layers": (lambda: {"model": Network(Z((5, 2)), Z(5), [])}, "model.layers"),
    "a width of 0": (lambda: {"model": Network(Z((5, 2)), Z(5), [Layer(0), Layer(1)])}, "model.layers[0].width"),
    "a wrong last width": (lambda: {"model": Network(Z((5, 2)), Z((5, 3)), LAYERS)}, "model."),
    "a label too large": (
        lambda: {"model": Network(Z((3, 2)), [0, 1, 2], [Layer(2)], loss="softmax_cross_entropy")},
        "model.targets",
    ),
    "a start of another length": (lambda: {"start": Z(5)}, "start"),
    "a start that is not finite": (lambda: {"start": [np.inf, 0.0]}, "start"),
    "a step of 0": (lambda: {"method": GradientDescent(step=0.0)}, "method.step"),
    "a step that is not a number": (lambda: {"method": GradientDescent(step=np.nan)}, "method.step"),
    "too much momentum": (lambda: {"method": GradientDescent(momentum=1.0)}, "method.momentum"),
    "a growing search": (lambda: {"method": GradientDescent(ArmijoSearch(shrink=2.0))}, "method.step.shrink"),
    "negative iterations": (lambda: {"stopping": Stopping(max_iterations=-1)}, "stopping.max_iterations"),
    "negative time": (lambda: {"stopping": Stopping(max_time=-1.0)}, "stopping.max_time"),
    "a long title": (lambda: {"title": "x" * 121}, "title"),
    "a stride of 0": (lambda: {"record_theta": RecordTheta.every(0)}, "record_theta"),
    "a thinning of 0": (lambda: {"thinning": Thinning.every(0)}, "thinning"),
    "a dataset that is not there": (
        lambda: {"model": LeastSquares(Dataset("datasets/" + "0" * 64, np.dtype("f8"), (5, 2)), Z(5))},
        "model.features",
    ),
}


@pytest.mark.parametrize(("make", "field"), BAD.values(), ids=BAD.keys())
def test_bad_requests_come_back_in_the_callers_words(client: Any, make: Any, field: str) -> None:
    arguments = {"model": LeastSquares(np.eye(2), Z(2)), **make()}
    with pytest.raises(InvalidRequest) as caught:
        client.solve(arguments.pop("model"), arguments.pop("method", None), **arguments).result()
    assert "\n" not in str(caught.value)
    assert any(v.field.startswith(field) for v in caught.value.violations), caught.value.violations


def test_a_wrong_token_and_no_token(connect: Any) -> None:
    for token in ("wrong", None):
        with pytest.raises(Unauthenticated, match="token"):
            next(connect(token=token).jobs(), None)


def test_nobody_there(connect: Any, regression: Any) -> None:
    client = connect(target="127.0.0.1:1")
    for call in (lambda: client.solve(LeastSquares(*regression)), lambda: client.job("solveJobs/a")):
        with pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1:1.*nablad serve"):
            call()


def test_two_watchers_with_different_policies(client: Any, regression: Any) -> None:
    X, y = regression
    job = client.submit(
        LeastSquares(X, y),
        GradientDescent(step=1e-6),
        stopping=Stopping(max_iterations=200, relative_gradient_tolerance=0.0),
        record_theta=RecordTheta.every(10),
    )
    full, thin = job.watch(), job.watch(thinning=Thinning.every(50, omit_theta=True))
    every = list(full)
    few = list(thin)
    assert [it.iteration for it in every] == list(range(201))
    assert [it.iteration for it in every if it.theta is not None][:5] == [0, 10, 20, 30, 40]
    assert {0, 50, 100, 150, 200} <= {it.iteration for it in few}
    assert len(few) < 20
    assert all(it.theta is None for it in few)
    assert thin.skipped == 201 - len(few)
    assert thin.result().loss == full.result().loss


def test_cancel_keeps_the_best_point(client: Any, long_model: Any) -> None:
    run = client.solve(long_model, SLOW, stopping=Stopping(max_iterations=10**7))
    for it in run:
        if it.iteration == 5:
            run.cancel()
    result = run.result()
    assert (result.status, result.success) == ("USER_CANCELLED", False)
    assert run.job.state == "CANCELLED"
    assert result.loss <= run.history[0].loss
    assert result.theta.shape == (20,)


def interrupt_at(run: Any, iteration: int) -> None:
    for it in run:
        if it.iteration >= iteration:
            raise KeyboardInterrupt


def test_an_interrupt_cancels_and_hands_over_the_best_point(client: Any, long_model: Any) -> None:
    run = client.solve(long_model, SLOW, stopping=Stopping(max_iterations=10**7))
    with pytest.raises(KeyboardInterrupt), run:
        interrupt_at(run, 3)
    result = run.result()
    assert result.status == "USER_CANCELLED"
    assert run.job.state == "CANCELLED"


def test_another_error_in_the_block_only_detaches(client: Any, long_model: Any) -> None:
    run = client.solve(long_model, SLOW, stopping=Stopping(max_iterations=10**7))
    with pytest.raises(ZeroDivisionError), run:
        _ = 1 / 0
    job = run.job
    assert not job.ended
    job.cancel()
    assert job.result().status == "USER_CANCELLED"


def test_a_job_that_nobody_watches_can_end_by_itself(client: Any, long_model: Any) -> None:
    run = client.solve(long_model, SLOW, stopping=Stopping(max_iterations=10**7), cancel_when_unwatched=True)
    for it in run:
        if it.iteration >= 3:
            break
    job = run.job
    deadline = time.monotonic() + 10.0
    while not job.refresh().ended and time.monotonic() < deadline:  # asking is not watching
        time.sleep(0.05)
    assert job.state == "CANCELLED"
    assert job.result().status == "USER_CANCELLED"


def test_large_arrays_go_and_come(client: Any) -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(50_000, 4))
    theta = np.array([1.0, 2.0, 3.0, 4.0])
    result = client.solve(LeastSquares(X, X @ theta)).result()
    np.testing.assert_allclose(result.theta, theta, rtol=1e-10)
    many = np.tile(X, (5, 1))
    predictions = client.predict(result, many)
    assert predictions.nbytes > 1 << 20
    np.testing.assert_allclose(predictions, many @ result.theta, rtol=1e-10)


def test_large_parameters_come_in_events_and_results(client: Any) -> None:
    p = 150_000
    X = np.ones((2, p)) / p
    run = client.solve(
        LeastSquares(X, [1.0, 2.0]),
        GradientDescent(step=1.0),
        stopping=Stopping(max_iterations=2),
        record_theta=RecordTheta.every(1),
        start=np.zeros(p),
    )
    seen = list(run)
    assert all(isinstance(it, Iterate) and it.theta is not None and it.theta.shape == (p,) for it in seen)
    result = run.result()
    assert result.theta.shape == result.parameters["theta"].shape == (p,)
    if result.gradient is not None:
        np.testing.assert_allclose(result.gradient, 2 * X.T @ (X @ result.theta - [1.0, 2.0]), rtol=1e-9)


def test_a_twenty_mebibyte_array_is_uploaded_once(connect: Any, proxy: Any) -> None:
    client = connect(target=proxy.target)
    X = np.random.default_rng(hash(type(client)) % 1000).normal(size=(2_621_440,)).reshape(-1, 10)
    dataset = client.upload(X)
    assert (dataset.shape, dataset.size_bytes) == (X.shape, 20 << 20)
    assert proxy.sent_up > 20 << 20
    np.testing.assert_array_equal(client.download(dataset), X)
    before = proxy.sent_up
    assert client.upload(X.copy()).name == dataset.name
    assert client.validate(LeastSquares(X, np.zeros(len(X)))).rows == len(X)
    assert proxy.sent_up - before < 4 << 20  # the targets only
    assert dataset.name in [d.name for d in client.datasets()]
    result = client.solve(LeastSquares(dataset, X[:, 0])).result()
    np.testing.assert_allclose(result.theta, [1.0] + [0.0] * 9, atol=1e-10)
    client.delete_dataset(dataset)
    with pytest.raises(NotFound):
        client.download(dataset)


def test_labels_can_be_uploaded(client: Any) -> None:
    dataset = client.upload([0, 1, 2], labels=True)
    assert dataset.dtype == np.int64
    assert client.download(dataset).tolist() == [0, 1, 2]
    with pytest.raises(InvalidRequest, match="X"):
        client.upload(["a"])


def test_a_closed_client_says_so(client: Any, regression: Any) -> None:
    client.close()
    with pytest.raises(Exception, match="the client is closed"):
        client.solve(LeastSquares(*regression))
