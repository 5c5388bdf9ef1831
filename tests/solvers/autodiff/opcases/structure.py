"""Cases of ops that move numbers about."""

from typing import Any

import numpy as np
from solvers.autodiff.opcases.case import Case


def _scatter_add(t: Any, index: Any, shape: Any, axis: int) -> Any:
    out = np.zeros(shape, t.dtype)
    np.add.at(out, (*(slice(None),) * axis, index.astype(int)), t)
    return out


def _diag(x: Any) -> Any:
    return x[..., None] * np.eye(x.shape[-1])


PLACES = np.array([[2.0, 0.0, 2.0], [-1.0, 1.0, -3.0]])

CASES = [
    Case("broadcast_to", ((3, 1),), ((2, 3, 4),), expected=np.broadcast_to),
    Case("reshape", ((3, 4),), ((2, 6),), expected=np.reshape),
    Case("transpose", ((2, 3, 4),), ((2, 0, 1),), expected=np.transpose),
    Case("slice", ((5, 4),), (((1, 4), None),), expected=lambda x, _: x[1:4]),
    Case("slice", ((5, 4),), (((0, 5, 2), (3, -1, -1)),), expected=lambda x, _: x[::2, ::-1]),
    Case("slice", ((7,),), (((5, 0, -3),),), expected=lambda x, _: x[5:0:-3]),
    Case("slice", ((5, 4),), (((2, 2, -1), None),), expected=lambda x, _: x[2:2:-1]),
    Case("scatter", ((2, 4), (3, 2)), ((5, 4), (((0, 2), None), ((1, 4), (1, 3)))), expected=None),
    Case("scatter", ((2, 4), (5, 2)), ((5, 4), (((4, 0, -2), None), (None, (3, -1, -2)))), expected=None),
    Case("concatenate", ((3, 2), (3, 4)), (1,), expected=lambda x, y, a: np.concatenate([x, y], a)),
    Case("take", ((3,), (2, 3)), (0,), fixed={1: PLACES}, expected=lambda x, i, a: x[i.astype(int)]),
    Case("take", ((2, 3, 2), (2, 3)), (1,), fixed={1: PLACES}, expected=lambda x, i, a: x[:, i.astype(int)]),
    Case("take", ((2, 3), ()), (1,), fixed={1: 2.0}, expected=lambda x, i, a: x[:, 2]),
    Case("scatter_add", ((2, 3), (2, 3)), ((3,), 0), fixed={1: PLACES}, expected=_scatter_add),
    Case("scatter_add", ((2, 2, 3, 2), (2, 3)), ((2, 3, 2), 1), fixed={1: PLACES}, expected=_scatter_add),
    Case("diagonal", ((2, 3, 3),), expected=lambda x: np.diagonal(x, 0, -2, -1)),
    Case("diagonal", ((3, 2),), expected=np.diagonal),
    Case("diag", ((2, 3),), expected=_diag),
    Case("tril", ((2, 3, 4),), (1,), expected=np.tril),
    Case("triu", ((2, 4, 3),), (-1,), expected=np.triu),
]
