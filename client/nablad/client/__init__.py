"""The client library of nablad: a model goes in, a live stream of iterates and a trustworthy solution come out.

    from nablad.client import Client, LeastSquares, Newton

    with Client.connect("localhost:50051") as client:      # or Client.embedded()
        run = client.solve(LeastSquares(X, y, intercept=True), Newton())
        for it in run:
            print(it.iteration, it.loss, it.gradient_norm)
        result = run.result()
        result.parameters["theta"], result.success, result.message
        result.statistics                       # of a fit: standard errors, intervals

        client.gradient(result), client.hessian(model, theta), client.jacobian(job, iteration=3)

AsyncClient is the same with `await` and `async for`. Needs numpy, grpcio and protobuf only.

The public names load what they need when they are first asked for (PEP 562): whoever fits a line does not wait for the
language of expressions, for asyncio's client or for pictures of graphs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nablad.client.aio import AsyncClient as AsyncClient
    from nablad.client.aio_run import AsyncJob as AsyncJob
    from nablad.client.aio_run import AsyncRun as AsyncRun
    from nablad.client.arrays import Dataset as Dataset
    from nablad.client.client import Client as Client
    from nablad.client.derivations import BlockCheck as BlockCheck
    from nablad.client.derivations import Derivation as Derivation
    from nablad.client.derivations import DerivativeCheck as DerivativeCheck
    from nablad.client.derivations import Detailed as Detailed
    from nablad.client.drawing import GraphDescription as GraphDescription
    from nablad.client.errors import Conflict as Conflict
    from nablad.client.errors import FieldViolation as FieldViolation
    from nablad.client.errors import InvalidRequest as InvalidRequest
    from nablad.client.errors import JobFailed as JobFailed
    from nablad.client.errors import LimitExceeded as LimitExceeded
    from nablad.client.errors import NabladError as NabladError
    from nablad.client.errors import NotFound as NotFound
    from nablad.client.errors import ServerError as ServerError
    from nablad.client.errors import ServerUnavailable as ServerUnavailable
    from nablad.client.errors import Unauthenticated as Unauthenticated
    from nablad.client.events import Checkpoint as Checkpoint
    from nablad.client.events import Done as Done
    from nablad.client.events import Event as Event
    from nablad.client.events import SolveWarning as SolveWarning
    from nablad.client.events import StateChange as StateChange
    from nablad.client.expression import Expression as Expression
    from nablad.client.iterates import Iterate as Iterate
    from nablad.client.methods import BFGS as BFGS
    from nablad.client.methods import LBFGS as LBFGS
    from nablad.client.methods import GaussNewton as GaussNewton
    from nablad.client.methods import GradientDescent as GradientDescent
    from nablad.client.methods import LevenbergMarquardt as LevenbergMarquardt
    from nablad.client.methods import Method as Method
    from nablad.client.methods import Newton as Newton
    from nablad.client.methods import NonlinearConjugateGradient as NonlinearConjugateGradient
    from nablad.client.models import Layer as Layer
    from nablad.client.models import LeastSquares as LeastSquares
    from nablad.client.models import Model as Model
    from nablad.client.models import Network as Network
    from nablad.client.named import Named as Named
    from nablad.client.policies import RecordTheta as RecordTheta
    from nablad.client.policies import Thinning as Thinning
    from nablad.client.results import Counts as Counts
    from nablad.client.results import Evidence as Evidence
    from nablad.client.results import ModelSummary as ModelSummary
    from nablad.client.results import Result as Result
    from nablad.client.results import Times as Times
    from nablad.client.run import Job as Job
    from nablad.client.run import Run as Run
    from nablad.client.schedules import CosineDecay as CosineDecay
    from nablad.client.schedules import ExponentialDecay as ExponentialDecay
    from nablad.client.schedules import InverseTimeDecay as InverseTimeDecay
    from nablad.client.schedules import StepDecay as StepDecay
    from nablad.client.sparse import CsrMatrix as CsrMatrix
    from nablad.client.statistics import Intervals as Intervals
    from nablad.client.statistics import Prediction as Prediction
    from nablad.client.statistics import Statistics as Statistics
    from nablad.client.steps import ArmijoSearch as ArmijoSearch
    from nablad.client.steps import BarzilaiBorwein as BarzilaiBorwein
    from nablad.client.steps import ConstantStep as ConstantStep
    from nablad.client.steps import ExactStep as ExactStep
    from nablad.client.steps import TrustRegion as TrustRegion
    from nablad.client.steps import WolfeSearch as WolfeSearch
    from nablad.client.stochastic import Adam as Adam
    from nablad.client.stochastic import StochasticGradientDescent as StochasticGradientDescent
    from nablad.client.stopping import Stopping as Stopping

_HOMES = {
    "aio": ("AsyncClient",),
    "aio_run": ("AsyncJob", "AsyncRun"),
    "arrays": ("Dataset",),
    "client": ("Client",),
    "derivations": ("BlockCheck", "Derivation", "DerivativeCheck", "Detailed"),
    "drawing": ("GraphDescription",),
    "errors": (
        "Conflict",
        "FieldViolation",
        "InvalidRequest",
        "JobFailed",
        "LimitExceeded",
        "NabladError",
        "NotFound",
        "ServerError",
        "ServerUnavailable",
        "Unauthenticated",
    ),
    "events": ("Checkpoint", "Done", "Event", "SolveWarning", "StateChange"),
    "expression": ("Expression",),
    "iterates": ("Iterate",),
    "methods": (
        "BFGS",
        "LBFGS",
        "GaussNewton",
        "GradientDescent",
        "LevenbergMarquardt",
        "Method",
        "Newton",
        "NonlinearConjugateGradient",
    ),
    "models": ("Layer", "LeastSquares", "Model", "Network"),
    "named": ("Named",),
    "policies": ("RecordTheta", "Thinning"),
    "results": ("Counts", "Evidence", "ModelSummary", "Result", "Times"),
    "run": ("Job", "Run"),
    "schedules": ("CosineDecay", "ExponentialDecay", "InverseTimeDecay", "StepDecay"),
    "sparse": ("CsrMatrix",),
    "statistics": ("Intervals", "Prediction", "Statistics"),
    "steps": ("ArmijoSearch", "BarzilaiBorwein", "ConstantStep", "ExactStep", "TrustRegion", "WolfeSearch"),
    "stochastic": ("Adam", "StochasticGradientDescent"),
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
