"""Derivatives as arrays: Jacobians, Hessians and their products, each by the cheapest of several ways."""

from nablad.solvers.autodiff.derivatives.choice import Choice, choose
from nablad.solvers.autodiff.derivatives.evaluation import Evaluation
from nablad.solvers.autodiff.derivatives.function import Function
from nablad.solvers.autodiff.derivatives.limits import TooLarge
from nablad.solvers.autodiff.derivatives.sparse import Sparsity
from nablad.solvers.autodiff.derivatives.ways import WAYS, NoSuchWay, Setting

__all__ = ["WAYS", "Choice", "Evaluation", "Function", "NoSuchWay", "Setting", "Sparsity", "TooLarge", "choose"]
