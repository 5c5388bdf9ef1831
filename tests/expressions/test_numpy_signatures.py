"""numpy's functions, as code writes them: arguments by name, defaults spelled out, axes of every kind."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from expressions.evaluate import traced

_random = np.random.default_rng(11)
ARRAYS = {
    "v": _random.normal(size=4),
    "w": _random.uniform(0.5, 2.0, 3),
    "M": _random.normal(size=(3, 4)),
    "Q": _random.normal(size=(3, 3)) + 3.0 * np.eye(3),
    "K": _random.normal(size=(2, 3, 4)),
}

CALLS: list[Callable[[Any], Any]] = [
    lambda a: np.transpose(a.M, axes=(1, 0)),
    lambda a: np.transpose(a.K, axes=[2, 0, 1]),
    lambda a: np.transpose(a=a.K, axes=None),
    lambda a: np.transpose(a.K, None),
    lambda a: a.K.transpose(-1, 0, 1),
    lambda a: np.flip(m=a.M),
    lambda a: np.flip(m=a.M, axis=0),
    lambda a: np.fliplr(m=a.M),
    lambda a: np.sum(a=a.M, axis=0, dtype=float, out=None),
    lambda a: np.mean(a=a.K, axis=(0, -1), keepdims=True),
    lambda a: np.max(a=a.M, axis=1),
    lambda a: np.cumsum(a=a.v, axis=0, dtype=None),
    lambda a: np.clip(a=a.M, a_min=0.0, a_max=1.0),
    lambda a: np.split(ary=a.v, indices_or_sections=2)[1],
    lambda a: np.split(a.v, np.array([1, 3]))[1],
    lambda a: np.repeat(a=a.M, repeats=2, axis=0),
    lambda a: np.tile(A=a.v, reps=(2, 1)),
    lambda a: np.roll(a=a.v, shift=1),
    lambda a: np.expand_dims(a=a.v, axis=0),
    lambda a: np.squeeze(a=a.M[None]),
    lambda a: a.M.reshape((2, 6), order="C"),
    lambda a: a.M.reshape(np.array([2, 6])),
    lambda a: np.swapaxes(a=a.K, axis1=0, axis2=1),
    lambda a: np.moveaxis(a=a.K, source=[0, 1], destination=[-1, -2]),
    lambda a: np.broadcast_to(array=a.v, shape=(3, 4)),
    lambda a: np.diag(v=a.v, k=1),
    lambda a: np.diagonal(a=a.K, offset=1, axis1=1, axis2=2),
    lambda a: np.triu(m=a.Q, k=1),
    lambda a: np.take(a=a.v, indices=[0, 2]),
    lambda a: np.ones_like(a=a.v) * a.v,
    lambda a: np.add(a.v, 1.0, dtype=float),
    lambda a: np.linalg.inv(a=a.Q),
    lambda a: np.linalg.solve(a=a.Q, b=a.w),
    lambda a: np.linalg.norm(x=a.M, axis=1, keepdims=True),
    lambda a: np.average(a.M, axis=0, weights=a.w),
    lambda a: np.average(a.Q, axis=0, weights=a.w),
    lambda a: np.average(a.Q, axis=1, weights=a.w),
    lambda a: np.average(a.Q, axis=-1, weights=a.Q**2),
]

NEWER: list[tuple[str, Callable[[Any], Any]]] = [
    ("reshape", lambda a: np.reshape(a.M, shape=(4, 3))),
    ("permute_dims", lambda a: np.permute_dims(a.K, axes=(2, 0, 1))),
    ("matrix_transpose", lambda a: np.matrix_transpose(a.K)),
    ("matrix_transpose", lambda a: a.K.mT),
    ("matvec", lambda a: np.matvec(a.K, a.v)),
    ("matvec", lambda a: np.vecmat(a.w, a.K)),
    ("matvec", lambda a: np.vecdot(a.K, a.v)),
    ("matvec", lambda a: np.average(a.K, axis=(2, 1), weights=a.M.T**2)),
    ("linalg.vecdot", lambda a: np.linalg.vecdot(a.K, a.M, axis=-2)),
    ("linalg.trace", lambda a: np.linalg.trace(a.K, offset=1)),
    ("linalg.diagonal", lambda a: np.linalg.diagonal(a.K, offset=-1)),
    ("linalg.vector_norm", lambda a: np.linalg.vector_norm(a.K, axis=(0, 2), keepdims=True)),
    ("linalg.vector_norm", lambda a: np.linalg.vector_norm(a.M)),
    ("linalg.matrix_norm", lambda a: np.linalg.matrix_norm(a.K)),
]
"""What the older of numpy's versions do not have, with the name that tells."""


def check(call: Callable[[Any], Any]) -> None:
    wanted = call(SimpleNamespace(**ARRAYS))
    got = traced(lambda p: call(SimpleNamespace(**p)), ARRAYS)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=2e-14)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_means_what_it_means_for_arrays(call: Callable[[Any], Any]) -> None:
    check(call)


@pytest.mark.parametrize(("name", "call"), NEWER)
def test_newer_functions_do_too(name: str, call: Callable[[Any], Any]) -> None:
    home: Any = np.linalg if name.startswith("linalg.") else np
    if not hasattr(home, name.removeprefix("linalg.")) or (name == "reshape" and not hasattr(np, "permute_dims")):
        pytest.skip("this numpy does not have it")
    check(call)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda a: a.v % 2.0, r"np.remainder has no rule .* write x - y \* np.floor"),
        (lambda a: 2.0 // a.v, r"np.floor_divide has no rule .* write np.floor"),
        (lambda a: np.sum(a.v, dtype=np.float32), "unexpected keyword argument 'dtype'"),
        (lambda a: np.sum(a.v, initial=1.0), "unexpected keyword argument 'initial'"),
        (lambda a: np.transpose(a.K, (0, 1, 2), axes=(0, 1, 2)), "axes"),
        (lambda a: a.M.reshape(), "shape is needed, once"),
        (lambda a: np.where(a.v > 0), r"it is where\(condition, x, y\)"),
    ],
)
def test_what_is_not_known_is_named(call: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        traced(lambda p: call(SimpleNamespace(**p)), ARRAYS)


def test_weights_lie_along_the_axes() -> None:
    with pytest.raises(ValueError, match="weights must have the lengths"):
        traced(lambda p: np.average(p["M"], axis=0, weights=p["v"]), ARRAYS)
    with pytest.raises(ValueError, match="weights must have the shape"):
        traced(lambda p: np.average(p["M"], weights=p["v"]), ARRAYS)
