"""The Jacobian of a layered residual by reverse mode, row by row, as a graph: one pass for each of a row's residuals.

With D_l = dr/dz_l (residuals a row, units, ROWS), D_K from the loss and D_{l-1} = s_{l-1} A_l' D_l, the derivative
with respect to A_l is D_l (x) f_{l-1}, and with respect to b_l it is D_l. Cost for each row with R residuals: R p for
the entries, and R times the weights; forward mode pushes p directions through all that lies above each layer.
"""

from __future__ import annotations

import numpy as np

from nablad.expressions import ROWS, Node, Symbol, rebuild
from nablad.expressions import symbols as s
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.layered.spine import Layer, Places, Spine, in_terms_of_output, rows_first
from nablad.solvers.autodiff.layered.tape import derivative_by_output, pointwise_derivatives


def jacobian_by_rows(spine: Spine, residual: Node, theta: Node) -> Symbol | None:
    """dr/dtheta transposed, (p, *residual.shape), residual with the rows first.

    None where the residual is no function of the spine's output alone, has more entries a row than theta has, or where
    the layers' parameters do not fill theta piece by piece.
    """
    inner, (size,) = in_terms_of_output(spine, residual, theta), theta.shape
    if inner is None or not isinstance(size, int) or row_size(inner.shape)[1] > size:
        return None
    actual = {spine.output: rows_first(Symbol(spine.layers[-1].pre_activation)).node}
    slope = s.transpose(derivative_by_output(spine, inner), (2, 0, 1))
    slope = Symbol(rebuild([slope.node], actual)[0])
    pieces: dict[int, Symbol] = {}
    below = spine.layers[:-1]
    for k in reversed(range(len(spine.layers))):
        layer = spine.layers[k]
        found = _pieces(layer, slope)
        if found is None:
            return None
        pieces |= found
        if k:
            slope = s.matrix_transpose(layer.weights) @ slope
            first, _ = pointwise_derivatives(below[k - 1].pre_activation, layer.entering)
            if first is not None:
                slope = s.transpose(first, (1, 0)) * slope
    end = 0
    for start in sorted(pieces):
        if start != end:
            return None
        end += row_size(pieces[start].shape)[1] // row_size(inner.shape)[1]
    if end != size:
        return None
    whole = s.concatenate([pieces[start] for start in sorted(pieces)], 1)
    return s.reshape(s.transpose(whole, (1, 2, 0)), (size, *residual.shape))


def _pieces(layer: Layer, slope: Symbol) -> dict[int, Symbol] | None:
    """The derivatives (residuals a row, parameters, ROWS) of A and of b by where each begins in theta.

    A may lie there by rows or by columns.
    """
    residuals, units, _ = slope.shape
    weights, bias = layer.places[:, : layer.fan_in], layer.places[:, layer.fan_in :]
    entering = s.transpose(layer.entering, (1, 0))
    by_rows = _gapless(weights)
    left, right = ((units, 1), (1, layer.fan_in)) if by_rows else ((1, units), (layer.fan_in, 1))
    if not (by_rows or _gapless(weights.T)) or not _gapless(bias):
        return None
    outer = s.reshape(slope, (residuals, *left, ROWS)) * s.reshape(entering, (1, *right, ROWS))
    found = {int(weights[0, 0]): s.reshape(outer, (residuals, weights.size, ROWS))}
    return found | {int(bias[0, 0]): slope} if layer.biased else found


def _gapless(places: Places) -> bool:
    """Whether they count upward one by one."""
    return bool((np.diff(places.reshape(-1)) == 1).all())
