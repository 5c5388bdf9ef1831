"""Models: they validate data and build graphs; the engine does everything else."""

from nablad.solvers.models.activations import ACTIVATIONS
from nablad.solvers.models.base import Cost, Model
from nablad.solvers.models.errors import InvalidModel
from nablad.solvers.models.expression import Expression
from nablad.solvers.models.initialization import INITIALIZATIONS
from nablad.solvers.models.layout import Layout
from nablad.solvers.models.least_squares import LeastSquares
from nablad.solvers.models.losses import LOSSES
from nablad.solvers.models.network import Layer, Network

__all__ = [
    "ACTIVATIONS",
    "INITIALIZATIONS",
    "LOSSES",
    "Cost",
    "Expression",
    "InvalidModel",
    "Layer",
    "Layout",
    "LeastSquares",
    "Model",
    "Network",
]
