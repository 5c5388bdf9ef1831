"""Cases of products and linear algebra."""

from typing import Any

import numpy as np
import scipy.linalg
from solvers.autodiff.opcases.case import Case


def _regular(x: Any) -> Any:
    return x + 3.0 * np.eye(x.shape[-1]) if x.ndim > 1 and x.shape[-1] == x.shape[-2] else x


def _positive_definite(x: Any) -> Any:
    return x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1])


def _cofactors(x: Any) -> Any:
    return np.linalg.det(x)[..., None, None] * np.swapaxes(np.linalg.inv(x), -1, -2)


def _triangular(a: Any, b: Any, lower: bool, transposed: bool) -> Any:
    def one(a: Any, b: Any) -> Any:
        return scipy.linalg.solve_triangular(a, b, trans="T" if transposed else "N", lower=lower)

    return np.vectorize(one, signature="(n,n),(n,k)->(n,k)")(a, b)


def _derivative(x: Any, t: Any) -> Any:
    """A central difference of cofactors, which for 3 x 3 are quadratic: exact."""
    return _cofactors(x + 0.5 * t) - _cofactors(x - 0.5 * t)


CASES = [
    Case("matmul", ((3, 4), (4,)), expected=np.matmul),
    Case("matmul", ((3, 4), (4, 2)), expected=np.matmul),
    Case("matmul", ((5, 3, 4), (4, 2)), expected=np.matmul),
    Case("matmul", ((3, 4), (5, 4, 2)), expected=np.matmul),
    Case("matmul", ((5, 3, 4), (5, 4, 2)), expected=np.matmul),
    Case("det", ((3, 3),), prepare=_regular, expected=np.linalg.det),
    Case("det", ((2, 1, 4, 4),), prepare=_regular, expected=np.linalg.det),
    Case("det", ((1, 1),), expected=lambda x: x[0, 0]),
    Case("logdet", ((2, 4, 4),), prepare=_regular, expected=lambda x: np.linalg.slogdet(x)[1]),
    Case("logdet", ((3, 3),), prepare=lambda x: -_regular(x), expected=lambda x: np.linalg.slogdet(x)[1]),
    Case("sign_det", ((5, 3, 3),), expected=lambda x: np.linalg.slogdet(x)[0]),
    Case("inv", ((2, 3, 3),), prepare=_regular, expected=np.linalg.inv),
    Case("cofactors", ((2, 4, 4),), prepare=_regular, expected=_cofactors),
    Case("cofactors_derivative", ((3, 3), (3, 3)), prepare=_regular, expected=_derivative),
    Case("cofactors_derivative", ((2, 3, 3), (3, 3)), prepare=_regular, expected=_derivative),
    Case("solve", ((3, 3), (3, 2)), prepare=_regular, expected=np.linalg.solve),
    Case("solve", ((3, 3), (4, 3, 2)), prepare=_regular, expected=np.linalg.solve),
    Case("solve", ((4, 3, 3), (1, 3, 2)), prepare=_regular, expected=np.linalg.solve),
    Case("solve", ((4, 3, 3), (3, 2)), prepare=_regular, expected=lambda a, b: np.linalg.solve(a, b[None])),
    Case("cholesky", ((2, 4, 4),), prepare=_positive_definite, expected=np.linalg.cholesky),
    *(
        Case("solve_triangular", shapes, (lower, transposed), prepare=_regular, expected=_triangular)
        for shapes in (((3, 3), (3, 2)), ((4, 3, 3), (3, 2)), ((3, 3), (4, 3, 2)))
        for lower in (False, True)
        for transposed in (False, True)
    ),
]
