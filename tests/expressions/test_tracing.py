"""Tracing: numpy code on symbols computes what it computes on arrays, and says clearly what it cannot."""

from __future__ import annotations

import inspect
import math
import sys
import threading
from typing import Any

import numpy as np
import pytest
import scipy.special
from expressions.evaluate import traced, value

from nablad.expressions import ROWS, InvalidName, ShapeError, Symbol, TooManyNodes, definition, trace
from nablad.solvers.autodiff.interpret import interpret

ARRAYS: dict[str, Any] = {
    "x": np.float64(0.7),
    "y": np.float64(-1.3),
    "v": np.array([0.5, -1.0, 2.0]),
    "A": np.array([[1.0, 2.0, -0.5], [0.25, -1.0, 3.0]]),
    "S": np.array([[3.0, 0.5, 0.1], [0.2, 2.0, -0.3], [0.4, -0.6, 1.0]]),
}
W = np.array([[1.0, -1.0, 0.5], [0.5, 2.0, 1.0], [0.0, 1.0, -2.0]])


def filled(p: Any) -> Any:
    return np.array([[p["v"][i] * p["v"][j] if i <= j else 0.0 for j in range(3)] for i in range(3)])


def newton(p: Any) -> Any:
    z = p["x"]
    for _ in range(4):
        z = z - (z**2 - 2) / (2 * z)
    return z


CODE = [
    lambda p: 3.5,
    lambda p: np.float64(2) * p["x"] + np.int64(1),
    lambda p: W @ p["v"] + W[0] * p["x"],
    lambda p: p["v"] @ W @ p["v"],
    lambda p: [p["x"], p["y"]],
    lambda p: ([p["x"], 1], (2.5, p["y"])),
    lambda p: [p["v"], W[0], p["v"] * 2],
    lambda p: np.array([p["x"], p["y"], 1.0]),
    lambda p: np.array([p["v"], p["v"] ** 2]) @ np.array([1.0, 2.0, 3.0]),
    lambda p: np.array([[p["x"], p["y"]], [1, 2]]) * p["x"],
    lambda p: np.exp(np.array([p["x"], p["y"]])),
    lambda p: np.linalg.inv(np.stack([p["x"], p["y"], 1.0, 2.0]).reshape(2, 2)),
    lambda p: np.asarray(p["A"]).T,
    lambda p: np.stack([p["x"], 1.0, p["y"]]),
    lambda p: np.where(p["v"] == 2.0, 1.0, p["v"]),
    lambda p: np.where((p["v"] > 0) & (p["v"] != 2), p["v"], -p["v"]),
    lambda p: np.where(~(p["v"] > 0) | (p["x"] < 0), 1.0, 0.0),
    lambda p: (p["v"] > 0) * p["x"] + 1.0 * (p["v"] <= 0) + ((p["v"] > 0) ^ (p["x"] > 0)),
    lambda p: 1.0 * np.any(p["v"] > 0) + 1.0 * np.all(p["v"] > -2),
    lambda p: abs(p["v"]) + +p["x"] - (-p["y"]),
    lambda p: 2 ** p["v"] + p["v"] ** 2 + 1 / p["v"] + 1 - p["v"],
    lambda p: p["A"].T @ p["A"] + p["S"].sum(axis=0, keepdims=True) * p["S"].mean(),
    lambda p: p["S"].max() + p["S"].min(axis=1) + p["S"].prod() + p["S"].trace() + p["S"].diagonal(),
    lambda p: p["A"].reshape(3, 2).transpose(1, 0).ravel().cumsum().clip(-1, 1),
    lambda p: p["A"].flatten().dot(p["A"].reshape(-1)) + p["v"].std() + p["v"].var(ddof=1),
    lambda p: p["A"].swapaxes(0, 1).squeeze().astype(float).copy() * p["A"].size * p["A"].ndim + len(p["v"]),
    lambda p: p["A"].shape[1] * p["x"] + np.shape(p["A"])[0] + np.ndim(p["v"]) + np.size(p["S"]),
    lambda p: sum(p["v"]) + p["v"].sum().item() + max(1, 2) * p["v"].repeat(2)[3],
    lambda p: [2 * row @ row for row in p["A"]],
    lambda p: [a * b for a, b in zip(p["v"], p["v"][::-1], strict=True)],
    lambda p: np.add.reduce(p["A"]) + np.multiply.reduce(p["A"], axis=0) + np.maximum.reduce(p["A"]),
    lambda p: np.add.accumulate(p["A"]) + np.add.reduce(p["A"], axis=None) + np.logaddexp.reduce(p["A"], axis=1)[0],
    lambda p: np.multiply.outer(p["v"], p["A"]) + np.subtract.outer(p["v"], [[1.0, 2.0, 3.0]] * 2),
    lambda p: np.linalg.slogdet(p["S"])[1] * np.linalg.slogdet(p["S"])[0] + np.linalg.norm(p["v"]),
    lambda p: np.sum(p["A"] * np.ones((4, 2, 3)), axis=(0, 2)),
    lambda p: scipy.special.expit(p["v"]) + scipy.special.erf(p["v"]) + scipy.special.xlogy(p["x"], p["x"]),
    lambda p: scipy.special.psi(p["x"]) + scipy.special.gammaln(p["x"]) + scipy.special.ndtr(p["v"]),
    lambda p: np.zeros_like(p["v"]) + np.ones_like(p["A"]) + np.full_like(p["v"], p["x"]),
    lambda p: np.add(p["v"], 1.0, out=None) + np.sum(p["v"], dtype=None),
    lambda p: np.hypot(3.0, p["x"]) + np.power(p["x"], 3) + np.float_power(p["x"], 0.25),
    lambda p: np.round(p["v"]) + np.real(p["v"]) + np.iscomplexobj(p["v"]),
    lambda p: p["v"][np.array([True, False, True])] + p["v"][[0, 0]],
    filled,
    newton,
]


@pytest.mark.parametrize("code", CODE)
def test_code_on_symbols_is_code_on_arrays(code: Any) -> None:
    with np.errstate(all="ignore"):
        wanted = np.asarray(code(ARRAYS), np.float64)
    got = traced(code, ARRAYS)
    np.testing.assert_allclose(got, wanted, rtol=1e-14)
    assert got.shape == wanted.shape


def test_one_array_is_theta_and_data_come_second() -> None:
    alone = trace(lambda theta: theta @ theta, (3,))
    assert [node.name for node in alone.graph.inputs] == ["theta"]
    both = trace(lambda p, d: p["b"] * d["x"], {"b": ()}, {"x": (ROWS,), "unused": (2,)})
    assert [(n.name, n.attributes[2]) for n in both.graph.inputs] == [
        ("b", "parameter"),
        ("x", "data"),
        ("unused", "data"),
    ]
    assert trace(lambda p, d: p["b"], {"b": ()}, {}).output.name == "b"
    assert trace(lambda p: p["a"], {"a": (), "b": ()}).unused == ["b"]


def test_data_rows_are_a_number_to_compute_with() -> None:
    def mean(p: Any, d: Any) -> Any:
        r = p["b"] * d["x"]
        assert r.ndim == 1
        return np.sum(r) / r.shape[0] + r.size + 0 * np.sum(np.reshape(d["x"], (d["x"].shape[0], 1)) - d["x"][:, None])

    x = np.array([1.0, 2.0, 6.0])
    definition = trace(mean, {"b": ()}, {"x": (ROWS,)})
    assert interpret(definition.graph, {"b": 2.0, "x": x})[0] == 2.0 * x.mean() + 3


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (lambda p: None, TypeError, "returned None: is there a `return` missing"),
        (lambda p: {"a": p["x"]}, TypeError, "returned a dict: return one array"),
        (lambda p: "x", TypeError, "returned what is no array of real numbers, str"),
        (lambda p: 1j * p["x"], TypeError, "complex numbers have no place"),
        (lambda p: 1j, TypeError, "complex numbers have no place"),
        (lambda p: [p["x"], [p["y"], 1]], ShapeError, r"concatenate|stack"),
        (lambda p: p["x"] if p["x"] > 0 else p["y"], TypeError, r"use np.where\(condition, x, y\)"),
        (lambda p: p["x"] > 0 and p["y"], TypeError, "neither `if` nor `and`"),
        (lambda p: math.exp(p["x"]), TypeError, "np.exp for math.exp"),
        (lambda p: float(p["x"]), TypeError, "cannot become a float"),
        (lambda p: int(p["x"]), TypeError, "cannot become an int"),
        (lambda p: complex(p["x"]), TypeError, "cannot become a complex"),
        (lambda p: list(range(p["x"])), TypeError, "cannot count"),
        (lambda p: [1, 2, 3][p["x"]], TypeError, "cannot count"),
        (lambda p: p["v"].__setitem__(0, 1.0), TypeError, "cannot be assigned into"),
        (lambda p: np.zeros(3).__setitem__(0, p["x"]), ValueError, "array element with a sequence"),
        (lambda p: np.sqrt([p["x"], 2.0]), TypeError, "no callable sqrt"),
        (lambda p: np.add(p["v"], 1.0, out=np.zeros(3)), TypeError, "cannot write into an array"),
        (lambda p: np.zeros(3).__iadd__(p["v"]), TypeError, r"a = a \+ x for a \+= x"),
        (lambda p: p["v"] // 2, TypeError, r"write np.floor\(x / y\)"),
        (lambda p: np.ones(3) // p["v"], TypeError, r"write np.floor\(x / y\)"),
        (lambda p: np.sort(p["v"]), TypeError, "np.sort has no rule for symbols"),
        (lambda p: np.add.at(np.zeros(3), [0], p["v"]), TypeError, "np.add.at has no meaning"),
        (lambda p: np.subtract.reduce(p["v"]), TypeError, "np.subtract.reduce has no meaning"),
        (lambda p: p["v"].mena(), AttributeError, "a Symbol has no 'mena': did you mean 'mean'"),
        (lambda p: p["v"] & 1, TypeError, r"& joins comparisons"),
        (lambda p: ~p["v"], TypeError, r"~ turns comparisons around"),
        (lambda p: p["v"].astype(int), TypeError, "cannot become int"),
        (lambda p: np.sum(p["v"], axis=p["x"]), TypeError, "axis must be a whole number"),
        (lambda p: p["v"] + "a", TypeError, "a number or an array of numbers is needed, not 'a'"),
        (lambda p: p["v"] + None, TypeError, "is needed, not None"),
        (lambda p: p["v"] + p["A"][:, :2], ShapeError, r"add\(\(3,\), \(2, 2\)\)"),
        (lambda p: p["z"], KeyError, "no parameter 'z'; there are 'x', 'y', 'v', 'A', 'S'"),
        (lambda p: p.x, AttributeError, r"write \['x'\] for \.x"),
        (lambda p: p["v"]["x"], IndexError, "not 'x': this is one array, not arrays by name"),
        (lambda p: len(p["x"]), TypeError, "a scalar has none"),
        (lambda p: list(p["x"]), TypeError, "a scalar has none"),
        (lambda p: p["v"][p["v"] > 0], TypeError, r"use np.where\(condition, x, 0\)"),
        (lambda p: p["x"] * 10**400, OverflowError, "too large"),
        (lambda p: max(p["v"]), TypeError, "np.maximum and np.minimum rather than max and min"),
        (lambda p: 1 / 0, ZeroDivisionError, "division by zero"),
        (lambda p, d: 1, TypeError, r"is called as f\(p\), the parameters, but it is f\(p, d\)"),
        (3, TypeError, "a function is needed, not 3"),
    ],
)
def test_what_cannot_be_is_said(code: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        trace(code, {name: np.shape(array) for name, array in ARRAYS.items()})


def test_pandas_leaves_operations_to_symbols() -> None:
    class Frame:
        """Decides as pandas does who computes."""

        __pandas_priority__ = 4000

        def __mul__(self, other: Any) -> Any:
            return NotImplemented if getattr(other, "__pandas_priority__", 0) > self.__pandas_priority__ else None

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            return np.array([1.0, 2.0, 3.0])

    assert trace(lambda p: Frame() * p["x"], {"x": ()}).output.shape == (3,)


def test_more_that_cannot_be_is_said() -> None:
    with pytest.raises(TypeError, match=r"is called as f\(p, d\), the parameters and the data"):
        trace(lambda p: p["x"], {"x": ()}, {"d": (3,)})
    with pytest.raises(InvalidName, match="both a parameter and data"):
        trace(lambda p, d: p["x"], {"x": ()}, {"x": (3,)})
    with pytest.raises(ShapeError, match=r"use np\.stack"):
        trace(lambda p, d: np.array([d["x"], d["x"]]) * p["b"], {"b": ()}, {"x": (ROWS,)})
    for code in (lambda d: len(d), lambda d: list(d), lambda d: d[0], lambda d: d[1:], lambda d: d[[0]]):
        with pytest.raises(ShapeError, match="rows"):
            trace(lambda p, d, code=code: code(d["x"]), {"b": ()}, {"x": (ROWS,)})
    with pytest.raises(ValueError, match="sequence") as caught:
        trace(lambda p: np.zeros(2).__setitem__(0, p), ())
    assert "np.stack" in caught.value.__notes__[0]
    assert "cannot become a float" in str(caught.value.__cause__)
    with pytest.raises(TypeError) as refused:
        trace(lambda p: scipy.special.logsumexp(p["v"]), {"v": (3,)})
    assert "x.logsumexp()" in refused.value.__notes__[0]


def test_columns_stack_with_their_rows() -> None:
    def design(p: Any, d: Any) -> Any:
        return np.stack([np.ones_like(d["x"]), d["x"], d["x"] ** 2], axis=1) @ p["b"]

    x = np.linspace(0.0, 1.0, 5)
    definition = trace(design, {"b": (3,)}, {"x": (ROWS,)})
    got = interpret(definition.graph, {"b": [1.0, 2.0, 3.0], "x": x})[0]
    np.testing.assert_allclose(got, 1 + 2 * x + 3 * x**2, rtol=1e-15)


def test_symbols_hash_by_identity_and_compare_elementwise() -> None:
    def code(p: Any) -> Any:
        x, again = p["x"], p["x"] + 0 * p["y"]
        assert {x: 1}[x] == 1
        assert len({x, again}) == 2
        assert (x * 2.0).node is (x * 2.0).node
        assert isinstance(x == 2.0, Symbol)
        assert [x, again].index(x) == 0
        return (x == x) * 1.0 + (x != x)

    assert traced(code, {"x": 1.0, "y": 2.0}) == 1.0
    assert math.isnan(float(traced(lambda p: p["x"] * 1.0, {"x": np.nan})))
    assert traced(code, {"x": np.nan, "y": 2.0}) == 1.0


# Scale: counted, not timed


def test_reads_loops_and_chains_are_linear() -> None:
    def reads(p: Any) -> Any:
        return sum(p["x"][i] * p["x"][i - 1] for i in range(10_000))

    assert len(trace(reads, {"x": (10_000,)}).graph.nodes) == 1 + 2 * 10_000 + 10_000 + 10_000 + 1

    def loop(p: Any) -> Any:
        x = p["x"]
        for k in range(50_000):
            x = x * 1.0001 + (k % 7)
        return x

    definition = trace(loop, {"x": ()})
    assert len(definition.graph.nodes) == 1 + 1 + 7 + 2 * 50_000
    assert len(definition.labels) == 2 * 50_000


def test_no_recursion_however_deep() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 60)
    try:

        def deep(p: Any) -> Any:
            x = p["x"]
            for _ in range(20_000):
                x = np.sin(x)
            return x

        assert len(trace(deep, {"x": ()}).graph.nodes) == 20_001
    finally:
        sys.setrecursionlimit(limit)


def test_the_number_of_operations_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "NODES", 100)
    with pytest.raises(TooManyNodes, match="more than 100 operations"):
        trace(lambda p: sum(p["x"] * float(k) for k in range(100)), {"x": ()})


# Labels


def test_a_node_is_called_by_the_users_source() -> None:
    def code(p: Any) -> Any:
        a = np.exp(-p["x"]) * 2.0
        b = np.linalg.norm(p["v"] + a)
        größe = (p["x"] + a) ** 3
        return np.sum(
            a * b + größe,
        )

    first = inspect.getsourcelines(code)[1]
    definition = trace(code, {"x": (), "v": (3,)})
    labels = {node.op: definition.labels[node] for node in definition.graph.nodes if node in definition.labels}
    file = "test_tracing.py"
    assert labels["negative"] == f'{file}:{first + 1}: -p["x"]'
    assert labels["exp"] == f'{file}:{first + 1}: np.exp(-p["x"])'
    assert labels["norm"] == f'{file}:{first + 2}: np.linalg.norm(p["v"] + a)'
    assert labels["fixed_power"] == f'{file}:{first + 3}: (p["x"] + a) ** 3'
    assert all(str(label).startswith(file) for label in labels.values())
    assert not any(node.op == "input" for node in definition.labels)


def test_labels_of_code_without_a_file() -> None:
    scope: dict[str, Any] = {"np": np}
    exec("def f(p):\n    return np.sin(p['x'])\n", scope)
    definition = trace(scope["f"], {"x": ()})
    assert definition.labels[definition.output] == "<string>:2"


def test_traces_of_two_threads_do_not_hear_each_other() -> None:
    barrier = threading.Barrier(2)
    found: dict[int, int] = {}

    def work(which: int) -> None:
        def code(p: Any) -> Any:
            barrier.wait()
            x = p["x"]
            for k in range(500):
                x = x * float(k + 1000 * which)
            return x

        found[which] = len(trace(code, {"x": ()}).labels)

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: 500, 1: 500}


def test_a_trace_within_a_trace() -> None:
    def outer(p: Any) -> Any:
        inner = trace(lambda q: q["z"] * 2.0, {"z": ()})
        assert len(inner.labels) == 1
        return p["x"] * 3.0

    assert len(trace(outer, {"x": ()}).labels) == 1
    assert value(trace(outer, {"x": ()}), {"x": 2.0}) == 6.0
