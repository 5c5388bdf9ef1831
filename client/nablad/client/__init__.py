"""The client library of nablad: a model goes in, a live stream of iterates and a trustworthy solution come out.

    from nablad.client import Client, LeastSquares, Newton

    with Client.connect("localhost:50051") as client:      # or Client.embedded()
        run = client.solve(LeastSquares(X, y, intercept=True), Newton())
        for it in run:
            print(it.iteration, it.loss, it.gradient_norm)
        result = run.result()
        result.parameters["theta"], result.success, result.message

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
from nablad.client.methods import ArmijoSearch, ConstantStep, GradientDescent, Method, Newton, Stopping
from nablad.client.models import Layer, LeastSquares, Model, Network
from nablad.client.named import Named
from nablad.client.policies import RecordTheta, Thinning
from nablad.client.results import Counts, Evidence, ModelSummary, Result, Times
from nablad.client.run import Job, Run
from nablad.client.sparse import CsrMatrix

__all__ = [
    "ArmijoSearch",
    "AsyncClient",
    "AsyncJob",
    "AsyncRun",
    "BlockCheck",
    "Checkpoint",
    "Client",
    "Conflict",
    "ConstantStep",
    "Counts",
    "CsrMatrix",
    "Dataset",
    "Derivation",
    "DerivativeCheck",
    "Detailed",
    "Done",
    "Event",
    "Evidence",
    "Expression",
    "FieldViolation",
    "GradientDescent",
    "GraphDescription",
    "InvalidRequest",
    "Iterate",
    "Job",
    "JobFailed",
    "Layer",
    "LeastSquares",
    "LimitExceeded",
    "Method",
    "Model",
    "ModelSummary",
    "NabladError",
    "Named",
    "Network",
    "Newton",
    "NotFound",
    "RecordTheta",
    "Result",
    "Run",
    "ServerError",
    "ServerUnavailable",
    "SolveWarning",
    "StateChange",
    "Stopping",
    "Thinning",
    "Times",
    "Unauthenticated",
]
