"""Methods as messages: whatever can be said of one arrives, and what is not said is absent."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nablad import client
from nablad.client import (
    BFGS,
    LBFGS,
    Adam,
    ArmijoSearch,
    BarzilaiBorwein,
    ConstantStep,
    CosineDecay,
    ExactStep,
    ExponentialDecay,
    GaussNewton,
    GradientDescent,
    InvalidRequest,
    InverseTimeDecay,
    LevenbergMarquardt,
    Newton,
    NonlinearConjugateGradient,
    StepDecay,
    StochasticGradientDescent,
    TrustRegion,
    WolfeSearch,
)
from nablad.client.errors import METHODS, argument_name, from_details
from nablad.v1 import method_pb2
from nablad.wire.errors import ErrorDetails, FieldViolation

ARMIJO = ArmijoSearch(initial_step=0.5, sufficient_decrease=1e-3, shrink=0.25, max_trials=7)
WOLFE = WolfeSearch(initial_step=0.5, sufficient_decrease=1e-3, curvature=0.5, max_trials=8)
ARMIJO_MESSAGE = {"initial_step": 0.5, "sufficient_decrease": 1e-3, "shrink": 0.25, "max_trials": 7}
WOLFE_MESSAGE = {"initial_step": 0.5, "sufficient_decrease": 1e-3, "curvature": 0.5, "max_trials": 8}

MESSAGES: list[tuple[Any, dict[str, Any]]] = [
    (GradientDescent(), {"gradient_descent": {}}),
    (GradientDescent(0.1, momentum=0.9), {"gradient_descent": {"constant": {"step_size": 0.1}, "momentum": 0.9}}),
    (
        GradientDescent(ConstantStep(0.1), nesterov=True),
        {"gradient_descent": {"constant": {"step_size": 0.1}, "nesterov": True}},
    ),
    (GradientDescent(ARMIJO), {"gradient_descent": {"armijo": ARMIJO_MESSAGE}}),
    (GradientDescent(WOLFE), {"gradient_descent": {"wolfe": WOLFE_MESSAGE}}),
    (
        GradientDescent(BarzilaiBorwein(5, 9)),
        {"gradient_descent": {"barzilai_borwein": {"memory": 5, "max_trials": 9}}},
    ),
    (GradientDescent(ExactStep()), {"gradient_descent": {"exact": {}}}),
    (Newton(), {"newton": {}}),
    (Newton(line_search=ARMIJO, curvature="exact"), {"newton": {"line_search": ARMIJO_MESSAGE, "curvature": "exact"}}),
    (
        Newton(trust_region=TrustRegion(2.0), linear_solver="cg"),
        {"newton": {"trust_region": {"initial_radius": 2.0}, "linear_solver": "cg"}},
    ),
    (GaussNewton(ARMIJO), {"gauss_newton": {"line_search": ARMIJO_MESSAGE}}),
    (LevenbergMarquardt(0.1, True), {"levenberg_marquardt": {"initial_radius": 0.1, "geodesic_acceleration": True}}),
    (LevenbergMarquardt(geodesic_acceleration=False), {"levenberg_marquardt": {"geodesic_acceleration": False}}),
    (
        NonlinearConjugateGradient("fletcher_reeves", WOLFE),
        {"nonlinear_conjugate_gradient": {"formula": "fletcher_reeves", "line_search": WOLFE_MESSAGE}},
    ),
    (BFGS(WOLFE), {"bfgs": {"line_search": WOLFE_MESSAGE}}),
    (LBFGS(20, WOLFE), {"lbfgs": {"memory": 20, "line_search": WOLFE_MESSAGE}}),
    (StochasticGradientDescent(0.1), {"stochastic_gradient_descent": {"learning_rate": 0.1}}),
    (
        StochasticGradientDescent(0.1, StepDecay(10, 0.5), 3, momentum=0.9, nesterov=True, batch_size=64, seed=7),
        {"stochastic_gradient_descent": {
            "learning_rate": 0.1, "schedule": {"step_decay": {"every": 10, "factor": 0.5}, "warmup_epochs": 3},
            "momentum": 0.9, "nesterov": True, "batch_size": 64, "seed": 7}},
    ),
    (Adam(), {"adam": {}}),
    (
        Adam(0.01, CosineDecay(30), beta1=0.8, beta2=0.99, epsilon=1e-6, batch_size=16, seed=1),
        {"adam": {"learning_rate": 0.01, "schedule": {"cosine_epochs": 30}, "beta1": 0.8, "beta2": 0.99,
                  "epsilon": 1e-6, "batch_size": 16, "seed": 1}},
    ),
    (Adam(schedule=ExponentialDecay(0.9)), {"adam": {"schedule": {"exponential_factor": 0.9}}}),
    (Adam(schedule=InverseTimeDecay(0.1)), {"adam": {"schedule": {"inverse_time_decay": 0.1}}}),
    (Adam(warmup_epochs=2), {"adam": {"schedule": {"warmup_epochs": 2}}}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_a_method_is_its_message(method: Any, message: dict[str, Any]) -> None:
    assert method.to_proto() == method_pb2.Method(**message)
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.anything = 1


def test_every_method_of_the_wire_can_be_said() -> None:
    said = {next(iter(message)) for _, message in MESSAGES}
    assert said == {field.name for field in method_pb2.Method.DESCRIPTOR.fields}


REFUSED: list[tuple[str, Any]] = [
    ("method.step", GradientDescent("fast")),  # type: ignore[arg-type]
    ("method.momentum", GradientDescent(momentum="much")),  # type: ignore[arg-type]
    ("method.line_search", Newton(WOLFE)),  # type: ignore[arg-type]
    ("method.trust_region", Newton(trust_region=1.0)),  # type: ignore[arg-type]
    ("method.trust_region", Newton(ARMIJO, TrustRegion())),
    ("method.line_search", BFGS(ARMIJO)),  # type: ignore[arg-type]
    ("method.line_search.max_trials", LBFGS(line_search=WolfeSearch(max_trials=0.5))),  # type: ignore[arg-type]
    ("method.memory", LBFGS(1 << 40)),
    ("method.schedule", Adam(schedule=0.9)),  # type: ignore[arg-type]
    ("method.schedule.factor", Adam(schedule=StepDecay(3, "half"))),  # type: ignore[arg-type]
    ("method.schedule.epochs", Adam(schedule=CosineDecay(0.5))),  # type: ignore[arg-type]
    ("method.warmup_epochs", Adam(warmup_epochs=-0.5)),  # type: ignore[arg-type]
    ("method.seed", Adam(seed=-1)),
    ("method.step", GradientDescent(True)),
    ("method.nesterov", GradientDescent(nesterov="yes")),  # type: ignore[arg-type]
    ("method.geodesic_acceleration", LevenbergMarquardt(geodesic_acceleration=2)),  # type: ignore[arg-type]
    ("method.curvature", Newton(curvature=3)),  # type: ignore[arg-type]
    ("method.memory", LBFGS(2.5)),  # type: ignore[arg-type]
    ("method.memory", LBFGS(True)),
    ("method.learning_rate", StochasticGradientDescent("slow")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("field", "method"), REFUSED, ids=[field for field, _ in REFUSED])
def test_what_no_message_can_hold_is_refused_by_the_callers_name(field: str, method: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        method.to_proto()
    assert [v.field for v in caught.value.violations] == [field]
    description = caught.value.violations[0].description
    assert "needed" in description or "give one of them" in description, description


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Newton(curvature=3), "method.curvature: is 3; a text is needed"),  # type: ignore[arg-type]
        (LBFGS(memory=2.5), "method.memory: is 2.5; a whole number is needed"),  # type: ignore[arg-type]
        (GradientDescent(nesterov="yes"), "method.nesterov: is 'yes'; True or False is needed"),  # type: ignore[arg-type]
        (LBFGS(2**31), "method.memory: is 2147483648; a whole number from -2147483648 to 2147483647 is needed"),
    ],
)
def test_the_words_are_not_protobufs(method: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        method.to_proto()
    assert str(caught.value) == words


def test_methods_have_the_names_of_their_classes() -> None:
    told = "bfgs cannot keep parameters within bounds; these can: gradient_descent, lbfgs"
    details = ErrorDetails("INVALID_ARGUMENT", "", violations=(FieldViolation("spec.method.bfgs", told),))
    words = "method: BFGS cannot keep parameters within bounds; these can: GradientDescent, LBFGS"
    assert str(from_details(details, "a server")) == words
    assert set(METHODS.values()) <= set(vars(client))


@pytest.mark.parametrize(
    ("path", "argument"),
    [
        ("spec.method.gradient_descent.wolfe.curvature", "method.step.curvature"),
        ("spec.method.gradient_descent.barzilai_borwein.memory", "method.step.memory"),
        ("spec.method.newton.trust_region.initial_radius", "method.trust_region.initial_radius"),
        ("spec.method.newton.linear_solver", "method.linear_solver"),
        ("spec.method.lbfgs.memory", "method.memory"),
        ("spec.method.bfgs", "method"),
        ("spec.method.nonlinear_conjugate_gradient.formula", "method.formula"),
        ("spec.method.adam.schedule.cosine_epochs", "method.schedule.epochs"),
        ("spec.method.adam.schedule.exponential_factor", "method.schedule.factor"),
        ("spec.method.adam.schedule.inverse_time_decay", "method.schedule.decay"),
        ("spec.method.adam.schedule.step_decay.every", "method.schedule.every"),
        ("spec.method.adam.schedule.warmup_epochs", "method.warmup_epochs"),
        ("spec.method.stochastic_gradient_descent.batch_size", "method.batch_size"),
        ("spec.bounds.lower", "bounds.lower"),
        ("interval.kind", "interval"),
        ("interval.level", "level"),
    ],
)
def test_the_servers_paths_become_the_callers_names(path: str, argument: str) -> None:
    assert argument_name(path) == argument
