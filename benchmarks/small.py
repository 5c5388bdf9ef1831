"""Small expressions, as NIST's: value, gradient and Hessian in steady state, and the very first time, from text.

Three tables. Steady state, beside jitted jax in float64 and autograd: value and gradient, then value, gradient and
Hessian together. The first evaluation in a warm process: from a text whose names and constants this process has never
seen to the value and gradient, or to these and the Hessian; beside it jax's first call of a function that it has not
seen either, compilation included. And the same through a warm server, from the call to the answer. One thread here;
jax decides for itself. Before anything is timed every contender's numbers are held against nablad's.

`python -m benchmarks.small --profile` shows where the time of a first evaluation goes instead.
"""

from __future__ import annotations

import cProfile
import importlib.util
import itertools
import math
import pstats
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.problems import nist
from benchmarks.timing import interleaved, pretty, table
from nablad import client as service
from nablad.solvers import Expression

NAMES = ("Misra1a", "Thurber", "ENSO", "Gauss1")
FIRSTS = ("Misra1a", "ENSO", "Gauss1")
FIRST_ROUNDS = 7
EACH_ROUND = 5
"""Fresh texts that nablad reads in a round, for one that jax compiles."""
PEERS = ("jax", "autograd")

Numbers = tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """y ~ text(parameters; columns), to be fitted from `start`."""

    text: str
    columns: dict[str, np.ndarray]
    response: np.ndarray
    start: dict[str, float]

    @property
    def about(self) -> str:
        return f"{len(self.response)} rows, {len(self.start)} parameters"

    def model(self) -> Expression:
        return Expression.parse(self.text, data=self.columns, response=self.response, start=self.start)

    def loss(self, module: Any) -> Callable[[Any], Any]:
        """The sum of squares as a function of theta, in the names of a module that is like numpy."""
        named = {name: getattr(module, name) for name in ("exp", "cos", "sin", "arctan")}
        arguments = ", ".join([*self.start, *self.columns])
        # The texts are this repository's own.
        f = eval(f"lambda {arguments}: {self.text}", {**named, "pi": math.pi})
        columns = list(self.columns.values())
        return lambda theta: module.sum((self.response - f(*theta, *columns)) ** 2)


def problem(name: str) -> Case:
    given = nist.nonlinear(name)
    return Case(given.text, given.columns, given.response, given.start(2))


_fresh = itertools.count(1)


def renamed(case: Case) -> Case:
    """The same problem in names and with a constant that nobody has seen."""
    k = next(_fresh)
    text = case.text
    for name in (*case.start, *case.columns):
        text = re.sub(rf"\b{name}\b", f"{name}_{k}", text)
    return Case(
        f"{text} + {k}e-9",
        {f"{name}_{k}": value for name, value in case.columns.items()},
        case.response,
        {f"{name}_{k}": value for name, value in case.start.items()},
    )


def theta_of(case: Case) -> np.ndarray:
    return np.array(list(case.start.values()))


def nablad(case: Case) -> tuple[Callable[[], Numbers], Callable[[], Numbers]]:
    """Value and gradient; value, gradient and Hessian. The same function was compiled before, or will be now."""
    model = case.model()
    objective, theta = model.objective(), model.initial()
    return (
        lambda: objective.value_and_gradient(theta),
        lambda: (*objective.value_and_gradient(theta), objective.hessian(theta)),
    )


def jax(case: Case) -> tuple[Callable[[], Numbers], Callable[[], Numbers]]:
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    loss, theta = case.loss(jnp), jnp.asarray(theta_of(case))
    both = jax.jit(jax.value_and_grad(loss))
    hessian = jax.hessian(loss)
    three = jax.jit(lambda point: (*jax.value_and_grad(loss)(point), hessian(point)))
    return lambda: jax.block_until_ready(both(theta)), lambda: jax.block_until_ready(three(theta))


def autograd(case: Case) -> tuple[Callable[[], Numbers], Callable[[], Numbers]]:
    import autograd
    import autograd.numpy as anp

    loss, theta = case.loss(anp), theta_of(case)
    both, hessian = autograd.value_and_grad(loss), autograd.hessian(loss)
    return lambda: both(theta), lambda: (*both(theta), hessian(theta))


CONTENDERS: dict[str, Callable[[Case], tuple[Callable[[], Numbers], Callable[[], Numbers]]]] = {
    "nablad": nablad,
    "jax": jax,
    "autograd": autograd,
}
WHAT = ("value + gradient", "with Hessian")


def agree(reference: Numbers, other: Numbers) -> None:
    """Raises if two contenders do not compute the same numbers: there is no point in timing them then."""
    for mine, theirs in zip(reference, other, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-8, atol=1e-9 * float(np.abs(mine).max()))


def steady(present: list[str]) -> list[list[str]]:
    rows = []
    for name in NAMES:
        print(f"small: {name}", file=sys.stderr)
        case = problem(name)
        calls = {contender: CONTENDERS[contender](case) for contender in present}
        for which, what in enumerate(WHAT):
            for contender in present[1:]:
                agree(calls["nablad"][which](), calls[contender][which]())
            turns = {contender: calls[contender][which] for contender in present}
            t = {contender: timing.median for contender, timing in interleaved(turns).items()}
            rows.append(
                [f"{name}, {case.about}, {what}", pretty(t["nablad"])]
                + [pretty(t[peer]) if peer in t else "-" for peer in PEERS]
                + [f"{t['nablad'] / t[peer]:.2f}" if peer in t else "-" for peer in PEERS]
            )
    return rows


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of this thread's processor: on a busy machine the former is mostly waiting."""
    began, own = time.perf_counter(), time.thread_time()
    call()
    return time.perf_counter() - began, time.thread_time() - own


def first(contender: str, case: Case, which: int) -> tuple[float, float]:
    """Seconds from a definition that has not been seen to its numbers."""
    fresh = renamed(case)
    return seconds(lambda: CONTENDERS[contender](fresh)[which]())


def firsts(present: list[str]) -> list[list[str]]:
    rows = []
    for name, (which, what) in itertools.product(FIRSTS, enumerate(WHAT)):
        print(f"small: first {name}, {what}", file=sys.stderr)
        case = problem(name)
        first("nablad", case, which)
        turns: dict[str, list[tuple[float, float]]] = {
            contender: [] for contender in present if contender != "autograd"
        }
        for _ in range(FIRST_ROUNDS):
            for contender, seen in turns.items():
                seen += [first(contender, case, which) for _ in range(EACH_ROUND if contender == "nablad" else 1)]
        clock, own = zip(*turns["nablad"], strict=True)
        median = statistics.median(clock)
        compiled = statistics.median(t for t, _ in turns["jax"]) if "jax" in turns else None
        rows.append(
            [
                f"{name}, {case.about}, {what}",
                pretty(median),
                f"{pretty(min(clock))} to {pretty(max(clock))}",
                pretty(statistics.median(own)),
                pretty(compiled) if compiled else "-",
                f"{compiled / median:.0f}" if compiled else "-",
            ]
        )
    return rows


def served() -> list[list[str]]:
    """The same through a server that has answered before: parse there, differentiate, and send."""
    rows = []
    with service.Client.embedded(workers=1) as client:
        asked: dict[str, Callable[[service.Expression], object]] = {
            "gradient": client.gradient,
            "Hessian": client.hessian,
        }
        for name, (what, ask) in itertools.product(FIRSTS, asked.items()):
            print(f"small: served {name}, {what}", file=sys.stderr)
            case = problem(name)

            def turn(case: Case = case, ask: Callable[[service.Expression], object] = ask) -> float:
                fresh = renamed(case)
                model = service.Expression.parse(
                    fresh.text, data=fresh.columns, response=fresh.response, start=fresh.start
                )
                return seconds(lambda: ask(model))[0]

            turn()
            seen = [turn() for _ in range(FIRST_ROUNDS * EACH_ROUND)]
            rows.append(
                [f"{name}, {what}", pretty(statistics.median(seen)), f"{pretty(min(seen))} to {pretty(max(seen))}"]
            )
    return rows


def main() -> str:
    present = ["nablad", *(name for name in PEERS if importlib.util.find_spec(name))]
    for name in set(PEERS) - set(present):
        print(f"{name} is not installed: left out. `make bench` installs it.", file=sys.stderr)
    head = ["steady state", "nablad", *PEERS, *(f"/ {peer}" for peer in PEERS)]
    begun = ["first evaluation, from text", "nablad", "from, to", "of the processor", "jax", "jax / nablad"]
    wire = ["first answer of a warm server", "median", "from, to"]
    tables = [table(head, steady(present)), table(begun, firsts(present)), table(wire, served())]
    return "\n\n".join([describe("numpy", "jax", "autograd"), *tables])


def profile(name: str = "Gauss1", rounds: int = 20) -> Iterator[pstats.Stats]:
    """Where a first evaluation spends its time, for value + gradient and with the Hessian."""
    case = problem(name)
    for which in range(len(WHAT)):
        first("nablad", case, which)
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(rounds):
            first("nablad", case, which)
        profiler.disable()
        yield pstats.Stats(profiler).sort_stats("tottime")


if __name__ == "__main__":
    if "--profile" in sys.argv:
        for stats in profile():
            stats.print_stats(25)
    else:
        print(main())
