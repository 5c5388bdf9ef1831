"""The layered Hessian against the batched one and complex step, on any shape that layers take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nablad.expressions import Graph
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.layered import sums
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.models import Layer, LeastSquares, Network
from nablad.solvers.models.activations import ACTIVATIONS
from nablad.solvers.models.losses import LOSSES

ROUNDOFF = {"float64": 1e-13, "float32": 5e-5}
"""Relative to the largest entry: sums over rows and units in another order."""


def batched(objective: GraphObjective, theta: np.ndarray) -> np.ndarray:
    """The plain path: p directions through the gradient."""
    hessian = objective._batched_hessian(theta)
    return 0.5 * (hessian + hessian.T)


def agrees(objective: GraphObjective, theta: np.ndarray, tolerance: float | None = None) -> np.ndarray:
    """Holds the layered Hessian against the batched one, and returns it."""
    assert objective._compiled.layered is not None
    found, plain = objective.hessian(theta), batched(objective, theta)
    bound = ROUNDOFF[theta.dtype.name] if tolerance is None else tolerance
    assert found.dtype == theta.dtype
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, plain, rtol=0, atol=bound * max(np.abs(plain).max(), 1e-30))
    return found


def network(
    widths: Sequence[int],
    rows: int,
    activations: Sequence[str] = ("tanh",),
    loss: str = "squared_error",
    seed: int = 0,
    dtype: str = "float64",
    probabilities: bool = False,
    **settings: Any,
) -> tuple[Network, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((rows, widths[0])).astype(dtype)
    inner = [Layer(w, activations[k % len(activations)]) for k, w in enumerate(widths[1:-1])]
    targets: np.ndarray = rng.standard_normal((rows, widths[-1]))
    if loss == "softmax_cross_entropy":
        targets = rng.dirichlet(np.ones(widths[-1]), rows) if probabilities else rng.integers(0, widths[-1], rows)
    model = Network(inputs, targets.astype(dtype), [*inner, Layer(widths[-1])], loss, seed=seed, **settings)
    theta = model.initial() + 0.3 * rng.standard_normal(model.size)
    return model, theta.astype(dtype)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_and_loss(activation: str, loss: str) -> None:
    model, theta = network((3, 5, 4, 2), 40, [activation], loss)
    agrees(model.objective(), theta)


@settings(max_examples=20, deadline=None)
@given(
    widths=st.lists(st.integers(1, 7), min_size=2, max_size=5),
    rows=st.integers(1, 70),
    activations=st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=1, max_size=3),
    reduction=st.sampled_from(("sum", "mean")),
    ridge=st.sampled_from((0.0, 0.3)),
    seed=st.integers(0, 1_000),
)
def test_any_number_of_layers_and_rows(
    widths: list[int], rows: int, activations: list[str], reduction: str, ridge: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # An activation on the last layer keeps one layer from being affine, which goes another way.
    layers = [Layer(w, activations[k % len(activations)]) for k, w in enumerate(widths[1:])]
    inputs, targets = rng.standard_normal((rows, widths[0])), rng.standard_normal((rows, widths[-1]))
    model = Network(inputs, targets, layers, reduction=reduction, ridge=ridge, seed=seed)
    objective = model.objective()
    theta = rng.standard_normal(model.size)
    if objective.capabilities.affine:
        return
    agrees(objective, theta)


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1, 60), classes=st.integers(2, 5), width=st.integers(1, 20), seed=st.integers(0, 1_000))
def test_cross_entropy_with_classes_and_probabilities(rows: int, classes: int, width: int, seed: int) -> None:
    for probabilities in (False, True):
        model, theta = network(
            (3, width, classes), rows, ["gelu"], "softmax_cross_entropy", seed, probabilities=probabilities
        )
        agrees(model.objective(), theta)


@pytest.mark.parametrize("widths", [(3, 17, 2), (18, 20, 1), (5, 24, 33, 3), (2, 30, 3, 19, 2), (4, 3)])
def test_widths_that_are_cut_into_strips(widths: tuple[int, ...]) -> None:
    model, theta = network(
        widths, 50, ["sigmoid", "sin"], "softmax_cross_entropy" if widths[-1] > 1 else "squared_error"
    )
    agrees(model.objective(), theta)


def test_more_than_one_tile_stripe_and_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    model, theta = network((9, 20, 20, 2), 1_001, ["tanh"], ridge=0.1, reduction="mean")
    whole = agrees(model.objective(), theta)
    monkeypatch.setattr(sums, "CHUNK_BYTES", 1 << 20)
    objective = model.objective()
    pieces = agrees(objective, theta)
    assert min(len(part) for part in objective._layered["hessian"].sums.chunks) > 1
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-13 * np.abs(whole).max())


def test_float32() -> None:
    model, theta = network((4, 18, 6, 3), 300, ["silu"], ridge=0.5, dtype="float32")
    found = agrees(model.objective(), theta)
    exact = network((4, 18, 6, 3), 300, ["silu"], ridge=0.5)[0].objective().hessian(theta.astype(float))
    np.testing.assert_allclose(found, exact, rtol=0, atol=5e-5 * np.abs(exact).max())


def test_complex_step() -> None:
    """The gradient at theta + i h e_k, in the interpreter: right to roundoff, and no second derivative is taken."""
    model, theta = network((2, 4, 3, 2), 15, ["tanh", "silu"], "softmax_cross_entropy", reduction="mean", ridge=0.2)
    compiled = model.compiled
    graph = Graph((compiled.problem.parameters, *compiled.problem.data), (compiled.gradient.node,))
    columns = []
    for k in range(model.size):
        moved = theta.astype(complex)
        moved[k] += 1e-30j
        (slope,) = interpret(graph, {**model.data, "theta": moved})
        columns.append(slope.imag / 1e-30)
    found = model.objective().hessian(theta)
    np.testing.assert_allclose(found, np.array(columns), rtol=0, atol=1e-14 * np.abs(found).max())


def test_inputs_that_are_not_contiguous() -> None:
    rng = np.random.default_rng(3)
    inputs, targets = rng.standard_normal((6, 90)).T[::2], rng.standard_normal((90, 4))[::2, ::2]
    layers = [Layer(5, "tanh"), Layer(2)]
    model = Network(inputs, targets, layers)
    copied = Network(np.ascontiguousarray(inputs), np.ascontiguousarray(targets), layers)
    theta = rng.standard_normal(2 * model.size)[::2]
    np.testing.assert_array_equal(agrees(model.objective(), theta), copied.objective().hessian(theta.copy()))


def test_bits_do_not_depend_on_threads_nor_on_what_ran_before() -> None:
    model, theta = network((6, 20, 18, 3), 2_000, ["gelu"], ridge=0.1)
    one, many = model.objective(threads=1), model.objective(threads=5)
    first = one.hessian(theta)
    many.hessian(-theta)
    np.testing.assert_array_equal(many.hessian(theta), first)
    np.testing.assert_array_equal(one.hessian(theta), first)
    assert len(many._layered["hessian"].sums.workers) > len(one._layered["hessian"].sums.workers) == 1


def test_the_answer_is_a_fresh_array() -> None:
    model, theta = network((2, 3, 1), 10)
    objective = model.objective()
    first = objective.hessian(theta)
    kept = first.copy()
    objective.hessian(2 * theta)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5, 20, -1])
@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
def test_what_is_not_finite_stays_so(activation: str, place: int, bad: float) -> None:
    """Fewer entries than in the batched way, which multiplies NaN by directions that are zero; those of both agree."""
    model, theta = network((3, 4, 3, 2), 20, [activation])
    theta[place] = bad
    objective = model.objective()
    found, plain = objective.hessian(theta), batched(objective, theta)
    if not np.isfinite(objective.value(theta)):
        assert not np.isfinite(found).all()
    both = np.isfinite(found) & np.isfinite(plain)
    np.testing.assert_allclose(found[both], plain[both], rtol=0, atol=1e-12 * np.abs(plain[both]).max(initial=1.0))


def test_a_checkpoint_is_called_before_every_chunk_and_may_raise() -> None:
    class Stop(Exception):
        pass

    calls = []

    def checkpoint() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise Stop

    model, theta = network((6, 20, 18, 3), 2_000)
    objective = model.objective(checkpoint)
    with pytest.raises(Stop):
        objective.hessian(theta)
    np.testing.assert_array_equal(objective.hessian(theta), model.objective().hessian(theta))
    assert len(calls) >= 4


def test_an_affine_residual_keeps_its_own_way() -> None:
    rng = np.random.default_rng(1)
    objective = LeastSquares(rng.standard_normal((30, 3)), rng.standard_normal(30)).objective()
    objective.hessian(np.zeros(3))
    assert not objective._layered
