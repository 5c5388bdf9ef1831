"""Cases of reductions."""

import scipy.special
from solvers.autodiff.opcases.case import Case

CASES = [
    Case("sum", ((3, 4),), ((0,), False), expected=lambda x, a, k: x.sum(0)),
    Case("sum", ((2, 3, 4),), ((0, 2), True), expected=lambda x, a, k: x.sum((0, 2), keepdims=True)),
    Case("sum", ((3, 4),), ((0, 1), False), expected=lambda x, a, k: x.sum()),
    Case("logsumexp", ((3, 4),), expected=lambda x: scipy.special.logsumexp(x, axis=-1)),
]
