"""A solve that is streamed to a watching client, beside the same solve in process; the replay of its journal; the first
iterate.

Three kinds of solve. On 200 x 10 least squares an iteration of gradient descent is as cheap as iterations get, so that
the service's own cost shows; the networks iterate a few hundred to a few thousand times a second, as most work does.
The solve in process and the solve through the service take turns, so that a busy machine disturbs both alike; what
counts is the ratio of times in each round, from the call to the last event, and its median. The replay reads the
journal of the last streamed solve.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.timing import pretty, table
from nablad import client, solvers
from nablad.client import Client

ROUNDS = 7
FIRST_ITERATES = 200
THREADS = 2
"""Row-block threads of a server's only worker here, and so of the solve in process."""


@dataclass(frozen=True)
class Case:
    """The same work twice: as models of the solvers, and as models of the client."""

    name: str
    iterations: int
    here: Callable[[], tuple[Any, Any]]
    """The solvers' model and method."""
    there: Callable[[], tuple[Any, Any]]
    """The client's."""


def _least_squares(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, float]:
    generator = np.random.default_rng(3)
    features = generator.standard_normal((rows, columns)) * np.logspace(0, -4, columns)
    targets = features @ np.ones(columns) + generator.standard_normal(rows)
    # 1 / L: the largest curvature of ||y - Phi theta||^2 is 2 sigma^2.
    return features, targets, float(0.5 / np.linalg.norm(features, 2) ** 2)


def least_squares(rows: int, columns: int, iterations: int) -> Case:
    features, targets, step = _least_squares(rows, columns)
    return Case(
        f"least squares {rows} x {columns}",
        iterations,
        lambda: (solvers.LeastSquares(features, targets), solvers.GradientDescent(solvers.Constant(step))),
        lambda: (client.LeastSquares(features, targets), client.GradientDescent(step)),
    )


def network(rows: int, widths: tuple[int, ...], iterations: int) -> Case:
    generator = np.random.default_rng(5)
    inputs = generator.standard_normal((rows, widths[0]))
    targets = np.sin(inputs.sum(axis=1))
    activations = ["tanh"] * (len(widths) - 2) + ["identity"]
    layers = list(zip(widths[1:], activations, strict=True))
    step = 1e-2 / rows
    return Case(
        f"network {'-'.join(str(width) for width in widths)}, {rows} rows",
        iterations,
        lambda: (
            solvers.Network(inputs, targets, [solvers.Layer(*layer) for layer in layers]),
            solvers.GradientDescent(solvers.Constant(step)),
        ),
        lambda: (
            client.Network(inputs, targets, [client.Layer(*layer) for layer in layers]),
            client.GradientDescent(step),
        ),
    )


CASES = (
    least_squares(200, 10, 20_000),
    network(200, (2, 16, 16, 1), 4_000),
    network(1_000, (2, 32, 32, 1), 800),
)


def in_process(case: Case) -> float:
    """Seconds of the bare driver."""
    model, method = case.here()
    stopping = solvers.Stopping(max_iterations=case.iterations, relative_gradient_tolerance=0.0)
    began = time.perf_counter()
    report = solvers.solve(model.objective(threads=THREADS), method, model.start(), stopping)
    seconds = time.perf_counter() - began
    assert report.iterations == case.iterations
    return seconds


def live(server: Client, case: Case) -> tuple[float, str]:
    """Seconds from the call to the last event, as a client sees it, and the job's name."""
    model, method = case.there()
    stopping = client.Stopping(max_iterations=case.iterations, relative_gradient_tolerance=0.0)
    began = time.perf_counter()
    run = server.solve(model, method, stopping=stopping)
    seen = sum(1 for _ in run)
    seconds = time.perf_counter() - began
    assert seen == case.iterations + 1
    return seconds, run.name


def replayed(server: Client, name: str) -> float:
    """Seconds to read a finished job's journal."""
    began = time.perf_counter()
    for _ in server.job(name).watch():
        pass
    return time.perf_counter() - began


def streamed(server: Client, case: Case) -> list[str]:
    """A row of the table: the solve both ways, and the replay."""
    live(server, case)
    times: dict[str, list[float]] = {"here": [], "there": [], "replay": []}
    for i in range(ROUNDS):
        print(f"stream: {case.name}, round {i + 1} of {ROUNDS}", file=sys.stderr)
        times["here"].append(in_process(case))
        seconds, name = live(server, case)
        times["there"].append(seconds)
        times["replay"].append(replayed(server, name))
    ratios = sorted(b / a for a, b in zip(times["here"], times["there"], strict=True))
    here, there, replay = (case.iterations / statistics.median(times[key]) for key in ("here", "there", "replay"))
    return [
        case.name,
        f"{here:,.0f}",
        f"{there:,.0f}",
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        f"{replay:,.0f}",
    ]


def first_iterate(server: Client, features: np.ndarray, targets: np.ndarray) -> float:
    """Seconds from the call to the first iterate, on a warm server."""
    began = time.perf_counter()
    with server.solve(client.LeastSquares(features, targets)) as run:
        next(iter(run))
        seconds = time.perf_counter() - began
        run.result()
    return seconds


def main() -> str:
    features, targets, _ = _least_squares(200, 10)
    with Client.embedded(workers=1) as server:
        rows = [streamed(server, case) for case in CASES]
        firsts = sorted(first_iterate(server, features, targets) for _ in range(FIRST_ITERATES))
    head = ["gradient descent", "in process, iterates / s", "streamed", "time, of in process", "replayed"]
    percentiles = (
        f"first iterate of {FIRST_ITERATES} solves: median {pretty(statistics.median(firsts))}, "
        f"99th percentile {pretty(firsts[int(0.99 * FIRST_ITERATES) - 1])}, slowest {pretty(firsts[-1])}"
    )
    return f"{describe('numpy', 'grpcio', 'protobuf')}\n\n{table(head, rows)}\n\n{percentiles}"
