"""What ops give at the edges of their domains, at corners, steps and ties, as docs/ops.md says; and what they cost.

Values and first derivatives that are JAX's were taken down from JAX 0.10; where ours differ, the reason stands beside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nablad.expressions import OPS, Graph, Symbol, constant, data, make, parameter
from nablad.expressions import symbols as s
from nablad.expressions.functions import NAMES
from nablad.expressions.table import pointwise
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.ops import MEANING
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.transform import jvp, vjp

NAN, INF = np.nan, np.inf


def at(f: Callable[..., Symbol], *points: float) -> list[float]:
    """f and its first derivatives, by interpreter and plan."""
    inputs = [parameter(f"x{k}", ()) for k in range(len(points))]
    y = f(*inputs)
    nodes = [x.node for x in inputs]
    slopes = vjp([y.node], nodes, [Symbol(constant(1.0))])
    graph = Graph(tuple(nodes), (y.node, *(d.node for d in slopes)))
    with np.errstate(all="ignore"):
        results = interpret(graph, {x.name: p for x, p in zip(nodes, points, strict=True)})
        planned = Workspace(compile_plan(simplify(graph), np.dtype(float)), 1).run([np.array(p) for p in points])
    np.testing.assert_array_equal([float(p) for p in planned], [float(r) for r in results])
    return [float(r) for r in results]


@pytest.mark.parametrize(
    ("f", "point", "value", "slope"),
    [
        (s.relu, 0.0, 0.0, 0.0),
        (s.relu, NAN, NAN, 0.0),
        (s.sqrt, 0.0, 0.0, INF),
        (s.cbrt, 0.0, 0.0, INF),
        (s.log, 0.0, -INF, INF),
        (s.log, -1.0, NAN, -1.0),
        (s.log1p, -1.0, -INF, INF),
        (s.reciprocal, 0.0, INF, -INF),
        (s.sigmoid, -800.0, 0.0, 0.0),
        (s.sigmoid, 800.0, 1.0, 0.0),
        (s.softplus, 800.0, 800.0, 1.0),
        (s.softplus, -800.0, 0.0, 0.0),
        (s.tanh, 800.0, 1.0, 0.0),
        (s.tanh, NAN, NAN, NAN),
        (s.expm1, -800.0, -1.0, 0.0),
        (s.arcsin, 1.0, np.pi / 2, INF),
        (s.arcsin, 2.0, NAN, NAN),
        (s.arccosh, 1.0, 0.0, INF),
        (s.arccosh, 0.5, NAN, NAN),
        (s.arctanh, 1.0, INF, INF),
        (s.erfinv, 1.0, INF, INF),
        (s.erfinv, 1.5, NAN, NAN),
        (s.gammaln, 0.0, INF, -INF),
        (s.gamma, -1.0, NAN, NAN),
        (s.absolute, 0.0, 0.0, 0.0),  # JAX takes 1
        (s.absolute, -3.0, 3.0, -1.0),
        (s.sign, 0.0, 0.0, 0.0),
        (s.floor, 2.0, 2.0, 0.0),
        (s.ceil, 2.0, 2.0, 0.0),
        (s.rint, 2.5, 2.0, 0.0),
        (s.sinc, 0.0, 1.0, 0.0),
        (lambda x: s.power(x, 0), 0.0, 1.0, 0.0),
        (lambda x: s.power(x, 1), 0.0, 0.0, 1.0),
        (lambda x: s.power(x, 3), -2.0, -8.0, 12.0),
        (lambda x: s.power(x, 2.5), -2.0, NAN, NAN),
        (lambda x: s.power(x, INF), 0.5, 0.0, NAN),
        (lambda x: s.clip(x, 0.0, 1.0), 0.0, 0.0, 0.5),
        (lambda x: s.clip(x, 0.0, 1.0), 1.0, 1.0, 0.5),
        (lambda x: s.clip(x, 2.0, 1.0), 0.5, 1.0, 0.0),
        (lambda x: s.clip(x, None, 1.0), 3.0, 1.0, 0.0),
        (lambda x: s.clip(x, 0.0, 1.0), NAN, NAN, 0.0),
        (lambda x: s.sqrt(s.maximum(x, 0.0)), -1.0, 0.0, 0.0),  # JAX gives NaN
        (lambda x: s.where(s.greater(x, 0.0), s.log(x), 0.0), -1.0, 0.0, 0.0),
    ],
)
def test_functions_of_one_variable(f: Callable[..., Symbol], point: float, value: float, slope: float) -> None:
    np.testing.assert_array_equal(at(f, point), [value, slope])


@pytest.mark.parametrize(
    ("f", "points", "value", "slopes"),
    [
        (s.maximum, (1.0, 1.0), 1.0, (0.5, 0.5)),
        (s.minimum, (1.0, 1.0), 1.0, (0.5, 0.5)),
        (s.maximum, (NAN, 1.0), NAN, (0.0, 0.0)),
        (s.maximum, (2.0, -INF), 2.0, (1.0, 0.0)),
        (s.power, (0.0, 0.0), 1.0, (0.0, 0.0)),  # JAX: (NaN, 0) here, yet 0 for a constant exponent
        (s.power, (0.0, 2.0), 0.0, (0.0, 0.0)),
        (s.power, (0.0, 1.0), 0.0, (1.0, 0.0)),
        (s.power, (0.0, 0.5), 0.0, (INF, 0.0)),
        (s.power, (0.0, -1.0), INF, (-INF, NAN)),
        (s.power, (-2.0, 3.0), -8.0, (12.0, NAN)),
        (s.power, (-2.0, 2.5), NAN, (NAN, NAN)),
        (s.power, (-2.0, 0.0), 1.0, (-0.0, NAN)),
        (s.hypot, (0.0, 0.0), 0.0, (0.0, 0.0)),  # JAX gives one half each, which is no subgradient's symmetry
        (s.hypot, (INF, 1.0), INF, (NAN, 0.0)),
        (s.arctan2, (0.0, 0.0), 0.0, (NAN, NAN)),
        (s.arctan2, (0.0, -1.0), np.pi, (-1.0, -0.0)),
        (s.logaddexp, (800.0, -800.0), 800.0, (1.0, 0.0)),
        (s.logaddexp, (-INF, 1.0), 1.0, (0.0, 1.0)),
        (s.logaddexp, (-INF, -INF), -INF, (NAN, NAN)),
        (s.divide, (1.0, 0.0), INF, (INF, -INF)),
        (NAMES["xlogy"].call, (0.0, 2.0), 0.0, (np.log(2.0), 0.0)),
        (NAMES["xlogy"].call, (0.0, 0.0), 0.0, (0.0, 0.0)),  # JAX: (-inf, NaN)
        (NAMES["xlogy"].call, (0.0, INF), 0.0, (0.0, 0.0)),
        (NAMES["xlogy"].call, (0.0, NAN), NAN, (NAN, NAN)),
        (NAMES["xlogy"].call, (2.0, 0.0), -INF, (-INF, INF)),
    ],
)
def test_functions_of_two_variables(
    f: Callable[..., Symbol], points: tuple[float, float], value: float, slopes: tuple[float, float]
) -> None:
    np.testing.assert_array_equal(at(f, *points), [value, *slopes])


@pytest.mark.parametrize(
    ("f", "point", "second"),
    [
        (lambda x: s.power(x, x * 0.0 + 2.0), 0.0, 2.0),
        (lambda x: s.hypot(x, 0.0) + s.square(x), 0.0, 2.0),
        (lambda x: s.absolute(x) + s.square(x), 0.0, 2.0),
        (lambda x: s.sqrt(s.maximum(x, 0.0)) + s.square(x), -1.0, 2.0),
        (s.sinc, 0.0, -(np.pi**2) / 3),
        (s.relu, 0.0, 0.0),
    ],
)
@pytest.mark.parametrize("forward", [False, True])
def test_second_derivatives_at_corners_leak_no_nan(
    f: Callable[[Symbol], Symbol], point: float, second: float, forward: bool
) -> None:
    x = parameter("x", ())
    one = Symbol(constant(1.0))
    (first,) = vjp([f(x).node], [x.node], [one])
    (again,) = jvp([first.node], {x.node: one}) if forward else vjp([first.node], [x.node], [one])
    with np.errstate(all="ignore"):
        (ours,) = interpret(Graph((x.node,), (again.node,)), {"x": point})
    np.testing.assert_allclose(ours, second, rtol=1e-14)


def test_truths_count_as_numbers_and_numbers_as_truths() -> None:
    x = parameter("x", (4,))
    positive = s.greater(x, 0.0)
    outputs = [
        s.add(positive, 1.0),
        s.sum(positive),
        s.exp(positive),
        s.equal(positive, s.less(x, 2.0)),
        s.where(x, 1.0, 2.0),
        s.logical_and(x, s.logical_not(positive)),
        s.logical_or(positive, s.not_equal(x, -1.0)),
        s.max(positive),
        -s.flip(positive, 0),
        s.where(s.reshape(positive, (2, 2)), 1.0, 2.0),
    ]
    point = np.array([-1.0, 0.0, 1.0, 3.0])
    results = interpret(Graph((x.node,), tuple(y.node for y in outputs)), {"x": point})
    truth = point > 0
    expected = [
        truth + 1.0,
        truth.sum(),
        np.exp(1.0 * truth),
        truth == (point < 2),
        [1, 2, 1, 1],
        [True, False, False, False],
        [False, True, True, True],
        1,
        -1.0 * truth[::-1],
        np.where(truth.reshape(2, 2), 1, 2),
    ]
    for ours, theirs in zip(results, expected, strict=True):
        np.testing.assert_allclose(ours, theirs)


def _cost(graph: Graph) -> float:
    return sum(compile_plan(simplify(graph), np.dtype(float)).flops)


COUNTED = [spec for spec in pointwise.ROWS if spec.result == "real" and not spec.truths]


@pytest.mark.parametrize("spec", COUNTED, ids=lambda spec: spec.name)
def test_value_and_gradient_cost_at_most_four_values(spec: Any) -> None:
    """Baur and Strassen (1983), for every choice of operands, with a cotangent that is not known to be 1."""
    inputs = [parameter(f"x{k}", ()) for k in range(spec.arity)]
    attributes = {"fixed_power": (2.5,), "polygamma": (1,)}.get(spec.name, ())
    y = make(spec.name, [x.node for x in inputs], attributes)
    t = data("t", ())
    nodes = [x.node for x in inputs]
    alone = _cost(Graph(tuple(nodes), (y,)))
    assert alone == MEANING[spec.name].cost
    for which in range(1, 1 << spec.arity):
        chosen = [x for k, x in enumerate(nodes) if which >> k & 1]
        slopes = vjp([y], chosen, [t])
        assert _cost(Graph((*nodes, t.node), (y, *(d.node for d in slopes)))) <= 4 * alone


@pytest.mark.parametrize("spec", COUNTED, ids=lambda spec: spec.name)
def test_single_precision_stays_single(spec: Any) -> None:
    """Value, first and second derivatives, in the interpreter: the plan has buffers of one type by construction."""
    inputs = [parameter(f"x{k}", (2,)) for k in range(spec.arity)]
    attributes = {"fixed_power": (2.5,), "polygamma": (1,)}.get(spec.name, ())
    outputs = [make(spec.name, [x.node for x in inputs], attributes)]
    for _ in range(2):
        (slope,) = vjp([outputs[-1]], [inputs[0].node], [s.ones((2,))])
        outputs.append(slope.node)
    with np.errstate(all="ignore"):
        results = interpret(
            Graph(tuple(x.node for x in inputs), tuple(outputs)),
            {x.node.name: np.array([0.5, 3.5], np.float32) for x in inputs},
        )
    assert [r.dtype for r in results] == [np.float32] * 3


def test_every_domain_is_told() -> None:
    assert all(spec.domain for spec in OPS.values())


def test_whole_numbers_are_real_numbers_to_the_interpreter(recwarn: pytest.WarningsRecorder) -> None:
    x = parameter("x", (3,))
    graph = Graph((x.node,), ((s.reciprocal(x) + s.log(x - 1.0) + s.norm(x)).node,))
    (ours,) = interpret(graph, {"x": np.array([0, 1, 2])})
    np.testing.assert_array_equal(ours, [NAN, -INF, 0.5 + np.sqrt(5.0)])
    (single,) = interpret(Graph((x.node,), (s.sqrt(x).node,)), {"x": np.float32([1, 2, 3])})
    assert single.dtype == np.float32
    assert not recwarn.list
