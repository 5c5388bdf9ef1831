"""Bytes of states, records of theta, and what the driver refuses."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
import threadpoolctl

import nablad.solvers
from nablad.solvers import (
    Checkpoint,
    Done,
    GradientDescent,
    Iterate,
    Newton,
    RecordTheta,
    Started,
    Stopping,
    run,
    solve,
)
from nablad.solvers.blas import one_blas_thread
from nablad.solvers.linalg.symmetric import Curvature
from nablad.solvers.packing import pack, unpack
from nablad.solvers.status import Finding, Status
from solvers import objectives as o

START = np.array([-1.2, 1.0])


def test_packing_returns_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    tree: dict[str, Any] = {
        "pi": math.pi,
        "tiny": 5e-324,
        "minus zero": -0.0,
        "nan": math.nan,
        "inf": -math.inf,
        "none": None,
        "flag": True,
        "count": 2**60,
        "text": '∇ of "f"',
        "f64": rng.standard_normal((3, 2)),
        "f32": rng.standard_normal(4).astype(np.float32),
        "fortran": np.asfortranarray(rng.standard_normal((2, 3))),
        "empty": np.zeros((0, 3)),
        "nested": {"status": Status.STEP, "curvature": Curvature.FLAT, "found": Finding(Status.GRADIENT, "so")},
    }
    again = unpack(pack(tree))
    assert list(again) == list(tree)
    for name in ("f64", "f32", "fortran", "empty"):
        assert again[name].dtype == tree[name].dtype
        assert np.array_equal(again[name], tree[name])
    assert math.isnan(again["nan"])
    assert math.copysign(1.0, again["minus zero"]) == -1.0
    for name in ("pi", "tiny", "inf", "none", "flag", "count", "text", "nested"):
        assert again[name] == tree[name]
    assert pack(again) == pack(tree)


@pytest.mark.parametrize("data", [b"", b"NABLAST1", b"not a state at all", pack({"a": np.ones(4)})[:-8], b"\x80\x04."])
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="nablad state"):
        unpack(data)


def state_of(method: Any) -> bytes:
    events = run(o.rosenbrock(), method, START, Stopping(max_iterations=2), checkpoint_every=1)
    return next(e.state for e in events if isinstance(e, Checkpoint))


def test_a_state_of_another_run_is_refused() -> None:
    state = state_of(Newton())
    with pytest.raises(ValueError, match="method"):
        solve(o.rosenbrock(), GradientDescent(), START, resume=state)
    with pytest.raises(ValueError, match="size"):
        solve(o.hill(), Newton(), np.zeros(3), resume=state)
    with pytest.raises(ValueError, match="nablad state"):
        solve(o.rosenbrock(), Newton(), START, resume=state[:-3])


def test_a_start_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(2,\)"):
        solve(o.rosenbrock(), Newton(), np.zeros(3))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(RecordTheta.never(), []), (RecordTheta.each(2), [0, 2, 4, 5]), (RecordTheta(), [5])],
    ids=["never", "every", "best_and_final"],
)
def test_record_theta(policy: RecordTheta, expected: list[int]) -> None:
    events = list(run(o.rosenbrock(), Newton(), START, Stopping(max_iterations=5), record_theta=policy))
    assert [e.iteration for e in events if isinstance(e, Iterate) and e.theta is not None] == expected
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Done)
    assert np.isfinite(events[-1].report.theta).all()


def test_record_theta_settings_are_checked() -> None:
    for bad in (lambda: RecordTheta("all"), lambda: RecordTheta("every"), lambda: RecordTheta.each(0)):
        with pytest.raises(ValueError, match="record_theta"):
            bad()


def test_recorded_thetas_are_the_consumers_own() -> None:
    stopping = Stopping(relative_gradient_tolerance=1e-6)
    events = run(o.rosenbrock(), GradientDescent(), START, stopping, record_theta=RecordTheta.each())
    first, report = None, None
    for event in events:
        if isinstance(event, Iterate):
            assert event.theta is not None
            event.theta[:] = np.nan
            first = first or event
        if isinstance(event, Done):
            report = event.report
    assert report is not None
    assert report.success


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


def test_blas_is_restored_when_runs_overlap_or_are_left() -> None:
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = (run(o.rosenbrock(), GradientDescent(), START) for _ in range(2))
        next(first), next(second)
        assert blas_threads() == {1}
        first.close()
        assert blas_threads() == {1}
        second.close()
        assert blas_threads() == before


def test_blas_limits_nest_across_threads() -> None:
    barrier = threading.Barrier(3)
    seen: list[set[int]] = []

    def hold() -> None:
        with one_blas_thread():
            barrier.wait(5)
            seen.append(blas_threads())

    threads = [threading.Thread(target=hold) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [{1}] * 3


def test_public_names_resolve_and_others_do_not() -> None:
    for name in nablad.solvers.__all__:
        assert getattr(nablad.solvers, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = nablad.solvers.Nonsense
