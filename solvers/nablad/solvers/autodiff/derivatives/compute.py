"""A Jacobian or a Hessian by the chosen way: directions through the kernel, then entries where they belong."""

from __future__ import annotations

import numpy as np

from nablad.solvers.autodiff.coloring import Coloring
from nablad.solvers.autodiff.derivatives.choice import Choice
from nablad.solvers.autodiff.derivatives.evaluation import Evaluation
from nablad.solvers.autodiff.derivatives.sparse import from_dense, transposed
from nablad.solvers.autodiff.derivatives.ways import Setting, prepared
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.sparsity import Csr


def dense(evaluation: Evaluation, setting: Setting, choice: Choice, theta: Array, shape: tuple[int, ...]) -> Array:
    """The derivative, `shape` with the points' axis in front. Raises ResultTooLarge before anything is computed."""
    evaluation.check_size(shape)
    if choice.way.colored is None:
        return _swept(evaluation, setting, choice, theta, None).reshape(shape)
    coloring = _coloring(setting, choice)
    whole = coloring.dense(_compressed(evaluation, setting, choice, theta, coloring))
    return (np.swapaxes(whole, -1, -2) if choice.way.colored == "rows" else whole).reshape(shape)


def sparse(evaluation: Evaluation, setting: Setting, choice: Choice, theta: Array, shape: tuple[int, int]) -> Csr:
    """The matrix at one point; by a way that is not compressed, its entries that are not zero."""
    if choice.way.colored is None:
        evaluation.check_size(shape, f"by {choice.reason}")
        return from_dense(dense(evaluation, setting, choice, theta, shape))
    coloring = _coloring(setting, choice)
    evaluation.check_size((max(shape), coloring.count), f"by {choice.reason}")
    matrix = coloring.sparse(_compressed(evaluation, setting, choice, theta, coloring))
    return transposed(matrix) if choice.way.colored == "rows" else matrix


def _compressed(evaluation: Evaluation, setting: Setting, choice: Choice, theta: Array, coloring: Coloring) -> Array:
    """B = J S (m, count); for rows J' S (p, count); for a Hessian H S (p, count); points in front."""
    found = _swept(evaluation, setting, choice, theta, coloring.seeds)
    points = theta.shape[:-1]
    if choice.way.colored == "columns":
        return found.reshape(*points, -1, coloring.count)
    return np.swapaxes(found.reshape(*points, coloring.count, setting.function.size), -1, -2)


def _swept(evaluation: Evaluation, setting: Setting, choice: Choice, theta: Array, seeds: Array | None) -> Array:
    assert choice.way.kernel is not None
    function = prepared(choice.way, setting)
    kernel = choice.way.kernel(function)
    if seeds is not None:
        seeds = seeds.reshape(len(seeds), *(d for d in kernel.direction.shape if isinstance(d, int)))
    return evaluation.sweep(function, kernel, theta, choice.passes, seeds)


def _coloring(setting: Setting, choice: Choice) -> Coloring:
    assert choice.way.colored is not None
    found = setting.coloring(choice.way.colored)
    assert not isinstance(found, str)
    return found
