"""Which graphs have a layered spine, in whatever way they are written, and which have not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from nablad.expressions import ROWS, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.layered.curvature import _Chunk
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.problem import Compiled, Problem
from nablad.solvers.models import Expression, Layer, Network

RNG = np.random.default_rng(4)
ROW_COUNT = 30
X = RNG.standard_normal((ROW_COUNT, 3))
Y = RNG.standard_normal(ROW_COUNT)
START = {
    "A": RNG.standard_normal((4, 3)),
    "b": RNG.standard_normal(4),
    "C": RNG.standard_normal((2, 4)),
    "d": RNG.standard_normal(2),
    "w": RNG.standard_normal(4),
    "k": np.array(0.3),
    "g": RNG.standard_normal(3),
}

Arrays = Mapping[str, Any]
Function = Callable[[Arrays, Arrays], Any]


def rowwise(p: Arrays, d: Arrays) -> Any:
    return np.sum((np.tanh(d["x"] @ p["A"].T + p["b"]) @ p["C"].T + p["d"] - d["y"][:, None]) ** 2)


def columnwise(p: Arrays, d: Arrays) -> Any:
    inner = np.tanh(np.dot(p["A"], d["x"].T) + p["b"][:, None])
    return np.sum((p["C"] @ inner + p["d"][:, None] - d["y"]) ** 2)


def with_einsum(p: Arrays, d: Arrays) -> Any:
    inner = np.tanh(np.einsum("nj,ij->ni", d["x"], p["A"]) + p["b"])
    return np.sum((np.einsum("ij,nj->ni", p["C"], inner) - d["y"][:, None]) ** 2)


def one_output(p: Arrays, d: Arrays) -> Any:
    r = np.tanh(d["x"] @ p["A"].T + p["b"]) @ p["w"] + p["k"] - d["y"]
    return r @ r


def mean_of_a_composite(p: Arrays, d: Arrays) -> Any:
    z = d["x"] @ p["A"].T
    f = np.where(z > 0.1, z, np.expm1(0.5 * z)) * np.exp(-(z**2)) + 2.0
    return np.mean(np.log1p((f @ p["w"] - d["y"]) ** 2))


def columns_as_features(p: Arrays, d: Arrays) -> Any:
    x = np.concatenate([d["x"], d["x"] ** 2], axis=1)[:, 1:4]
    return np.sum(np.exp(-((np.sin(x @ p["A"].T + p["b"]) @ p["w"]) ** 2)))


def weighted_with_a_penalty(p: Arrays, d: Arrays) -> Any:
    r = np.tanh(d["x"] @ p["A"].T + p["b"]) @ p["w"] - d["y"]
    return 0.1 * np.sum(d["x"][:, 0] ** 2 * r**2) + np.sum(p["A"] ** 4) + np.sum(p["w"]) * p["k"]


def one_layer(p: Arrays, d: Arrays) -> Any:
    z = d["x"] @ p["A"].T + p["b"]
    return np.sum(np.log(np.sum(np.exp(z), axis=1)) - z[:, 1] * d["y"])


LAYERED = (
    rowwise,
    columnwise,
    with_einsum,
    one_output,
    mean_of_a_composite,
    columns_as_features,
    weighted_with_a_penalty,
    one_layer,
)


def shared_weights(p: Arrays, d: Arrays) -> Any:
    return np.sum(np.tanh(np.tanh(d["x"] @ p["A"].T)[:, :3] @ p["A"].T) ** 2)


def skipping(p: Arrays, d: Arrays) -> Any:
    return np.sum((np.tanh(d["x"] @ p["A"].T) @ p["w"] + d["x"] @ p["A"][0] - d["y"]) ** 2)


def gated(p: Arrays, d: Arrays) -> Any:
    return np.sum((np.tanh(d["x"] @ p["A"].T) * (d["x"] @ p["g"])[:, None]) ** 2)


def learned_slope(p: Arrays, d: Arrays) -> Any:
    return np.sum((np.tanh(p["k"] * (d["x"] @ p["A"].T)) @ p["w"] - d["y"]) ** 2)


def normalized_in_a_layer(p: Arrays, d: Arrays) -> Any:
    z = np.exp(d["x"] @ p["A"].T)
    return np.sum(((z / np.sum(z, axis=1)[:, None]) @ p["w"] - d["y"]) ** 2)


def normalized_over_rows(p: Arrays, d: Arrays) -> Any:
    r = np.tanh(d["x"] @ p["A"].T) @ p["w"]
    return np.sum((r - np.mean(r)) ** 2)


def root_of_the_sum(p: Arrays, d: Arrays) -> Any:
    return np.sqrt(np.sum((np.tanh(d["x"] @ p["A"].T) @ p["w"] - d["y"]) ** 2))


def learned_scale(p: Arrays, d: Arrays) -> Any:
    return np.exp(p["k"]) * np.sum((np.tanh(d["x"] @ p["A"].T) @ p["w"] - d["y"]) ** 2)


def one_bias_for_all(p: Arrays, d: Arrays) -> Any:
    return np.sum((np.tanh(d["x"] @ p["A"].T + p["k"]) @ p["w"] - d["y"]) ** 2)


def not_layers(p: Arrays, d: Arrays) -> Any:
    return np.sum((p["k"] * np.exp(-d["y"] * p["b"][0])) ** 2)


OTHERS = (
    shared_weights,
    skipping,
    gated,
    learned_slope,
    normalized_in_a_layer,
    normalized_over_rows,
    root_of_the_sum,
    learned_scale,
    one_bias_for_all,
    not_layers,
)


def objective_of(function: Function, names: str = "") -> GraphObjective:
    class Seen(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            used.add(name)
            return super().__getitem__(name)

    used: set[str] = set()
    function(Seen(START), Seen({"x": X, "y": Y}))
    start = {name: START[name] for name in (names or "AbCdwkg") if name in used}
    columns = {name: value for name, value in (("x", X), ("y", Y)) if name in used}
    return Expression.trace(function, data=columns, start=start).objective()


def plain(objective: GraphObjective, theta: np.ndarray) -> np.ndarray:
    hessian = objective._batched_hessian(theta)
    return 0.5 * (hessian + hessian.T)


@pytest.mark.parametrize("function", LAYERED)
def test_a_spine_is_found_however_it_is_written(function: Function) -> None:
    for names in ("", "gkdwCbA"):
        objective = objective_of(function, names)
        assert objective._compiled.layered is not None
        theta = RNG.standard_normal(objective.size)
        found, expected = objective.hessian(theta), plain(objective, theta)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
        np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("function", OTHERS)
def test_what_is_not_layers_falls_back(function: Function) -> None:
    objective = objective_of(function)
    assert objective._compiled.layered is None
    theta = RNG.standard_normal(objective.size)
    np.testing.assert_array_equal(objective.hessian(theta), plain(objective, theta))


def problem(build: Callable[[Symbol, Symbol], Symbol], size: int) -> GraphObjective:
    theta, x = parameter("theta", (size,)), data("x", (ROWS, 3))
    f = build(theta, x)
    return GraphObjective(Compiled(Problem(theta.node, (x.node,), f.node, f.node), np.dtype(float)), {"x": X})


def test_weights_that_lie_apart_in_theta() -> None:
    """Every second element, backwards, with gaps: the gaps' rows and columns are zero."""

    def apart(theta: Symbol, x: Symbol) -> Symbol:
        weights = s.reshape(s.slice_of(theta, [(29, 5, -2)]), (3, 4))
        return s.sum(s.square(s.tanh(x @ weights) @ s.slice_of(theta, [(0, 4)])))

    objective = problem(apart, 30)
    assert objective._compiled.layered is not None
    theta = RNG.standard_normal(30)
    found = objective.hessian(theta)
    np.testing.assert_allclose(found, plain(objective, theta), rtol=0, atol=1e-13 * np.abs(found).max())
    assert not found[28].any()
    assert found[29].any()


def test_a_loss_that_is_linear_has_no_curvature_of_its_own() -> None:
    def build(theta: Symbol, x: Symbol) -> Symbol:
        weights = s.reshape(s.slice_of(theta, [(0, 6)]), (3, 2))
        return s.sum(s.tanh(x @ weights) @ s.slice_of(theta, [(6, 8)]))

    objective = problem(build, 8)
    assert objective._compiled.layered is not None
    theta = RNG.standard_normal(8)
    np.testing.assert_allclose(objective.hessian(theta), plain(objective, theta), rtol=0, atol=1e-13)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_what_is_summed_is_one_product_for_a_pair_of_layers(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """K (K + 1) / 2 products with the second derivatives and K (K - 1) / 2 couplings a chunk, whatever the width.

    Nothing is pushed for each parameter: the batched program is never built, and no buffer has p numbers a row.
    """
    counts = {}
    sums: dict[_Chunk, int] = {}
    original = _Chunk._sum

    def counted(self: _Chunk, *arguments: Any) -> None:
        sums[self] = sums.get(self, 0) + 1
        original(self, *arguments)

    monkeypatch.setattr(_Chunk, "_sum", counted)
    for width in (3, 30):
        sums.clear()
        layers = [*(Layer(width, "tanh") for _ in range(depth - 1)), Layer(2, "sigmoid")]
        model = Network(X, np.stack([Y, Y], 1), layers)
        objective = model.objective()
        objective.hessian(model.initial())
        assert set(sums.values()) == {depth * (depth + 1) // 2 + depth * (depth - 1) // 2}
        assert "hessian" not in objective._compiled._programs
        chunk = next(iter(sums))
        counts[width] = len(chunk._program)
        assert model.size not in {x for _, arrays in chunk._program for a in arrays for x in np.shape(a)}
    # Strips take a call each; all else is the same.
    assert counts[30] - counts[3] <= 2 * 4 * depth
    assert counts[3] <= 12 * depth * (depth + 1) // 2


def test_a_second_call_binds_nothing() -> None:
    model = Network(X, Y, [Layer(5, "tanh"), Layer(1)], ridge=0.1)
    objective = model.objective()
    objective.hessian(model.initial())
    bound = dict(objective._layered["hessian"].sums.workers[0].curvature._bound)
    penalty = objective._layered["hessian"].penalty.kept
    objective.hessian(2 * model.initial())
    assert objective._layered["hessian"].sums.workers[0].curvature._bound == bound
    assert objective._layered["hessian"].penalty.kept is penalty is not None
