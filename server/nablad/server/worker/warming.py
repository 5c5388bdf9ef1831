"""What a worker would do for the first time at its first job, done once in the process that workers are forked from:
imports, the caches of expressions and of numpy, the first touch of every kind of model and method.

One thread only: a thread does not survive a fork.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import nablad.solvers
from nablad import solvers
from nablad.server.datasets.files import DatasetFiles
from nablad.server.frames import Frame, Kind
from nablad.server.settings import Limits
from nablad.server.worker import derive, evaluate, outcome
from nablad.server.worker.context import WorkerContext
from nablad.server.worker.problem import build
from nablad.server.worker.solve import with_statistics
from nablad.v1 import derivative_pb2, expression_pb2, method_pb2, model_pb2, solver_pb2
from nablad.wire.tensors import encode

_METHODS = ("newton", "gradient_descent", *sorted(set(solvers.METHODS) - {"newton", "gradient_descent"}))
"""The first two on every model, the others on one."""
_REQUIRED: dict[str, Any] = {"stochastic_gradient_descent": {"learning_rate": 1e-3}}


def warm_up() -> None:
    """Imports everything that a worker will need, and solves a small problem of each kind."""
    for name in nablad.solvers.__all__:
        getattr(nablad.solvers, name)
    solvers.warm_kernels()
    context = WorkerContext(DatasetFiles(Path(os.devnull)), Limits(), 1, lambda _: None)
    for spec in _specs():
        evaluate.validate(Frame(Kind.VALIDATE, (spec.SerializeToString(),)), context, solvers.Control())
        subject = derivative_pb2.Subject(model=spec.model)
        for name, request in (
            ("Gradient", derivative_pb2.GradientRequest(subject=subject)),
            ("Hessian", derivative_pb2.HessianRequest(subject=subject)),
        ):
            parts = (name.encode(), request.SerializeToString(), b"", b"", b"")
            derive.derive(Frame(Kind.DERIVE, parts), context, solvers.Control())
        problem = build(spec, context)
        control = solvers.Control()
        objective = problem.model.objective(checkpoint=control.checkpoint)
        for event in solvers.run(objective, problem.method, problem.start, problem.stopping, control=control):
            if isinstance(event, solvers.Done):
                outcome.result(with_statistics(event.report, problem, 1), problem, context.tensor)


def _specs() -> list[solver_pb2.SolveSpec]:
    data = np.linspace(-1.0, 1.0, 12).reshape(6, 2) ** 2
    features, targets = encode(data), encode(data.sum(axis=1))
    layers = [model_pb2.Layer(width=2, activation="tanh"), model_pb2.Layer(width=1)]
    expression = expression_pb2.Expression(text="a*exp(-b*x[:, 0])", response=targets)
    for name, tensor in (("a", encode(np.array(1.0))), ("b", encode(np.array(0.5)))):
        expression.parameters.add(name=name, value=tensor)
    expression.data.add(name="x", value=features)
    models = (
        model_pb2.Model(least_squares=model_pb2.LeastSquares(features=features, targets=targets)),
        model_pb2.Model(network=model_pb2.Network(inputs=features, targets=targets, layers=layers)),
        model_pb2.Model(expression=expression),
    )
    newton, descent, *others = (method_pb2.Method(**{name: _REQUIRED.get(name, {})}) for name in _METHODS)
    pairs = [*((model, method) for model in models for method in (newton, descent))]
    pairs += [(models[-1], method) for method in others]
    stopping = method_pb2.Stopping(max_iterations=3)
    return [solver_pb2.SolveSpec(model=model, method=method, stopping=stopping) for model, method in pairs]
