"""Cases of pointwise ops."""

import numpy as np
import scipy.special
from solvers.autodiff.opcases.case import Case

TRUTH = np.random.default_rng(11).normal(size=(3, 4)) > 0

CASES = [
    Case("add", ((3, 4), (4,)), expected=np.add),
    Case("subtract", ((3, 1), (1, 4)), expected=np.subtract),
    Case("multiply", ((4,), (3, 4)), expected=np.multiply),
    Case("divide", ((3, 4), (3, 1)), low=0.5, expected=np.divide),
    Case("negative", ((3, 4),), expected=np.negative),
    Case("square", ((3, 4),), expected=np.square),
    Case("reciprocal", ((3, 4),), low=0.5, expected=np.reciprocal),
    Case("sqrt", ((3, 4),), low=0.5, expected=np.sqrt),
    Case("power", ((3, 4),), (2.5,), low=0.5, expected=lambda x, a: x**a),
    Case("power", ((3, 4),), (3.0,), expected=lambda x, a: x**a),
    Case("power", ((3, 4),), (0.0,), expected=lambda x, a: x**a),
    Case("exp", ((3, 4),), expected=np.exp),
    Case("expm1", ((3, 4),), expected=np.expm1),
    Case("log", ((3, 4),), low=0.5, expected=np.log),
    Case("log1p", ((3, 4),), low=-0.5, expected=np.log1p),
    Case("tanh", ((3, 4),), expected=np.tanh),
    Case("sin", ((3, 4),), expected=np.sin),
    Case("cos", ((3, 4),), expected=np.cos),
    Case("erf", ((3, 4),), expected=scipy.special.erf),
    Case("normal_cdf", ((3, 4),), expected=scipy.special.ndtr),
    Case("sigmoid", ((3, 4),), expected=scipy.special.expit),
    Case("softplus", ((3, 4),), expected=lambda x: np.logaddexp(0, x)),
    Case("relu", ((3, 4),), expected=lambda x: np.maximum(x, 0)),
    Case("greater", ((3, 4), (4,)), expected=np.greater),
    Case("equal", ((3, 4), (4,)), expected=np.equal),
    Case("where", ((3, 4), (3, 4), (4,)), expected=np.where, fixed={0: TRUTH}),
]
