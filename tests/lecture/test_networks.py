"""Lecture, chapter 6: the gradient of a K-layer network, beside backpropagation by layers and mpmath's quotients.

f_0 = x, f_i = sigma_i(A_{i-1} f_{i-1} + b_{i-1}), L = ||y - f_K||^2, summed over the rows of the data.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from lecture import engine, exact
from scipy.special import expit, ndtr

from nablad.solvers import Derivatives, Layer, Network

# sigma for mpmath, and sigma' in numpy for the layered formula.
ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
    "tanh": (mpmath.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": (lambda z: 1 / (1 + mpmath.exp(-z)), lambda z: expit(z) * expit(-z)),
    "softplus": (lambda z: mpmath.log1p(mpmath.exp(z)), expit),
    "sin": (mpmath.sin, np.cos),
    "silu": (lambda z: z / (1 + mpmath.exp(-z)), lambda z: expit(z) * (1 + z * expit(-z))),
    "gelu": (
        lambda z: z * mpmath.ncdf(z),
        lambda z: ndtr(z) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi),
    ),
    "relu": (lambda z: max(z, mpmath.mpf(0)), lambda z: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": (lambda z: z if z > 0 else mpmath.mpf(0.01) * z, lambda z: np.where(z > 0, 1.0, 0.01)),
    "elu": (lambda z: z if z > 0 else mpmath.expm1(z), lambda z: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0)))),
}
NETWORKS: list[list[tuple[int, str]]] = [
    *([(3, name), (2, "identity")] for name in ACTIVATIONS),
    [(1, "identity")],
    [(2, "sigmoid")],
    [(4, "tanh"), (3, "softplus"), (2, "identity")],
    [(3, "sin"), (3, "tanh"), (2, "silu"), (1, "identity")],
    [(2, "tanh"), (3, "sigmoid"), (2, "gelu"), (3, "elu"), (1, "tanh")],
]


def name_of(layers: list[tuple[int, str]]) -> str:
    return "-".join(f"{width}{activation}" for width, activation in layers)


def network(layers: list[tuple[int, str]]) -> tuple[Network, dict[str, Any]]:
    """A network on three rows of two inputs, and a theta away from the corners of relu."""
    rng = np.random.default_rng(len(name_of(layers)))
    made = Network(
        rng.normal(size=(3, 2)), rng.normal(size=(3, layers[-1][0])), [Layer(width, name) for width, name in layers]
    )
    return made, {name: rng.normal(size=shape) for name, shape in made.layout.shapes.items()}


def split(model: Network, gradient: Any) -> dict[str, Any]:
    return {name: gradient[slice(*model.layout.ranges[name])].reshape(s) for name, s in model.layout.shapes.items()}


def by_mpmath(model: Network, theta: dict[str, Any], layers: list[tuple[int, str]]) -> dict[str, Any]:
    """Central quotients of the loss in 100 digits, parameter by parameter."""
    x, y = np.asarray(model.inputs), np.asarray(model.targets)

    def loss(changed: str, parameter: Any) -> Any:
        f = mpmath.matrix(x.T.tolist())
        for i, (width, activation) in enumerate(layers):
            A, b = (
                parameter if changed == name else mpmath.matrix(theta[name].tolist()) for name in (f"A_{i}", f"b_{i}")
            )
            z = A * f + b * mpmath.ones(1, len(x))
            assert z.rows == width
            f = z.apply(ACTIVATIONS[activation][0])
        return mpmath.fsum((a - b) ** 2 for a, b in zip(mpmath.matrix(y.T.tolist()), f, strict=True))

    found = {}
    for name, value in theta.items():
        as_matrix = value.reshape(len(value), -1)
        found[name] = exact.matrix_jacobian(lambda p, name=name: loss(name, p), as_matrix).reshape(value.shape)
    return found


def by_layers(model: Network, theta: dict[str, Any], layers: list[tuple[int, str]]) -> dict[str, Any]:
    """Backpropagation: delta_K = -2 (y - f_K) sigma_K'(z_K), delta_i = (delta_{i+1} A_i) sigma_i'(z_i)."""
    f, z = [np.asarray(model.inputs)], []
    for i, (_, activation) in enumerate(layers):
        z.append(f[-1] @ theta[f"A_{i}"].T + theta[f"b_{i}"])
        f.append(np.vectorize(lambda u, a=activation: float(ACTIVATIONS[a][0](mpmath.mpf(u))))(z[-1]))
    delta = -2 * (np.asarray(model.targets) - f[-1])
    found = {}
    for i in reversed(range(len(layers))):
        delta = delta * ACTIVATIONS[layers[i][1]][1](z[i])
        found[f"A_{i}"], found[f"b_{i}"] = delta.T @ f[i], delta.sum(axis=0)
        delta = delta @ theta[f"A_{i}"]
    return found


@pytest.mark.parametrize("layers", NETWORKS, ids=name_of)
def test_the_gradient_of_a_network(layers: list[tuple[int, str]]) -> None:
    model, theta = network(layers)
    gradient = Derivatives(model).gradient(engine.flat(theta)).array
    assert gradient.shape == (model.size,)
    found, expected, layered = split(model, gradient), by_mpmath(model, theta, layers), by_layers(model, theta, layers)
    assert list(found) == [f"{kind}_{i}" for i in range(len(layers)) for kind in "Ab"]
    for name, exactly in expected.items():
        assert found[name].shape == theta[name].shape
        exact.assert_equal(found[name], exactly, exact.size(exactly))
        exact.assert_equal(layered[name], exactly, exact.size(exactly))


def test_a_network_is_a_composition_and_its_gradient_a_product_of_jacobians() -> None:
    """dL/dA_0 = dL/df_3 df_3/df_2 df_2/df_1 df_1/dA_0, from the left: each factor is a Jacobian of one layer."""
    layers = [(4, "tanh"), (3, "sigmoid"), (2, "identity")]
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=2), rng.normal(size=2)
    model = Network(x[None], y[None], [Layer(width, name) for width, name in layers])
    theta = {name: rng.normal(size=shape) for name, shape in model.layout.shapes.items()}
    sigma = {"tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "identity": lambda z: z}
    f = [x]
    for i, (_, activation) in enumerate(layers):
        f.append(sigma[activation](theta[f"A_{i}"] @ f[-1] + theta[f"b_{i}"]))
    row = engine.jacobian(lambda f_3: np.sum((y - f_3) ** 2), f[3])
    gradient = split(model, Derivatives(model).gradient(engine.flat(theta)).array)
    for i in (2, 1, 0):
        A, b, below, act = theta[f"A_{i}"], theta[f"b_{i}"], f[i], sigma[layers[i][1]]
        by_A = engine.jacobian(lambda A, b=b, below=below, act=act: act(A @ below + b), A)
        by_b = engine.jacobian(lambda b, A=A, below=below, act=act: act(A @ below + b), b)
        exact.assert_equal(np.tensordot(row, by_A, 1), gradient[f"A_{i}"], exact.size(gradient[f"A_{i}"]))
        exact.assert_equal(row @ by_b, gradient[f"b_{i}"], exact.size(gradient[f"b_{i}"]))
        row = row @ engine.jacobian(lambda below, A=A, b=b, act=act: act(A @ below + b), below)


def test_a_network_written_as_an_expression_has_the_same_gradient() -> None:
    layers = [(3, "tanh"), (2, "identity")]
    model, theta = network(layers)
    data = {"x": np.asarray(model.inputs), "y": np.asarray(model.targets)}
    text = "sum((y - (tanh(x @ A_0.T + b_0) @ A_1.T + b_1))**2)"
    found = Derivatives(engine.model(text, theta, data)).gradient(engine.flat(theta)).array
    expected = engine.flat(by_mpmath(model, theta, layers))
    exact.assert_equal(found, expected, exact.size(expected))
