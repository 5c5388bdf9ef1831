r"""Estimates of an objective from some of its data rows, for methods that take many steps in one pass over the data.

An objective that is a sum over N rows, f = c(theta) + a(theta) sum_n h_n(theta), a mean with a penalty being one, is
estimated from b rows drawn at random by

    f_B = c + a (N / b) sum_{n in B} h_n,

whose expectation is f, and whose gradient's is f's (Robbins and Monro 1951): each row's share of the sum is told as if
all rows were like those drawn, while what belongs to no row, the penalty, counts once and whole, and the N of a mean
stays N. The proof that f has this form is the degree of the graph's tail (rows.py) in the sums: at most one.

The row blocks' program runs on copies of the rows drawn, its sums are multiplied by N / b, and its tail is the whole
objective's own. Over all N rows in order the estimate is the objective, to the bit.

Buffers and bound instructions belong to a number of rows, not to a batch: a batch that is asked gathers its rows into
them, unless they are there already. Cost beyond b / N of the whole: the copy of b rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from nablad.expressions import Graph
from nablad.solvers.autodiff.blocks import Evaluator, Program
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.rows import classify
from nablad.solvers.autodiff.structure import degrees
from nablad.solvers.objective import FloatArray

LENGTHS_KEPT = 4
"""Numbers of rows whose buffers an objective keeps: a pass over the data needs two, the last batch being shorter."""


def is_sum_over_rows(graph: Graph) -> bool:
    """Whether the outputs are proven to be affine in sums over data rows. Nothing is compiled for it."""
    classes = classify(graph)
    if classes is None:
        return False
    sums = [node for node, found in classes.items() if found == "sum"]
    found = degrees(graph.outputs, sums)
    return all(found[output] <= 1.0 for output in graph.outputs)


class Sampler:
    """Value and gradient from so many rows of the `columns`, each of `population` rows."""

    def __init__(
        self,
        program: Program,
        columns: Mapping[str, Array],
        rows: int,
        population: int,
        checkpoint: Callable[[], None] | None,
        threads: int,
    ) -> None:
        self._columns = columns
        self._buffers = {name: np.empty((rows, *x.shape[1:]), x.dtype) for name, x in columns.items()}
        self._evaluator = Evaluator(program, self._buffers, rows, checkpoint, threads, population=population)
        self._held: NDArray[np.intp] | None = None

    def run(self, indices: NDArray[np.intp], parameters: Mapping[str, Array]) -> tuple[float, Array]:
        """The estimates of f and its gradient (p,). `indices` are in range, and never written to again."""
        if self._held is not indices:
            self._held = None  # until all of it is there
            for name, column in self._columns.items():
                # Another mode would gather into a buffer of numpy's own first.
                np.take(column, indices, 0, self._buffers[name], mode="clip")
            self._held = indices
        value, gradient = cast(tuple[Array, Array], self._evaluator.run(parameters))
        return float(value), gradient


class GraphBatch:
    """The Batch of these rows (objective.py)."""

    def __init__(
        self, indices: NDArray[np.intp], sampler: Sampler, parameters: Callable[[FloatArray], dict[str, Array]]
    ) -> None:
        self.rows = len(indices)
        self._indices = indices
        self._sampler = sampler
        self._parameters = parameters

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        return self._sampler.run(self._indices, self._parameters(theta))
