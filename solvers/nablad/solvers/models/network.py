"""K-layer networks, as in the lecture: f_0 = x, f_i = sigma_i(A_{i-1} f_{i-1} + b_{i-1}), i = 1 ... K.

theta = {A_0, b_0, ..., A_{K-1}, b_{K-1}}, with A_{i-1} of shape (width_i, width_{i-1}), so named and so ordered in the
flat vector. The graph holds all N rows at once: f_i as the rows of a matrix (N, width_i), hence f A' + b. The loss is
summed over rows, or averaged on request; a ridge adds ridge sum_i ||A_i||^2 and leaves the biases alone.

Cost of value and gradient: about 6 N sum_i width_i width_{i-1} operations (4 for the first layer, whose input needs no
derivative).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nablad.expressions import ROWS, Node, Symbol
from nablad.expressions import symbols as s
from nablad.expressions.labels import recording
from nablad.solvers.autodiff.problem import Problem
from nablad.solvers.models.activations import ACTIVATIONS
from nablad.solvers.models.base import REDUCTIONS, Model, reduction_scale, squares
from nablad.solvers.models.columns import check_finite, check_rows, choice, floating, nonnegative, table
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.models.initialization import INITIALIZATIONS
from nablad.solvers.models.layout import Layout
from nablad.solvers.models.losses import LOSSES
from nablad.solvers.models.regression import Regression
from nablad.solvers.objective import FloatArray


@dataclass(frozen=True)
class Layer:
    """One layer of a network; checked by the Network that holds it, which knows its place."""

    width: int
    activation: str = "identity"
    initialization: str | None = None
    """None for the activation's own: He for the relu family, Glorot otherwise."""
    slope: float | None = None
    """leaky_relu's slope below zero, 0.01 when None."""
    alpha: float | None = None
    """elu's scale below zero, 1 when None."""

    @property
    def constants(self) -> dict[str, float]:
        """The activation's constants, given or default."""
        given = {"slope": self.slope, "alpha": self.alpha}
        return {
            name: default if given[name] is None else float(given[name] or 0.0)
            for name, default in ACTIVATIONS[self.activation].constants.items()
        }


@dataclass(frozen=True, eq=False)
class Network(Model):
    """A K-layer network fitted to data. Raises InvalidModel."""

    inputs: ArrayLike
    """x, (N, D)."""
    targets: ArrayLike
    """y, (N,) or (N, width of the last layer); for softmax_cross_entropy classes (N,) or probabilities."""
    layers: Sequence[Layer]
    loss: str = "squared_error"
    reduction: str = "sum"
    """"sum" or "mean" over the rows."""
    ridge: float = 0.0
    seed: int = 0
    """Of the initial weights: the same seed, the same bits."""

    def __post_init__(self) -> None:
        inputs = table("inputs", self.inputs)
        layers = _layers(self.layers)
        choice("loss", self.loss, tuple(LOSSES))
        choice("reduction", self.reduction, REDUCTIONS)
        targets = floating("targets", self.targets, inputs.dtype)
        check_rows("targets", targets, inputs.shape[0], "inputs")
        check_finite("targets", targets)
        loss = LOSSES[self.loss]
        last = layers[-1].activation
        if loss.last_activation not in (None, last):
            message = f"is {last!r}; {self.loss} needs {loss.last_activation!r} in the last layer"
            raise InvalidModel(f"layers[{len(layers) - 1}].activation", message)
        loss.check(targets, layers[-1].width)
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise InvalidModel("seed", f"is {self.seed!r}; a whole number >= 0 is needed")
        values = {"inputs": inputs, "targets": targets, "layers": layers, "ridge": nonnegative("ridge", self.ridge)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Width of x, then of each layer."""
        return (int(np.shape(self.inputs)[1]), *(layer.width for layer in self.layers))

    @cached_property
    def layout(self) -> Layout:
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (fan_in, width) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            shapes[f"A_{i}"] = (width, fan_in)
            shapes[f"b_{i}"] = (width,)
        return Layout(shapes)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.asarray(self.inputs).dtype

    @property
    def data(self) -> dict[str, FloatArray]:
        return {"inputs": np.asarray(self.inputs), "targets": np.asarray(self.targets)}

    def build(self) -> Problem:
        """The layers one upon the other, then the loss."""
        return self._built[0]

    @property
    def node_labels(self) -> Mapping[Node, str]:
        """Each node by its layer: "layer 2, tanh"."""
        return self._built[1]

    @cached_property
    def _built(self) -> tuple[Problem, dict[Node, str]]:
        labels: dict[Node, str] = {}
        theta = s.parameter("theta", (self.size,))
        inputs = s.data("inputs", (ROWS, self.widths[0]))
        targets = s.data("targets", (ROWS, *np.shape(self.targets)[1:]))
        output = inputs
        for i, layer in enumerate(self.layers):
            with _labelled(labels, f"layer {i + 1}, the weights"):
                A, b = self.layout.part(theta, f"A_{i}").T, self.layout.part(theta, f"b_{i}")
            with _labelled(labels, f"layer {i + 1}, A f + b"):
                pre_activation = output @ A + b
            with _labelled(labels, f"layer {i + 1}, {layer.activation}"):
                output = ACTIVATIONS[layer.activation].build(pre_activation, **layer.constants)
        with _labelled(labels, f"the loss ({self.loss})"):
            return self._with_loss(theta, inputs, targets, output), labels

    def _with_loss(self, theta: Symbol, inputs: Symbol, targets: Symbol, output: Symbol) -> Problem:
        loss = LOSSES[self.loss]
        problem_inputs = (theta.node, (inputs.node, targets.node))
        if loss.residual is not None:
            residual = loss.residual(output, targets)
            objective, scaled, penalty = squares(residual, self.reduction, self.ridge, self._penalized(theta))
            return Problem(
                *problem_inputs, objective.node, output.node, scaled.node, None if penalty is None else penalty.node
            )
        assert loss.per_row is not None
        objective = s.sum(loss.per_row(output, targets))
        scale = reduction_scale(self.reduction)
        if scale is not None:
            objective = scale * objective
        if self.ridge:
            objective = objective + self.ridge * s.sum(s.square(self._penalized(theta)))
        predicted = None if loss.prediction is None else loss.prediction(output).node
        return Problem(*problem_inputs, objective.node, output.node, predicted=predicted)

    @property
    def regression(self) -> Regression | None:
        if LOSSES[self.loss].residual is None:
            return None
        rows = len(np.asarray(self.targets))
        return Regression(
            observations=int(np.size(self.targets)),
            scale=1.0 / rows if self.reduction == "mean" else 1.0,
            unpenalized=partial(replace, self, ridge=0.0) if self.ridge else None,
        )

    def _penalized(self, theta: Symbol) -> Symbol:
        """The weights, without the biases, as one vector."""
        ranges = [self.layout.ranges[f"A_{i}"] for i in range(len(self.layers))]
        pieces = [s.slice_of(theta, [bounds]) for bounds in ranges]
        return pieces[0] if len(pieces) == 1 else s.concatenate(pieces, axis=0)

    def initial(self) -> FloatArray:
        """Weights drawn layer by layer from the seed, biases zero."""
        generator = np.random.default_rng(self.seed)
        theta = np.zeros(self.size, self.dtype)
        for i, layer in enumerate(self.layers):
            rule = layer.initialization or ACTIVATIONS[layer.activation].initialization
            weights = INITIALIZATIONS[rule](generator, self.widths[i + 1], self.widths[i])
            theta[slice(*self.layout.ranges[f"A_{i}"])] = weights.reshape(-1)
        return theta

    def check_inputs(self, inputs: FloatArray) -> dict[str, FloatArray]:
        if inputs.ndim != 2 or inputs.shape[1] != self.widths[0] or not len(inputs):
            raise InvalidModel("inputs", f"has shape {inputs.shape}; a matrix of {self.widths[0]} columns is needed")
        return {"inputs": inputs}


@contextmanager
def _labelled(labels: dict[Node, str], text: str) -> Iterator[None]:
    """Within, every node that is made is called `text`, unless it has been named before."""

    def note(node: Node) -> None:
        labels.setdefault(node, text)

    with recording(note):
        yield


def _layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    layers = tuple(layers)
    if not layers:
        raise InvalidModel("layers", "is empty; at least one layer is needed")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise InvalidModel(f"layers[{i}]", f"is {layer!r}; a Layer is needed")
        path = f"layers[{i}]"
        if isinstance(layer.width, bool) or not isinstance(layer.width, (int, np.integer)) or layer.width < 1:
            raise InvalidModel(f"{path}.width", f"is {layer.width!r}; a whole number >= 1 is needed")
        choice(f"{path}.activation", layer.activation, tuple(ACTIVATIONS))
        if layer.initialization is not None:
            choice(f"{path}.initialization", layer.initialization, tuple(INITIALIZATIONS))
        for name in ("slope", "alpha"):
            value = getattr(layer, name)
            if value is None:
                continue
            if name not in ACTIVATIONS[layer.activation].constants:
                raise InvalidModel(f"{path}.{name}", f"does not belong to the activation {layer.activation!r}")
            nonnegative(f"{path}.{name}", value)
    return layers
