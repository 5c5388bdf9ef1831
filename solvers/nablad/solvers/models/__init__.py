"""Models: they validate data and build graphs; the engine does everything else."""

from nablad.solvers.models.base import Cost, Model
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.models.layout import Layout
from nablad.solvers.models.least_squares import LeastSquares

__all__ = ["Cost", "InvalidModel", "Layout", "LeastSquares", "Model"]
