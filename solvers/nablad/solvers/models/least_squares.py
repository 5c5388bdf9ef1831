"""Linear least squares, as in the lecture: L(theta) = ||y - Phi theta||^2, theta in R^D, Phi in R^(N x D).

The plain sum of squares, neither halved nor averaged, unless `reduction` asks for the mean. Its gradient is the row
-2 (y' - theta' Phi') Phi, its Hessian 2 Phi'Phi; the engine derives both from the graph. With weights w >= 0 the sum is
sum_n w_n (y_n - phi_n theta)^2; a ridge adds ridge ||theta||^2, once, outside of sum or mean. An intercept is one more
parameter whose column of ones exists only in the row block at work; the ridge leaves it alone.

Cost of value and gradient: 4 N D operations and one reading of Phi.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nablad.expressions import ROWS, Symbol
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.problem import Problem
from nablad.solvers.models.base import REDUCTIONS, Model, squares
from nablad.solvers.models.columns import check_finite, check_rows, choice, floating, nonnegative, table
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.models.layout import Layout
from nablad.solvers.models.regression import Regression
from nablad.solvers.objective import FloatArray


@dataclass(frozen=True, eq=False)
class LeastSquares(Model):
    """L(theta) = sum_n w_n (y_n - phi_n theta)^2 + ridge ||theta||^2. Raises InvalidModel."""

    features: ArrayLike
    """Phi, (N, D)."""
    targets: ArrayLike
    """y, (N,)."""
    weights: ArrayLike | None = None
    """w >= 0, (N,); all one when None."""
    intercept: bool = False
    """Add a constant; the flat vector is then [theta, intercept]."""
    ridge: float = 0.0
    reduction: str = "sum"
    """"sum" or "mean" over the rows."""

    def __post_init__(self) -> None:
        features = table("features", self.features)
        targets = floating("targets", self.targets, features.dtype)
        if targets.ndim != 1:
            raise InvalidModel("targets", f"has shape {targets.shape}; a vector with one number a row is needed")
        check_rows("targets", targets, features.shape[0], "features")
        check_finite("targets", targets)
        values: dict[str, Any] = {"features": features, "targets": targets}
        if self.weights is not None:
            values["weights"] = _weights(self.weights, features)
        values["ridge"] = nonnegative("ridge", self.ridge)
        choice("reduction", self.reduction, REDUCTIONS)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def _columns(self) -> int:
        return int(np.shape(self.features)[1])

    @cached_property
    def layout(self) -> Layout:
        shapes: dict[str, tuple[int, ...]] = {"theta": (self._columns,)}
        return Layout({**shapes, "intercept": ()} if self.intercept else shapes)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.asarray(self.features).dtype

    @cached_property
    def data(self) -> dict[str, FloatArray]:
        columns = {"features": np.asarray(self.features), "targets": np.asarray(self.targets)}
        if self.weights is not None:
            columns["root_weights"] = np.sqrt(self.weights)
        return columns

    def build(self) -> Problem:
        """y - Phi theta, its squares, and the penalty."""
        theta = s.parameter("theta", (self.size,))
        features = s.data("features", (ROWS, self._columns))
        targets = s.data("targets", (ROWS,))
        inputs = [features, targets]
        output = self._design(features) @ theta
        residual = targets - output
        if self.weights is not None:
            root_weights = s.data("root_weights", (ROWS,))
            inputs.append(root_weights)
            residual = root_weights * residual
        slopes = self.layout.part(theta, "theta")
        objective, scaled, penalty = squares(residual, self.reduction, self.ridge, slopes)
        return Problem(
            theta.node,
            tuple(x.node for x in inputs),
            objective.node,
            output.node,
            scaled.node,
            None if penalty is None else penalty.node,
        )

    @property
    def regression(self) -> Regression:
        rows = len(np.asarray(self.targets))
        return Regression(
            observations=rows if self.weights is None else int(np.count_nonzero(self.weights)),
            scale=1.0 / rows if self.reduction == "mean" else 1.0,
            weighted=self.weights is not None,
            unpenalized=partial(replace, self, ridge=0.0) if self.ridge else None,
        )

    def _design(self, features: Symbol) -> Symbol:
        if not self.intercept:
            return features
        return s.concatenate([features, s.ones((ROWS, 1))], axis=1)

    def initial(self) -> FloatArray:
        """Zeros."""
        return np.zeros(self.size, self.dtype)

    def check_inputs(self, inputs: FloatArray) -> dict[str, FloatArray]:
        if inputs.ndim != 2 or inputs.shape[1] != self._columns or not len(inputs):
            raise InvalidModel("inputs", f"has shape {inputs.shape}; a matrix of {self._columns} columns is needed")
        return {"features": inputs}


def _weights(value: ArrayLike, features: FloatArray) -> FloatArray:
    weights = floating("weights", value, features.dtype)
    if weights.ndim != 1:
        raise InvalidModel("weights", f"has shape {weights.shape}; a vector with one weight a row is needed")
    check_rows("weights", weights, features.shape[0], "features")
    check_finite("weights", weights)
    if np.any(weights < 0):
        index = int(np.argmax(weights < 0))
        raise InvalidModel(f"weights[{index}]", f"is {weights[index]}; weights must be >= 0")
    if not np.any(weights > 0):
        raise InvalidModel("weights", "are all zero; nothing would be fitted")
    return weights
