"""Values, Jacobians, Hessians and their products, by every way, at one point and at many, against autograd."""

from __future__ import annotations

from typing import Any

import autograd
import numpy as np
import pytest
from solvers.autodiff.derivatives.functions import EXAMPLES, RNG, Example

from nablad.expressions import Graph, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Derivatives, Expression, InvalidModel, Layer, LeastSquares, Network
from nablad.solvers.autodiff.derivatives import evaluation

examples = pytest.mark.parametrize("example", EXAMPLES, ids=str)
JACOBIAN_WAYS = (None, "forward", "reverse")
HESSIAN_WAYS = (None, "forward_over_reverse", "forward_over_forward")


def near(x: Any, y: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * max(1.0, float(np.max(np.abs(y)))))


@pytest.fixture(params=["at once", "in small passes"])
def passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether all directions and points fit into one pass."""
    if request.param != "at once":
        monkeypatch.setattr(evaluation, "PASS_BUDGET", 2000)
    return str(request.param)


@examples
def test_against_autograd(example: Example, passes: str) -> None:
    model = example.model()
    derivatives, theta = Derivatives(model), model.start()
    value = np.asarray(example.flat(theta))
    jacobian = autograd.jacobian(example.flat)(theta)
    hessian = autograd.jacobian(autograd.jacobian(example.flat))(theta)
    near(derivatives.value(theta, "output"), value, 1e-14)
    for way in JACOBIAN_WAYS:
        found = derivatives.jacobian(theta, way=way)
        assert found.array.shape == (*value.shape, model.size)
        near(found.array, jacobian)
    for way in HESSIAN_WAYS:
        found = derivatives.hessian(theta, "output", way)
        assert found.array.shape == (*value.shape, model.size, model.size)
        assert np.array_equal(found.array, np.swapaxes(found.array, -1, -2))
        near(found.array, hessian)
    v, u = RNG.normal(size=model.size), RNG.normal(size=value.shape)
    near(derivatives.jvp(theta, v), jacobian @ v)
    near(derivatives.vjp(theta, u), np.tensordot(u, jacobian, value.ndim))
    near(derivatives.hvp(theta, v), hessian @ v)


@examples
def test_many_points_are_as_one_after_the_other(example: Example, passes: str) -> None:
    model = example.model()
    derivatives = Derivatives(model)
    points = model.start() + 0.1 * RNG.normal(size=(5, model.size))
    directions = RNG.normal(size=(5, model.size))
    shape = derivatives.value(points[0]).shape
    cotangents = RNG.normal(size=(5, *shape))
    near(derivatives.value(points), [derivatives.value(x) for x in points], 1e-14)
    for way in JACOBIAN_WAYS:
        near(derivatives.jacobian(points, way=way).array, [derivatives.jacobian(x).array for x in points], 1e-13)
    for way in HESSIAN_WAYS:
        near(derivatives.hessian(points, way=way).array, [derivatives.hessian(x).array for x in points], 1e-13)
    for one, several in ((points, directions), (points[:1], directions), (points, directions[:1])):
        xs, vs = (a if len(a) > 1 else a[0] for a in (one, several))
        pairs = [(one[k % len(one)], several[k % len(several)]) for k in range(5)]
        near(derivatives.jvp(xs, vs), [derivatives.jvp(x, v) for x, v in pairs], 1e-13)
        near(derivatives.hvp(xs, vs), [derivatives.hvp(x, v) for x, v in pairs], 1e-13)
    near(
        derivatives.vjp(points, cotangents),
        [derivatives.vjp(x, u) for x, u in zip(points, cotangents, strict=True)],
        1e-13,
    )
    near(derivatives.vjp(points[0], cotangents), [derivatives.vjp(points[0], u) for u in cotangents], 1e-13)
    near(derivatives.vjp(points, cotangents[0]), [derivatives.vjp(x, cotangents[0]) for x in points], 1e-13)


@examples
def test_single_precision(example: Example) -> None:
    model = example.model(dtype=np.float32)
    double = Derivatives(example.model())
    derivatives, theta = Derivatives(model), model.start()
    points = np.stack([theta, theta])
    for x in (theta, points):
        for array, exact in [
            (derivatives.value(x), double.value(x)),
            (derivatives.jacobian(x).array, double.jacobian(x).array),
            (derivatives.hessian(x).array, double.hessian(x).array),
        ]:
            assert array.dtype == np.float32
            near(array, exact, 2e-5)


def test_an_input_that_does_not_matter_has_a_derivative_of_exact_zeros() -> None:
    model = next(x for x in EXAMPLES if x.name.startswith("theta does not")).model()
    derivatives, theta = Derivatives(model), model.start()
    assert np.array_equal(derivatives.jacobian(theta).array[1:], np.zeros((2, 2)))
    assert not np.any(derivatives.hessian(theta).array[1:])


def test_of_names_the_function() -> None:
    """y - Phi theta with weights and a ridge: the residual carries the weights, the objective all of it."""
    features, targets, weights = RNG.normal(size=(9, 3)), RNG.normal(size=9), RNG.uniform(size=9)
    model = LeastSquares(features, targets, weights, ridge=0.5)
    derivatives, theta = Derivatives(model), RNG.normal(size=3)
    near(derivatives.jacobian(theta).array, features)
    near(derivatives.value(theta, "output"), features @ theta)
    near(derivatives.jacobian(theta, "residual").array, -np.sqrt(weights)[:, None] * features)
    exact = 2 * features.T @ (weights[:, None] * features) + np.eye(3)
    found = derivatives.hessian(theta)
    assert found.way == "gauss_newton_exact"
    near(found.array, exact)
    near(derivatives.hessian(theta, way="forward_over_reverse").array, exact)
    near(derivatives.hessian(np.stack([theta, theta])).array, [exact, exact])
    near(derivatives.gradient(theta).array, model.objective().gradient(theta))
    near(derivatives.hessian(theta, "output").array, np.zeros((9, 3, 3)))


@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy"])
def test_networks(loss: str) -> None:
    targets = RNG.integers(0, 2, 20) if loss != "squared_error" else RNG.normal(size=(20, 2))
    model = Network(RNG.normal(size=(20, 3)), targets, [Layer(4, "tanh"), Layer(2)], loss=loss)
    derivatives, theta = Derivatives(model), model.start()
    near(derivatives.gradient(theta).array, model.objective().gradient(theta))
    near(derivatives.hessian(theta).array, model.objective().hessian(theta))
    reverse, forward = (derivatives.jacobian(theta, way=way) for way in ("reverse", "forward"))
    assert (reverse.passes, forward.passes) == (2, model.size)
    assert derivatives.jacobian(theta).way == "reverse"
    near(reverse.array, forward.array)
    if loss == "squared_error":
        near(derivatives.jacobian(theta, "residual").array.reshape(40, -1), model.objective().jacobian(theta))
    else:
        with pytest.raises(InvalidModel, match="no sum of squares"):
            derivatives.jacobian(theta, "residual")


def test_the_cheaper_way_is_taken_and_told() -> None:
    x = parameter("x", (30,))
    wide = Expression(Graph((x.node,), (s.reshape(s.sum(s.exp(x)), (1,)).node,)), {"x": np.zeros(30)})
    tall = next(x for x in EXAMPLES if x.name == "many outputs of one parameter").model()
    few, many = (Derivatives(m).jacobian(m.start()) for m in (wide, tall))
    assert (few.way, few.passes) == ("reverse", 1)
    assert (many.way, many.passes) == ("forward", 1)
    assert "1 pulled direction cost" in few.reason
    assert "forward at least" in few.reason
    assert few.flops > 0


def test_thousands_of_points_at_once() -> None:
    model = EXAMPLES[0].model()
    points = RNG.normal(size=(20_000, 2))
    x, y = points.T
    found = Derivatives(model, threads=2)
    near(found.value(points), 100 * (y - x * x) ** 2 + (1 - x) ** 2)
    near(found.gradient(points).array, np.stack([-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)], 1))
    one = Derivatives(model).hessian(points).array
    assert np.array_equal(found.hessian(points).array, one)
    near(one[:, 0, 1], -400 * x)


@pytest.mark.parametrize(
    ("call", "field", "text"),
    [
        (lambda d: d.value(np.zeros(3)), "theta", "should be"),
        (lambda d: d.value(np.zeros((0, 2))), "theta", "should be"),
        (lambda d: d.value([np.nan, 0.0]), "theta[0]", "finite"),
        (lambda d: d.value([1j, 0.0]), "theta", "complex"),
        (lambda d: d.value(np.zeros(2), "loss"), "of", "known are objective, output, residual"),
        (lambda d: d.jacobian(np.zeros(2), way="sideways"), "way", "known are"),
        (lambda d: d.hessian(np.zeros(2), way="forward"), "way", "no way to a hessian"),
        (lambda d: d.hessian(np.zeros(2), way="gauss_newton_exact"), "way", "affine"),
        (lambda d: d.jvp(np.zeros(2), np.zeros(3)), "v", "should be"),
        (lambda d: d.hvp(np.zeros((2, 2)), np.zeros((3, 2))), "v", "3 for 2 points"),
        (lambda d: d.vjp(np.zeros(2), np.zeros(2)), "u", "should be"),
        (lambda d: d.vjp(np.zeros((2, 2)), np.zeros((3, 7))), "u", "3 for 2 points"),
        (lambda d: d.vjp(np.zeros(2), [np.inf] * 7), "u[0]", "finite"),
    ],
)
def test_what_cannot_be_asked(call: Any, field: str, text: str) -> None:
    model = next(x for x in EXAMPLES if x.name == "residual of rows").model()
    with pytest.raises(InvalidModel, match=text) as refused:
        call(Derivatives(model))
    assert refused.value.field == field


def test_a_result_that_is_too_large_is_refused_before_work() -> None:
    x = parameter("x", (20_000,))
    model = Expression(Graph((x.node,), (s.exp(x).node,)), {"x": np.zeros(20_000)})
    with pytest.raises(InvalidModel, match="64,000,000,000,000 bytes"):
        Derivatives(model).hessian(model.start())


def test_of_a_large_graph_one_way_is_built() -> None:
    def chain(x: np.ndarray) -> np.ndarray:
        for _ in range(20_001):
            x = 1.0 - x
        return x

    model = Expression.trace(chain, start=[0.5, 0.25])
    found = Derivatives(model).jacobian(model.start())
    assert np.array_equal(found.array, -np.eye(2))
    assert (found.way, found.passes) == ("reverse", 2)
    assert "forward at least" in found.reason
