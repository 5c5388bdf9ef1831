r"""What a fit says of its parameters and predictions, by linearization at its minimum.

With y = f(theta) + e, the e_i independent, of mean 0 and variance sigma^2 / w_i, and J the Jacobian of the weighted
residuals, in the response's units, at the minimum (Seber and Wild 2003, sections 2.1.2 and 5.1; Bates and Watts 1988,
section 1.3):

    s^2 = RSS / (m - rank J)            an unbiased estimate of sigma^2 where f is linear
    cov(theta) = s^2 (J'J)^-1           exact where f is linear, to first order else
    theta_j +- t(m - p) se_j            the interval for one parameter (statistics.confidence is the client's)
    f +- t(m - p) s sqrt(g'(J'J)^-1 g)  the interval for f at new data, g = df/dtheta there (the delta method)
    f +- t(m - p) s sqrt(1 + ...)       the interval for a new observation of weight 1 there

With J = QR, streamed over row blocks, and c the lengths of R's columns, (J'J)^-1 = C^-1 T T' C^-1, T = (R C^-1)^-1. A
standard error is s times the length of a row of C^-1 T, so that no digit is lost to kappa^2: on NIST's Filip, of
condition 1e15, six are right where the normal equations have none. Only where J has more than 100,000 entries and a
condition below 1e4 does R come from J'J by Cholesky, whose error of kappa^2 eps is then no matter.

What the numbers mean in special cases:

- reduction="mean" divides the objective by N; J and the residuals are taken before that.
- Weights: s is the standard deviation of an observation of weight 1; weight 0 is no observation.
- A penalty (ridge) is no data. m, RSS and the degrees of freedom are of the data alone; J in the covariance has the
  penalty's rows, as if they were prior observations. The penalized estimate is biased, so this is a warning.
- Where the data do not determine a parameter, its error is infinite and there is no covariance. A parameter held by a
  bound counts as known: its error is zero, and the others' are given that.

Cost: one pass over the rows, 2 m p^2 for QR, m p^2 for J'J; p^3 more; with `curvature`, a Hessian.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from nablad.solvers.advice import UNDETERMINED
from nablad.solvers.autodiff.derivatives import Function
from nablad.solvers.blas import one_blas_thread
from nablad.solvers.bounds import Bounds
from nablad.solvers.derivatives import Derivatives
from nablad.solvers.evidence import affordable
from nablad.solvers.linalg.lapack import routine
from nablad.solvers.linalg.least_squares import Triangle, triangle
from nablad.solvers.linalg.normal_equations import well_conditioned
from nablad.solvers.linalg.vectors import epsilon, is_finite, norm
from nablad.solvers.models import InvalidModel, Model
from nablad.solvers.models.regression import Regression
from nablad.solvers.objective import FloatArray, Objective
from nablad.solvers.report import Evidence, Report, Statistics
from nablad.solvers.trouble import named
from nablad.solvers.words import counted

AUTOMATIC_SIZE = 300
"""Up to so many parameters a report gets its statistics unasked: they cost what a few iterations of Newton's do."""
NONLINEAR = 0.3
"""How far the curvature of the residuals may change J'J, relatively, before linear statistics are warned of: intervals
are then off by about half of it."""
MEANINGLESS = 10.0
"""Where it changes J'J by more than this factor, how much more is of no interest: J says nothing of the fit there."""
ROUNDOFF_FIT = 100.0
"""Residuals of so many roundings of the response are none."""
INVOLVED = 0.1
"""A parameter is named beside a direction if it has so much of its length, squared, in units of J's columns."""
LARGE_ENTRIES = 100_000
"""Of J: beyond, QR is a wait that shows."""
CHOLESKY_CONDITION = 1e4
"""Up to this condition of J, equilibrated, Cholesky leaves eight digits of a standard error."""
BLOCK_BYTES = 64 << 20
"""Of the Jacobian at new data, at a time."""


@dataclass(frozen=True)
class Factor:
    """(J'J)^-1 as C^-1 T T' C^-1 over the free parameters, in the response's units."""

    free: NDArray[np.intp]
    size: int
    root: FloatArray
    """C^-1 T, (k, rank): (J'J)^-1, or its pseudo-inverse in the units of the columns, is root @ root.T."""
    triangle: Triangle

    @property
    def null(self) -> FloatArray:
        """Orthonormal directions in units of the columns, (k, k - rank), that the data leave open."""
        if self.triangle.null is None:
            return np.zeros((self.free.size, 0), self.root.dtype)
        basis, _ = np.linalg.qr(self.triangle.null * self.triangle.scale[:, None])
        return np.asarray(basis)

    @property
    def undetermined(self) -> NDArray[np.intp]:
        """Which of the p parameters these directions move."""
        return np.asarray(self.free[np.sum(self.null**2, axis=1) > UNDETERMINED])

    def variances(self, G: FloatArray) -> FloatArray:
        """g'(J'J)^-1 g for the rows g of G (n, p), shape (n,); inf where g is not a combination of J's rows."""
        found = np.sum((G[:, self.free] @ self.root) ** 2, axis=1)
        scaled = G[:, self.free] / self.triangle.scale
        beyond = np.sum((scaled @ self.null) ** 2, axis=1)
        return np.asarray(np.where(beyond > UNDETERMINED * np.sum(scaled**2, axis=1), math.inf, found))


def statistics(
    model: Model,
    theta: ArrayLike,
    *,
    bounds: Bounds | None = None,
    converged: bool = True,
    curvature: bool = True,
    checkpoint: Callable[[], None] | None = None,
    threads: int = 1,
) -> Statistics:
    """Of the model fitted at theta (p,).

    `converged` tells whether theta is a minimum, `curvature` whether a Hessian may be computed to see how far the model
    is from linear. Raises InvalidModel("model", ...) where the objective is no sum of squares.
    """
    regression = _regression(model)
    point = model.start(theta)
    with one_blas_thread(), np.errstate(all="ignore"):
        objective = model.objective(checkpoint, threads)
        objective.bounds = bounds
        data = objective if regression.unpenalized is None else regression.unpenalized().objective(checkpoint, threads)
        value, gradient = objective.value_and_gradient(point)
        free = _free(point, gradient, bounds)
        factor = _factor(objective, point, free, regression.scale)
        squares = (value if data is objective else data.value(point)) / regression.scale
        rank = factor.triangle.rank if data is objective else _factor(data, point, free, regression.scale).triangle.rank
        freedom = regression.observations - rank
        warnings = [
            *_of_the_fit(regression, converged, freedom, squares, point, factor),
            *_of_the_parameters(objective, factor),
        ]
        if curvature and freedom > 0 and not objective.capabilities.affine and not factor.undetermined.size:
            warnings += _of_the_curvature(objective, point, factor, regression.scale)
        return _assembled(regression, factor, freedom, squares, tuple(warnings))


def with_statistics(
    report: Report,
    model: Model,
    bounds: Bounds | None = None,
    *,
    checkpoint: Callable[[], None] | None = None,
    threads: int = 1,
) -> Report:
    """The report of a run with the statistics of its fit.

    As it is, if the model is no regression, has more than AUTOMATIC_SIZE parameters, or the point is not finite.
    """
    if model.regression is None or model.size > AUTOMATIC_SIZE or not math.isfinite(report.value):
        return report
    curvature = affordable(model.objective(), report.counts.in_gradients(model.size))
    found = statistics(
        model,
        report.theta,
        bounds=bounds,
        converged=report.success and not _far(report.evidence),
        curvature=curvature,
        checkpoint=checkpoint,
        threads=threads,
    )
    return replace(report, statistics=found)


def _far(evidence: Evidence) -> bool:
    """Whether the curvature was measured and shows no stationary point near: a loose tolerance ended the run."""
    return evidence.verdict == "unverified" and evidence.rank is not None


@dataclass(frozen=True, eq=False)
class Intervals:
    """Predictions at new data with intervals around them, each of the prediction's shape."""

    centre: FloatArray
    lower: FloatArray
    upper: FloatArray
    level: float
    kind: str


KINDS = ("confidence", "prediction")


def intervals(
    model: Model,
    theta: ArrayLike,
    inputs: ArrayLike | Mapping[str, ArrayLike],
    *,
    kind: str = "confidence",
    level: float = 0.95,
    found: Statistics | None = None,
    bounds: Bounds | None = None,
    checkpoint: Callable[[], None] | None = None,
    threads: int = 1,
) -> Intervals:
    """What the model fitted at theta predicts at new data, with intervals: "confidence" of the mean response there,
    "prediction" of one more observation of weight 1.

    Pointwise, not simultaneous. They are infinite where the data do not determine the prediction. `found`
    are the fit's statistics, computed where not given. Raises InvalidModel for a model that is no regression or that
    leaves no degrees of freedom ("model"), and for `kind`, `level` or `inputs`.
    """
    if kind not in KINDS:
        raise InvalidModel("kind", f"is {kind!r}; known are {', '.join(KINDS)}")
    if not 0.0 < level < 1.0:
        raise InvalidModel("level", f"is {level}; a number between 0 and 1 is needed")
    regression, point = _regression(model), model.start(theta)
    known = found or statistics(model, point, bounds=bounds, curvature=False, checkpoint=checkpoint, threads=threads)
    s = known.residual_standard_deviation
    if s is None:
        raise InvalidModel("model", "leaves no degrees of freedom: as many parameters as observations, no intervals")
    with one_blas_thread(), np.errstate(all="ignore"):
        objective = model.objective(checkpoint, threads)
        free = _free(point, objective.gradient(point), bounds)
        factor = _factor(objective, point, free, regression.scale)
        centre = model.predict(point, inputs)
        variances = _variances(model, point, inputs, factor, checkpoint, threads).reshape(centre.shape)
    noise = 1.0 if kind == "prediction" else 0.0
    width = float(stdtrit(known.degrees_of_freedom, 0.5 + 0.5 * level)) * s * np.sqrt(variances + noise)
    width = np.asarray(width, centre.dtype)
    return Intervals(centre, centre - width, centre + width, level, kind)


def _regression(model: Model) -> Regression:
    if model.regression is None:
        raise InvalidModel("model", "is no sum of squares of differences from data: it has no residuals to judge by")
    return model.regression


def _free(theta: FloatArray, gradient: FloatArray, bounds: Bounds | None) -> NDArray[np.intp]:
    return np.arange(theta.size) if bounds is None else np.flatnonzero(bounds.free(theta, gradient))


def _triangle_of_j(objective: Objective, theta: FloatArray) -> FloatArray:
    """R (k, p) with R'R = J'J: where J is large, and that leaves eight digits of R, by Cholesky; else by QR."""
    if objective.rows * objective.size > LARGE_ENTRIES and objective.dtype == np.float64:
        found = well_conditioned(objective.gram(theta).jtj, CHOLESKY_CONDITION)
        if found is not None:
            return found[0]
    return objective.tsqr(theta).r


def _factor(objective: Objective, theta: FloatArray, free: NDArray[np.intp], scale: float) -> Factor:
    R = np.asarray(_triangle_of_j(objective, theta)[:, free] / math.sqrt(scale))
    if not is_finite(R):
        raise InvalidModel("model", "has a Jacobian with NaN or infinite entries at this theta")
    if R.shape[0] > free.size:
        R = np.asarray(np.linalg.qr(R, mode="r"))
    found = triangle(R)
    if found.upper is not None:
        inverse, _ = routine("trtri", found.upper)(found.upper)
        root = np.triu(inverse) / found.scale[:, None]
    else:
        assert found.right is not None
        assert found.singular is not None
        root = found.right / found.singular / found.scale[:, None]
    return Factor(free, theta.size, np.asarray(root), found)


def _assembled(
    regression: Regression, factor: Factor, freedom: int, squares: float, warnings: tuple[str, ...]
) -> Statistics:
    if freedom <= 0:
        return Statistics(regression.observations, max(freedom, 0), squares, None, None, None, warnings)
    s = math.sqrt(max(squares, 0.0) / freedom)
    errors = np.zeros(factor.size, factor.root.dtype)
    errors[factor.free] = [s * norm(row) for row in factor.root]
    errors[factor.undetermined] = math.inf
    covariance = None
    if not factor.undetermined.size:
        covariance = np.zeros((factor.size, factor.size), factor.root.dtype)
        scaled = s * factor.root
        covariance[np.ix_(factor.free, factor.free)] = scaled @ scaled.T
    return Statistics(regression.observations, freedom, squares, s, errors, covariance, warnings)


def _of_the_fit(
    regression: Regression, converged: bool, freedom: int, squares: float, theta: FloatArray, factor: Factor
) -> list[str]:
    """Warnings on the data and the run."""
    found = []
    if not converged:
        found.append("The run did not converge: these numbers are of the point that it reached, not of a minimum.")
    if freedom <= 0:
        found.append(
            f"{counted(regression.observations, 'observation')} determine no fewer parameters and leave no degrees of "
            f"freedom: nothing tells how uncertain they are."
        )
    spread = ROUNDOFF_FIT * epsilon(theta.dtype) * norm(factor.triangle.scale * theta[factor.free])
    if freedom > 0 and squares <= spread * spread:
        found.append(
            "The residuals are no more than roundoff: a perfect fit, of which s and all that follows is noise."
        )
    if regression.unpenalized is not None:
        found.append(
            "The penalty enters the covariance as if it were prior observations; the estimate is biased towards it, "
            "and intervals around it do not cover the truth as often as they say."
        )
    if regression.weighted:
        found.append(
            "With weights, s is the standard deviation of an observation of weight 1, and weights are relative."
        )
    return found


def _of_the_parameters(objective: Objective, factor: Factor) -> list[str]:
    """Warnings on what the data leave open, or bounds decide."""
    found = []
    undetermined = factor.undetermined
    if undetermined.size:
        found.append(
            f"The data do not determine {named(objective, undetermined, factor.size)}: the errors are infinite, and "
            f"there is no covariance."
        )
    held = np.setdiff1d(np.arange(factor.size), factor.free)
    if held.size:
        others = ", and the others' errors are given that" if factor.free.size else ""
        found.append(f"Bounds hold {named(objective, held, factor.size)}: counted as known, with no error{others}.")
    return found


def _of_the_curvature(objective: Objective, theta: FloatArray, factor: Factor, scale: float) -> list[str]:
    """How much the residuals' second derivatives change J'J: B = T'(H / 2) T - I, in no units (Seber and Wild 2003,
    section 4.2; Hamilton, Watts and Bates 1982)."""
    if not factor.free.size:
        return []  # bounds hold every parameter
    H = objective.hessian(theta)[np.ix_(factor.free, factor.free)] / (2.0 * scale)
    B = factor.root.T @ H @ factor.root
    if not is_finite(B):
        return []
    values, vectors = np.linalg.eigh(0.5 * (B + B.T))
    change = np.abs(values - 1.0)
    worst = int(np.argmax(change))
    if change[worst] <= NONLINEAR:
        return []
    if change[worst] <= MEANINGLESS:
        return [
            f"The residuals' curvature changes J'J by up to {100.0 * change[worst]:.0f} %: the model is far from "
            f"linear within the uncertainty of its parameters, and errors and intervals by linearization are rough."
        ]
    along = factor.triangle.scale * (factor.root @ vectors[:, worst])
    moved = factor.free[along**2 > INVOLVED * along.dot(along)]
    return [
        f"The residuals' curvature changes J'J by more than {100.0 * MEANINGLESS:,.0f} %, most along "
        f"{named(objective, moved, factor.size)}: there the model is nowhere near linear, and errors and intervals by "
        f"linearization mean nothing."
    ]


def _variances(
    model: Model,
    theta: FloatArray,
    inputs: ArrayLike | Mapping[str, ArrayLike],
    factor: Factor,
    checkpoint: Callable[[], None] | None,
    threads: int,
) -> FloatArray:
    """g'(J'J)^-1 g for every element of the prediction, flat; the Jacobian is held for some rows at a time."""

    def part(some: ArrayLike | Mapping[str, ArrayLike]) -> FloatArray:
        derivatives = Derivatives(model, inputs=some, checkpoint=checkpoint, threads=threads)
        return factor.variances(np.asarray(derivatives.jacobian(theta).array).reshape(-1, theta.size))

    problem = model.problem
    function = Function(problem.output, problem.parameters, problem.data)
    _, rows = model.new_data(inputs)
    height = max(1, BLOCK_BYTES // max(1, function.elements(1) * theta.size * theta.itemsize))
    if rows <= height or not function.by_rows:
        return part(inputs)
    return np.concatenate([part(_rows_of(model, inputs, k, k + height)) for k in range(0, rows, height)])


def _rows_of(
    model: Model, inputs: ArrayLike | Mapping[str, ArrayLike], start: int, stop: int
) -> FloatArray | dict[str, ArrayLike]:
    if not isinstance(inputs, Mapping):
        return np.asarray(inputs)[start:stop]
    names = {model.data_name(name) for name in model.by_rows}
    return {name: np.asarray(x)[start:stop] if name in names else x for name, x in inputs.items()}
