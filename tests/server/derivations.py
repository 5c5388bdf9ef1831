"""Requests to DerivativeService."""

from __future__ import annotations

from typing import Any

import numpy as np
from server.expressions import tensor, text
from server.running import (
    TIMEOUT,
    Running,
    data,
    least_squares,
)

from nablad.v1 import derivative_pb2 as pb
from nablad.v1 import model_pb2, tensor_pb2

FEATURES, TARGETS = data()
THETA = np.array([0.5, -1.0, 2.0])
LINE = least_squares(FEATURES, TARGETS)
CALLS = {
    "Value": pb.ValueRequest,
    "Gradient": pb.GradientRequest,
    "Jacobian": pb.JacobianRequest,
    "Hessian": pb.HessianRequest,
    "HessianVectorProduct": pb.HessianVectorProductRequest,
    "JacobianVectorProduct": pb.JacobianVectorProductRequest,
    "VectorJacobianProduct": pb.VectorJacobianProductRequest,
    "Taylor": pb.TaylorRequest,
    "CheckDerivatives": pb.CheckDerivativesRequest,
    "DescribeGraph": pb.DescribeGraphRequest,
}


def ask(server: Running, call: str, subject: pb.Subject, **fields: Any) -> Any:
    fields = {name: tensor(value) if isinstance(value, np.ndarray) else value for name, value in fields.items()}
    return getattr(server.derivatives, call)(CALLS[call](subject=subject, **fields), timeout=TIMEOUT)


def at(model: model_pb2.Model | None = None, theta: Any = None, **fields: Any) -> pb.Subject:
    """A model, or a job by `solve_job`, at a point."""
    if theta is not None:
        fields["theta"] = theta if isinstance(theta, tensor_pb2.Tensor) else tensor(theta)
    return pb.Subject(model=model, **fields)


SCALAR = text("x[0]**2 + x[1]**2", {"x": [1.0, 2.0]})
