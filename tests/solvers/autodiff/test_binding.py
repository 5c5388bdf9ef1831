"""Native code trusts addresses: what binds them holds after exceptions, refuses other shapes, and lets go of memory."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from nablad.expressions import ROWS, Graph, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Layer, Network
from nablad.solvers.autodiff import plan
from nablad.solvers.autodiff.blocks import Evaluator, compile_program
from nablad.solvers.autodiff.kernels.gemm import product
from nablad.solvers.autodiff.kernels.native import available
from nablad.solvers.autodiff.threads import ended
from nablad.solvers.objective import Interrupted

FLOAT = np.dtype(np.float64)
RNG = np.random.default_rng(11)
kernels = pytest.mark.skipif(not available(), reason="no kernels in this process")


def evaluator(array: Any, rows: int) -> Evaluator:
    x, w = data("x", (ROWS, 3)), parameter("w", (3,))
    graph = Graph((w.node, x.node), (s.sum(s.tanh(x * w)).node,))
    return Evaluator(compile_program(graph, FLOAT), {"x": array}, rows)


@kernels
def test_an_exception_while_binding_leaves_no_old_address(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = RNG.normal(size=(2, 20, 3))
    w = {"w": np.ones(3)}
    ours = evaluator(first, 20)
    ours.run(w)
    ours.attach({"x": second})
    bind = plan._Bound._bind_group
    with monkeypatch.context() as patch:

        def fails(*_: Any) -> Any:
            raise MemoryError

        patch.setattr(plan._Bound, "_bind_group", fails)
        with pytest.raises(MemoryError):
            ours.run(w)
    assert plan._Bound._bind_group is bind
    (value,) = ours.run(w)
    assert value == pytest.approx(np.tanh(second).sum(), rel=1e-14)


def test_data_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'x' has shape \(20, 1\); \(20, 3\) is needed"):
        evaluator(np.ones((20, 1)), 20)
    ours = evaluator(np.ones((20, 3)), 20)
    with pytest.raises(ValueError, match=r"\(19, 3\)"):
        ours.attach({"x": np.ones((19, 3))})


@kernels
def test_products_of_memory_that_blas_cannot_read_are_left_to_numpy() -> None:
    packed = np.zeros(6, [("a", "f8", (4,)), ("b", "f4")])["a"]
    packed[...] = RNG.normal(size=(6, 4))
    out = np.empty((6, 2))
    assert packed.strides[0] % 8 != 0
    assert product(packed, np.ones((4, 2)), out, 0.0) is None
    with pytest.raises(ValueError, match="product of shapes"):
        product(np.ones((6, 4)), np.ones((5, 2)), out, 0.0)


def test_an_evaluator_that_is_dropped_frees_its_memory_at_once() -> None:
    model = Network(RNG.normal(size=(300, 4)), RNG.normal(size=(300, 1)), (Layer(8, "tanh"), Layer(1)))
    objective = model.objective()
    theta = model.initial()
    objective.value_and_gradient(theta)
    workspace = weakref.ref(objective._evaluators["value_and_gradient"]._workers[0])
    gc.disable()
    try:
        del objective
        assert workspace() is None
    finally:
        gc.enable()


def test_an_interrupted_batch_is_gathered_again() -> None:
    model = Network(RNG.normal(size=(60, 4)), RNG.normal(size=(60, 1)), (Layer(8, "tanh"), Layer(1)))
    theta = model.initial()
    objective = model.objective()
    first, second = objective.batch(np.arange(10)), objective.batch(np.arange(20, 30))
    expected = first.value_and_gradient(theta)[0]
    sampler = next(iter(objective._samplers.values()))
    column = sampler._columns["targets"]
    sampler._columns["targets"] = column[:5].reshape(-1, 1, 1)  # taking rows of it fails
    with pytest.raises((ValueError, Interrupted)):
        second.value_and_gradient(theta)
    sampler._columns["targets"] = column
    assert first.value_and_gradient(theta)[0] == expected


def test_waiting_for_a_helper_outlasts_interruptions(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future: Future[None] = pool.submit(time.sleep, 0.3)
        waiting = future.exception
        interruptions = iter([KeyboardInterrupt()])

        def interrupted(timeout: float | None = None) -> BaseException | None:
            for interruption in interruptions:
                raise interruption
            return waiting(timeout)

        monkeypatch.setattr(future, "exception", interrupted)
        errors = ended(future, failed)
    assert [type(error) for error in errors] == [KeyboardInterrupt]
    assert failed.is_set()
    assert future.done()
