"""What data rows contribute to the Hessian of a layered spine, as a graph of one forward and one reverse pass.

    f_0 ... f_{K-1}              what enters each layer
    s_l = sigma_l'(z_l)          l = 1 ... K-1
    u_l = sigma_l''(z_l) g_l     l = 1 ... K-1, with g_l = df/df_l = delta_{l+1} A_{l+1}
    delta_l = df/dz_l            l = 1 ... K; delta_l = s_l g_l below the last
    M = d delta_K / d z_K        (C, ROWS, C), one direction for each output

sigma' and sigma'' are the transform's, pushed once along all units of a layer together, since each unit has its own
number; so any composite of elementwise ops will do. Where one is constant by structure (the identity's, relu's second)
it is left out. The loss is differentiated as a function of z_K, whatever ops it is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nablad.expressions import ROWS, Graph, Node, Symbol, input_node, rebuild
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.batching import batch
from nablad.solvers.autodiff.blocks import Program, compile_program
from nablad.solvers.autodiff.layered.spine import Spine, as_in, rows_first
from nablad.solvers.autodiff.structure import Linearity, linearity
from nablad.solvers.autodiff.transform import jvp


@dataclass(frozen=True, eq=False)
class Tape:
    """The program of the tape, and which of its outputs is which; None for what is zero, or one, by structure.

    Of K layers in order; slopes and bends have K - 1 entries, and the first delta is not needed.
    """

    program: Program
    entering: tuple[int | None, ...]
    slopes: tuple[int | None, ...]
    bends: tuple[int | None, ...]
    """u_l."""
    deltas: tuple[int | None, ...]
    loss_hessian: int | None
    residual: int | None
    """(ROWS, residuals a row), for Gauss-Newton's matrix only."""


def compile_tape(
    spine: Spine, inputs: Sequence[Node], dtype: np.dtype[Any], residual: Node | None = None
) -> Tape | None:
    """The tape's program of the problem's inputs, theta first; None if it does not run row by row.

    With the spine's `residual` in terms of z_K, r of f = ||r||^2 + penalty, the tape is that of Gauss-Newton's matrix:
    M is (dr/dz_K)' dr/dz_K, no u, all delta, and r.
    """
    last = spine.layers[-1]
    actual = {spine.output: rows_first(Symbol(last.pre_activation)).node}
    curvature = _loss_hessian(spine) if residual is None else _loss_gram(spine, residual)
    delta, hessian = (_rebuilt(x, actual) for x in (Symbol(spine.slope), curvature))
    slopes: list[Symbol | None] = []
    bends: list[Symbol | None] = []
    deltas = [delta]
    for layer, above in reversed(list(zip(spine.layers, spine.layers[1:], strict=False))):
        pulled = deltas[0] @ above.weights
        first, second = pointwise_derivatives(layer.pre_activation, above.entering)
        slopes.insert(0, first)
        bends.insert(0, None if second is None or residual is not None else second * pulled)
        deltas.insert(0, pulled if first is None else first * pulled)
    # The first one is read by no coupling.
    needed = [None, *deltas[1:]] if residual is None else deltas
    outputs: list[Symbol] = []

    def place(x: Symbol | None) -> int | None:
        if x is None:
            return None
        outputs.append(x)
        return len(outputs) - 1

    tape = (
        tuple(place(layer.entering) for layer in spine.layers),
        tuple(place(x) for x in slopes),
        tuple(place(x) for x in bends),
        tuple(place(x) for x in needed),
        place(None if hessian.node is s.zeros(hessian.shape).node else hessian),
        place(None if residual is None else _rebuilt(_one_list_a_row(residual), actual)),
    )
    program = compile_program(Graph(tuple(inputs), tuple(x.node for x in outputs)), dtype)
    if not program.separable or any(kind != "rows" for kind, _ in program.order):
        return None
    return Tape(program, *tape)


def _rebuilt(x: Symbol, replace: dict[Node, Node]) -> Symbol:
    return Symbol(rebuild([x.node], replace)[0])


def _loss_hessian(spine: Spine) -> Symbol:
    """d slope / d z_K, (C, ROWS, C)."""
    return _in_each_direction(spine, Symbol(spine.slope))


def _loss_gram(spine: Spine, residual: Node) -> Symbol:
    """(dr/dz_K)' dr/dz_K in each row, (C, ROWS, C)."""
    if linearity(residual, [spine.output]) in (Linearity.CONSTANT, Linearity.AFFINE):
        return 0.5 * _loss_hessian(spine)
    jacobian = s.transpose(derivative_by_output(spine, residual), (1, 0, 2))
    return s.transpose(jacobian @ s.matrix_transpose(jacobian), (1, 0, 2))


def derivative_by_output(spine: Spine, residual: Node) -> Symbol:
    """dr/dz_K, (C, ROWS, residuals a row), of a residual in terms of the stand-in for z_K."""
    return _in_each_direction(spine, _one_list_a_row(residual))


def _one_list_a_row(residual: Node) -> Symbol:
    return s.reshape(Symbol(residual), (ROWS, row_size(residual.shape)[1]))


def _in_each_direction(spine: Spine, y: Symbol) -> Symbol:
    """dy/dz_K, (C, *y.shape): all C directions in one pass; a unit's direction is the same in every row."""
    (_, width) = spine.output.shape
    assert isinstance(width, int)
    v = s.data("direction", (ROWS, width))
    (product,) = jvp([y.node], {spine.output: v})
    every = s.broadcast_to(s.reshape(s.eye(width), (width, 1, width)), (width, ROWS, width))
    (derivative,) = batch([product.node], {v.node: every}, width)
    return derivative


def pointwise_derivatives(pre_activation: Node, activation: Symbol) -> tuple[Symbol | None, Symbol | None]:
    """sigma'(z) and sigma''(z), (ROWS, w) each; None for the identity's first, and for a second that is zero."""
    z = input_node("a pre-activation", rows_first(Symbol(pre_activation)).shape, "data")
    f = _rebuilt(activation, {pre_activation: as_in(pre_activation, Symbol(z)).node})
    ones = s.broadcast_to(s.lift(1.0), z.shape)
    if f.node is z or activation.node is rows_first(Symbol(pre_activation)).node:
        return None, None
    first = jvp([f.node], {z: ones})[0]
    second = jvp([first.node], {z: ones})[0]
    actual = {z: rows_first(Symbol(pre_activation)).node}
    zero = second.node is s.zeros(second.shape).node
    return _rebuilt(first, actual), None if zero else _rebuilt(second, actual)
