"""The sums over a chunk of rows: one direction for each pre-activation, one matrix product for each pair of layers.

With G^{lm} = d delta_m / d z_l and Q^{lm} = d f_m / d z_l for l <= m, in each row (after Bishop 1992; Mizutani and
Dreyfus 2008)

    G^{KK} = M,    G^{l-1,m} = s_{l-1} A_l' G^{lm},    G^{mm} = G^{m,m+1} A_{m+1} s_m + diag(u_m)
    Q^{ll} = diag(s_l),    Q^{lm} = s_m A_m Q^{l,m-1}
    d2f / dA_l[i,j] dA_m[a,b] = sum_n f_{l-1,j} ( f_{m-1,b} G^{lm}_{i,a} + [l < m] Q^{l,m-1}_{b,i} delta_{m,a} )

Arrays hold the data rows along their last axis, so that elementwise work runs over long contiguous lines, and every
sum over the rows is G U' for U = f_{l-1} (x) f_{m-1}, both as matrices. Cost for each row and pair: 2 units_l units_m
inputs_l inputs_m operations, about a quarter of that where l = m; for layers of w units all the rest is O(w^3).

Gauss-Newton's matrix J'J of f = ||r||^2 is the same with M = (dr/dz_K)' (dr/dz_K), no u and no Q (Schraudolph 2002).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nablad.solvers.autodiff.layered.blocks import Blocks, Sum, strips
from nablad.solvers.autodiff.layered.tape import Tape
from nablad.solvers.autodiff.ops import Array, Instruction


class Curvature:
    """The buffers of one thread for chunks of at most `rows` rows. `weights` are filled in before each pass."""

    def __init__(self, blocks: Blocks, tape: Tape, rows: int, dtype: np.dtype[Any]) -> None:
        self._blocks = blocks
        self._tape = tape
        widths = blocks.widths
        self.weights = [np.empty((x.units, x.fan_in), dtype) for x in widths]
        self._flat = {name: np.empty(size * rows, dtype) for name, size in _sizes(blocks).items()}
        self._part = np.empty(max(x.rows * x.columns for x in blocks.sums), dtype)
        self._bound: dict[tuple[int, int, bool], _Chunk] = {}

    def add(self, outputs: Sequence[Array], rows: int, accumulator: Array, key: int, fresh: bool) -> None:
        """Add the sums over a chunk to the accumulator, or write them there if it is `fresh`.

        `outputs` are the tape's; `key` tells this accumulator apart from others.
        """
        chunk = self._bound.get((rows, key, fresh))
        if chunk is None:
            chunk = self._bound[rows, key, fresh] = _Chunk(self, rows, accumulator, fresh)
        chunk.run(outputs)

    def lines(self, name: str, n: int, *shape: int) -> Array:
        """A buffer as an array of this shape for n rows."""
        return self._flat[name][: math.prod(shape) * n].reshape(*shape, n)

    @property
    def blocks(self) -> Blocks:
        return self._blocks

    @property
    def tape(self) -> Tape:
        return self._tape

    @property
    def part(self) -> Array:
        """Room for one sum."""
        return self._part


def bytes_per_row(blocks: Blocks, dtype: np.dtype[Any]) -> int:
    """What one more row of a chunk takes."""
    return sum(_sizes(blocks).values()) * dtype.itemsize


def _sizes(blocks: Blocks) -> dict[str, int]:
    """Numbers for each row in each buffer."""
    widths = blocks.widths
    pair = max(x.units * y.units for x in widths for y in widths)
    cut = [blocks.products[m, m].rows for m, x in enumerate(widths) if len(strips(x.units)) > 1]
    sizes = {
        "own": pair,
        "even": pair,
        "odd": pair if len(widths) > 2 else 0,
        "outer": max(x.inputs * max(y.inputs, y.units) for x in widths for y in widths),
        "strips": max(cut, default=0),
        "scaled": max(x.units for x in widths),
        "residual": blocks.residuals or 0,
    }
    for k, x in enumerate(widths):
        sizes |= {f"entering {k}": x.inputs, f"slope {k}": x.units, f"bend {k}": x.units, f"delta {k}": x.units}
    return sizes


class _Chunk:
    """The instructions for chunks of n rows, bound to buffers and an accumulator."""

    def __init__(self, owner: Curvature, n: int, accumulator: Array, fresh: bool) -> None:
        self._owner = owner
        self._n = n
        self._accumulator = accumulator
        self._fresh = fresh
        self._copies: list[tuple[Array, int]] = []
        self._program: list[Instruction] = []
        tape, widths = owner.tape, owner.blocks.widths
        inner = range(len(widths) - 1)
        self._entering = [self._with_one(k, tape.entering[k]) for k in range(len(widths))]
        self._slopes = [self._held(f"slope {k}", widths[k].units, tape.slopes[k], 1.0) for k in inner]
        self._bends = [self._held(f"bend {k}", widths[k].units, tape.bends[k], 0.0) for k in inner]
        self._deltas = [self._held(f"delta {k}", x.units, tape.deltas[k], 0.0) for k, x in enumerate(widths)]
        self._second_derivatives()
        if owner.blocks.couplings:
            self._couplings()
        if owner.blocks.squares is not None:
            self._first_derivatives(owner.blocks.squares)

    def run(self, outputs: Sequence[Array]) -> None:
        """Sum the rows whose tape this is."""
        for target, source in self._copies:
            np.copyto(target, outputs[source])
        for call, arguments in self._program:
            call(*arguments)

    def _held(self, name: str, size: int, output: int | None, otherwise: float) -> Array:
        """An output of the tape with rows last, or a constant."""
        array = self._owner.lines(name, self._n, size)
        if output is None:
            array.fill(otherwise)
        else:
            self._copies.append((array.T, output))
        return array

    def _with_one(self, k: int, output: int | None) -> Array:
        width = self._owner.blocks.widths[k]
        array = self._owner.lines(f"entering {k}", self._n, width.inputs)
        array[width.fan_in :] = 1
        assert output is not None
        self._copies.append((array[: width.fan_in].T, output))
        return array

    def _second_derivatives(self) -> None:
        """G^{lm} for every pair, from the last layer downward, and its sum with f_{l-1} (x) f_{m-1}."""
        widths, weights = self._owner.blocks.widths, self._owner.weights
        top = widths[-1].units
        own = self._owner.lines("own", self._n, top, top)
        if self._owner.tape.loss_hessian is None:
            self._do(np.copyto, own, 0)
        else:
            self._copies.append((own.transpose(0, 2, 1), self._owner.tape.loss_hessian))
        for m in reversed(range(len(widths))):
            self._diagonal(m, own)
            current = own
            for k in reversed(range(m)):
                name = "even" if (m - k) % 2 else "odd"
                lower = self._owner.lines(name, self._n, widths[k].units, widths[m].units)
                self._do(np.dot, weights[k + 1].T, _matrix(current, 1), _matrix(lower, 1))
                self._scale(lower, k, self._slopes[k][:, None])
                self._product(k, m, lower)
                if k == m - 1:
                    own = self._owner.lines("own", self._n, widths[k].units, widths[k].units)
                    self._outward(m, lower, own)
                    if self._owner.tape.bends[k] is not None:
                        diagonal = np.einsum("iin->in", own)
                        self._do(np.add, diagonal, self._bends[k], diagonal)
                current = lower

    def _outward(self, m: int, lower: Array, own: Array) -> None:
        """G^{m,m} from G^{m,m+1}, without the diagonal of u."""
        weights, slopes = self._owner.weights[m], self._slopes[m - 1]
        if len(weights) > 1:
            self._do(np.matmul, weights.T, lower, own)
            self._scale(own, m - 1, slopes[None])
            return
        # With one unit above there is nothing to sum, and a product of matrices would be a loop over numbers.
        scaled = self._owner.lines("scaled", self._n, len(slopes))
        self._do(np.multiply, weights.T, slopes, scaled)
        self._do(np.multiply, lower, scaled[None], own)

    def _diagonal(self, m: int, own: Array) -> None:
        """The block of a layer with itself: strips of pairs of units, and of inputs."""
        width, sums = self._owner.blocks.widths[m], self._owner.blocks.products[m, m]
        left = _matrix(own, 2)
        if len(strips(width.units)) > 1:
            left = self._owner.lines("strips", self._n, sums.rows)
            at = 0
            for start, stop in strips(width.units):
                part = own[start:stop, start:]
                self._do(np.copyto, left[at : (at := at + len(part) * part.shape[1])].reshape(part.shape), part)
        right = self._owner.lines("outer", self._n, sums.columns)
        f, at = self._entering[m], 0
        for start, stop in strips(width.inputs):
            shape = (stop - start, width.inputs - start, self._n)
            self._do(
                np.multiply,
                f[start:stop, None],
                f[None, start:],
                right[at : (at := at + shape[0] * shape[1])].reshape(shape),
            )
        self._sum(sums, left, right)

    def _product(self, k: int, m: int, second: Array) -> None:
        low, high = self._entering[k], self._entering[m]
        outer = self._owner.lines("outer", self._n, len(low), len(high))
        self._do(np.multiply, low[:, None], high[None], outer)
        self._sum(self._owner.blocks.products[k, m], _matrix(second, 2), _matrix(outer, 2))

    def _couplings(self) -> None:
        """Q^{l,m-1} for every pair l < m, from the first layer upward, and its sum with delta_m (x) f_{l-1}."""
        widths, weights = self._owner.blocks.widths, self._owner.weights
        for k in range(len(widths) - 1):
            moved = self._slopes[k]
            for m in range(k + 1, len(widths)):
                if m == k + 2:
                    lower, moved = moved, self._moved(m - 1, k)
                    self._do(np.multiply, weights[m - 1][:, :, None], lower[None], moved)
                    self._scale(moved, m - 1, self._slopes[m - 1][:, None])
                elif m > k + 2:
                    lower, moved = moved, self._moved(m - 1, k)
                    self._do(np.dot, weights[m - 1], _matrix(lower, 1), _matrix(moved, 1))
                    self._scale(moved, m - 1, self._slopes[m - 1][:, None])
                outer = self._owner.lines("outer", self._n, widths[m].units, widths[k].inputs)
                self._do(np.multiply, self._deltas[m][:, None], self._entering[k][None], outer)
                left = moved if moved.ndim == 2 else _matrix(moved, 2)
                self._sum(self._owner.blocks.couplings[k, m], left, _matrix(outer, 2))

    def _first_derivatives(self, squares: Sum) -> None:
        """df/dA_l = sum_n delta_l f_{l-1}', and r'r."""
        for sums, delta, f in zip(self._owner.blocks.slopes, self._deltas, self._entering, strict=True):
            self._sum(sums, delta, f)
        residual = self._held("residual", self._owner.blocks.residuals or 0, self._owner.tape.residual, 0.0)
        self._sum(squares, residual.reshape(1, -1), residual.reshape(1, -1))

    def _moved(self, m: int, k: int) -> Array:
        """Where Q^{km} goes: the buffers are free again once all G have been used."""
        widths = self._owner.blocks.widths
        return self._owner.lines("even" if (m - k) % 2 else "odd", self._n, widths[m].units, widths[k].units)

    def _scale(self, array: Array, k: int, slopes: Array) -> None:
        if self._owner.tape.slopes[k] is not None:
            self._do(np.multiply, array, slopes, array)

    def _sum(self, sums: Sum, left: Array, right: Array) -> None:
        """Add left right' to its place."""
        total = sums.of(self._accumulator)
        if self._fresh:
            self._do(np.dot, left, right.T, total)
            return
        # scipy's gemm could accumulate, but holds the interpreter's lock meanwhile; np.dot lets other threads run.
        part = self._owner.part[: total.size].reshape(total.shape)
        self._do(np.dot, left, right.T, part)
        self._do(np.add, total, part, total)

    def _do(self, call: Any, *arguments: Any) -> None:
        self._program.append((call, arguments))


def _matrix(lines: Array, axes: int) -> Array:
    """The first `axes` axes as rows, the rest as columns."""
    return lines.reshape(math.prod(lines.shape[:axes]), -1)
