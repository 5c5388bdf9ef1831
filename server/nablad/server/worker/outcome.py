"""A report as the wire's SolveResult."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration

from nablad import solvers
from nablad.server.worker.problem import Problem
from nablad.v1 import event_pb2, tensor_pb2, termination_pb2
from nablad.wire.errors import cut
from nablad.wire.statuses import BY_SOLVER_NAME, verdict_number
from nablad.wire.tensors import AnyArray

STOPPING = {"max_seconds": "max_time"}
"""The wire's names of rules, where they differ from the solvers'."""
Encode = Callable[[AnyArray], tensor_pb2.Tensor]


def result(report: solvers.Report, problem: Problem, encode: Encode) -> event_pb2.SolveResult:
    """The report in full; `encode` turns arrays into tensors, large ones into datasets."""
    message = event_pb2.SolveResult(
        termination=termination(report),
        theta=encode(report.theta),
        loss=report.value,
        gradient=encode(report.gradient),
        iterations=report.iterations,
        best_iteration=report.iteration,
        counts=termination_pb2.Counts(
            values=report.counts.value,
            gradients=report.counts.gradient,
            hessians=report.counts.hessian,
            hessian_vector_products=report.counts.hvp,
            residuals=report.counts.residual,
            jacobians=report.counts.jacobian,
            factorizations=report.factorizations,
        ),
        times=termination_pb2.Times(
            total=_duration(report.seconds.total),
            evaluation=_duration(report.seconds.evaluation),
            linear_algebra=_duration(report.seconds.linear_algebra),
        ),
        settings_used=flat(
            {
                "method": report.method,
                report.method: report.method_settings,
                "stopping": {STOPPING.get(name, name): value for name, value in report.stopping_used.items()},
            }
        ),
        method_reason=problem.chosen.reason,
    )
    for name, value in problem.model.parameters(report.theta).items():
        message.parameters.add(name=name, value=encode(value))
    if report.last_theta is not report.theta and report.last_theta.tobytes() != report.theta.tobytes():
        message.last_theta.CopyFrom(encode(report.last_theta))
    if report.statistics is not None:
        message.statistics.CopyFrom(statistics(report.statistics, encode))
    return message


def statistics(found: solvers.Statistics, encode: Encode) -> event_pb2.Statistics:
    """What the fit says of its parameters; what has no value is absent."""
    return event_pb2.Statistics(
        observations=found.observations,
        degrees_of_freedom=found.degrees_of_freedom,
        residual_sum_of_squares=found.residual_sum_of_squares,
        residual_standard_deviation=found.residual_standard_deviation,
        standard_errors=None if found.standard_errors is None else encode(found.standard_errors),
        covariance=None if found.covariance is None else encode(found.covariance),
        warnings=found.warnings,
    )


def advice(status: solvers.Status) -> str:
    """What a status advises, in the wire's names."""
    words = status.advice
    for ours, theirs in STOPPING.items():
        words = words.replace(ours, theirs)
    return words


def termination(report: solvers.Report) -> termination_pb2.Termination:
    """Status, family, message and evidence; what was not measured is absent."""
    row = BY_SOLVER_NAME[report.status.name]
    found = report.evidence
    first = report.first_nonfinite or ""
    told = first in report.message or report.status is solvers.Status.NONFINITE_START
    text = report.message if told else f"{report.message} {first}"
    text = text.replace(report.status.advice, advice(report.status))
    return termination_pb2.Termination(
        status=row.number,
        family=row.family_number,
        success=row.success,
        message=cut(text, 4096),
        evidence=termination_pb2.Evidence(
            gradient_norm=_measured(found.gradient_norm),
            relative_gradient_norm=_measured(found.relative_gradient_norm),
            smallest_curvature=_measured(found.smallest_curvature),
            largest_curvature=_measured(found.largest_curvature),
            verdict=verdict_number(found.verdict),
            condition=_measured(found.condition),
            rank=found.rank,
            decrement=_measured(found.decrement),
            convergence_order=_measured(found.convergence_order),
            worst_scaled_parameter=found.worst_scaled_parameter,
            worst_scale=_measured(found.worst_scale),
            active_bounds=found.active_bounds,
            note=cut(found.note, 1024),
        ),
    )


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings under names joined by dots; those without a value are left out."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = repr(value) if isinstance(value, float) else str(value)
    return found


def _measured(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _duration(seconds: float) -> Duration:
    nanos = round(seconds * 1e9)
    return Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
