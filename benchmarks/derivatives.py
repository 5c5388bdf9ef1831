"""What derivatives cost beside the function itself: gradients, Hessian-vector products, generated source, memory.

Three tables. Time of the gradient beside the value, and of a product with the Hessian beside the gradient, cold and
after `linearize`; in brackets the same ratio in operations, by the op rows' costs. Scalar functions as generated source
beside the same graphs as plans. The live set of an evaluation beside the tape that it does without. One thread
throughout, and every number is checked before it is timed.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.machine import describe
from benchmarks.timing import interleaved, pretty, table
from nablad.expressions import ROWS, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Layer, Network
from nablad.solvers.autodiff.blocks import Evaluator, Program
from nablad.solvers.autodiff.objective import GraphObjective
from nablad.solvers.autodiff.problem import Compiled, Problem

FLOAT = np.dtype(np.float64)
Case = tuple[GraphObjective, Compiled, np.ndarray]


def network(widths: tuple[int, ...], rows: int) -> Case:
    rng = np.random.default_rng(7)
    inner = [Layer(width, "tanh") for width in widths[1:-1]]
    model = Network(
        rng.normal(size=(rows, widths[0])), rng.normal(size=(rows, widths[-1])), (*inner, Layer(widths[-1]))
    )
    return model.objective(), model.compiled, model.initial()


def peaks(rows: int) -> Case:
    """An exponential and two Gaussians, 8 parameters: sum of squares over the rows."""
    theta, x, y = parameter("theta", (8,)), data("x", (ROWS,)), data("y", (ROWS,))
    b = [element(theta, k) for k in range(8)]
    f = b[0] * s.exp(-b[1] * x)
    for height, place, width in (b[2:5], b[5:8]):
        f = f + height * s.exp(-s.square((x - place) / width))
    compiled = Compiled(Problem(theta.node, (x.node, y.node), s.sum(s.square(y - f)).node, f.node), FLOAT)
    columns = {"x": np.linspace(0, 2, rows), "y": np.random.default_rng(1).normal(size=rows)}
    return GraphObjective(compiled, columns), compiled, np.linspace(0.5, 1.5, 8)


def logistic(rows: int, size: int) -> Case:
    theta, x, y = parameter("theta", (size,)), data("x", (ROWS, size)), data("y", (ROWS,))
    f = s.sum(s.softplus(-(y * (x @ theta))))
    compiled = Compiled(Problem(theta.node, (x.node, y.node), f.node, f.node), FLOAT)
    rng = np.random.default_rng(2)
    columns = {"x": rng.normal(size=(rows, size)), "y": np.sign(rng.normal(size=rows))}
    return GraphObjective(compiled, columns), compiled, rng.normal(size=size) / np.sqrt(size)


def of_vector(size: int, build: Callable[[Symbol], Symbol]) -> Case:
    theta = parameter("theta", (size,))
    f = build(theta)
    compiled = Compiled(Problem(theta.node, (), f.node, f.node), FLOAT)
    return GraphObjective(compiled, {}), compiled, np.random.default_rng(3).normal(size=size)


def element(theta: Symbol, k: int) -> Symbol:
    return s.reshape(s.slice_of(theta, [(k, k + 1)]), ())


def rosenbrock_of_slices(theta: Symbol) -> Symbol:
    size = theta.node.shape[0]
    assert isinstance(size, int)
    left, right = s.slice_of(theta, [(0, size - 1)]), s.slice_of(theta, [(1, size)])
    return s.sum(100.0 * s.square(right - s.square(left)) + s.square(1.0 - left))


def rational(theta: Symbol) -> Symbol:
    """Arithmetic only, every intermediate a vector."""
    return s.sum(theta * theta * theta / (1.0 + s.square(theta)) - 3.0 * theta / (2.0 + s.square(theta * theta)))


def elementary(theta: Symbol) -> Symbol:
    return s.sum(s.exp(-s.square(theta)) * s.sin(3.0 * theta) + s.log1p(s.square(theta)))


CASES: dict[str, Callable[[], Case]] = {
    "network 2-16-16-1, 200 rows": lambda: network((2, 16, 16, 1), 200),
    "network 64-128-64-10, 1,797 rows": lambda: network((64, 128, 64, 10), 1_797),
    "network 784-256-128-10, 4,000 rows": lambda: network((784, 256, 128, 10), 4_000),
    "8-parameter peaks, 250 rows": lambda: peaks(250),
    "8-parameter peaks, 100,000 rows": lambda: peaks(100_000),
    "logistic regression, 20,000 x 50": lambda: logistic(20_000, 50),
    "Rosenbrock, vector of 10,000": lambda: of_vector(10_000, rosenbrock_of_slices),
    "rational, vector of 10,000": lambda: of_vector(10_000, rational),
    "rational, vector of 100,000": lambda: of_vector(100_000, rational),
    "exp, sin, log, vector of 10,000": lambda: of_vector(10_000, elementary),
}


def operations(program: Program, rows: int) -> float:
    return program.body.flops[0] * rows + sum(plan.flops[1] for plan in (program.head, program.body, program.tail))


def products() -> tuple[list[list[str]], list[list[str]]]:
    """Rows of the tables of times and of memory."""
    times, memory = [], []
    for name, build in CASES.items():
        print(f"derivatives: {name}", file=sys.stderr)
        objective, compiled, theta = build()
        v = np.random.default_rng(4).normal(size=theta.size)
        linear = objective.linearize(theta)
        cold = objective.hvp(theta, v)
        np.testing.assert_allclose(linear.hvp(v), cold, rtol=1e-8, atol=1e-10 * np.abs(cold).max())
        calls: dict[str, Callable[[], object]] = {
            "value": lambda o=objective, t=theta: o.value(t),
            "gradient": lambda o=objective, t=theta: o.value_and_gradient(t),
            "cold": lambda o=objective, t=theta, v=v: o.hvp(t, v),
            "linearize": lambda o=objective, t=theta: o.linearize(t),
            "product": lambda n=linear, v=v: n.hvp(v),
        }
        t = {key: timing.median for key, timing in interleaved(calls).items()}
        work = {
            key: operations(compiled.program(key), objective.rows) for key in ("value", "value_and_gradient", "hvp")
        }
        kept = compiled.kept_product
        moving = "-" if kept is None else f"{operations(kept.moving, objective.rows) / work['value_and_gradient']:.1f}"
        times.append(
            [
                name,
                pretty(t["gradient"]),
                f"{t['gradient'] / t['value']:.2f} ({work['value_and_gradient'] / work['value']:.1f})",
                f"{t['cold'] / t['gradient']:.2f} ({work['hvp'] / work['value_and_gradient']:.1f})",
                f"{t['product'] / t['gradient']:.2f} ({moving})",
                f"{t['linearize'] / t['gradient']:.2f}",
            ]
        )
        program = compiled.program("value_and_gradient")
        live, tape = program.bytes(objective.rows), program.tape_bytes(objective.rows)
        held = 0 if kept is None else kept.bytes(objective.rows)
        memory.append([name, megabytes(live), megabytes(tape), f"{tape / live:.1f}", megabytes(held)])
    return times, memory


def megabytes(count: int) -> str:
    return f"{count / 1e6:.3g} MB"


def rosenbrock_of_elements(theta: Symbol) -> Symbol:
    size = theta.node.shape[0]
    assert isinstance(size, int)
    x = [element(theta, k) for k in range(size)]
    terms = [100.0 * s.square(b - s.square(a)) + s.square(1.0 - a) for a, b in itertools.pairwise(x)]
    return sum(terms[1:], terms[0])


def lecture(theta: Symbol) -> Symbol:
    """sqrt(x^2 + exp(x^2)) + cos(x^2 + exp(x^2)), the example of backpropagation."""
    inner = s.square(element(theta, 0)) + s.exp(s.square(element(theta, 0)))
    return s.sqrt(inner) + s.cos(inner)


SCALAR: dict[str, tuple[int, Callable[[Symbol], Symbol]]] = {
    "the lecture's example": (1, lecture),
    "Rosenbrock, 2 parameters": (2, rosenbrock_of_elements),
    "Rosenbrock, 10 parameters": (10, rosenbrock_of_elements),
    "Rosenbrock, 40 parameters": (40, rosenbrock_of_elements),
}


def sources() -> list[list[str]]:
    rows = []
    for name, (size, build) in SCALAR.items():
        print(f"derivatives: {name}", file=sys.stderr)
        objective, compiled, theta = of_vector(size, build)
        program = compiled.program("value_and_gradient")
        assert program.source is not None
        plain = replace(program)
        # The same program, told that it has no source.
        plain.__dict__["source"] = None
        by_plan = Evaluator(plain, {}, 0)
        given = {"theta": theta}
        np.testing.assert_allclose(by_plan.run(given)[1], objective.gradient(theta), rtol=1e-10, atol=1e-12)
        objective.hessian(theta)
        second = compiled.second_order
        calls: dict[str, Callable[[], object]] = {
            "source": lambda o=objective, t=theta: o.value_and_gradient(t),
            "plan": lambda e=by_plan, g=given: e.run(g),
            "hessian": lambda o=objective, t=theta: o.hessian(t),
        }
        t = {key: timing.median for key, timing in interleaved(calls).items()}
        statements = f"{program.source.statements:,}"
        whole = "-" if second is None or second.source is None else f"{second.source.statements:,}"
        rows.append(
            [
                name,
                statements,
                pretty(t["source"]),
                pretty(t["plan"]),
                f"{t['plan'] / t['source']:.1f}",
                whole,
                pretty(t["hessian"]),
            ]
        )
    return rows


def main() -> str:
    times, memory = products()
    head = ["case", "gradient", "gradient / value", "hvp / gradient", "after linearize", "linearize / gradient"]
    scalar = ["scalar function", "statements", "source", "plan", "plan / source", "with Hessian", "Hessian"]
    held = ["value and gradient", "live set", "tape", "tape / live", "kept by linearize"]
    tables = [table(head, times), table(scalar, sources()), table(held, memory)]
    return "\n\n".join([describe("numpy"), *tables])
