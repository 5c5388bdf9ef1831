"""nablad's mathematics: models, methods, and the driver that runs them.

The public names load what they need when they are first asked for (PEP 562), so that importing this package costs
nothing, and a process that only names a status imports no linear algebra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nablad.solvers.autodiff.kernels.native import warm_kernels as warm_kernels
    from nablad.solvers.bounds import Bounds as Bounds
    from nablad.solvers.choice import choose_method as choose_method
    from nablad.solvers.control import Control as Control
    from nablad.solvers.derivatives import BlockCheck as BlockCheck
    from nablad.solvers.derivatives import Check as Check
    from nablad.solvers.derivatives import Csr as Csr
    from nablad.solvers.derivatives import Derivation as Derivation
    from nablad.solvers.derivatives import Derivatives as Derivatives
    from nablad.solvers.derivatives import Derived as Derived
    from nablad.solvers.derivatives import Description as Description
    from nablad.solvers.derivatives import GraphNode as GraphNode
    from nablad.solvers.derivatives import Summary as Summary
    from nablad.solvers.derivatives import WayChoice as WayChoice
    from nablad.solvers.driver import run as run
    from nablad.solvers.driver import solve as solve
    from nablad.solvers.events import Checkpoint as Checkpoint
    from nablad.solvers.events import Done as Done
    from nablad.solvers.events import Event as Event
    from nablad.solvers.events import Iterate as Iterate
    from nablad.solvers.events import RecordTheta as RecordTheta
    from nablad.solvers.events import Started as Started
    from nablad.solvers.events import Warning as Warning
    from nablad.solvers.methods.adam import Adam as Adam
    from nablad.solvers.methods.base import Method as Method
    from nablad.solvers.methods.base import check_supported as check_supported
    from nablad.solvers.methods.bfgs import BFGS as BFGS
    from nablad.solvers.methods.gauss_newton import GaussNewton as GaussNewton
    from nablad.solvers.methods.gradient_descent import GradientDescent as GradientDescent
    from nablad.solvers.methods.lbfgs import LBFGS as LBFGS
    from nablad.solvers.methods.levenberg_marquardt import LevenbergMarquardt as LevenbergMarquardt
    from nablad.solvers.methods.line_search import Armijo as Armijo
    from nablad.solvers.methods.line_search import Wolfe as Wolfe
    from nablad.solvers.methods.newton import Newton as Newton
    from nablad.solvers.methods.nonlinear_conjugate_gradient import (
        NonlinearConjugateGradient as NonlinearConjugateGradient,
    )
    from nablad.solvers.methods.schedules import Cosine as Cosine
    from nablad.solvers.methods.schedules import Exponential as Exponential
    from nablad.solvers.methods.schedules import InverseTime as InverseTime
    from nablad.solvers.methods.schedules import Schedule as Schedule
    from nablad.solvers.methods.schedules import StepDecay as StepDecay
    from nablad.solvers.methods.step_lengths import BarzilaiBorwein as BarzilaiBorwein
    from nablad.solvers.methods.step_lengths import Constant as Constant
    from nablad.solvers.methods.step_lengths import Exact as Exact
    from nablad.solvers.methods.stochastic_gradient_descent import (
        StochasticGradientDescent as StochasticGradientDescent,
    )
    from nablad.solvers.methods.table import METHODS as METHODS
    from nablad.solvers.methods.trust_region import TrustRegion as TrustRegion
    from nablad.solvers.models import Expression as Expression
    from nablad.solvers.models import InvalidModel as InvalidModel
    from nablad.solvers.models import Layer as Layer
    from nablad.solvers.models import LeastSquares as LeastSquares
    from nablad.solvers.models import Network as Network
    from nablad.solvers.objective import Batch as Batch
    from nablad.solvers.objective import Capabilities as Capabilities
    from nablad.solvers.objective import Counters as Counters
    from nablad.solvers.objective import Interrupted as Interrupted
    from nablad.solvers.objective import InvalidSetting as InvalidSetting
    from nablad.solvers.objective import Objective as Objective
    from nablad.solvers.objective import UnsupportedObjective as UnsupportedObjective
    from nablad.solvers.report import Evidence as Evidence
    from nablad.solvers.report import Report as Report
    from nablad.solvers.report import Seconds as Seconds
    from nablad.solvers.report import Statistics as Statistics
    from nablad.solvers.statistics import Intervals as Intervals
    from nablad.solvers.statistics import intervals as intervals
    from nablad.solvers.statistics import with_statistics as with_statistics
    from nablad.solvers.status import Family as Family
    from nablad.solvers.status import Status as Status
    from nablad.solvers.stopping import Stopping as Stopping

_HOMES = {
    "autodiff.kernels.native": ("warm_kernels",),
    "bounds": ("Bounds",),
    "choice": ("choose_method",),
    "control": ("Control",),
    "derivatives": (
        "BlockCheck",
        "Check",
        "Csr",
        "Derivation",
        "Derivatives",
        "Derived",
        "Description",
        "GraphNode",
        "Summary",
        "WayChoice",
    ),
    "driver": ("run", "solve"),
    "events": ("Checkpoint", "Done", "Event", "Iterate", "RecordTheta", "Started", "Warning"),
    "methods.adam": ("Adam",),
    "methods.base": ("Method", "check_supported"),
    "methods.bfgs": ("BFGS",),
    "methods.gauss_newton": ("GaussNewton",),
    "methods.gradient_descent": ("GradientDescent",),
    "methods.lbfgs": ("LBFGS",),
    "methods.levenberg_marquardt": ("LevenbergMarquardt",),
    "methods.line_search": ("Armijo", "Wolfe"),
    "methods.newton": ("Newton",),
    "methods.nonlinear_conjugate_gradient": ("NonlinearConjugateGradient",),
    "methods.schedules": ("Cosine", "Exponential", "InverseTime", "Schedule", "StepDecay"),
    "methods.step_lengths": ("BarzilaiBorwein", "Constant", "Exact"),
    "methods.stochastic_gradient_descent": ("StochasticGradientDescent",),
    "methods.table": ("METHODS",),
    "methods.trust_region": ("TrustRegion",),
    "models": ("Expression", "InvalidModel", "Layer", "LeastSquares", "Network"),
    "objective": (
        "Batch",
        "Capabilities",
        "Counters",
        "Interrupted",
        "InvalidSetting",
        "Objective",
        "UnsupportedObjective",
    ),
    "report": ("Evidence", "Report", "Seconds", "Statistics"),
    "statistics": ("Intervals", "intervals", "with_statistics"),
    "status": ("Family", "Status"),
    "stopping": ("Stopping",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
