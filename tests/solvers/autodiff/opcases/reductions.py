"""Cases of reductions."""

import numpy as np
import scipy.special
from solvers.autodiff.opcases.case import Case

CASES = [
    Case("sum", ((3, 4),), ((0,), False), expected=lambda x, a, k: x.sum(0)),
    Case("sum", ((2, 3, 4),), ((0, 2), True), expected=lambda x, a, k: x.sum((0, 2), keepdims=True)),
    Case("sum", ((3, 4),), ((0, 1), False), expected=lambda x, a, k: x.sum()),
    Case("max", ((3, 4),), ((0,), False), expected=lambda x, a, k: x.max(0)),
    Case("max", ((2, 3, 4),), ((0, 2), True), expected=lambda x, a, k: x.max((0, 2), keepdims=True)),
    Case("min", ((2, 3, 4),), ((1,), False), expected=lambda x, a, k: x.min(1)),
    Case("min", ((4,),), ((0,), False), expected=lambda x, a, k: x.min()),
    Case("norm", ((3, 4),), ((1,), False), expected=lambda x, a, k: np.linalg.norm(x, axis=1)),
    Case("norm", ((2, 3, 4),), ((0, 2), True), expected=lambda x, a, k: np.linalg.norm(x, axis=(0, 2), keepdims=True)),
    Case("norm", ((3, 4),), ((0, 1), False), expected=lambda x, a, k: np.linalg.norm(x)),
    Case("logsumexp", ((3, 4),), expected=lambda x: scipy.special.logsumexp(x, axis=-1)),
    Case("cumsum", ((3, 4),), (0, False), expected=lambda x, a, r: np.cumsum(x, 0)),
    Case("cumsum", ((3, 4),), (1, True), expected=lambda x, a, r: np.cumsum(x[:, ::-1], 1)[:, ::-1]),
]
