"""From a table to a model and back: test split, standardized features, parameters in the table's own units, scores.

Standardized features are (x - mean) / scale, with the mean and standard deviation of the training rows. A linear model
theta, b of these is, in the table's units, theta / scale and b - sum(theta * mean / scale).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nablad.cli.csv_data import Table
from nablad.cli.errors import CommandError, nearest
from nablad.client.words import counted

if TYPE_CHECKING:
    from nablad.client import LeastSquares, Network, Statistics

FloatArray = NDArray[np.float64]
Target = NDArray[np.float64] | NDArray[np.int64]
SQUARED_ERROR, SOFTMAX = "squared_error", "softmax_cross_entropy"
LOSSES = (SQUARED_ERROR, SOFTMAX)


@dataclass(frozen=True)
class Standardization:
    """Means and scales, shape (D). A constant column has scale 1, so that it turns into zeros."""

    means: FloatArray
    scales: FloatArray

    def apply(self, features: FloatArray) -> FloatArray:
        """(x - mean) / scale, shape (N, D)."""
        return (features - self.means) / self.scales


def standardization(features: FloatArray, *, centre: bool = True) -> Standardization:
    """The means and standard deviations of the columns; without `centre` the means are 0, so that 0 stays 0."""
    scales = features.std(axis=0)
    # The deviation of a constant column is rounding: some eps times its size, and no scale to divide by.
    constant = scales <= 10 * np.finfo(np.float64).eps * np.abs(features).max(axis=0)
    scales = np.where(constant, 1.0, scales)
    return Standardization(features.mean(axis=0) if centre else np.zeros_like(scales), scales)


@dataclass(frozen=True)
class Rows:
    """Features as the model sees them, and targets."""

    features: FloatArray
    target: Target


@dataclass(frozen=True)
class Problem:
    """What is fitted: training rows, held-out rows if asked for, and how features were standardized if they were."""

    table: Table
    train: Rows
    test: Rows | None
    scaling: Standardization | None

    def columns(self, rows: Rows) -> dict[str, FloatArray]:
        """The features by name, shape (N) each."""
        return {name: rows.features[:, i] for i, name in enumerate(self.table.feature_names)}


def prepare(table: Table, *, standardize: bool, test_split: float | None, seed: int, intercept: bool = True) -> Problem:
    """Split the rows at random by the seed, and standardize with what the training rows say.

    A model without an intercept cannot take up what subtracting the means would add: its features are only scaled.
    """
    train, test = np.arange(table.rows), np.arange(0)
    if test_split is not None:
        if not 0.0 < test_split < 1.0:
            raise CommandError(f"--test-split {test_split:g}: a share between 0 and 1 is needed, such as 0.2")
        held_out = round(test_split * table.rows)
        if not 0 < held_out < table.rows:
            raise CommandError(
                f"--test-split {test_split:g} of {rows_of(table.rows)} leaves {table.rows - held_out} to fit"
                f" and {held_out} to test"
            )
        order = np.random.default_rng(seed).permutation(table.rows)
        train, test = np.sort(order[held_out:]), np.sort(order[:held_out])
    scaling = standardization(table.features[train], centre=intercept) if standardize else None

    def rows(indices: NDArray[np.int64]) -> Rows:
        whole = len(indices) == table.rows
        features = table.features if whole else table.features[indices]
        target = table.target if whole else table.target[indices]
        return Rows(scaling.apply(features) if scaling else features, target)

    return Problem(table, rows(train), rows(test) if test_split is not None else None, scaling)


def rows_of(number: int) -> str:
    """`1 row`, `2,000 rows`."""
    return counted(number, "row")


def parse_layers(text: str) -> list[tuple[int, str]]:
    """`16:tanh,1` as widths with activations; the activation is identity unless given."""
    layers = []
    for part in text.split(","):
        width, _, activation = part.strip().partition(":")
        if not width.isdecimal() or int(width) < 1:
            raise CommandError(f"--layers {text}: {part.strip()!r} is not WIDTH or WIDTH:ACTIVATION, such as 16:tanh")
        layers.append((int(width), activation.strip() or "identity"))
    return layers


def build_model(
    problem: Problem, layers: str | None, loss: str, *, intercept: bool, ridge: float | None, seed: int
) -> LeastSquares | Network:
    """Least squares without layers; a network with them, or for classes."""
    from nablad.client import Layer, LeastSquares, Network

    if loss not in LOSSES:
        raise CommandError(f"--loss {loss}{nearest(loss, LOSSES) or ' is not one of ' + ', '.join(LOSSES)}")
    classes = problem.table.classes
    if layers is None and loss == SQUARED_ERROR:
        return LeastSquares(problem.train.features, problem.train.target, intercept=intercept, ridge=ridge)
    if not intercept:
        raise CommandError("--no-intercept is for linear models; each layer of a network has its own")
    widths = parse_layers(layers) if layers is not None else [(len(classes), "identity")]
    outputs = len(classes) if loss == SOFTMAX else 1
    if widths[-1][0] != outputs:
        what = f"{outputs} classes" if loss == SOFTMAX else "one number"
        raise CommandError(
            f"--layers {layers}: the last width is {widths[-1][0]}, and the target is {what}: use {outputs}"
        )
    return Network(
        problem.train.features,
        problem.train.target,
        [Layer(width, activation) for width, activation in widths],
        loss=loss,
        ridge=ridge,
        seed=seed,
    )


@dataclass(frozen=True)
class LinearParameters:
    """A linear model in the table's units; `intercept` is None if none was fitted."""

    coefficients: FloatArray
    intercept: float | None


def in_table_units(theta: FloatArray, intercept: float | None, scaling: Standardization | None) -> LinearParameters:
    """Undo the standardization of a linear model's parameters."""
    if scaling is None:
        return LinearParameters(theta, intercept)
    coefficients = theta / scaling.scales
    if intercept is None:
        return LinearParameters(coefficients, None)
    return LinearParameters(coefficients, intercept - float(coefficients @ scaling.means))


def statistics_in_table_units(
    found: Statistics, values: FloatArray, scaling: Standardization | None, error_at: Callable[[FloatArray], float]
) -> Statistics:
    """The statistics of a linear model, of the parameters in the table's units: theta first, then the intercept.

    With theta' = B theta the covariance is B C B'; `values` are theta', shape (p). Where the data leave parameters open
    there is no C: a coefficient's error is then its own over its scale, and the intercept's that of the prediction
    where all columns are 0, which `error_at` tells for standardized features of shape (D).
    """
    layout = {f"{i}": () for i in range(values.size)}
    if scaling is None or found.standard_errors is None:
        return replace(found, theta=values, layout=layout)
    width = scaling.scales.size
    if found.covariance is None:
        errors = found.standard_errors.copy()
        errors[:width] /= scaling.scales
        errors[width:] = [error_at(-scaling.means / scaling.scales) for _ in errors[width:]]
        return replace(found, theta=values, standard_errors=errors, layout=layout)
    change = np.eye(values.size)
    change[:width, :width] /= scaling.scales
    change[width:, :width] = -scaling.means / scaling.scales
    covariance = change @ found.covariance @ change.T
    errors = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    return replace(found, theta=values, covariance=covariance, standard_errors=errors, layout=layout)


@dataclass(frozen=True)
class RegressionScore:
    """The residual sum of squares (RSS), and R^2 = 1 - RSS / (sum of squares about the mean).

    R^2 is None where that sum is 0, as of a constant target, or beyond the range of doubles.
    """

    rss: float
    r_squared: float | None


def score_regression(target: Target, predicted: FloatArray) -> RegressionScore:
    """The fit of predictions, both of shape (N)."""
    with np.errstate(over="ignore", invalid="ignore"):
        residual = target - predicted
        rss = float(residual @ residual)
        centred = target - target.mean()
        total = float(centred @ centred)
    return RegressionScore(rss, 1.0 - rss / total if 0.0 < total < np.inf else None)


def score_classes(target: Target, probabilities: FloatArray) -> float:
    """The share of rows, shape (N), whose most probable class, of probabilities (N, K), is the target."""
    return float(np.mean(probabilities.argmax(axis=1) == target))
