"""The cases that test_ops.py puts every op row through, a module for each family of ops."""

from solvers.autodiff.opcases import algebra, pointwise, reductions, structure
from solvers.autodiff.opcases.case import Case

CASES: list[Case] = [*pointwise.CASES, *reductions.CASES, *structure.CASES, *algebra.CASES]

__all__ = ["CASES", "Case"]
