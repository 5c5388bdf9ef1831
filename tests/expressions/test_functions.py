"""Every function of the language means what numpy's, or scipy.special's, function of that name means.

Each case is code that runs twice: on arrays with the reference, and on symbols, through numpy's protocols where the
reference is numpy's or a ufunc, else with the function of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from expressions.evaluate import shapes, value

from nablad.expressions import OPS, ExpressionError, Node, Traced, parse, trace
from nablad.expressions.functions import FUNCTIONS, NAMES, Function
from nablad.expressions.numpy_functions import INSTEAD

Case = Callable[[Callable[..., Any], Any], Any]

_random = np.random.default_rng(7)
ARRAYS = {
    "u": _random.uniform(0.1, 0.9, 4),
    "v": _random.uniform(-2.0, 2.0, 4),
    "w": np.array([0.0, 1.5, -0.5, 0.0]),
    "t": _random.uniform(-1.0, 1.0, 3),
    "M": _random.uniform(-2.0, 2.0, (3, 4)),
    "S": _random.uniform(-1.0, 1.0, (3, 3)) + 3.0 * np.eye(3),
    "P": np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]]),
    "K": _random.uniform(-1.0, 1.0, (2, 3, 4)),
    "c": np.array(1.25),
}

one: list[Case] = [lambda f, a: f(a.v), lambda f, a: f(a.M), lambda f, a: f(a.c)]
inside: list[Case] = [lambda f, a: f(a.u)]
positive: list[Case] = [lambda f, a: f(a.u), lambda f, a: f(1.0 + a.M**2)]
above_one: list[Case] = [lambda f, a: f(1.0 + a.u)]
two: list[Case] = [
    lambda f, a: f(a.u, a.v),
    lambda f, a: f(a.M, a.v),
    lambda f, a: f(2.5, a.v),
    lambda f, a: f(a.v, a.v),
    lambda f, a: f(np.array([1.0, -1.0, 0.0, 2.0]), a.v),
]
conditions: list[Case] = [
    lambda f, a: f(a.v > 0, a.w > 0) * 1.0,
    lambda f, a: f(a.w, a.v > 0) * 1.0,
]
axes: list[Case] = [
    lambda f, a: f(a.v),
    lambda f, a: f(a.K),
    lambda f, a: f(a.K, axis=1),
    lambda f, a: f(a.K, axis=-1),
    lambda f, a: f(a.M, axis=0),
]
reductions: list[Case] = [*axes, lambda f, a: f(a.K, axis=(0, 2), keepdims=True), lambda f, a: f(a.M, 1)]
square: list[Case] = [lambda f, a: f(a.S), lambda f, a: f(a.P)]
pieces: list[Case] = [lambda f, a: f([a.t, a.t * 2.0]), lambda f, a: f((a.S, a.P))]


def every(names: str, cases: list[Case]) -> dict[str, list[Case]]:
    return dict.fromkeys(names.split(), cases)


CASES: dict[str, list[Case]] = {
    **every("negative absolute sign square cbrt exp exp2 expm1 sin cos tan arctan sinh cosh tanh", one),
    **every("arcsinh sinc erf erfc normal_cdf sigmoid softplus relu gelu silu floor ceil round", one),
    **every("degrees radians positive isnan reciprocal", [lambda f, a: f(a.v) * 1.0]),
    **every("sqrt log log2 log10 log1p gamma gammaln digamma", positive),
    **every("arcsin arccos arctanh erfinv logit", inside),
    "arccosh": above_one,
    **every("add subtract multiply divide arctan2 hypot logaddexp maximum minimum", two),
    **every("greater greater_equal less less_equal equal not_equal", [lambda f, a: f(a.v, a.w) * 1.0]),
    "power": [lambda f, a: f(a.u, a.v), lambda f, a: f(a.v, 3), lambda f, a: f(a.u, 0.5), lambda f, a: f(2.0, a.v)],
    **every("logical_and logical_or logical_xor", conditions),
    **every("bitwise_and bitwise_or bitwise_xor", conditions[:1]),
    "logical_not": [lambda f, a: f(a.w) * 1.0, lambda f, a: f(a.v > 0) * 1.0],
    "invert": [lambda f, a: f(a.v > 0) * 1.0],
    "where": [lambda f, a: f(a.v > 0, a.v, 0.0), lambda f, a: f(a.w == 0, 1.0, a.M)],
    "select": [lambda f, a: f([a.v > 1, a.v > 0], [a.v, a.u], -1.0), lambda f, a: f([a.w == 0], [2.0]) * a.v],
    "clip": [
        lambda f, a: f(a.v, -1.0, 1.0),
        lambda f, a: f(a.v, None, a.u),
        lambda f, a: f(a.v, a_min=0, a_max=None),
    ],
    "polygamma": [lambda f, a: f(1, a.u), lambda f, a: f(2, a.u + 1.0)],
    "heaviside": [lambda f, a: f(a.w, 0.5), lambda f, a: f(a.v, a.u)],
    "xlogy": [
        lambda f, a: f(a.u, a.u),
        lambda f, a: f(np.array([0.0, 1.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.0, 3.0]) * a.c),
    ],
    **every("sum mean prod max min var std logsumexp", reductions),
    "norm": [
        *reductions[:1],
        lambda f, a: f(a.M),
        lambda f, a: f(a.M, "fro"),
        lambda f, a: f(a.v, 1),
        lambda f, a: f(a.v, np.inf),
        lambda f, a: f(a.K, axis=2),
        lambda f, a: f(a.M, ord=1, axis=0, keepdims=True),
    ],
    "linalg.vector_norm": [
        lambda f, a: f(a.M),
        lambda f, a: f(a.K, axis=(0, 1), keepdims=True),
        lambda f, a: f(a.M, axis=0, ord=1),
        lambda f, a: f(a.v, ord=np.inf),
    ],
    "linalg.matrix_norm": [lambda f, a: f(a.M), lambda f, a: f(a.K, keepdims=True)],
    "ptp": [lambda f, a: f(a.v), lambda f, a: f(a.M, axis=0)],
    "average": [lambda f, a: f(a.v), lambda f, a: f(a.v, weights=a.u), lambda f, a: f(a.M, 0)],
    **every("softmax log_softmax", axes),
    "all": [lambda f, a: f(a.M > 0) * 1.0, lambda f, a: f(a.M > -1, axis=0) * 1.0],
    "any": [lambda f, a: f(a.M > 5) * 1.0, lambda f, a: f(a.M > 1, axis=1) * 1.0],
    "cumsum": [lambda f, a: f(a.v), lambda f, a: f(a.M), lambda f, a: f(a.M, axis=0), lambda f, a: f(a.K, axis=-1)],
    "diff": [lambda f, a: f(a.v), lambda f, a: f(a.M, axis=0), lambda f, a: f(a.M, 2)],
    "array": [lambda f, a: f(a.v) * 1.0, lambda f, a: f([a.c, 2.0]) * a.c],
    "reshape": [lambda f, a: f(a.M, (4, 3)), lambda f, a: f(a.K, (2, -1)), lambda f, a: f(a.v, -1)],
    "ravel": [lambda f, a: f(a.K)],
    "transpose": [lambda f, a: f(a.K), lambda f, a: f(a.K, (1, 0, 2)), lambda f, a: f(a.v)],
    "swapaxes": [lambda f, a: f(a.K, 0, -1)],
    "moveaxis": [lambda f, a: f(a.K, 0, 2), lambda f, a: f(a.K, (0, 1), (-1, 0))],
    "expand_dims": [lambda f, a: f(a.M, 1), lambda f, a: f(a.M, (0, -1))],
    "squeeze": [lambda f, a: f(a.M[None, :, :1])],
    "atleast_1d": [lambda f, a: f(a.c), lambda f, a: f(a.v)],
    "atleast_2d": [lambda f, a: f(a.c), lambda f, a: f(a.v), lambda f, a: f(a.M)],
    "flip": [lambda f, a: f(a.M), lambda f, a: f(a.K, axis=1)],
    "flipud": [lambda f, a: f(a.M)],
    "fliplr": [lambda f, a: f(a.M)],
    "roll": [lambda f, a: f(a.v, 1), lambda f, a: f(a.M, -5, axis=1), lambda f, a: f(a.M, 2)],
    "concatenate": [*pieces, lambda f, a: f([a.S, a.P], axis=1), lambda f, a: f([a.S, np.ones((2, 3))], 0)],
    "stack": [*pieces, lambda f, a: f([a.S, a.P], axis=-1), lambda f, a: f([a.c, 1.0, a.c * 2.0])],
    "hstack": [*pieces, lambda f, a: f([a.c, a.t])],
    "vstack": pieces,
    "column_stack": [*pieces, lambda f, a: f([a.t, a.S])],
    "block": [lambda f, a: f([[a.S, a.P], [a.P, a.S]]), lambda f, a: f([a.t, a.v]), lambda f, a: f([[a.t], [a.t]])],
    "append": [lambda f, a: f(a.v, a.t), lambda f, a: f(a.S, a.P, axis=1)],
    "split": [lambda f, a: f(a.v, 2)[1], lambda f, a: f(a.M, [1, 3], axis=1)[1]],
    "repeat": [lambda f, a: f(a.M, 2), lambda f, a: f(a.M, 3, axis=1)],
    "tile": [lambda f, a: f(a.v, 2), lambda f, a: f(a.M, (2, 1, 2))],
    "broadcast_to": [lambda f, a: f(a.v, (3, 4)), lambda f, a: f(a.c, 2)],
    "broadcast_arrays": [lambda f, a: f(a.v, a.M)[0], lambda f, a: f(a.c, a.v)[0]],
    "meshgrid": [lambda f, a: f(a.v, a.t)[1], lambda f, a: f(a.v, a.t, indexing="ij")[0]],
    "take": [lambda f, a: f(a.M, [0, 2, 2], axis=0), lambda f, a: f(a.M, [[1, -1]])],
    "diag": [lambda f, a: f(a.v), lambda f, a: f(a.S), lambda f, a: f(a.v, 1), lambda f, a: f(a.S, k=-1)],
    "diagonal": [lambda f, a: f(a.S), lambda f, a: f(a.M, 1), lambda f, a: f(a.K, 0, 1, 2)],
    "trace": [lambda f, a: f(a.S), lambda f, a: f(a.K)],
    "tril": [lambda f, a: f(a.S), lambda f, a: f(a.M, -1), lambda f, a: f(a.M, k=1)],
    "triu": [lambda f, a: f(a.S), lambda f, a: f(a.M, 1)],
    "zeros_like": [lambda f, a: f(a.M) + a.c],
    "ones_like": [lambda f, a: f(a.M) * a.c],
    "full_like": [lambda f, a: f(a.M, a.c), lambda f, a: f(a.M, 2.0) * a.c],
    "size": [lambda f, a: f(a.M) * a.c, lambda f, a: f(a.M, 1) * a.c],
    "matmul": [
        lambda f, a: f(a.S, a.P),
        lambda f, a: f(a.S, a.t),
        lambda f, a: f(a.t, a.S),
        lambda f, a: f(a.t, a.t),
        lambda f, a: f(a.S, a.K),
        lambda f, a: f(np.ones((2, 3)), a.t),
    ],
    "dot": [lambda f, a: f(a.S, a.P), lambda f, a: f(a.t, a.t), lambda f, a: f(a.S, a.t), lambda f, a: f(2.0, a.t)],
    "inner": [lambda f, a: f(a.t, a.t), lambda f, a: f(a.S, a.P), lambda f, a: f(a.S, a.t)],
    "outer": [lambda f, a: f(a.t, a.v)],
    "vdot": [lambda f, a: f(a.S, a.P)],
    "tensordot": [
        lambda f, a: f(a.S, a.K, axes=([1], [1])),
        lambda f, a: f(a.S, a.P),
        lambda f, a: f(a.S, a.P, axes=1),
    ],
    "einsum": [
        lambda f, a: f("ij,j->i", a.S, a.t),
        lambda f, a: f("ii", a.S),
        lambda f, a: f("kij,il->kjl", a.K, a.S),
    ],
    "vecdot": [lambda f, a: f(a.S, a.t), lambda f, a: f(a.t, a.t), lambda f, a: f(a.K, a.M, axis=-2)],
    "matvec": [lambda f, a: f(a.K, a.v), lambda f, a: f(a.S, a.P), lambda f, a: f(a.S, a.t)],
    "vecmat": [lambda f, a: f(a.t, a.K), lambda f, a: f(a.P, a.S), lambda f, a: f(a.t, a.S)],
    "linalg.diagonal": [lambda f, a: f(a.K), lambda f, a: f(a.K, offset=1)],
    "linalg.trace": [lambda f, a: f(a.K), lambda f, a: f(a.S, offset=-1)],
    "kron": [lambda f, a: f(a.t, a.v), lambda f, a: f(a.S, a.P)],
    "cross": [lambda f, a: f(a.t, a.S[0])],
    **every("det inv logdet", square),
    "slogdet": [lambda f, a: f(a.S)[0], lambda f, a: f(-a.S)[1], lambda f, a: f(-a.S)[0]],
    "solve": [lambda f, a: f(a.S, a.t), lambda f, a: f(a.S, a.P)],
    "cholesky": [lambda f, a: f(a.P)],
    "solve_triangular": [
        lambda f, a: f(a.S, a.t),
        lambda f, a: f(a.S, a.P, lower=True),
        lambda f, a: f(a.S, a.t, lower=True, transposed=True),
    ],
    "matrix_transpose": [lambda f, a: f(a.K)],
    "matrix_power": [lambda f, a: f(a.S, 5), lambda f, a: f(a.S, -2), lambda f, a: f(a.S, 0) + 0.0 * a.S],
    "multi_dot": [lambda f, a: f([a.S, a.P, a.S])],
    "polyval": [lambda f, a: f(a.t, a.v), lambda f, a: f([1.0, 2.0], a.c), lambda f, a: f([3.0], a.v)],
    "trapezoid": [lambda f, a: f(a.v), lambda f, a: f(a.v, a.u), lambda f, a: f(a.M, dx=0.5)],
}

special = scipy.special
REFERENCES: dict[str, Callable[..., Any]] = {
    "softplus": lambda x: np.logaddexp(0.0, x),
    "relu": lambda x: np.maximum(x, 0.0),
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
    "softmax": special.softmax,
    "log_softmax": special.log_softmax,
    "logsumexp": special.logsumexp,
    "polygamma": special.polygamma,
    "solve_triangular": lambda a, b, lower=False, transposed=False: scipy.linalg.solve_triangular(
        a, b, int(transposed), lower
    ),
    "matrix_transpose": lambda a: np.swapaxes(a, -1, -2),
    "vecdot": lambda a, b, axis=-1: np.sum(a * b, axis=axis),
    "matvec": lambda a, b: np.einsum("...ij,...j->...i", a, b),
    "vecmat": lambda a, b: np.einsum("...i,...ij->...j", a, b),
    "linalg.diagonal": lambda a, offset=0: np.diagonal(a, offset, -2, -1),
    "linalg.trace": lambda a, offset=0: np.trace(a, offset, -2, -1),
    "linalg.vector_norm": lambda x, axis=None, keepdims=False, ord=2: {
        1: np.sum(np.abs(x), axis, keepdims=keepdims),
        2: np.sqrt(np.sum(np.square(x), axis, keepdims=keepdims)),
        np.inf: np.max(np.abs(x), axis, keepdims=keepdims),
    }[ord],
    "linalg.matrix_norm": lambda x, keepdims=False: np.linalg.norm(x, "fro", (-2, -1), keepdims),
    "logdet": lambda a: np.linalg.slogdet(a)[1],
    "trapezoid": getattr(np, "trapezoid", None) or np.trapz,  # type: ignore[attr-defined]
}


def numpy_functions(row: Function) -> list[Callable[..., Any]]:
    """numpy's functions, and scipy's ufuncs, of all names of a row."""
    found = []
    for name in (row.name, *row.aliases):
        home: Any = np.linalg if name.startswith("linalg.") else np
        function = getattr(home, name.removeprefix("linalg."), None)
        ufunc = getattr(special, name, None)
        found += [function] if callable(function) else []
        found += [ufunc] if isinstance(ufunc, np.ufunc) and ufunc is not function else []
    return found


def run(case: Case, function: Callable[..., Any], arrays: Any) -> Any:
    return case(function, SimpleNamespace(**arrays))


def check(case: Case, reference: Callable[..., Any], function: Callable[..., Any]) -> Traced:
    with np.errstate(all="ignore"):
        wanted = run(case, reference, ARRAYS)
    definition = trace(lambda p: run(case, function, p), shapes(ARRAYS))
    got = value(definition, ARRAYS)
    np.testing.assert_allclose(got, wanted, rtol=2e-14, atol=1e-14)
    assert got.shape == np.shape(wanted)
    return definition


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # numpy's older names are known here too
@pytest.mark.parametrize("row", FUNCTIONS, ids=lambda row: row.name)
def test_a_function_is_numpys(row: Function) -> None:
    """Under each of its names: what numpy or scipy know by it means the same on symbols as on arrays."""
    own = REFERENCES.get(row.name)
    through_numpy = [] if own else numpy_functions(row)
    assert own or through_numpy, f"{row.name} needs a reference"
    for case in CASES[row.name]:
        for function in through_numpy:
            check(case, function, function)
        check(case, own or through_numpy[0], row.call)


def test_every_function_has_cases_and_every_case_a_function() -> None:
    assert {row.name for row in FUNCTIONS} == set(CASES)


def test_names_are_given_once() -> None:
    names = [name for row in FUNCTIONS for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names))


def test_every_op_can_be_reached() -> None:
    """By some function of the language, by an operator, or by indexing; the rest is what derivatives are made of."""
    reached = {node.op for name in CASES for case in CASES[name] for node in ops_of(name, case)}
    parsed = parse("A.T @ v[::-1] + x**3 + y**x", {"A": (2, 2), "v": (2,), "x": (), "y": ()})
    reached |= {node.op for node in parsed.graph.nodes}
    assert set(OPS) - reached == set(UNREACHABLE)


def ops_of(name: str, case: Case) -> tuple[Node, ...]:
    return trace(lambda p: run(case, NAMES[name].call, p), shapes(ARRAYS)).graph.nodes


UNREACHABLE = {
    "rows": "what x.shape[0] of a data column gives",
    "scatter_add": "the adjoint of take",
    "one_minus_square": "slope of tanh",
    "tanh_slope": "its slope",
    "sigmoid_slope": "slope of sigmoid",
    "share": "slope of maximum and minimum",
    "cofactors": "derivative of det",
    "cofactors_derivative": "its derivative",
}


TAKES = {"array_equal": 2, "linalg.lstsq": 2, "interp": 3, "convolve": 2, "correlate": 2, "insert": 3, "delete": 2}
TAKES |= {"pad": 2, "isclose": 2, "allclose": 2, "linspace": 2}


def test_what_is_not_in_numpys_is_refused_with_a_hint() -> None:
    for name in INSTEAD:
        home: Any = np.linalg if name.startswith("linalg.") else np if hasattr(np, name) else special
        function = getattr(home, name.removeprefix("linalg."))
        count = getattr(function, "nin", TAKES.get(name, 1))
        called = name if home is special else f"np.{name}"
        with pytest.raises(TypeError, match=f"^{called} has no rule for symbols.*: "):
            trace(lambda p: function(*[p["S"]] * count), {"S": (3, 3)})  # noqa: B023


def test_an_unknown_function_names_its_neighbours() -> None:
    with pytest.raises(TypeError, match=r"np.nansum has no rule .* did you mean 'sum'"):
        trace(lambda p: np.nansum(p["x"]), {"x": (3,)})
    with pytest.raises(
        TypeError, match=r"unexpected keyword argument 'where'; it is sum\(x, axis=None, keepdims=False\)"
    ):
        trace(lambda p: np.sum(p["x"], where=[True, False, True]), {"x": (3,)})
    with pytest.raises(TypeError, match=r"np.linalg.svd has no rule .* there are det, slogdet"):
        trace(np.linalg.svd, (3, 3))
    with pytest.raises(ExpressionError, match="did you mean 'arctan'"):
        parse("arctann(x)", {"x": ()})
