"""Models, as data: what is minimized.

    LeastSquares   L(theta) = ||y - Phi theta||^2
    Network        f_0 = x, f_i = sigma_i(A_{i-1} f_{i-1} + b_{i-1}), L = the loss of f_K, summed over the rows

The arrays' type decides the arithmetic: float32 where the features or inputs are float32, float64 otherwise; the
other arrays follow. Nothing is computed here, and shapes are checked by the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from nablad.client.arrays import Data, labels, numbers
from nablad.client.core.encode import Encoder, assign
from nablad.client.errors import invalid
from nablad.client.named import Layout
from nablad.v1 import model_pb2

REDUCTIONS = {"sum": model_pb2.REDUCTION_SUM, "mean": model_pb2.REDUCTION_MEAN}


class Model(Protocol):
    """Anything that can describe itself as a nablad.v1.Model."""

    def to_proto(self, encoder: Encoder) -> model_pb2.Model:
        """The message; large arrays are left with the encoder."""
        ...


def _reduction(value: str) -> model_pb2.Reduction.ValueType:
    if value not in REDUCTIONS:
        raise invalid("model.reduction", f"is {value!r}; choose one of {', '.join(REDUCTIONS)}")
    return REDUCTIONS[value]


def _columns(stored: Any) -> int | None:
    """The columns of a matrix."""
    shape: tuple[int, ...] = stored.shape
    return shape[1] if len(shape) == 2 else None


def _dtype(value: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = value.dtype
    return dtype


def _told(model: Any) -> str:
    """The fields that say more than the default, arrays by their shapes."""
    told = []
    for field in fields(model):
        value = getattr(model, field.name)
        if hasattr(value, "shape"):
            told.append(f"{field.name}: {tuple(value.shape)} {value.dtype}")
        elif value != field.default:
            told.append(f"{field.name}={value!r}")
    return f"{type(model).__name__}({', '.join(told)})"


@dataclass(frozen=True, eq=False, repr=False)
class LeastSquares:
    """L(theta) = sum_n w_n (y_n - phi_n theta)^2 + ridge ||theta||^2: the plain sum of squares, not half, not mean.

    The result's parameters: `theta` (D,), and `intercept` () if asked for.
    """

    features: Data
    """Phi, shape (N, D)."""
    targets: Data
    """y, shape (N,)."""
    weights: Data | None = None
    """w, shape (N,), nonnegative."""
    intercept: bool = False
    """Adds a constant term, which the ridge penalty leaves alone."""
    ridge: float | None = None
    """At least 0."""
    reduction: str = "sum"
    """"sum" or "mean" over the rows."""

    def __post_init__(self) -> None:
        features = numbers(self.features, "model.features")
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "targets", numbers(self.targets, "model.targets", like=_dtype(features)))
        if self.weights is not None:
            object.__setattr__(self, "weights", numbers(self.weights, "model.weights", like=_dtype(features)))
        _reduction(self.reduction)

    @property
    def layout(self) -> Layout | None:
        """The parameters' names and shapes, in the order of theta; None where the features are no matrix."""
        columns = _columns(self.features)
        if columns is None:
            return None
        shapes: dict[str, tuple[int, ...]] = {"theta": (columns,)}
        return {**shapes, "intercept": ()} if self.intercept else shapes

    def to_proto(self, encoder: Encoder) -> model_pb2.Model:
        """As a nablad.v1.Model."""
        message = model_pb2.LeastSquares(
            features=encoder.tensor(self.features),
            targets=encoder.tensor(self.targets),
            reduction=_reduction(self.reduction),
        )
        if self.weights is not None:
            message.weights.CopyFrom(encoder.tensor(self.weights))
        assign(message, "model", intercept=self.intercept, ridge=self.ridge)
        return model_pb2.Model(least_squares=message)

    def __repr__(self) -> str:
        return _told(self)


@dataclass(frozen=True)
class Layer:
    """One layer of a network: sigma(A f + b)."""

    width: int
    """The number of outputs."""
    activation: str = "identity"
    """identity, relu, leaky_relu, elu, gelu, silu, tanh, sigmoid, softplus or sin."""
    initialization: str | None = None
    """glorot_uniform, glorot_normal, he_uniform or he_normal; chosen by the activation unless given."""
    parameter: float | None = None
    """The activation's own number: the slope of leaky_relu, the alpha of elu."""


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A fully connected network of K layers.

    The result's parameters: `A_0` (width, D), `b_0` (width,), ..., `A_{K-1}`, `b_{K-1}`.
    """

    inputs: Data
    """x, shape (N, D)."""
    targets: Data
    """Squared error: (N,) or (N, M). Softmax cross-entropy: integer labels (N,), or probabilities (N, M)."""
    layers: Sequence[Layer]
    """The last layer's width is M."""
    loss: str = "squared_error"
    """squared_error or softmax_cross_entropy."""
    reduction: str = "sum"
    """"sum" or "mean" over the rows."""
    ridge: float | None = None
    """Adds ridge * (sum of ||A_i||^2). At least 0."""
    seed: int | None = None
    """Of the random initial weights; 0 unless given."""

    def __post_init__(self) -> None:
        inputs = numbers(self.inputs, "model.inputs")
        read = numbers if self.loss == "squared_error" else labels
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "targets", read(self.targets, "model.targets", like=_dtype(inputs)))
        if isinstance(self.layers, Layer) or not all(isinstance(layer, Layer) for layer in self.layers):
            raise invalid("model.layers", "is a list of Layer(width, activation)")
        object.__setattr__(self, "layers", tuple(self.layers))
        _reduction(self.reduction)

    @property
    def layout(self) -> Layout | None:
        """The parameters' names and shapes, in the order of theta; None where the inputs are no matrix."""
        width = _columns(self.inputs)
        if width is None:
            return None
        shapes: dict[str, tuple[int, ...]] = {}
        for index, layer in enumerate(self.layers):
            shapes |= {f"A_{index}": (layer.width, width), f"b_{index}": (layer.width,)}
            width = layer.width
        return shapes

    def to_proto(self, encoder: Encoder) -> model_pb2.Model:
        """As a nablad.v1.Model."""
        message = model_pb2.Network(
            inputs=encoder.tensor(self.inputs),
            targets=encoder.tensor(self.targets),
            reduction=_reduction(self.reduction),
        )
        for index, layer in enumerate(self.layers):
            assign(
                message.layers.add(),
                f"model.layers[{index}]",
                width=layer.width,
                activation=layer.activation,
                initialization=layer.initialization,
                parameter=layer.parameter,
            )
        assign(message, "model", loss=self.loss, ridge=self.ridge, seed=self.seed)
        return model_pb2.Model(network=message)

    def __repr__(self) -> str:
        return _told(self)
