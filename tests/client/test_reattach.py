"""Connections that are really cut: streams, uploads and downloads go on where they were."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import numpy as np
import pytest
from client.proxy import Proxy

from nablad.client import GradientDescent, LeastSquares, ServerUnavailable, Stopping
from nablad.client.core.retry import Backoff

LENGTH = 600
QUICK = Backoff(first=0.02, longest=0.1, tries=5)


def session_of(client: Any) -> Any:
    return getattr(client, "_inner", client)._session


@pytest.fixture
def through(connect: Any, proxy: Proxy) -> Any:
    client = connect(target=proxy.target)
    session_of(client).backoff = QUICK
    next(client.jobs(), None)
    return client


def descend(client: Any, model: Any, iterations: int = LENGTH) -> Any:
    stopping = Stopping(max_iterations=iterations, relative_gradient_tolerance=0.0)
    return client.solve(model, GradientDescent(step=1e-9), stopping=stopping)


def test_a_stream_that_is_cut_again_and_again_has_no_gap_and_no_repetition(
    through: Any, proxy: Proxy, long_model: LeastSquares, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nablad.client")
    run = descend(through, long_model)
    seqs, cuts = [], 0
    for event in run.events():
        seqs.append(event.seq)
        if cuts < 5 and event.seq > 100 * (cuts + 1):
            proxy.cut()
            cuts += 1
    assert cuts == 5
    assert seqs == list(range(1, len(seqs) + 1))
    assert [it.iteration for it in run.history] == list(range(LENGTH + 1))
    assert run.result().status == "LIMIT_ITERATIONS"
    assert any(f"{run.name} after seq" in message for message in caplog.messages)


def test_a_connection_that_dies_in_the_middle_of_messages(
    through: Any, connect: Any, proxy: Proxy, long_model: LeastSquares
) -> None:
    name = descend(through, long_model).name
    through.job(name).result()
    proxy.cut_after(3_000, 5_000, 9_000, 17_000)
    proxy.cut()
    seqs = [event.seq for event in through.job(name).watch().events()]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) > LENGTH
    assert proxy.connections >= 5


def test_a_server_that_stays_away_ends_in_an_error_that_says_where_to_go_on(
    through: Any, connect: Any, proxy: Proxy, long_model: LeastSquares
) -> None:
    length = 20_000  # long enough not to be over, and all of it on its way, when the connection is cut
    run = descend(through, long_model, length)
    started = time.monotonic()
    with pytest.raises(ServerUnavailable) as caught:
        refuse_after(run, proxy, 50)
    assert time.monotonic() - started < 10
    error = caught.value
    assert error.job == run.name
    assert error.after_seq >= 50
    rest = list(connect().job(error.job).watch(after_seq=error.after_seq))
    assert rest[0].seq == error.after_seq + 1
    proxy.refuse(False)
    session_of(through).backoff = Backoff()
    assert run.result().iterations == length


def refuse_after(run: Any, proxy: Proxy, seq: int) -> None:
    for event in run.events():
        if event.seq == seq:
            proxy.refuse()
            proxy.cut()


def test_calls_are_repeated_once_the_server_is_known(through: Any, proxy: Proxy, long_model: LeastSquares) -> None:
    run = descend(through, long_model, 2)
    run.result()
    session_of(through).backoff = Backoff(first=0.02, longest=0.2, tries=50)
    proxy.refuse()
    proxy.cut()
    threading.Timer(0.1, lambda: proxy.refuse(False)).start()
    assert run.job.state == "SUCCEEDED"


def test_a_solve_that_is_cut_before_its_first_event_makes_one_job(
    through: Any, proxy: Proxy, long_model: LeastSquares
) -> None:
    through.validate(long_model)  # the data is there: what is cut is the solve
    before = {job.name for job in through.jobs()}
    proxy.cut_after(600)
    proxy.cut()
    result = descend(through, long_model, 3).result()
    made = {job.name for job in through.jobs()} - before
    assert made == {result.job}


def test_an_upload_and_a_download_survive_a_cut(through: Any, connect: Any, proxy: Proxy) -> None:
    array = np.random.default_rng().normal(size=(500_000,))
    proxy.cut_after(2_000_000)
    proxy.cut()
    dataset = through.upload(array)
    before = proxy.sent_down
    proxy.cut_after(1_500_000, 1_500_000)
    proxy.cut()
    np.testing.assert_array_equal(through.download(dataset), array)
    # It went on, rather than began again: each cut costs at most what was under way.
    assert proxy.sent_down - before < 2 * array.nbytes
