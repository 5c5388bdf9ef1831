"""Every method through a real server gives the numbers that the solvers give in this process, to the bit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from nablad import client as c
from nablad import solvers as s

X = np.linspace(0.0, 4.0, 50)
Y = 2.0 * np.exp(-1.5 * X) + 0.5 + 0.05 * np.sin(40.0 * X)
TEXT, START = "b1*exp(-b2*x) + b3", {"b1": 1.0, "b2": 1.0, "b3": 0.0}
CURVE = c.Expression.parse(TEXT, data={"x": X}, response=Y, start=START)

PAIRS: list[tuple[Any, Any]] = [
    (c.GradientDescent(), s.GradientDescent()),
    (c.GradientDescent(1e-3, momentum=0.5), s.GradientDescent(s.Constant(1e-3), momentum=0.5)),
    (c.GradientDescent(c.WolfeSearch(curvature=0.4)), s.GradientDescent(s.Wolfe(curvature=0.4))),
    (c.GradientDescent(c.BarzilaiBorwein(memory=5)), s.GradientDescent(s.BarzilaiBorwein(memory=5))),
    (c.GradientDescent(nesterov=True), s.GradientDescent(nesterov=True)),
    (c.Newton(), s.Newton()),
    (c.Newton(c.ArmijoSearch(shrink=0.4)), s.Newton(s.Armijo(shrink=0.4))),
    (c.Newton(trust_region=c.TrustRegion(0.3)), s.Newton(s.TrustRegion(initial_radius=0.3))),
    (c.Newton(curvature="exact", linear_solver="cg"), s.Newton(curvature="exact", linear_solver="cg")),
    (c.GaussNewton(c.ArmijoSearch(max_trials=30)), s.GaussNewton(s.Armijo(max_trials=30))),
    (
        c.LevenbergMarquardt(0.2, geodesic_acceleration=True),
        s.LevenbergMarquardt(initial_radius=0.2, geodesic_acceleration=True),
    ),
    (c.NonlinearConjugateGradient("polak_ribiere"), s.NonlinearConjugateGradient("polak_ribiere")),
    (
        c.NonlinearConjugateGradient(line_search=c.WolfeSearch(sufficient_decrease=1e-3)),
        s.NonlinearConjugateGradient(line_search=s.Wolfe(sufficient_decrease=1e-3, curvature=0.1)),
    ),
    (c.BFGS(), s.BFGS()),
    (c.LBFGS(4, c.WolfeSearch(initial_step=0.01)), s.LBFGS(4, s.Wolfe(initial=0.01))),
    (
        c.StochasticGradientDescent(
            1e-3, c.InverseTimeDecay(0.1), 2, momentum=0.9, nesterov=True, batch_size=8, seed=4
        ),
        s.StochasticGradientDescent(
            1e-3, s.Schedule(s.InverseTime(0.1), 2), momentum=0.9, nesterov=True, batch_size=8, seed=4
        ),
    ),
    (
        c.Adam(0.05, c.StepDecay(5, 0.5), beta1=0.8, beta2=0.99, epsilon=1e-6, batch_size=16, seed=9),
        s.Adam(0.05, s.Schedule(s.StepDecay(5, 0.5)), beta1=0.8, beta2=0.99, epsilon=1e-6, batch_size=16, seed=9),
    ),
    (c.Adam(schedule=c.CosineDecay(20)), s.Adam(schedule=s.Schedule(s.Cosine(20)))),
    (c.Adam(schedule=c.ExponentialDecay(0.9)), s.Adam(schedule=s.Schedule(s.Exponential(0.9)))),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[repr(ours)[:60] for ours, _ in PAIRS])
def test_the_service_and_the_solvers_agree_to_the_bit(client: Any, ours: Any, theirs: Any) -> None:
    result = client.solve(CURVE, ours, stopping=c.Stopping(max_iterations=25)).result()
    model = s.Expression.parse(TEXT, data={"x": X}, response=Y, start=START)
    report = s.solve(model.objective(), theirs, model.start(), s.Stopping(max_iterations=25))
    assert result.theta.tobytes() == report.theta.tobytes()
    assert result.loss == report.value
    assert result.iterations == report.iterations
    assert result.message.startswith(report.message.partition(".")[0])
    assert result.settings_used["method"] == theirs.name


def test_an_exact_step_is_for_quadratics(client: Any) -> None:
    line = c.LeastSquares(X[:, None], Y, intercept=True)
    assert client.solve(line, c.GradientDescent(c.ExactStep())).result().success
    with pytest.raises(c.InvalidRequest) as caught:
        client.solve(CURVE, c.GradientDescent(c.ExactStep()))
    assert [v.field for v in caught.value.violations] == ["method.step"]


def test_bounds_by_name(client: Any) -> None:
    free = client.solve(CURVE).result()
    assert free.evidence.active_bounds is None
    run = client.solve(CURVE, bounds={"b1": (0, None), "b3": (0.6, 9)}, record_theta=c.RecordTheta.every(1))
    assert all(it.theta[2] >= 0.6 for it in run)
    result = run.result()
    assert result.success
    assert result.parameters["b3"] == 0.6
    assert result.evidence.active_bounds == 1
    assert "on a bound" in repr(result)
    assert result.loss > free.loss
    held = c.Expression.parse(
        "b1*exp(-b2*x) + 0.6", data={"x": X}, response=Y, start={"b1": 1.0, "b2": 1.0}
    )  # what the bound comes to
    np.testing.assert_allclose(result.theta[:2], client.solve(held).result().theta, rtol=1e-7)
    for bounds in ((None, [9, 9, 0.4]), {"b3": (None, 0.4)}, (None, {"b3": 0.4})):
        assert client.solve(CURVE, c.LBFGS(), bounds=bounds).result().parameters["b3"] == 0.4


def test_a_start_out_of_bounds_and_a_method_that_cannot_keep_them(client: Any) -> None:
    with pytest.raises(c.InvalidRequest, match=r"start: element 2 \(b3\) is 5, outside its bounds \[0, 1\]"):
        client.solve(CURVE, start={"b1": 1, "b2": 1, "b3": 5}, bounds={"b3": (0, 1)})
    with pytest.raises(c.InvalidRequest, match=r"method: BFGS cannot .* Newton, .*LevenbergMarquardt, .*LBFGS"):
        client.solve(CURVE, c.BFGS(), bounds=(0, None))
    with pytest.raises(c.InvalidRequest, match=r"bounds\.upper: has shape \(2,\)"):
        client.solve(CURVE, bounds=(None, [1, 2]))
    summary = client.validate(CURVE, c.LevenbergMarquardt(), bounds={"b1": (0, None)})
    assert summary.method == "levenberg_marquardt"


def test_without_a_method_the_result_says_which_and_why(client: Any) -> None:
    summary = client.validate(CURVE)
    result = client.solve(CURVE).result()
    assert result.method_reason == summary.method_reason != ""
    assert result.settings_used["method"] == summary.method
    assert f"{summary.method}: {summary.method_reason.split('.')[0][:40]}" in repr(result).replace("\n", " ")
    assert client.solve(CURVE, c.Newton()).result().method_reason == ""


def test_the_statistics_are_nists(client: Any) -> None:
    """Misra1a, whose certified standard deviations have eleven digits (NIST StRD, nonlinear regression)."""
    x = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
    y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]
    model = c.Expression.parse("b1*(1-exp(-b2*x))", data={"x": x}, response=y, start={"b1": 500.0, "b2": 1e-4})
    found = client.solve(model).result().statistics
    assert (found.observations, found.degrees_of_freedom) == (14, 12)
    assert found.residual_standard_deviation == pytest.approx(1.0187876330e-01, rel=1e-8)
    assert found.residual_sum_of_squares == pytest.approx(1.2455138894e-01, rel=1e-8)
    np.testing.assert_allclose(found.standard_errors, [2.7070075241, 7.2668688436e-06], rtol=1e-7)
    assert found.named_standard_errors["b1"] == found.standard_errors[0]
    assert found.theta == pytest.approx([2.3894212918e02, 5.5015643181e-04], rel=1e-8)
    low, high = found.confidence_intervals(0.95)["b1"]
    t = 2.1788128296634177  # of 12 degrees of freedom
    assert (high - low) / 2 == pytest.approx(t * 2.7070075241, rel=1e-7)
    assert re.search(r"^  b1 +238\.94212\d+ +2\.70701 ", repr(found), re.MULTILINE)
    scalar = c.Expression.parse("(a - 1)**2", start={"a": 0.0})
    assert client.solve(scalar).result().statistics is None


def test_predictions_with_intervals(client: Any) -> None:
    line = c.LeastSquares(X[:, None], Y, intercept=True)
    result = client.solve(line).result()
    new = np.array([[0.5], [7.0]])
    design, rows = np.column_stack([X, np.ones(50)]), np.column_stack([new, np.ones(2)])
    leverage = np.einsum("ni,ij,nj->n", rows, np.linalg.inv(design.T @ design), rows)
    s_squared, t = result.loss / 48, 1.6772241953450402  # 90 % of 48 degrees of freedom
    plain = client.predict(result, new)
    for kind, extra in (("confidence", 0.0), ("prediction", 1.0)):
        found = client.predict(result, new, interval=kind, level=0.9)
        assert (found.interval, found.level) == (kind, 0.9)
        np.testing.assert_array_equal(found.outputs, plain)
        np.testing.assert_allclose(found.upper - plain, t * np.sqrt(s_squared * (leverage + extra)), rtol=1e-9)
        np.testing.assert_allclose(plain - found.lower, found.upper - plain, rtol=1e-9)
    curve = client.solve(CURVE).result()
    found = client.predict(curve, {"x": [0.0, 9.0]}, interval="confidence")
    assert (found.lower < found.outputs).all()
    for arguments, field in (
        ({"interval": "tolerance"}, "interval"),
        ({"interval": "confidence", "level": 95}, "level"),
        ({"level": 0.5}, "level"),
        ({"interval": 3}, "interval"),
    ):
        with pytest.raises(c.InvalidRequest) as caught:
            client.predict(result, new, **arguments)
        assert [v.field for v in caught.value.violations] == [field]


def test_new_data_are_checked_by_their_names(client: Any) -> None:
    model = c.Expression.parse("a*x + b*u", data={"x": X, "u": X**2}, response=Y, start={"a": 1.0, "b": 1.0})
    result = client.solve(model).result()
    line = client.solve(c.LeastSquares(X[:, None], Y)).result()
    cases: list[tuple[Any, Any, str]] = [
        (result, {}, "X: 'x' is missing"),
        (result, {"u": [1.0]}, "X: 'x' is missing"),
        (result, {"x": [1.0, np.nan], "u": [1.0, 2.0]}, "X['x'][1]: is nan; every number must be finite"),
        (line, {}, "X: is required"),
        (line, [[1.0], [np.inf]], "X[1, 0]: is inf; every number must be finite"),
    ]
    for fit, new, words in cases:
        with pytest.raises(c.InvalidRequest) as caught:
            client.predict(fit, new)
        assert str(caught.value).startswith(words), str(caught.value)


def test_nothing_is_predicted_from_a_start_that_is_not_finite(client: Any) -> None:
    model = c.Expression.parse("log(a)*x", data={"x": X}, response=Y, start={"a": -1.0})
    result = client.solve(model).result()
    assert result.status == "FAILED_NONFINITE_START"
    for more in ({}, {"interval": "confidence"}):
        with pytest.raises(c.Conflict, match="not finite: solve again from another start"):
            client.predict(result, {"x": [1.0]}, **more)


def test_intervals_tell_what_the_statistics_warn_of(client: Any) -> None:
    new = {"x": [1.0]}
    cut = client.solve(CURVE, c.Newton(), stopping=c.Stopping(max_iterations=1)).result()
    assert not cut.success
    found = client.predict(cut, new, interval="confidence")
    assert found.warnings == cut.statistics.warnings
    assert "did not converge" in found.warnings[0]
    whole = client.solve(CURVE).result()
    assert client.predict(whole, new, interval="confidence").warnings == whole.statistics.warnings


def test_a_start_that_bounds_move_is_told(client: Any) -> None:
    """Of values that somebody chose; where a model has a start of its own, nobody cares."""
    run = client.solve(CURVE, bounds={"b1": (2.0, 3.0), "b3": (None, -0.5)})
    warned = [event.message for event in run.events() if isinstance(event, c.SolveWarning)]
    assert warned[0] == "The start lay outside the bounds and was moved to them: b1 from 1 to 2, b3 from 0 to -0.5."
    for quiet in (
        client.solve(CURVE, bounds={"b1": (0.0, 3.0)}),
        client.solve(c.LeastSquares(X[:, None], Y), bounds=(1.0, 2.0)),
    ):
        assert not any("start" in e.message for e in quiet.events() if isinstance(e, c.SolveWarning))


@pytest.mark.parametrize("method", [c.Adam(), c.StochasticGradientDescent(1e-7), c.GradientDescent(1e-9)])
def test_a_cancelled_run_keeps_its_best_point(client: Any, long_model: Any, method: Any) -> None:
    run = client.solve(long_model, method, stopping=c.Stopping(max_iterations=10**6))
    for it in run:
        if it.iteration == 3:
            run.cancel()
    result = run.result()
    assert result.status == "USER_CANCELLED"
    assert np.isfinite(result.theta).all()
    assert result.loss <= result.history[0].loss
