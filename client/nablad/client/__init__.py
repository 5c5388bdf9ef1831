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
"""

from nablad.client.aio import AsyncClient
from nablad.client.aio_run import AsyncJob, AsyncRun
from nablad.client.arrays import Dataset
from nablad.client.client import Client
from nablad.client.derivations import BlockCheck, Derivation, DerivativeCheck, Detailed
from nablad.client.drawing import GraphDescription
from nablad.client.errors import (
    Conflict,
    FieldViolation,
    InvalidRequest,
    JobFailed,
    LimitExceeded,
    NabladError,
    NotFound,
    ServerError,
    ServerUnavailable,
    Unauthenticated,
)
from nablad.client.events import Checkpoint, Done, Event, SolveWarning, StateChange
from nablad.client.expression import Expression
from nablad.client.iterates import Iterate
from nablad.client.methods import (
    BFGS,
    LBFGS,
    GaussNewton,
    GradientDescent,
    LevenbergMarquardt,
    Method,
    Newton,
    NonlinearConjugateGradient,
)
from nablad.client.models import Layer, LeastSquares, Model, Network
from nablad.client.named import Named
from nablad.client.policies import RecordTheta, Thinning
from nablad.client.results import Counts, Evidence, ModelSummary, Result, Times
from nablad.client.run import Job, Run
from nablad.client.schedules import CosineDecay, ExponentialDecay, InverseTimeDecay, StepDecay
from nablad.client.sparse import CsrMatrix
from nablad.client.statistics import Intervals, Prediction, Statistics
from nablad.client.steps import ArmijoSearch, BarzilaiBorwein, ConstantStep, ExactStep, TrustRegion, WolfeSearch
from nablad.client.stochastic import Adam, StochasticGradientDescent
from nablad.client.stopping import Stopping

__all__ = [
    "BFGS",
    "LBFGS",
    "Adam",
    "ArmijoSearch",
    "AsyncClient",
    "AsyncJob",
    "AsyncRun",
    "BarzilaiBorwein",
    "BlockCheck",
    "Checkpoint",
    "Client",
    "Conflict",
    "ConstantStep",
    "CosineDecay",
    "Counts",
    "CsrMatrix",
    "Dataset",
    "Derivation",
    "DerivativeCheck",
    "Detailed",
    "Done",
    "Event",
    "Evidence",
    "ExactStep",
    "ExponentialDecay",
    "Expression",
    "FieldViolation",
    "GaussNewton",
    "GradientDescent",
    "GraphDescription",
    "Intervals",
    "InvalidRequest",
    "InverseTimeDecay",
    "Iterate",
    "Job",
    "JobFailed",
    "Layer",
    "LeastSquares",
    "LevenbergMarquardt",
    "LimitExceeded",
    "Method",
    "Model",
    "ModelSummary",
    "NabladError",
    "Named",
    "Network",
    "Newton",
    "NonlinearConjugateGradient",
    "NotFound",
    "Prediction",
    "RecordTheta",
    "Result",
    "Run",
    "ServerError",
    "ServerUnavailable",
    "SolveWarning",
    "StateChange",
    "Statistics",
    "StepDecay",
    "StochasticGradientDescent",
    "Stopping",
    "Thinning",
    "Times",
    "TrustRegion",
    "Unauthenticated",
    "WolfeSearch",
]
