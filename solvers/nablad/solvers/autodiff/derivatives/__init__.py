"""Derivatives as arrays: Jacobians, Hessians and their products, each by the cheapest of several ways."""

from nablad.solvers.autodiff.derivatives.evaluation import Evaluation, ResultTooLarge
from nablad.solvers.autodiff.derivatives.function import Function
from nablad.solvers.autodiff.derivatives.ways import WAYS, Choice, NoSuchWay, Setting, choose

__all__ = ["WAYS", "Choice", "Evaluation", "Function", "NoSuchWay", "ResultTooLarge", "Setting", "choose"]
