"""Networks against a plain numpy network, differentiated by complex step or by differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

from nablad.solvers.models import ACTIVATIONS, INITIALIZATIONS, LOSSES, InvalidModel, Layer, Network

RNG = np.random.default_rng(7)
N, D, C = 41, 2, 3
X = RNG.normal(size=(N, D))
Y = RNG.normal(size=(N, C))
CLASSES = RNG.integers(0, C, N)
PROBABILITIES = RNG.dirichlet(np.ones(C), N)


def _chosen(z: Any, above: Any, below: Any) -> Any:
    return np.where(z.real > 0, above, below)


NUMPY: dict[str, Any] = {
    "identity": lambda z: z,
    "relu": lambda z: _chosen(z, z, 0),
    "leaky_relu": lambda z: _chosen(z, z, 0.01 * z),
    "elu": lambda z: _chosen(z, z, np.exp(z) - 1),
    "gelu": lambda z: z * scipy.special.ndtr(z),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "sin": np.sin,
}


def reference(model: Network, theta: Any) -> Any:
    """The objective in plain numpy; complex theta welcome, for every activation is analytic between its kinks."""
    f, penalty = X, 0.0
    for i, layer in enumerate(model.layers):
        A, b = (theta[slice(*model.layout.ranges[f"{k}_{i}"])].reshape(model.layout.shapes[f"{k}_{i}"]) for k in "Ab")
        f = NUMPY[layer.activation](f @ A.T + b)
        penalty = penalty + model.ridge * np.sum(A * A)
    targets = np.asarray(model.targets)
    if model.loss == "squared_error":
        losses = np.sum((targets.reshape(f.shape) - f) ** 2, axis=1)
    else:
        hot = targets if targets.ndim == 2 else np.eye(C)[targets.astype(int)]
        losses = np.log(np.sum(np.exp(f), axis=1)) - np.sum(hot * f, axis=1)
    return (losses.mean() if model.reduction == "mean" else losses.sum()) + penalty


def complex_step_gradient(model: Network, theta: np.ndarray) -> np.ndarray:
    return np.array([reference(model, theta + 1e-100j * e).imag / 1e-100 for e in np.eye(model.size)])


def hessian_by_differences(model: Network, theta: np.ndarray) -> np.ndarray:
    """Central differences of complex-step gradients: an error of about 1e-9."""
    h = 1e-5
    columns = [
        (complex_step_gradient(model, theta + h * e) - complex_step_gradient(model, theta - h * e)) / (2 * h)
        for e in np.eye(model.size)
    ]
    return np.array(columns)


def network(activation: str = "tanh", loss: str = "squared_error", **settings: Any) -> Network:
    targets = {"squared_error": Y, "softmax_cross_entropy": CLASSES}[loss]
    layers = [Layer(4, activation), Layer(C)]
    return Network(X, settings.pop("targets", targets), settings.pop("layers", layers), loss=loss, **settings)


MODELS = {
    **{f"{name}-{loss}": network(name, loss) for name in ACTIVATIONS for loss in LOSSES},
    "mean-ridge": network(reduction="mean", ridge=0.2),
    "cross-entropy-mean-ridge": network(loss="softmax_cross_entropy", reduction="mean", ridge=0.2),
    "probabilities": network(loss="softmax_cross_entropy", targets=PROBABILITIES),
    "one-layer": network(layers=[Layer(C, "sigmoid")], ridge=0.1),
    "three-layers": network(layers=[Layer(3, "tanh"), Layer(2, "sin"), Layer(C, "softplus")]),
    "vector-target": network(layers=[Layer(2, "silu"), Layer(1)], targets=Y[:, 0]),
}
models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def point(model: Network) -> np.ndarray:
    return model.start() + 0.1 * np.random.default_rng(1).normal(size=model.size)


@models
def test_value_and_gradient(model: Network) -> None:
    objective, theta = model.objective(), point(model)
    value, gradient = objective.value_and_gradient(theta)
    np.testing.assert_allclose(value, reference(model, theta), rtol=1e-12)
    np.testing.assert_allclose(gradient, complex_step_gradient(model, theta), rtol=1e-10, atol=1e-11)
    assert objective.value(theta) == pytest.approx(value, rel=1e-14)


@models
def test_hessian_and_its_products(model: Network) -> None:
    objective, theta = model.objective(), point(model)
    hessian = objective.hessian(theta)
    scale = np.abs(hessian).max()
    np.testing.assert_array_equal(hessian, hessian.T)
    np.testing.assert_allclose(hessian, hessian_by_differences(model, theta), rtol=1e-6, atol=1e-7 * scale)
    v = np.random.default_rng(2).normal(size=model.size)
    np.testing.assert_allclose(objective.hvp(theta, v), hessian @ v, rtol=1e-10, atol=1e-11 * scale)
    linear = objective.linearize(theta)
    np.testing.assert_array_equal(linear.hvp(v), objective.hvp(theta, v))


@models
def test_residual_squares_to_the_objective(model: Network) -> None:
    objective, theta = model.objective(), point(model)
    assert objective.capabilities.residual == (model.loss == "squared_error")
    if not objective.capabilities.residual:
        return
    residual, jacobian = objective.residual(theta), objective.jacobian(theta)
    np.testing.assert_allclose(residual @ residual, objective.value(theta), rtol=1e-12)
    np.testing.assert_allclose(2 * jacobian.T @ residual, objective.gradient(theta), rtol=1e-9, atol=1e-10)
    tsqr, gram = objective.tsqr(theta), objective.gram(theta)
    np.testing.assert_allclose(tsqr.r.T @ tsqr.r, jacobian.T @ jacobian, atol=1e-10)
    np.testing.assert_allclose(gram.jtj, jacobian.T @ jacobian, atol=1e-10)


def test_the_forms_of_the_table_are_the_definitions() -> None:
    assert set(NUMPY) == set(ACTIVATIONS)
    z = np.linspace(-30, 30, 601)
    for name, row in ACTIVATIONS.items():
        model = Network(z[:, None], z, [Layer(1, name)])
        ours = model.predict(np.array([1.0, 0.0]), z[:, None])[:, 0]
        np.testing.assert_allclose(ours, NUMPY[name](z + 0j).real, rtol=1e-9, atol=1e-12)
        assert row.initialization in INITIALIZATIONS


def test_a_linear_network_is_affine_and_a_curved_one_is_not() -> None:
    assert Network(X, Y, [Layer(C)]).objective().capabilities.affine
    deep = Network(X, Y, [Layer(2), Layer(C)]).objective().capabilities
    assert not deep.affine
    assert not deep.quadratic
    assert not network().objective().capabilities.affine


def test_extreme_logits_stay_finite() -> None:
    model = Network(X, CLASSES, [Layer(C)], loss="softmax_cross_entropy")
    value, gradient = model.objective().value_and_gradient(1e6 * point(model))
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


def test_constants_of_activations() -> None:
    z = np.array([[-2.0], [3.0]])
    for layer, expected in [
        (Layer(1, "leaky_relu", slope=0.25), [-0.5, 3.0]),
        (Layer(1, "leaky_relu", slope=0.0), [0.0, 3.0]),
        (Layer(1, "elu", alpha=2.0), [2 * np.expm1(-2.0), 3.0]),
    ]:
        model = Network(z, z[:, 0], [layer])
        np.testing.assert_allclose(model.predict([1.0, 0.0], z)[:, 0], expected)


@pytest.mark.parametrize("rule", INITIALIZATIONS)
def test_initial_weights_have_their_variance(rule: str) -> None:
    model = Network(np.ones((1, 300)), np.ones((1, 200)), [Layer(200, "tanh", initialization=rule)], seed=3)
    start = model.parameters(model.start())
    variance = 2 / 300 if rule.startswith("he") else 2 / 500
    assert start["A_0"].var() == pytest.approx(variance, rel=0.02)
    assert not start["b_0"].any()
    np.testing.assert_array_equal(model.start(), model.start())
    other = Network(np.ones((1, 300)), np.ones((1, 200)), [Layer(200, "tanh", initialization=rule)], seed=4)
    assert not np.array_equal(model.start(), other.start())


def test_names_and_shapes_are_the_lectures() -> None:
    model = network()
    assert dict(model.layout.shapes) == {"A_0": (4, D), "b_0": (4,), "A_1": (C, 4), "b_1": (C,)}
    named = model.parameters(point(model))
    f = np.tanh(X @ named["A_0"].T + named["b_0"]) @ named["A_1"].T + named["b_1"]
    np.testing.assert_allclose(model.predict(point(model), X), f, rtol=1e-12)
    cost = model.cost()
    assert (cost.parameters, cost.hessian_bytes) == (model.size, 8 * model.size**2)


@pytest.mark.parametrize("loss", LOSSES)
def test_float32(loss: str) -> None:
    targets = Y if loss == "squared_error" else CLASSES
    model = Network(X.astype(np.float32), targets, [Layer(4, "gelu"), Layer(C)], loss=loss)
    theta = point(model).astype(np.float32)
    value, gradient = model.objective().value_and_gradient(theta)
    twin = network("gelu", loss)
    assert gradient.dtype == model.start().dtype == np.float32
    assert value == pytest.approx(reference(twin, theta.astype(float)), rel=1e-5)
    np.testing.assert_allclose(gradient, complex_step_gradient(twin, theta.astype(float)), rtol=1e-3, atol=1e-4)


LAYERS = [Layer(5, "tanh"), Layer(C)]
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("inputs", {"inputs": X[0]}),
    ("inputs[0, 0]", {"inputs": np.full_like(X, np.nan)}),
    ("targets", {"targets": Y[1:]}),
    ("targets", {"targets": Y[:, 1:]}),
    ("targets", {"targets": Y[:, 0]}),
    ("targets[0]", {"targets": CLASSES + 0.5, "loss": "softmax_cross_entropy"}),
    ("targets[2]", {"targets": np.where(np.arange(N) == 2, C, 0), "loss": "softmax_cross_entropy"}),
    ("targets[0]", {"targets": 2 * PROBABILITIES, "loss": "softmax_cross_entropy"}),
    ("layers", {"layers": []}),
    ("layers[1]", {"layers": [Layer(3), "tanh"]}),
    ("layers[1].width", {"layers": [Layer(3), Layer(0)]}),
    ("layers[0].width", {"layers": [Layer(True), Layer(C)]}),
    ("layers[0].activation", {"layers": [Layer(5, "than"), Layer(C)]}),
    ("layers[0].initialization", {"layers": [Layer(5, "tanh", "zeros"), Layer(C)]}),
    ("layers[0].slope", {"layers": [Layer(5, "tanh", slope=0.1), Layer(C)]}),
    ("layers[0].alpha", {"layers": [Layer(5, "elu", alpha=-1.0), Layer(C)]}),
    ("layers[1].activation", {"layers": [Layer(5), Layer(C, "relu")], "loss": "softmax_cross_entropy"}),
    ("layers[-1].width", {"layers": [Layer(1)], "targets": np.zeros(N), "loss": "softmax_cross_entropy"}),
    ("loss", {"loss": "hinge"}),
    ("reduction", {"reduction": "max"}),
    ("ridge", {"ridge": np.nan}),
    ("seed", {"seed": -1}),
    ("seed", {"seed": 0.5}),
]


@pytest.mark.parametrize(("field", "change"), WRONG)
def test_faults_are_named(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidModel) as caught:
        Network(**{"inputs": X, "targets": Y, "layers": LAYERS, **change})
    assert caught.value.field == field


def test_an_unknown_activation_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidModel, match="identity, relu, leaky_relu, elu, gelu, silu, tanh"):
        Network(X, Y, [Layer(5, "swish"), Layer(C)])
