"""Losses of a network: the table that `loss` is looked up in. To add one is to add a row.

    squared_error            ||y - f||^2, summed over rows and outputs; targets (N,) for one output, or (N, C)
    softmax_cross_entropy    sum_n ( logsumexp(f_n) - f_{n, c_n} ), f the values of the last layer, whose activation is
                             identity; targets are classes c_n = 0 ... C-1, shape (N,), or rows of probabilities
                             (N, C), for which it is sum_n sum_c p_nc (logsumexp(f_n) - f_nc)

A loss that is a sum of squares gives its residual, so that Gauss-Newton methods may be used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nablad.expressions import ROWS, Symbol
from nablad.expressions import symbols as s
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.objective import FloatArray

PROBABILITY_TOLERANCE = 1e-3
"""How far a row of probabilities may sum from 1: float32 data that were written with few digits pass."""


@dataclass(frozen=True)
class Loss:
    """A row. `per_row` or `residual` is given."""

    name: str
    check: Callable[[FloatArray, int], None]
    """(targets, outputs C): raises InvalidModel("targets", ...)."""
    residual: Callable[[Symbol, Symbol], Symbol] | None = None
    """(output (N, C), targets) -> r, with the loss sum(r^2)."""
    per_row: Callable[[Symbol, Symbol], Symbol] | None = None
    """(output (N, C), targets) -> (N,), with the loss their sum."""
    last_activation: str | None = None
    """What the last layer's activation must be."""
    prediction: Callable[[Symbol], Symbol] | None = None
    """output (N, C) -> what is predicted (N, C), where that is not the output itself."""


def _as_columns(targets: Symbol) -> Symbol:
    return targets if targets.ndim == 2 else s.reshape(targets, (ROWS, 1))


def _difference(output: Symbol, targets: Symbol) -> Symbol:
    return _as_columns(targets) - output


def _cross_entropy(output: Symbol, targets: Symbol) -> Symbol:
    total = s.logsumexp(output, -1)
    if targets.ndim == 2:
        return s.sum(targets * (s.reshape(total, (ROWS, 1)) - output), [1])
    (_, count) = output.shape
    assert isinstance(count, int)
    classes = np.arange(count, dtype=np.float64)
    chosen = s.where(s.equal(s.reshape(targets, (ROWS, 1)), classes), output, 0.0)
    return total - s.sum(chosen, [1])


def _softmax(output: Symbol) -> Symbol:
    return s.softmax(output, -1)


def _check_values(targets: FloatArray, outputs: int) -> None:
    if targets.ndim == 1 and outputs == 1:
        return
    if targets.ndim != 2 or targets.shape[1] != outputs:
        message = f"have shape {targets.shape}; the last layer's {outputs} outputs need ({len(targets)}, {outputs})"
        raise InvalidModel("targets", message)


def _check_classes(targets: FloatArray, outputs: int) -> None:
    if outputs < 2:
        raise InvalidModel("layers[-1].width", "is 1; softmax_cross_entropy needs one output a class, at least 2")
    if targets.ndim == 2:
        _check_values(targets, outputs)
        sums = targets.sum(axis=1)
        wrong = np.any(targets < 0, axis=1) | (np.abs(sums - 1.0) > PROBABILITY_TOLERANCE)
        if np.any(wrong):
            row = int(np.argmax(wrong))
            raise InvalidModel(
                f"targets[{row}]", f"is {targets[row].tolist()}; probabilities >= 0 that sum to 1 needed"
            )
        return
    wrong = (targets != np.floor(targets)) | (targets < 0) | (targets >= outputs)
    if targets.ndim != 1 or np.any(wrong):
        row = int(np.argmax(wrong)) if targets.ndim == 1 else 0
        message = f"is {targets[row]}; classes are whole numbers from 0 to {outputs - 1}"
        raise InvalidModel(f"targets[{row}]", message)


LOSSES: dict[str, Loss] = {
    row.name: row
    for row in (
        Loss("squared_error", _check_values, residual=_difference),
        Loss(
            "softmax_cross_entropy",
            _check_classes,
            per_row=_cross_entropy,
            last_activation="identity",
            prediction=_softmax,
        ),
    )
}
