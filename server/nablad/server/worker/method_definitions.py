"""What a SolveSpec may say of a method: one pydantic model for each message of method.proto, by the same names.

Ranges are checked here, and which settings exclude each other; defaults are the solvers' own (methods.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from nablad.server.worker.border import ZERO_IF_ABSENT, Coefficient, Definition, Factor, OneOf, Positive, Share, wrong


def _one_of(*words: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in words:
            raise PydanticCustomError("word", "must be {words}", {"words": _listed(words)})
        return value

    return check


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


SufficientDecrease = Annotated[float, Field(gt=0, lt=0.5)]
Curvature = Annotated[str, AfterValidator(_one_of("blend", "exact"))]
LinearSolver = Annotated[str, AfterValidator(_one_of("dense", "cg"))]
Formula = Annotated[str, AfterValidator(_one_of("hager_zhang", "polak_ribiere", "fletcher_reeves"))]


class ConstantStep(Definition):
    step_size: Positive = ZERO_IF_ABSENT


class ArmijoSearch(Definition):
    initial_step: Positive | None = None
    sufficient_decrease: SufficientDecrease | None = None
    shrink: Share | None = None
    max_trials: PositiveInt | None = None


class WolfeSearch(Definition):
    initial_step: Positive | None = None
    sufficient_decrease: SufficientDecrease | None = None
    curvature: Share | None = None
    max_trials: PositiveInt | None = None


class BarzilaiBorwein(Definition):
    memory: PositiveInt | None = None
    max_trials: PositiveInt | None = None


class ExactStep(Definition):
    pass


class GradientDescent(Definition):
    constant: ConstantStep | None = None
    armijo: ArmijoSearch | None = None
    wolfe: WolfeSearch | None = None
    barzilai_borwein: BarzilaiBorwein | None = None
    exact: ExactStep | None = None
    momentum: Coefficient | None = None
    nesterov: bool = False

    @model_validator(mode="after")
    def _momentum_is_one_of_two(self) -> Self:
        if self.nesterov and self.momentum is not None:
            raise wrong("nesterov", "excludes momentum: its own grows by itself; give one of them")
        return self


class TrustRegion(Definition):
    initial_radius: Positive | None = None


class Newton(Definition):
    line_search: ArmijoSearch | None = None
    trust_region: TrustRegion | None = None
    curvature: Curvature | None = None
    linear_solver: LinearSolver | None = None

    @model_validator(mode="after")
    def _conjugate_gradients_have_a_trust_region(self) -> Self:
        if self.linear_solver == "cg" and self.line_search is not None:
            raise wrong("linear_solver", "cg goes with a trust region, not with line_search; give one of them")
        return self


class GaussNewton(Definition):
    line_search: ArmijoSearch | None = None


class LevenbergMarquardt(Definition):
    initial_radius: Positive | None = None
    geodesic_acceleration: bool | None = None


class NonlinearConjugateGradient(Definition):
    formula: Formula | None = None
    line_search: WolfeSearch | None = None


class BFGS(Definition):
    line_search: WolfeSearch | None = None


class LBFGS(Definition):
    memory: PositiveInt | None = None
    line_search: WolfeSearch | None = None


class StepDecay(Definition):
    every: PositiveInt = ZERO_IF_ABSENT
    factor: Factor = ZERO_IF_ABSENT


class LearningRateSchedule(Definition):
    inverse_time_decay: Positive | None = None
    exponential_factor: Factor | None = None
    cosine_epochs: PositiveInt | None = None
    step_decay: StepDecay | None = None
    warmup_epochs: NonNegativeInt | None = None


class StochasticGradientDescent(Definition):
    learning_rate: Positive
    schedule: LearningRateSchedule | None = None
    momentum: Coefficient | None = None
    nesterov: bool = False
    batch_size: PositiveInt | None = None
    seed: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise wrong("nesterov", "needs momentum above 0: it looks ahead by it; 0.9 is usual")
        return self


class Adam(Definition):
    learning_rate: Positive | None = None
    schedule: LearningRateSchedule | None = None
    beta1: Coefficient | None = None
    beta2: Coefficient | None = None
    epsilon: Positive | None = None
    batch_size: PositiveInt | None = None
    seed: NonNegativeInt | None = None


class Method(OneOf):
    gradient_descent: GradientDescent | None = None
    newton: Newton | None = None
    gauss_newton: GaussNewton | None = None
    levenberg_marquardt: LevenbergMarquardt | None = None
    nonlinear_conjugate_gradient: NonlinearConjugateGradient | None = None
    bfgs: BFGS | None = None
    lbfgs: LBFGS | None = None
    stochastic_gradient_descent: StochasticGradientDescent | None = None
    adam: Adam | None = None
