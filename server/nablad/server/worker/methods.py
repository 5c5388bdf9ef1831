"""From what a spec says of its method to the solvers' own: a table of rows, defaults where nothing is said.

What no row can know alone is checked here, too: whether the objective has what the method needs, whether the method
can keep bounds, whether batches fit the rows, and how much memory its matrices take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nablad import solvers
from nablad.server.settings import Limits
from nablad.server.worker import method_definitions as definitions
from nablad.server.worker.border import Definition
from nablad.server.worker.violations import Violations
from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import join

FIELD = "spec.method"
T = TypeVar("T")


@dataclass(frozen=True)
class Chosen:
    """A method, where the spec says it, and why it was taken if nobody named one."""

    method: solvers.Method[Any]
    field: str = FIELD
    reason: str = ""


def choose(given: definitions.Method | None, objective: solvers.Objective, limits: Limits) -> Chosen:
    """The method that a spec asks for, or else the solvers' choice for this objective in its bounds. Violations."""
    if given is None:
        method, reason = solvers.choose_method(objective, objective.bounds)
        _check_fit(method, FIELD, objective)
        return Chosen(_affordable(method, objective, limits), FIELD, reason)
    kind, definition = given.chosen
    field = f"{FIELD}.{kind}"
    try:
        method = _METHODS[kind](definition)
    except solvers.InvalidSetting as error:
        raise Violations([FieldViolation(join(field, error.setting), error.text)]) from None
    except ValueError as error:
        raise Violations([FieldViolation(field, str(error))]) from None
    _check_fit(method, field, objective, definition)
    return Chosen(_affordable(_in_batches(method, definition, field, objective.rows), objective, limits), field)


def _check_fit(
    method: solvers.Method[Any], field: str, objective: solvers.Objective, definition: Definition | None = None
) -> None:
    """Whether the objective has what the method needs, and the method can keep its bounds."""
    try:
        solvers.check_supported(method, objective)
    except solvers.UnsupportedObjective as error:
        text, setting = str(error), error.setting
        if error.needs == "no bounds":
            others = ", ".join(
                name for name, other in solvers.METHODS.items() if _bounded(other) and name != method.name
            )
            text += f"; leave it out, or take one of {others}" if setting else f"; these can: {others}"
        raise Violations([FieldViolation(_at(field, _member(setting, definition)), text)]) from None


def _at(field: str, member: str) -> str:
    return join(field, member) if member else field


def _member(setting: str, definition: Definition | None) -> str:
    """The field of a setting: that of a step length or a globalization is named for its kind."""
    kinds = _KINDS.get(setting)
    if kinds is None or definition is None:
        return setting
    return next((kind for kind in kinds if kind in definition.model_fields_set), "")


def check_rules(method: solvers.Method[Any], decrement_tolerance: float | None) -> None:
    """Whether the method can test the rule: only those of second order know Newton's decrement."""
    if decrement_tolerance is None or method.order > 1:
        return
    able = ", ".join(name for name, other in solvers.METHODS.items() if _order(other) > 1)
    text = f"is a rule of {able}; {method.name} never knows the decrement: give gradient_tolerance or step_tolerance"
    raise Violations([FieldViolation("spec.stopping.decrement_tolerance", text)])


def _order(kind: Any) -> int:
    return int(kind.order)


def _bounded(kind: Any) -> bool:
    return bool(kind.bounded)


def _in_batches(method: T, definition: Definition, field: str, rows: int) -> T:
    """The method with batches of at most all rows. To ask for larger ones is an error; the default may be larger."""
    size = getattr(method, "batch_size", 0)
    if size <= rows:
        return method
    if "batch_size" in definition.model_fields_set:
        text = f"is {size}, and the model has {rows} data row{'s' if rows != 1 else ''}"
        raise Violations([FieldViolation(join(field, "batch_size"), text)])
    return replace(method, batch_size=rows)  # type: ignore[type-var]


# Memory


def _newton_numbers(method: Any, parameters: int) -> int:
    return 0 if method.linear_solver == "cg" else parameters**2


_NUMBERS: dict[str, Callable[[Any, int], int]] = {
    "newton": _newton_numbers,
    "gauss_newton": lambda method, p: p**2,
    "levenberg_marquardt": lambda method, p: p**2,
    "bfgs": lambda method, p: p**2,
    "lbfgs": lambda method, p: 2 * method.memory * p,
}
"""How many a method keeps beside a few vectors: one p x p matrix, or L-BFGS's pairs."""


def matrix_bytes(method: solvers.Method[Any], parameters: int, itemsize: int) -> int:
    """The memory of the method's matrices."""
    numbers = _NUMBERS.get(method.name)
    return 0 if numbers is None else numbers(method, parameters) * itemsize


def _affordable(method: T, objective: solvers.Objective, limits: Limits) -> T:
    """Newton's method, where its choice is free and its matrix would be too large, by conjugate gradients."""
    free = getattr(method, "linear_solver", "") is None
    if free and objective.size**2 * objective.dtype.itemsize > limits.hessian_bytes:
        return replace(method, linear_solver="cg")  # type: ignore[type-var]
    return method


GOVERNING = {"lbfgs": "memory"}
"""The setting that decides how much a method keeps; of the others it is their kind."""
LEAN = ("lbfgs", "nonlinear_conjugate_gradient", "gradient_descent", "newton with linear_solver cg")


def too_large(chosen: Chosen, parameters: int, size: int, limits: Limits) -> FieldViolation:
    """That the method's matrices take more than is allowed, and what would take less."""
    name = chosen.method.name
    setting = GOVERNING.get(name, "")
    given = f"is {getattr(chosen.method, setting)}: " if setting else ""
    text = (
        f"{given}{name} keeps {size} bytes for {parameters} parameters; at most {limits.hessian_bytes} are allowed: "
        f"{'lower it, or take one of' if setting else 'take one of'} {', '.join(n for n in LEAN if n != name)}"
    )
    return FieldViolation(_at(chosen.field, setting), text)


# The rows


def _given(definition: Definition, **names: str) -> dict[str, Any]:
    """The fields that have a value, under the solvers' names where these differ; the rest is the solvers' default."""
    given = {name: getattr(definition, name) for name in definition.model_fields_set}
    return {names.get(name, name): value for name, value in given.items()}


def _armijo(definition: definitions.ArmijoSearch, default: solvers.Armijo | None = None) -> solvers.Armijo:
    return replace(default or solvers.Armijo(), **_given(definition, initial_step="initial"))


def _wolfe(definition: definitions.WolfeSearch, default: solvers.Wolfe | None = None) -> solvers.Wolfe:
    whole = default or solvers.Wolfe()
    given = _given(definition, initial_step="initial")
    try:
        return replace(whole, **given)
    except solvers.InvalidSetting as error:
        if error.setting in given:
            raise
        text = f"must be below curvature, which is {whole.curvature} unless given; it is {given['sufficient_decrease']}"
        raise solvers.InvalidSetting("sufficient_decrease", text) from None


@contextmanager
def _inside(member: str) -> Iterator[None]:
    """What is wrong with a part's settings is so within the part."""
    try:
        yield
    except solvers.InvalidSetting as error:
        raise solvers.InvalidSetting(join(member, error.setting), error.text) from None


def _searching(make: Callable[..., Any], search: Callable[[Any, Any], Any]) -> Callable[[Any], solvers.Method[Any]]:
    """The row of a method with a line search; what is not said of that is as the method has it."""

    def row(definition: Definition) -> solvers.Method[Any]:
        settings = _given(definition)
        asked = settings.pop("line_search", None)
        method = make(**settings)
        if asked is not None:
            with _inside("line_search"):
                method = replace(method, line_search=search(asked, method.line_search))
        found: solvers.Method[Any] = method
        return found

    return row


_STEPS: dict[str, Callable[[Any], Any]] = {
    "constant": lambda d: solvers.Constant(d.step_size),
    "armijo": _armijo,
    "wolfe": _wolfe,
    "barzilai_borwein": lambda d: solvers.BarzilaiBorwein(**_given(d)),
    "exact": lambda d: solvers.Exact(),
}
_KINDS: dict[str, tuple[str, ...]] = {"step_length": tuple(_STEPS), "globalization": ("line_search", "trust_region")}
"""The fields that stand for a setting of the solvers, one of which is given."""


def _gradient_descent(definition: definitions.GradientDescent) -> solvers.Method[Any]:
    settings = _given(definition)
    for kind, make in _STEPS.items():
        if kind in settings:
            with _inside(kind):
                settings["step_length"] = make(settings.pop(kind))
    return solvers.GradientDescent(**settings)


def _newton(definition: definitions.Newton) -> solvers.Method[Any]:
    settings = _given(definition)
    line_search, trust_region = settings.pop("line_search", None), settings.pop("trust_region", None)
    if line_search is not None:
        settings["globalization"] = _armijo(line_search)
    elif trust_region is not None:
        settings["globalization"] = solvers.TrustRegion(**_given(trust_region))
    return solvers.Newton(**settings)


_DECAYS: dict[str, Callable[[Any], Any]] = {
    "inverse_time_decay": solvers.InverseTime,
    "exponential_factor": solvers.Exponential,
    "cosine_epochs": solvers.Cosine,
    "step_decay": lambda value: solvers.StepDecay(value.every, value.factor),
}


def _schedule(definition: definitions.LearningRateSchedule) -> solvers.Schedule:
    settings = _given(definition)
    for kind, make in _DECAYS.items():
        if kind in settings:
            settings["decay"] = make(settings.pop(kind))
    return solvers.Schedule(**settings)


def _stochastic(make: Callable[..., solvers.Method[Any]]) -> Callable[[Any], solvers.Method[Any]]:
    def row(definition: definitions.StochasticGradientDescent | definitions.Adam) -> solvers.Method[Any]:
        settings = _given(definition)
        if "schedule" in settings:
            settings["schedule"] = _schedule(settings["schedule"])
        return make(**settings)

    return row


_METHODS: dict[str, Callable[[Any], solvers.Method[Any]]] = {
    "gradient_descent": _gradient_descent,
    "newton": _newton,
    "gauss_newton": _searching(solvers.GaussNewton, _armijo),
    "levenberg_marquardt": lambda d: solvers.LevenbergMarquardt(**_given(d)),
    "nonlinear_conjugate_gradient": _searching(solvers.NonlinearConjugateGradient, _wolfe),
    "bfgs": _searching(solvers.BFGS, _wolfe),
    "lbfgs": _searching(solvers.LBFGS, _wolfe),
    "stochastic_gradient_descent": _stochastic(solvers.StochasticGradientDescent),
    "adam": _stochastic(solvers.Adam),
}
