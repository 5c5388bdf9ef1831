"""Cases of ops that move numbers about."""

import numpy as np
from solvers.autodiff.opcases.case import Case

CASES = [
    Case("broadcast_to", ((3, 1),), ((2, 3, 4),), expected=np.broadcast_to),
    Case("reshape", ((3, 4),), ((2, 6),), expected=np.reshape),
    Case("transpose", ((2, 3, 4),), ((2, 0, 1),), expected=np.transpose),
    Case("slice", ((5, 4),), (((1, 4), None),), expected=lambda x, _: x[1:4]),
    Case("scatter", ((2, 4), (3, 2)), ((5, 4), (((0, 2), None), ((1, 4), (1, 3)))), expected=None),
    Case("concatenate", ((3, 2), (3, 4)), (1,), expected=lambda x, y, a: np.concatenate([x, y], a)),
]
