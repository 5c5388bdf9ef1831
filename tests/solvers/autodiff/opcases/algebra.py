"""Cases of products and linear algebra."""

import numpy as np
from solvers.autodiff.opcases.case import Case

CASES = [
    Case("matmul", ((3, 4), (4,)), expected=np.matmul),
    Case("matmul", ((3, 4), (4, 2)), expected=np.matmul),
    Case("matmul", ((5, 3, 4), (4, 2)), expected=np.matmul),
    Case("matmul", ((3, 4), (5, 4, 2)), expected=np.matmul),
    Case("matmul", ((5, 3, 4), (5, 4, 2)), expected=np.matmul),
]
