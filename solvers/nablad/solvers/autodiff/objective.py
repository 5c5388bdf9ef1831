"""A problem on data: the engine's side of the Objective protocol (nablad.solvers.objective).

Derivatives are compiled on first use and shared with batches. Every answer is a fresh array. How each is computed:

    value, gradient          reverse mode, streamed over row blocks
    hvp                      forward over reverse, about 2.5 gradients
    hessian                  an affine residual: 2 J'J, streamed; a small function without data rows: generated
                             source; a few parameters read one by one: each entry by itself (entries.py); layers
                             upon layers: one direction for each pre-activation (layered/); else
                             forward over reverse, B rows of H in a pass, p / B passes, then (H + H') / 2 so that
                             it is exactly symmetric
    gram                     layers upon layers: as the Hessian, with the Gauss-Newton part of the loss; else a fold
    jacobian and its folds   forward mode with all p directions at once, one row block at a time. For an affine
                             residual that is a copy of the data; of layers upon layers, reverse mode row by row
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from nablad.expressions import Node
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.batches import LENGTHS_KEPT, GraphBatch, Sampler
from nablad.solvers.autodiff.blocks import Evaluator
from nablad.solvers.autodiff.checked import Checked, Nonfinite
from nablad.solvers.autodiff.folds import Fold, NormsFold, TsqrFold
from nablad.solvers.autodiff.gram import GramFold
from nablad.solvers.autodiff.layered import Layered, LayeredHessian
from nablad.solvers.autodiff.linearize import BUDGET
from nablad.solvers.autodiff.ops import Array
from nablad.solvers.autodiff.problem import Compiled
from nablad.solvers.autodiff.structure import Linearity
from nablad.solvers.autodiff.twofold import TwofoldFold
from nablad.solvers.blas import one_blas_thread
from nablad.solvers.bounds import Bounds
from nablad.solvers.objective import Capabilities, Counters, FloatArray, Gram, Linearization, Tsqr, UnsupportedObjective

Folded = TypeVar("Folded")


class GraphObjective:
    """The objective of a compiled problem over N data rows. Used by one thread at a time.

    `data` maps the problem's data inputs to arrays of the compiled dtype, rows first and contiguous. `checkpoint` is
    called before every row block; what it raises comes out of the call, and the objective may be used again. `threads`
    changes the time, never the bits. `labels` are what messages call the problem's nodes, `names` theta's elements.
    """

    def __init__(
        self,
        compiled: Compiled,
        data: Mapping[str, Array],
        *,
        checkpoint: Callable[[], None] | None = None,
        threads: int = 1,
        labels: Mapping[Node, str] | None = None,
        names: Callable[[int], str] | None = None,
    ) -> None:
        self._compiled = compiled
        self._labels = labels
        self._names = names
        self._data = dict(data)
        self._checkpoint = checkpoint
        self._threads = threads
        self._evaluators: dict[str, Evaluator] = {}
        self._samplers: dict[int, Sampler] = {}
        self._basis: Array | None = None
        """All directions of a Hessian that one pass computes."""
        self._layered: dict[str, LayeredHessian] = {}
        self._by_rows = {x.name for x in compiled.problem.data if row_size(x.shape)[0]}
        self._fixed = {k: x for k, x in self._data.items() if k not in self._by_rows}
        self._theta = compiled.problem.parameters.name
        lengths = {self._data[name].shape[0] for name in self._by_rows}
        if len(lengths) > 1:
            raise ValueError(f"data columns disagree on the number of rows: {sorted(lengths)}")
        self.rows = lengths.pop() if lengths else 0
        self.size = compiled.problem.size
        self.dtype = compiled.dtype
        self.counters = Counters()
        self.bounds: Bounds | None = None
        self.capabilities = Capabilities(
            residual=compiled.problem.residual is not None,
            affine=compiled.residual_class is Linearity.AFFINE,
            quadratic=compiled.objective_class is not Linearity.NONE,
            separable=self.rows > 0 and compiled.is_sum_over_rows,
        )

    def value(self, theta: FloatArray) -> float:
        """f(theta); may be NaN or infinite."""
        self.counters.value += 1
        (value,) = self._run("value", theta)
        return float(value)

    def gradient(self, theta: FloatArray) -> FloatArray:
        """df/dtheta, shape (p,)."""
        self.counters.gradient += 1
        return self._run("value_and_gradient", theta)[1]

    def value_and_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """f and df/dtheta (p,) in one pass, at less than the cost of both."""
        self.counters.value += 1
        self.counters.gradient += 1
        value, gradient = self._run("value_and_gradient", theta)
        return float(value), gradient

    def hvp(self, theta: FloatArray, v: FloatArray) -> FloatArray:
        """H(theta) v, shape (p,)."""
        self.counters.hvp += 1
        return self._run("hvp", theta, direction=self._vector(v))[0]

    def linearize(self, theta: FloatArray, budget: int = BUDGET) -> Linearization:
        """Value and gradient now, products with the Hessian at the same point later, cheaper than `hvp` each.

        What does not depend on the direction is kept (linearize.py), if that takes at most `budget` bytes; else each
        product is a cold one. Agrees with value, gradient and hvp to roundoff, not to the bit.
        """
        point = np.array(theta, self.dtype)
        if self._compiled.program("hvp").source is not None:
            return _Cold(self, point)
        parts = self._compiled.kept_product
        if parts is None or parts.bytes(self.rows) > budget:
            return _Cold(self, point)
        self.counters.value += 1
        self.counters.gradient += 1
        return _Kept(self, point, parts.kept, self._run("primal", point))

    def moved(self, theta: FloatArray, kept: Mapping[str, Array], v: FloatArray) -> FloatArray:
        """H(theta) v, shape (p,), from what `linearize` kept at theta."""
        self.counters.hvp += 1
        evaluator = self._evaluators.get("moving")
        if evaluator is None:
            program, data = self._compiled.program("moving"), {**self._data, **kept}
            evaluator = Evaluator(program, data, self.rows, self._checkpoint, self._threads)
            self._evaluators["moving"] = evaluator
        evaluator.attach(kept)
        parameters = self._parameters(theta)
        (product,) = evaluator.run({**parameters, "direction": self._vector(v)})
        assert product is not None
        return product

    def hessian(self, theta: FloatArray) -> FloatArray:
        """d2f/dtheta2, shape (p, p), exactly symmetric."""
        self.counters.hessian += 1
        if self.capabilities.affine:
            fold = GramFold(self.size, self.dtype, self._folded.stripes)
            hessian = 2.0 * self._fold(theta, fold).jtj
        elif self._compiled.second_order is not None:
            return self._run("second_order", theta)[2]
        elif self._compiled.entries is not None:
            return self._run("entries", theta)[0]
        elif self._compiled.layered is not None:
            return self._layers("hessian", self._compiled.layered).hessian(self._parameters(theta))
        else:
            hessian = self._batched_hessian(theta)
        return np.asarray(0.5 * (hessian + hessian.T), self.dtype)

    def residual(self, theta: FloatArray) -> FloatArray:
        """r(theta), shape (m,): the data rows' residuals in order, then the penalty's. f = ||r||^2."""
        self._need_residual("residual")
        self.counters.residual += 1
        return np.concatenate([part.reshape(-1) for part in self._run("residual", theta)])

    def jacobian(self, theta: FloatArray) -> FloatArray:
        """dr/dtheta, shape (m, p)."""
        self._need_residual("jacobian")
        self.counters.jacobian += 1
        outputs = self._run("jacobian", theta)
        parts = outputs[: len(outputs) // 2]
        return np.concatenate([part.reshape(self.size, -1).T for part in parts])

    def column_norms(self, theta: FloatArray) -> FloatArray:
        """The lengths of the Jacobian's columns (p,), 1 where a column is zero; streamed over row blocks."""
        self._need_residual("column_norms")
        self.counters.jacobian += 1
        return self._fold(theta, NormsFold(self.size, self.dtype, self._folded.stripes))

    def gram(self, theta: FloatArray) -> Gram:
        """J'J (p, p), J'r (p,), r'r, streamed over row blocks."""
        self._count_jacobian("gram")
        layered = None if self.capabilities.affine else self._compiled.layered_gram
        if layered is not None:
            return self._layers("gram", layered).gram(self._parameters(theta))
        fold = GramFold(self.size, self.dtype, self._folded.stripes)
        return self._fold(theta, fold)

    def tsqr(self, theta: FloatArray) -> Tsqr:
        """The triangle of J = Q R, Q'r and what Q'r misses of r, streamed over row blocks."""
        self._count_jacobian("tsqr")
        fold = TsqrFold(self.size, self.dtype, self._folded.stripes)
        return self._fold(theta, fold)

    def refined_gradient(self, theta: FloatArray) -> FloatArray | None:
        """2 J'(r(0) + J theta), (p,), by error-free transformations; None unless the residual is affine, or if J or
        r(0) is so large that a product of theirs is not finite."""
        if not self.capabilities.affine:
            return None
        self._count_jacobian("refined_gradient")
        fold = TwofoldFold(self._vector(theta), self._folded.stripes)
        gradient = 2.0 * self._fold(np.zeros(self.size, self.dtype), fold)
        return gradient if np.isfinite(gradient).all() else None

    def batch(self, indices: Sequence[int] | NDArray[np.intp]) -> GraphBatch:
        """An unbiased estimate of the objective from these rows (batches.py), some perhaps several times.

        Raises UnsupportedObjective if the objective is no sum over rows, ValueError for no row, IndexError for a row
        that is not there.
        """
        if not self.capabilities.separable:
            raise UnsupportedObjective("batch", "separable", "batch needs an objective that is a sum over data rows")
        chosen = np.array(indices, np.intp)
        if chosen.ndim != 1 or not chosen.size:
            raise ValueError(f"a batch is a list of rows, at least one; got an array of shape {chosen.shape}")
        if chosen.min() < 0 or chosen.max() >= self.rows:
            raise IndexError(f"a batch's rows lie in 0 ... {self.rows - 1}; got {chosen.min()} ... {chosen.max()}")
        sampler = self._samplers.pop(chosen.size, None)
        if sampler is None:
            program = self._compiled.program("value_and_gradient")
            columns = {x.name: self._data[x.name] for x in program.graph.inputs if x.name in self._by_rows}
            sampler = Sampler(program, columns, chosen.size, self.rows, self._checkpoint, self._threads)
            while len(self._samplers) >= LENGTHS_KEPT:
                del self._samplers[next(iter(self._samplers))]
        self._samplers[chosen.size] = sampler
        return GraphBatch(chosen, sampler, self._parameters)

    def first_nonfinite(self, theta: FloatArray) -> Nonfinite | None:
        """Checked mode: the first value, else the first adjoint, that is not finite at theta; None if all are."""
        problem = self._compiled.problem
        given = {**self._data, **self._parameters(theta)}
        checked = Checked(
            problem.objective, problem.parameters, given, self.rows, self.dtype, self._labels, self._checkpoint
        )
        return checked.first()

    def explain(self, theta: FloatArray) -> str | None:
        """The same in words: which result of the definition is NaN or infinite, and where."""
        found = self.first_nonfinite(theta)
        return None if found is None else f"The first to be so: {found}"

    def parameter_name(self, index: int) -> str:
        """What messages call an element of theta."""
        return f"theta[{index}]" if self._names is None else self._names(index)

    def _run(self, name: str, theta: FloatArray, **more: Array) -> tuple[Array, ...]:
        parameters = self._parameters(theta)
        parameters.update(more)
        # Without a sink every output is an array.
        return cast(tuple[Array, ...], self._evaluator(name).run(parameters))

    def _fold(self, theta: FloatArray, fold: Fold[Folded]) -> Folded:
        evaluator = self._folded

        def sink(stripe: int, start: int, stop: int, blocks: tuple[Array, ...]) -> None:
            transposed, residual = blocks
            fold.add(stripe, transposed.reshape(self.size, -1), residual.reshape(-1))

        with one_blas_thread(), np.errstate(all="ignore"):
            outputs = evaluator.run(self._parameters(theta), sink)
            half = len(outputs) // 2
            for transposed, residual in zip(outputs[:half], outputs[half:], strict=True):
                if transposed is not None and residual is not None:
                    fold.add(evaluator.stripes, transposed.reshape(self.size, -1), residual.reshape(-1))
            return fold.result()

    def _layers(self, name: str, layered: Layered) -> LayeredHessian:
        if name not in self._layered:
            data = {k: x for k, x in self._data.items() if k in self._by_rows}
            self._layered[name] = LayeredHessian(layered, data, self.rows, self._checkpoint, self._threads)
        return self._layered[name]

    def _batched_hessian(self, theta: FloatArray) -> Array:
        count = self._compiled.directions
        if count == self.size:
            if self._basis is None:
                self._basis = np.eye(count, dtype=self.dtype)
            return self._run("hessian", theta, directions=self._basis)[0]
        hessian = np.empty((self.size, self.size), self.dtype)
        for start in range(0, self.size, count):
            stop = min(start + count, self.size)
            directions = np.zeros((count, self.size), self.dtype)
            directions[np.arange(stop - start), np.arange(start, stop)] = 1
            hessian[start:stop] = self._run("hessian", theta, directions=directions)[0][: stop - start]
        return hessian

    def _evaluator(self, name: str) -> Evaluator:
        if name not in self._evaluators:
            program = self._compiled.program(name)
            data = {k: x for k, x in self._data.items() if k in self._by_rows}
            entries = self._compiled.entries if name == "entries" else None
            self._evaluators[name] = Evaluator(
                program,
                data,
                self.rows,
                self._checkpoint,
                self._threads,
                places=None if entries is None else entries[1],
            )
        return self._evaluators[name]

    @property
    def _folded(self) -> Evaluator:
        return self._evaluator(self._compiled.folded)

    def _parameters(self, theta: FloatArray) -> dict[str, Array]:
        return {**self._fixed, self._theta: self._vector(theta)}

    def _vector(self, values: FloatArray) -> Array:
        vector = np.asarray(values, self.dtype)
        if vector.shape != (self.size,):
            raise ValueError(f"a vector of shape ({self.size},) is needed, got {vector.shape}")
        return vector

    def _need_residual(self, question: str) -> None:
        if self._compiled.problem.residual is None:
            message = f"{question} needs an objective that is a sum of squares; this one has no residual"
            raise UnsupportedObjective(question, "residual", message)

    def _count_jacobian(self, question: str) -> None:
        self._need_residual(question)
        self.counters.residual += 1
        self.counters.jacobian += 1


class _Cold:
    """Value and gradient at a point, and products that start anew each time."""

    def __init__(self, objective: GraphObjective, theta: Array) -> None:
        self._objective = objective
        self._theta: Array = theta
        self.value, self.gradient = objective.value_and_gradient(theta)

    def hvp(self, v: FloatArray) -> FloatArray:
        return self._objective.hvp(self._theta, v)


class _Kept:
    """Value and gradient at a point, and products that run only what depends on the direction."""

    def __init__(self, objective: GraphObjective, theta: Array, names: Sequence[str], results: Sequence[Array]) -> None:
        self._objective = objective
        self._theta = theta
        value, self.gradient, *kept = results
        self.value = float(value)
        self._kept = dict(zip(names, kept, strict=True))

    def hvp(self, v: FloatArray) -> FloatArray:
        return self._objective.moved(self._theta, self._kept, v)
