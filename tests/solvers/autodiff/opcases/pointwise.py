"""Cases of pointwise ops."""

import numpy as np
import scipy.special
from solvers.autodiff.opcases.case import Case

TRUTH = np.random.default_rng(11).normal(size=(3, 4)) > 0
OTHER = np.random.default_rng(12).normal(size=(4,)) > 0
FULL = (3, 4)
RIGHT = {"low": 0.5, "high": 3.0}
INSIDE = {"low": -0.7, "high": 0.7}
POINT = np.random.default_rng(13).uniform(-1.0, 1.0, FULL)

ARITHMETIC = [
    Case("add", (FULL, (4,)), expected=np.add),
    Case("subtract", ((3, 1), (1, 4)), expected=np.subtract),
    Case("multiply", ((4,), FULL), expected=np.multiply),
    Case("divide", (FULL, (3, 1)), low=0.5, expected=np.divide),
    Case("negative", (FULL,), expected=np.negative),
    Case("square", (FULL,), expected=np.square),
    Case("reciprocal", (FULL,), low=0.5, expected=np.reciprocal),
    Case("sqrt", (FULL,), low=0.5, expected=np.sqrt),
    Case("cbrt", (FULL,), low=0.5, expected=np.cbrt),
    Case("cbrt", (FULL,), low=-2.0, high=-0.5, expected=np.cbrt),
    Case("fixed_power", (FULL,), (2.5,), low=0.5, expected=lambda x, a: x**a),
    Case("fixed_power", (FULL,), (3.0,), expected=lambda x, a: x**a),
    Case("fixed_power", (FULL,), (0.0,), expected=lambda x, a: x**a),
    Case("power", (FULL, (4,)), **RIGHT, expected=np.power),
    Case("power", (FULL, FULL), fixed={1: np.rint(4 * POINT)}, low=-2.0, high=-0.5, expected=np.power),
    Case("hypot", (FULL, (4,)), low=0.5, expected=np.hypot),
    Case("hypot", ((3, 1), (4,)), low=-2.0, high=-0.1, expected=np.hypot),
    Case("one_minus_square", (FULL,), expected=lambda x: 1 - x**2),
]

EXPONENTIAL = [
    Case("exp", (FULL,), expected=np.exp),
    Case("exp2", (FULL,), expected=np.exp2),
    Case("expm1", (FULL,), expected=np.expm1),
    Case("log", (FULL,), low=0.5, expected=np.log),
    Case("log2", (FULL,), low=0.5, expected=np.log2),
    Case("log10", (FULL,), low=0.5, expected=np.log10),
    Case("log1p", (FULL,), low=-0.5, expected=np.log1p),
    Case("logaddexp", (FULL, (4,)), expected=np.logaddexp),
    Case("sigmoid", (FULL,), expected=scipy.special.expit),
    Case("softplus", (FULL,), expected=lambda x: np.logaddexp(0, x)),
    Case("sigmoid_slope", (FULL,), low=-5.0, high=5.0, expected=lambda x: 0.25 / np.cosh(x / 2) ** 2),
]

TRIGONOMETRIC = [
    Case("sin", (FULL,), expected=np.sin),
    Case("cos", (FULL,), expected=np.cos),
    Case("tan", (FULL,), low=-1.0, high=1.0, expected=np.tan),
    Case("arcsin", (FULL,), **INSIDE, expected=np.arcsin),
    Case("arccos", (FULL,), **INSIDE, expected=np.arccos),
    Case("arctan", (FULL,), expected=np.arctan),
    Case("arctan2", (FULL, (4,)), expected=np.arctan2),
    Case("arctan2", (FULL, (3, 1)), low=-2.0, high=-0.1, expected=np.arctan2),
    Case("sinh", (FULL,), expected=np.sinh),
    Case("cosh", (FULL,), expected=np.cosh),
    Case("tanh", (FULL,), expected=np.tanh),
    Case("arcsinh", (FULL,), expected=np.arcsinh),
    Case("arccosh", (FULL,), low=1.5, high=4.0, expected=np.arccosh),
    Case("arctanh", (FULL,), **INSIDE, expected=np.arctanh),
    Case("tanh_slope", (FULL, FULL), **INSIDE, fixed={1: POINT}, expected=lambda y, x: 1 - y**2),
]

SPECIAL = [
    Case("erf", (FULL,), expected=scipy.special.erf),
    Case("erfc", (FULL,), expected=scipy.special.erfc),
    Case("erfinv", (FULL,), **INSIDE, expected=scipy.special.erfinv),
    Case("normal_cdf", (FULL,), expected=scipy.special.ndtr),
    Case("gamma", (FULL,), **RIGHT, expected=scipy.special.gamma),
    Case("gamma", (FULL,), low=-1.9, high=-1.1, expected=scipy.special.gamma),
    Case("gammaln", (FULL,), **RIGHT, expected=scipy.special.gammaln),
    Case("gammaln", (FULL,), low=-1.9, high=-1.1, expected=scipy.special.gammaln),
    Case("digamma", (FULL,), **RIGHT, expected=scipy.special.digamma),
    Case("polygamma", (FULL,), (1,), **RIGHT, expected=lambda x, n: scipy.special.polygamma(n, x)),
    Case("polygamma", (FULL,), (3,), low=2.0, high=4.0, expected=lambda x, n: scipy.special.polygamma(n, x)),
]

PIECEWISE = [
    Case("absolute", (FULL,), expected=np.absolute),
    Case("sign", (FULL,), expected=np.sign),
    Case("floor", (FULL,), expected=np.floor),
    Case("ceil", (FULL,), expected=np.ceil),
    Case("rint", (FULL,), expected=np.rint),
    Case("relu", (FULL,), expected=lambda x: np.maximum(x, 0)),
    Case("maximum", (FULL, (4,)), expected=np.maximum),
    Case("minimum", ((3, 1), (4,)), expected=np.minimum),
    Case("share", (FULL, FULL, FULL), expected=lambda t, x, y: np.where(x > y, t, 0)),
    Case("where", (FULL, FULL, (4,)), expected=np.where, fixed={0: TRUTH}),
]

TRUTHS = [
    Case("greater", (FULL, (4,)), expected=np.greater),
    Case("greater_equal", (FULL, (4,)), expected=np.greater_equal),
    Case("equal", (FULL, (4,)), expected=np.equal),
    Case("not_equal", (FULL, (4,)), expected=np.not_equal),
    Case("logical_and", (FULL, (4,)), fixed={0: TRUTH, 1: OTHER}, expected=np.logical_and),
    Case("logical_or", (FULL, (4,)), fixed={0: TRUTH, 1: OTHER}, expected=np.logical_or),
    Case("logical_not", (FULL,), fixed={0: TRUTH}, expected=np.logical_not),
]

CASES = [*ARITHMETIC, *EXPONENTIAL, *TRIGONOMETRIC, *SPECIAL, *PIECEWISE, *TRUTHS]
