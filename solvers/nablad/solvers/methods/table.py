"""The methods by name: to add a method is to add a row."""

from __future__ import annotations

from typing import Any

from nablad.solvers.methods.adam import Adam
from nablad.solvers.methods.base import Method
from nablad.solvers.methods.bfgs import BFGS
from nablad.solvers.methods.gauss_newton import GaussNewton
from nablad.solvers.methods.gradient_descent import GradientDescent
from nablad.solvers.methods.lbfgs import LBFGS
from nablad.solvers.methods.levenberg_marquardt import LevenbergMarquardt
from nablad.solvers.methods.newton import Newton
from nablad.solvers.methods.nonlinear_conjugate_gradient import NonlinearConjugateGradient
from nablad.solvers.methods.stochastic_gradient_descent import StochasticGradientDescent

METHODS: dict[str, type[Method[Any]]] = {
    "gradient_descent": GradientDescent,
    "newton": Newton,
    "gauss_newton": GaussNewton,
    "levenberg_marquardt": LevenbergMarquardt,
    "nonlinear_conjugate_gradient": NonlinearConjugateGradient,
    "bfgs": BFGS,
    "lbfgs": LBFGS,
    "stochastic_gradient_descent": StochasticGradientDescent,
    "adam": Adam,
}
