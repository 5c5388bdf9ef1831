"""Methods on the wire: each with its own settings, bounds, the choice where none is named, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from server.derivations import ask, at
from server.running import (
    TIMEOUT,
    Running,
    array_of,
    end,
    iterates_of,
    least_squares,
    refused,
    result_of,
    serving,
    wait_for,
)

from nablad import solvers
from nablad.v1 import event_pb2, expression_pb2, method_pb2, model_pb2, solver_pb2
from nablad.wire.tensors import encode

X = np.linspace(0.0, 4.0, 60)
Y = 2.0 * np.exp(-1.5 * X) + 0.5 + 0.05 * np.sin(40.0 * X)


def decay(**start: float) -> model_pb2.Model:
    """b1 exp(-b2 x) + b3 beside Y."""
    expression = expression_pb2.Expression(text="b1*exp(-b2*x) + b3", response=encode(Y))
    for name, value in ({"b1": 1.0, "b2": 1.0, "b3": 0.0} | start).items():
        expression.parameters.add(name=name, value=encode(np.array(value)))
    expression.data.add(name="x", value=encode(X))
    return model_pb2.Model(expression=expression)


def rosenbrock() -> model_pb2.Model:
    """A scalar: no sum of squares, and no data rows."""
    expression = expression_pb2.Expression(text="100*(y - x**2)**2 + (1 - x)**2")
    for name, value in (("x", -1.2), ("y", 1.0)):
        expression.parameters.add(name=name, value=encode(np.array(value)))
    return model_pb2.Model(expression=expression)


def spec(method: dict[str, Any] | None = None, model: model_pb2.Model | None = None, **fields: Any) -> Any:
    chosen = None if method is None else method_pb2.Method(**method)
    return solver_pb2.SolveSpec(model=model or decay(), method=chosen, **fields)


def box(lower: Any = None, upper: Any = None) -> solver_pb2.Bounds:
    given = {"lower": lower, "upper": upper}
    return solver_pb2.Bounds(**{name: encode(np.array(side)) for name, side in given.items() if side is not None})


BATCHES = {"learning_rate": 1e-3, "batch_size": 7, "seed": 3}
METHODS: dict[str, dict[str, Any]] = {
    "gradient_descent": {"gradient_descent": {}},
    "gradient_descent_wolfe": {"gradient_descent": {"wolfe": {}}},
    "gradient_descent_barzilai_borwein": {"gradient_descent": {"barzilai_borwein": {}}},
    "gradient_descent_nesterov": {"gradient_descent": {"nesterov": True}},
    "newton": {"newton": {}},
    "newton_line_search": {"newton": {"line_search": {}, "curvature": "exact"}},
    "newton_cg": {"newton": {"linear_solver": "cg"}},
    "gauss_newton": {"gauss_newton": {}},
    "levenberg_marquardt": {"levenberg_marquardt": {"geodesic_acceleration": True}},
    "nonlinear_conjugate_gradient": {"nonlinear_conjugate_gradient": {}},
    "bfgs": {"bfgs": {}},
    "lbfgs": {"lbfgs": {"memory": 5}},
    "stochastic_gradient_descent": {"stochastic_gradient_descent": {**BATCHES, "momentum": 0.5}},
    "adam": {"adam": {**BATCHES, "schedule": {"cosine_epochs": 50, "warmup_epochs": 2}}},
}
BOUNDED = ("newton", "levenberg_marquardt", "lbfgs")


def test_every_method_is_here() -> None:
    kinds = {next(iter(method)) for method in METHODS.values()}
    assert kinds == set(solvers.METHODS) == {field.name for field in method_pb2.Method.DESCRIPTOR.fields}


@pytest.mark.parametrize("name", METHODS)
def test_an_unrecorded_iteration_is_computed_again_to_the_same_bits(server: Running, name: str) -> None:
    bounds = box([-9.0, -9.0, 0.6], 9.0) if name in BOUNDED else None
    fields: dict[str, Any] = {"bounds": bounds, "stopping": method_pb2.Stopping(max_iterations=12)}
    recorded = iterates_of(server.solve(spec(METHODS[name], record_theta=solver_pb2.RecordTheta(every=1), **fields)))
    job = server.create(spec(METHODS[name], record_theta=solver_pb2.RecordTheta(never=True), **fields)).name
    server.events(job)
    for k in sorted({0, 1, len(recorded) // 2, len(recorded) - 1}):
        theta = array_of(ask(server, "Gradient", at(solve_job=job, iteration=k)).theta)
        assert theta.tobytes() == array_of(recorded[k].theta).tobytes()
        assert bounds is None or theta[2] >= 0.6


@pytest.mark.parametrize("name", BOUNDED)
def test_bounds_are_kept_and_told(server: Running, name: str) -> None:
    events = server.solve(spec(METHODS[name], bounds=box([-np.inf, -np.inf, 0.6]), record_theta={"every": 1}))
    result = result_of(events)
    theta = array_of(result.theta)
    assert all(array_of(it.theta)[2] >= 0.6 for it in iterates_of(events))
    assert result.termination.success, result.termination.message
    assert theta[2] == 0.6
    assert result.termination.evidence.active_bounds == 1
    held = spec({"newton": {}}, decay(b3=0.6), bounds=box([-np.inf, -np.inf, 0.6], [np.inf, np.inf, 0.6]))
    np.testing.assert_allclose(array_of(result_of(server.solve(held)).theta), theta, rtol=1e-7)


def test_bounds_open_on_all_sides_are_none(server: Running) -> None:
    for bounds in (solver_pb2.Bounds(), box(-np.inf, np.inf)):
        assert server.create(spec({"bfgs": {}}, bounds=bounds), validate_only=True).model_summary.method == "bfgs"


def test_the_models_own_start_is_moved_into_the_box_and_a_given_one_is_not(server: Running) -> None:
    upper = [9.0, 0.75, 9.0]
    first = iterates_of(server.solve(spec({"newton": {}}, bounds=box(None, upper), record_theta={"every": 1})))[0]
    np.testing.assert_array_equal(array_of(first.theta), [1.0, 0.75, 0.0])
    outside = spec({"newton": {}}, bounds=box(None, upper), start=encode(np.array([1.0, 2.0, 0.0])))
    (violation,) = refused(lambda: server.create(outside)).violations
    assert violation.field == "spec.start"
    assert "element 1 (b2) is 2" in violation.description
    assert "0.75]" in violation.description


@pytest.mark.parametrize(
    ("bounds", "field", "words"),
    [
        (box([0.0, 0.0]), "spec.bounds.lower", "has shape (2,); it must be () or (3,)"),
        (box([[0.0, 0.0, 0.0]]), "spec.bounds.lower", "has shape (1, 3)"),
        (box(None, [1.0, np.nan, 1.0]), "spec.bounds.upper", "element 1 (b2) is NaN"),
        (box([0.0, 0.0, 2.0], 1.0), "spec.bounds", "element 2 (b3) has no room between 2 and 1"),
        (box(np.inf), "spec.bounds", "no room between inf and inf"),
        (box([1, 2, 3]), "spec.bounds.lower", "int64"),
    ],
)
def test_a_box_that_is_none_is_refused(server: Running, bounds: Any, field: str, words: str) -> None:
    (violation,) = refused(lambda: server.create(spec({"newton": {}}, bounds=bounds), validate_only=True)).violations
    assert violation.field == field
    assert words in violation.description


@pytest.mark.parametrize("name", ["bfgs", "nonlinear_conjugate_gradient", "adam", "stochastic_gradient_descent"])
def test_a_method_that_cannot_keep_bounds_names_those_that_can(server: Running, name: str) -> None:
    (violation,) = refused(lambda: server.create(spec(METHODS[name], bounds=box(0.0)))).violations
    assert violation.field == f"spec.method.{name}"
    for other in BOUNDED:
        assert other in violation.description
    assert "bfgs" not in violation.description.replace("lbfgs", "").replace(name, "")


def test_a_setting_that_cannot_keep_bounds_is_refused_before_the_run(server: Running) -> None:
    for kind, setting, value in (
        ("newton", "line_search", {}),
        ("gradient_descent", "momentum", 0.5),
        ("gradient_descent", "nesterov", True),
        ("gradient_descent", "wolfe", {}),
    ):
        asked = spec({kind: {setting: value}}, bounds=box(0.0))
        (violation,) = refused(lambda s=asked: server.create(s)).violations
        assert violation.field == f"spec.method.{kind}.{setting}"
        told = violation.description.partition("take one of")[2]
        assert "levenberg_marquardt" in told
        assert kind not in told.split(", ")


WOLFE = {"sufficient_decrease": 0.4, "curvature": 0.3}
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("gradient_descent.momentum", {"gradient_descent": {"momentum": -0.1}}),
    ("gradient_descent.nesterov", {"gradient_descent": {"momentum": 0.5, "nesterov": True}}),
    ("gradient_descent.nesterov", {"gradient_descent": {"nesterov": True, "barzilai_borwein": {}}}),
    ("gradient_descent.nesterov", {"gradient_descent": {"nesterov": True, "wolfe": {}}}),
    ("gradient_descent.momentum", {"gradient_descent": {"momentum": 0.5, "barzilai_borwein": {}}}),
    ("gradient_descent.constant.step_size", {"gradient_descent": {"constant": {"step_size": 0.0}}}),
    ("gradient_descent.wolfe.curvature", {"gradient_descent": {"wolfe": {"curvature": 1.0}}}),
    ("gradient_descent.wolfe.sufficient_decrease", {"gradient_descent": {"wolfe": {"sufficient_decrease": 0.5}}}),
    ("gradient_descent.wolfe.curvature", {"gradient_descent": {"wolfe": WOLFE}}),
    ("gradient_descent.barzilai_borwein.memory", {"gradient_descent": {"barzilai_borwein": {"memory": 0}}}),
    ("gradient_descent.exact", {"gradient_descent": {"exact": {}}}),  # the objective is not quadratic
    ("newton.curvature", {"newton": {"curvature": "some"}}),
    ("newton.linear_solver", {"newton": {"linear_solver": "lu"}}),
    ("newton.trust_region.initial_radius", {"newton": {"trust_region": {"initial_radius": 0.0}}}),
    ("newton.line_search.initial_step", {"newton": {"line_search": {"initial_step": float("inf")}}}),
    ("gauss_newton.line_search.shrink", {"gauss_newton": {"line_search": {"shrink": 1.0}}}),
    ("levenberg_marquardt.initial_radius", {"levenberg_marquardt": {"initial_radius": -1.0}}),
    ("nonlinear_conjugate_gradient.formula", {"nonlinear_conjugate_gradient": {"formula": "dai_yuan"}}),
    (
        "nonlinear_conjugate_gradient.line_search.sufficient_decrease",
        {"nonlinear_conjugate_gradient": {"line_search": {"sufficient_decrease": 0.2}}},
    ),
    ("bfgs.line_search.curvature", {"bfgs": {"line_search": {"sufficient_decrease": 0.2, "curvature": 0.1}}}),
    ("newton.linear_solver", {"newton": {"linear_solver": "cg", "line_search": {}}}),
    ("lbfgs.memory", {"lbfgs": {"memory": 2**31 - 1}}),
    ("bfgs.line_search.max_trials", {"bfgs": {"line_search": {"max_trials": 0}}}),
    ("lbfgs.memory", {"lbfgs": {"memory": 0}}),
    ("stochastic_gradient_descent.learning_rate", {"stochastic_gradient_descent": {}}),
    ("stochastic_gradient_descent.learning_rate", {"stochastic_gradient_descent": {"learning_rate": 0.0}}),
    ("stochastic_gradient_descent.nesterov", {"stochastic_gradient_descent": {"learning_rate": 1.0, "nesterov": True}}),
    (
        "stochastic_gradient_descent.batch_size",
        {"stochastic_gradient_descent": {"learning_rate": 1.0, "batch_size": 61}},
    ),
    ("adam.beta1", {"adam": {"beta1": 1.0}}),
    ("adam.epsilon", {"adam": {"epsilon": 0.0}}),
    ("adam.batch_size", {"adam": {"batch_size": -1}}),
    ("adam.schedule.inverse_time_decay", {"adam": {"schedule": {"inverse_time_decay": 0.0}}}),
    ("adam.schedule.exponential_factor", {"adam": {"schedule": {"exponential_factor": 1.5}}}),
    ("adam.schedule.cosine_epochs", {"adam": {"schedule": {"cosine_epochs": 0}}}),
    ("adam.schedule.step_decay.every", {"adam": {"schedule": {"step_decay": {"every": 0, "factor": 0.5}}}}),
    ("adam.schedule.step_decay.factor", {"adam": {"schedule": {"step_decay": {"every": 1}}}}),
    ("adam.schedule.warmup_epochs", {"adam": {"schedule": {"warmup_epochs": -1}}}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "method"), REFUSED, ids=[f"{i}-{field}" for i, (field, _) in enumerate(REFUSED)])
def test_the_setting_at_fault_is_named(server: Running, field: str, method: dict[str, Any]) -> None:
    details = refused(lambda: server.create(spec(method), validate_only=True))
    assert details.code == "INVALID_ARGUMENT"
    assert [v.field for v in details.violations] == [f"spec.method.{field}"]
    assert all(v.description for v in details.violations)


def test_a_number_that_is_zero_is_there(server: Running) -> None:
    """What it must be is told, and not that it is required."""
    for method in (
        {"gradient_descent": {"constant": {"step_size": 0.0}}},
        {"adam": {"schedule": {"step_decay": {"every": 0, "factor": 0.5}}}},
        {"adam": {"schedule": {"step_decay": {"every": 5, "factor": 0.0}}}},
    ):
        (violation,) = refused(lambda m=method: server.create(spec(m), validate_only=True)).violations
        assert violation.description.startswith("must be greater than 0; it is 0"), violation


def test_a_default_that_is_in_the_way_is_called_one(server: Running) -> None:
    search = {"line_search": {"sufficient_decrease": 0.2}}
    asked = spec({"nonlinear_conjugate_gradient": search})
    (violation,) = refused(lambda: server.create(asked, validate_only=True)).violations
    assert violation.description == "must be below curvature, which is 0.1 unless given; it is 0.2"


@pytest.mark.parametrize("name", ["gauss_newton", "levenberg_marquardt", "stochastic_gradient_descent", "adam"])
def test_what_the_model_lacks_is_a_fault_of_the_method(server: Running, name: str) -> None:
    (violation,) = refused(lambda: server.create(spec(METHODS[name], rosenbrock()))).violations
    assert violation.field == f"spec.method.{name}"
    assert "sum" in violation.description


def test_a_default_batch_is_at_most_all_rows(server: Running) -> None:
    few = least_squares(np.ones((5, 1)), np.arange(5.0))
    result = result_of(server.solve(spec({"adam": {}}, few, stopping=method_pb2.Stopping(max_iterations=2))))
    assert result.settings_used["adam.batch_size"] == "5"


def test_without_a_method_the_model_decides_and_says_why(server: Running) -> None:
    for model in (decay(), rosenbrock(), least_squares(np.ones((5, 1)), np.arange(5.0))):
        draft = server.create(spec(None, model), validate_only=True).model_summary
        result = result_of(server.solve(spec(None, model)))
        assert draft.method == result.settings_used["method"]
        assert draft.method_reason == result.method_reason
        assert len(result.method_reason.split()) > 5
        assert result.termination.success
    named = result_of(server.solve(spec({"newton": {}})))
    assert named.method_reason == ""


def test_settings_in_force_are_told(server: Running) -> None:
    used = result_of(server.solve(spec({"lbfgs": {"memory": 3, "line_search": {"curvature": 0.5}}}))).settings_used
    assert used["method"] == "lbfgs"
    assert used["lbfgs.memory"] == "3"
    assert used["lbfgs.line_search.curvature"] == "0.5"
    assert float(used["lbfgs.line_search.sufficient_decrease"]) == solvers.Wolfe().sufficient_decrease


def test_a_matrix_that_is_too_large_is_refused_and_newton_finds_another_way() -> None:
    with serving(workers=1, limits={"hessian_bytes": 8 * 3 * 3 - 1}) as server:
        for kind in ("newton", "gauss_newton", "levenberg_marquardt", "bfgs"):
            method = {kind: {"linear_solver": "dense"} if kind == "newton" else {}}
            (violation,) = refused(lambda m=method: server.create(spec(m), validate_only=True)).violations
            assert violation.field == f"spec.method.{kind}"
            assert "72 bytes for 3 parameters" in violation.description
            assert "lbfgs" in violation.description
        result = result_of(server.solve(spec({"newton": {}})))
        assert result.settings_used["newton.linear_solver"] == "cg"
        assert result.termination.success


@pytest.mark.parametrize("kind", ["adam", "stochastic_gradient_descent"])
def test_a_cancel_is_seen_within_an_epoch(server: Running, kind: str) -> None:
    """Batches of one row make an epoch of many seconds; the cancel does not wait for its end."""
    features = np.random.default_rng(0).normal(size=(300_000, 2))
    model = least_squares(features, features.sum(axis=1))
    method = {kind: {"learning_rate": 1e-9, "batch_size": 1}}
    job = server.create(spec(method, model, stopping=method_pb2.Stopping(max_iterations=1000))).name
    wait_for(lambda: server.get(job).HasField("last_iterate"), "the start")
    server.cancel(job)
    ended = wait_for(
        lambda: (got := server.get(job)).state == event_pb2.JOB_STATE_CANCELLED and got, "the end", seconds=3.0
    )
    assert ended.result.termination.status == 60
    assert not ended.result.HasField("statistics")


LONG = {
    "batches": {"stochastic_gradient_descent": {"learning_rate": 1e-6, "batch_size": 8, "seed": 5}},
    "bounds": {"gradient_descent": {"constant": {"step_size": 1e-8}}},
}


@pytest.mark.parametrize("name", LONG)
def test_a_run_goes_on_where_its_worker_died(name: str) -> None:
    """The checkpoint, taken up by another worker: the bits of a run that nothing disturbed."""
    features = np.random.default_rng(1).normal(size=(1_000, 4))
    model = least_squares(features, np.abs(features).sum(axis=1))
    stopping = method_pb2.Stopping(max_iterations=10**6, relative_gradient_tolerance=0.0)
    wanted = spec(LONG[name], model, stopping=stopping, bounds=box(None, 0.02) if name == "bounds" else None)
    with serving(workers=2) as server:
        jobs = [server.create(wanted).name for _ in range(2)]
        wait_for(lambda: all(server.get(job).last_iterate.seconds > 1.3 for job in jobs), "checkpoints")
        end(server.worker_of(jobs[0]))
        wait_for(lambda: len([row for row in server.logged("job started") if row["job"] == jobs[0]]) == 2, "a new try")
        reached = server.get(jobs[0]).last_iterate.iteration
        for job in jobs:
            server.wait_until_it_iterates(job, reached + 5)
            server.cancel(job)
        disturbed, undisturbed = ([it.loss for it in iterates_of(server.events(job))] for job in jobs)
        assert any("goes on from iteration" in e.state_change.message for e in server.events(jobs[0]))
    both = min(len(disturbed), len(undisturbed))
    assert both > reached
    assert disturbed[:both] == undisturbed[:both]


def test_predictions_have_the_intervals_of_the_textbook(server: Running) -> None:
    from scipy import stats

    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 2))
    y = x @ [1.0, -2.0] + 0.5 + 0.1 * rng.normal(size=30)
    model = least_squares(x, y, intercept=True)
    job = server.create(spec({"newton": {}}, model)).name
    server.events(job)
    design, new = np.column_stack([x, np.ones(30)]), rng.normal(size=(7, 2))
    theta, (rss,), *_ = np.linalg.lstsq(design, y)
    rows = np.column_stack([new, np.ones(7)])
    leverage = np.einsum("ni,ij,nj->n", rows, np.linalg.inv(design.T @ design), rows)
    for kind, extra, level in (("confidence", 0.0, None), ("prediction", 1.0, 0.8)):
        request = solver_pb2.PredictRequest(
            solve_job=job, inputs=encode(new), interval=solver_pb2.Interval(kind=kind, level=level)
        )
        reply = server.solver.Predict(request, timeout=TIMEOUT)
        t = stats.t.ppf(0.5 + 0.5 * (level or 0.95), 27)
        reach = t * np.sqrt(rss / 27 * (leverage + extra))
        np.testing.assert_allclose(array_of(reply.outputs), rows @ theta, rtol=1e-9)
        np.testing.assert_allclose(array_of(reply.lower), rows @ theta - reach, rtol=1e-9)
        np.testing.assert_allclose(array_of(reply.upper), rows @ theta + reach, rtol=1e-9)
    for interval, field in (
        (solver_pb2.Interval(), "interval.kind"),
        (solver_pb2.Interval(kind="tolerance"), "interval.kind"),
        (solver_pb2.Interval(kind="confidence", level=1.0), "interval.level"),
        (solver_pb2.Interval(kind="confidence", level=float("nan")), "interval.level"),
    ):
        request = solver_pb2.PredictRequest(solve_job=job, inputs=encode(new), interval=interval)
        details = refused(lambda r=request: server.solver.Predict(r, timeout=TIMEOUT))
        assert [v.field for v in details.violations] == [field]


def test_what_is_no_fit_has_no_intervals(server: Running) -> None:
    expression = expression_pb2.Expression(text="sum((b*x - 1)**2)")
    expression.parameters.add(name="b", value=encode(np.array(1.0)))
    expression.data.add(name="x", value=encode(X))
    job = server.create(spec({"newton": {}}, model_pb2.Model(expression=expression))).name
    server.events(job)
    assert not server.get(job).result.HasField("statistics")
    request = solver_pb2.PredictRequest(solve_job=job, interval=solver_pb2.Interval(kind="confidence"))
    request.data.add(name="x", value=encode(X[:5]))
    (violation,) = refused(lambda: server.solver.Predict(request, timeout=TIMEOUT)).violations
    assert violation.field == "interval"
    assert "no sum of squares" in violation.description
