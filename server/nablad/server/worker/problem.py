"""From a SolveSpec to what the solvers take: model, bounds, start, method, stopping. All that is wrong with it is found
here, before any work: at the border (definitions.py) everything at once, then part by part, then against the limits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from pydantic import ValidationError

from nablad import solvers
from nablad.server.settings import Limits
from nablad.server.worker import definitions, methods
from nablad.server.worker.border import to_dict
from nablad.server.worker.bounds import bounds_of, check_inside, moved_into
from nablad.server.worker.context import WorkerContext
from nablad.server.worker.methods import Chosen
from nablad.server.worker.models import Model, check_counts, model_of
from nablad.server.worker.violations import Violations, from_pydantic
from nablad.v1 import solver_pb2
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import AnyArray


@dataclass(frozen=True)
class Problem:
    """Everything that a run needs."""

    model: Model
    chosen: Chosen
    start: AnyArray
    bounds: solvers.Bounds | None
    stopping: solvers.Stopping
    record: solvers.RecordTheta
    moved: str = ""
    """What bounds made of the start values that an expression came with, in words; empty if they left them."""

    @property
    def method(self) -> solvers.Method[Any]:
        """What minimizes."""
        return self.chosen.method

    @property
    def matrix_bytes(self) -> int:
        """The memory of the method's matrices."""
        return methods.matrix_bytes(self.method, self.start.size, self.start.itemsize)


def build(spec: solver_pb2.SolveSpec, context: WorkerContext) -> Problem:
    """The problem that a spec describes. Violations, with paths that begin with `spec`."""
    check_counts(spec.model, "spec.model", context.limits)
    around = context.surroundings
    try:
        checked = definitions.Spec.model_validate(to_dict(spec), context=around)
    except ValidationError as error:
        raise Violations(from_pydantic(error, "spec")) from None
    model = model_of(checked.model, around, "spec.model")
    if isinstance(model, solvers.Expression) and not model.solvable:
        _refuse_to_solve(model)
    bounds = bounds_of(checked.bounds, model, "spec.bounds")
    start = _start(model, checked.start, bounds)
    moved = ""
    if checked.start is None and isinstance(model, solvers.Expression):
        moved = moved_into(model.start(None), start, model)
    objective = model.objective()
    objective.bounds = bounds
    chosen = methods.choose(checked.method, objective, context.limits)
    methods.check_rules(chosen.method, checked.stopping.decrement_tolerance)
    problem = Problem(
        model,
        chosen,
        start,
        bounds,
        _stopping(checked.stopping),
        _record(checked.record_theta),
        moved,
    )
    _check_limits(problem, f"spec.model.{checked.model.chosen[0]}", checked, context.limits)
    return problem


def _refuse_to_solve(model: solvers.Expression) -> None:
    try:
        model.objective()
    except solvers.InvalidModel as error:
        raise Violations([FieldViolation("spec.model.expression", error.message)]) from None


def _start(model: Model, given: AnyArray | None, bounds: solvers.Bounds | None) -> AnyArray:
    try:
        start: AnyArray = model.start(given)
    except solvers.InvalidModel as error:
        raise Violations([FieldViolation("spec.start", error.message)]) from None
    if not np.isfinite(start).all():
        where = int(np.flatnonzero(~np.isfinite(start))[0])
        raise Violations([FieldViolation("spec.start", f"element {where} is {start[where]}; every one must be finite")])
    if bounds is None:
        return start
    if given is None:
        return bounds.project(start)
    check_inside(start, bounds, model, "spec.start")
    return start


def _stopping(definition: definitions.Stopping) -> solvers.Stopping:
    given = {f.name: getattr(definition, f.name, None) for f in fields(solvers.Stopping)}
    return solvers.Stopping(**given | {"max_seconds": definition.max_time})


def _record(definition: definitions.RecordTheta) -> solvers.RecordTheta:
    if definition.every is not None:
        return solvers.RecordTheta.each(definition.every)
    return solvers.RecordTheta.never() if definition.never else solvers.RecordTheta.best_and_final()


def _check_limits(problem: Problem, field: str, spec: definitions.Spec, limits: Limits) -> None:
    found: list[FieldViolation] = []
    cost = problem.model.cost()
    if problem.matrix_bytes > limits.hessian_bytes:
        found.append(methods.too_large(problem.chosen, problem.start.size, problem.matrix_bytes, limits))
    if cost.workspace_bytes > limits.workspace_bytes:
        message = f"needs about {cost.workspace_bytes} bytes to evaluate; at most {limits.workspace_bytes} are allowed"
        found.append(FieldViolation(field, message))
    iterations = spec.stopping.max_iterations
    if iterations is not None and iterations > limits.iterations:
        message = f"is {iterations}; at most {limits.iterations} are allowed: solve again from the result's theta"
        found.append(FieldViolation("spec.stopping.max_iterations", message))
    every = problem.record.every
    if every is not None:
        used = problem.stopping.used(problem.method.order, float(np.finfo(problem.start.dtype).eps))
        recorded = (used.max_iterations or limits.iterations) // every * problem.start.nbytes
        if recorded > limits.journal_bytes:
            message = (
                f"is {every}: so many thetas may take {recorded} bytes; at most {limits.journal_bytes} are allowed: "
                "record fewer, or set stopping.max_iterations"
            )
            found.append(FieldViolation("spec.record_theta.every", message))
    if found:
        raise Violations(found)
