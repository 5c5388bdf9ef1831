"""The exact Hessian of a problem with a layered spine, and J'J of its residual: compiled once, run on data.

J'J has the Hessian's blocks with the loss's Gauss-Newton part in place of its Hessian, and no couplings: it costs a
little less, and J is never formed. J'r is half the gradient, from the same pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nablad.expressions import Graph, Node
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.blocks import Evaluator, Program, compile_program
from nablad.solvers.autodiff.layered.blocks import Blocks, Reader, Width
from nablad.solvers.autodiff.layered.penalty import Penalty, PenaltyHessian, compile_penalty
from nablad.solvers.autodiff.layered.spine import Spine, find_spine, in_terms_of_output
from nablad.solvers.autodiff.layered.sums import RowSums
from nablad.solvers.autodiff.layered.tape import Tape, compile_tape
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.structure import Linearity, linearity
from nablad.solvers.blas import one_blas_thread
from nablad.solvers.objective import Gram


@dataclass(frozen=True, eq=False)
class Layered:
    """A layered problem's second derivatives, compiled. Immutable, for every N, shared between threads."""

    spine: Spine
    tape: Tape
    blocks: Blocks
    parameters: Node
    penalty: Penalty | None
    beside: Program | None = None
    """Of J'J only: theta -> the penalty's gradient (p,) and its residual rows (q,); None where there is no penalty."""


def compile_layered(objective: Node, parameters: Node, data: Sequence[Node], dtype: np.dtype[Any]) -> Layered | None:
    """The Hessian of a scalar objective with a layered spine; None where there is none, see spine.py."""
    spine = find_spine(objective, parameters)
    if spine is None:
        return None
    tape = compile_tape(spine, (parameters, *data), dtype)
    if tape is None:
        return None
    blocks = Blocks([Width(x.width, x.fan_in, x.biased) for x in spine.layers])
    penalty = compile_penalty(spine.penalty_gradient, parameters, data, dtype)
    return Layered(spine, tape, blocks, parameters, penalty)


def compile_gram(
    layered: Layered, residual: Node, penalty: Node | None, data: Sequence[Node], dtype: np.dtype[Any]
) -> Layered | None:
    """J'J of an objective ||residual||^2 + ||penalty||^2 with this spine; None where the two do not fit it."""
    spine, parameters = layered.spine, layered.parameters
    inner = in_terms_of_output(spine, residual, parameters)
    if inner is None or (penalty is None) != (spine.penalty_gradient is None):
        return None
    if penalty is not None and linearity(penalty, [parameters]) is not Linearity.AFFINE:
        return None
    tape = compile_tape(spine, (parameters, *data), dtype, inner)
    if tape is None:
        return None
    beside = None
    if penalty is not None and spine.penalty_gradient is not None:
        fixed = tuple(x for x in data if not row_size(x.shape)[0])
        beside = compile_program(Graph((parameters, *fixed), (spine.penalty_gradient, penalty)), dtype)
    blocks = Blocks(layered.blocks.widths, row_size(inner.shape)[1])
    return replace(layered, tape=tape, blocks=blocks, beside=beside)


class LayeredHessian:
    """A layered Hessian, or J'J, on given data: owns accumulators and buffers. Used by one thread at a time.

    `data` maps the names of the inputs with rows to arrays; `checkpoint` is called before every chunk.

    Where theta or data lead to numbers that are not finite the result has mostly fewer such entries than the batched
    way's, which multiplies them by directions that are zero; entries that are finite in both agree.
    """

    def __init__(
        self,
        layered: Layered,
        data: Mapping[str, Array],
        rows: int,
        checkpoint: Callable[[], None] | None = None,
        threads: int = 1,
    ) -> None:
        self._layered = layered
        self._threads = max(1, threads)
        self.sums = RowSums(layered.spine, layered.tape, layered.blocks, data, rows, checkpoint, threads)
        self.penalty = PenaltyHessian(layered.penalty, rows)
        # Of p^2 / 2 numbers: it goes with the objective, where what is compiled may be kept for long.
        places = [layer.places for layer in layered.spine.layers]
        self._reader = Reader(layered.blocks, places, layered.parameters.shape)
        self._busy = threading.Lock()
        self._beside = None if layered.beside is None else Evaluator(layered.beside, {}, rows)

    def hessian(self, parameters: Mapping[str, Array]) -> Array:
        """The Hessian (p, p), a fresh array, exactly symmetric. Raises RuntimeError if another thread is at it."""
        theta = parameters[self._layered.parameters.name]
        with self._alone(), one_blas_thread(), np.errstate(all="ignore"):
            total = self.sums.total(theta, parameters)
            self._layered.blocks.couple(total)
            hessian = self._reader.read(total, theta.dtype, self._threads)
            self.penalty.add_to(hessian, parameters)
        return hessian

    def gram(self, parameters: Mapping[str, Array]) -> Gram:
        """J'J (p, p), J'r (p,) and r'r of what `compile_gram` compiled. Raises RuntimeError as `hessian` does."""
        theta, blocks = parameters[self._layered.parameters.name], self._layered.blocks
        assert blocks.squares is not None
        with self._alone(), one_blas_thread(), np.errstate(all="ignore"):
            total = self.sums.total(theta, parameters)
            jtj = self._reader.read(total, theta.dtype, self._threads)
            slope = np.zeros_like(theta)
            for layer, part in zip(self._layered.spine.layers, blocks.slopes, strict=True):
                slope[layer.places] = part.of(total)
            rtr = float(blocks.squares.of(total)[0, 0])
            if self._beside is not None:
                self.penalty.add_to(jtj, parameters, 0.5)
                gradient, rows = self._beside.run(parameters)
                assert gradient is not None
                assert rows is not None
                slope += gradient
                rtr += float(np.dot(rows, rows))
        return Gram(jtj, 0.5 * slope, rtr)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("an objective is used by one thread at a time; give each thread its own")
        try:
            yield
        finally:
            self._busy.release()
