"""Iterates per second to a watching client, live and replayed, beside the same solve in process; time to the first.

The job is as cheap as jobs get: gradient descent on 200 x 10 least squares, so that the service's own cost shows. The
solve in process and the solve through the service take turns; the replay reads the journal of the last one.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from benchmarks.machine import describe
from benchmarks.timing import pretty, table
from nablad import solvers
from nablad.client import Client, GradientDescent, LeastSquares, Stopping

ROUNDS = 7
ITERATIONS = 20_000
FIRST_ITERATES = 50


def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    features = generator.standard_normal((200, 10)) * np.logspace(0, -4, 10)
    return features, features @ np.ones(10) + generator.standard_normal(200)


def step_size(features: np.ndarray) -> float:
    """1 / L: the largest curvature of ||y - Phi theta||^2 is 2 sigma^2."""
    return float(0.5 / np.linalg.norm(features, 2) ** 2)


def in_process(features: np.ndarray, targets: np.ndarray) -> float:
    """Iterates per second of the bare driver."""
    model = solvers.LeastSquares(features, targets)
    method = solvers.GradientDescent(solvers.Constant(step_size(features)))
    stopping = solvers.Stopping(max_iterations=ITERATIONS, relative_gradient_tolerance=0.0)
    began = time.perf_counter()
    report = solvers.solve(model.objective(), method, model.start(), stopping)
    return report.iteration / (time.perf_counter() - began)


def live(client: Client, features: np.ndarray, targets: np.ndarray) -> tuple[float, str]:
    """Iterates per second as a client sees them, and the job's name."""
    began = time.perf_counter()
    run = client.solve(
        LeastSquares(features, targets),
        GradientDescent(step_size(features)),
        stopping=Stopping(max_iterations=ITERATIONS, relative_gradient_tolerance=0.0),
    )
    seen = sum(1 for _ in run)
    return seen / (time.perf_counter() - began), run.name


def replayed(client: Client, name: str) -> float:
    """Iterates per second of a finished job's journal."""
    began = time.perf_counter()
    seen = sum(1 for _ in client.job(name).watch())
    return seen / (time.perf_counter() - began)


def first_iterate(client: Client, features: np.ndarray, targets: np.ndarray) -> float:
    """Seconds from the call to the first iterate, on a warm server."""
    began = time.perf_counter()
    with client.solve(LeastSquares(features, targets)) as run:
        next(iter(run))
        seconds = time.perf_counter() - began
        run.result()
    return seconds


def main() -> str:
    features, targets = data()
    rates: dict[str, list[float]] = {"in process": [], "live": [], "replayed": []}
    with Client.embedded(workers=1) as client:
        live(client, features, targets)
        for i in range(ROUNDS):
            print(f"stream: round {i + 1} of {ROUNDS}", file=sys.stderr)
            rates["in process"].append(in_process(features, targets))
            rate, name = live(client, features, targets)
            rates["live"].append(rate)
            rates["replayed"].append(replayed(client, name))
        firsts = sorted(first_iterate(client, features, targets) for _ in range(FIRST_ITERATES))
    base = statistics.median(rates["in process"])
    rows = [
        [name, f"{statistics.median(seen):,.0f}", f"{statistics.median(seen) / base:.2f}"]
        for name, seen in rates.items()
    ]
    first = (
        f"first iterate: median {pretty(statistics.median(firsts))}, slowest of {FIRST_ITERATES} {pretty(firsts[-1])}"
    )
    head = ["200 x 10 least squares, gradient descent", "iterates / s", "of in process"]
    return f"{describe('numpy', 'grpcio', 'protobuf')}\n\n{table(head, rows)}\n\n{first}"
