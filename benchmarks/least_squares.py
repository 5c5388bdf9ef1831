"""Linear least squares beside bare linear algebra; descent from J'J; and a million rows from a mapped file.

**Solves.** 100,000 x 100. "nablad" is all of it: the model made from arrays, its objective on all cores, Newton(), and
the report with its verdict and evidence. "Cholesky" is X'X, X'y and two triangular solves, nothing checked and nothing
told. Each peer runs with one BLAS thread or with all, whichever was faster in a first look. Digits are those of
the worst parameter, against the solution of the numbers in memory as refined in twice the precision.

**Descent.** Seconds for each iteration of gradient descent with a constant step, as the difference of two runs; with
J'J kept, and with a pass over the data each time.

**A mapped file.** 1,000,000 x 100 in float64, 800 MB, solved in a process of its own. What is told is anonymous memory
(RssAnon), sampled: pages of the file are the system's to drop.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.machine import describe
from benchmarks.timing import interleaved, pretty, table
from nablad.solvers import Constant, GradientDescent, LeastSquares, Newton, Report, Stopping, expansion, solve
from nablad.solvers.linalg.least_squares import triangle

Floats = NDArray[np.float64]
ROWS, COLUMNS = 100_000, 100
CONDITIONS = (1e1, 1e4, 1e7)
ROUNDS = 7
CORES = os.cpu_count() or 1
DESCENT_ROWS = (10_000, 40_000, 160_000)
MAPPED_ROWS = 1_000_000


def problem(condition: float) -> tuple[Floats, Floats]:
    """X with singular values spread evenly, by logarithms, and y with noise a hundredth of the signal."""
    rng = np.random.default_rng(0)
    X, _ = np.linalg.qr(rng.standard_normal((ROWS, COLUMNS)))
    V, _ = np.linalg.qr(rng.standard_normal((COLUMNS, COLUMNS)))
    X = X * np.geomspace(1.0, 1.0 / condition, COLUMNS) @ V.T
    signal = X @ rng.standard_normal(COLUMNS)
    return X, signal + 0.01 * np.std(signal) * rng.standard_normal(ROWS)


def by_nablad(X: Floats, y: Floats) -> Floats:
    model = LeastSquares(X, y)
    report: Report = solve(model.objective(threads=CORES), Newton(), model.start())
    assert report.success
    assert report.evidence.verdict == "minimum"
    return report.theta


def by_cholesky(X: Floats, y: Floats) -> Floats:
    factor = scipy.linalg.cho_factor(X.T @ X, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(scipy.linalg.cho_solve(factor, X.T @ y, check_finite=False))


def by_lstsq(X: Floats, y: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(X, y, rcond=None)[0])


def by_gelsy(X: Floats, y: Floats) -> Floats:
    return np.asarray(scipy.linalg.lstsq(X, y, lapack_driver="gelsy", check_finite=False)[0])


def by_sklearn(X: Floats, y: Floats) -> Floats:
    from sklearn.linear_model import LinearRegression

    return np.asarray(LinearRegression(fit_intercept=False).fit(X, y).coef_)


PEERS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "Cholesky": by_cholesky,
    "numpy lstsq": by_lstsq,
    "scipy gelsy": by_gelsy,
    "LinearRegression": by_sklearn,
}


def limited(solver: Callable[[Floats, Floats], Floats], threads: int) -> Callable[[Floats, Floats], Floats]:
    def call(X: Floats, y: Floats) -> Floats:
        with threadpool_limits(threads, user_api="blas"):
            return solver(X, y)

    return call


def at_their_best(X: Floats, y: Floats) -> dict[str, Callable[[Floats, Floats], Floats]]:
    """Each peer that is installed, with as many BLAS threads as served it better."""
    found: dict[str, Callable[[Floats, Floats], Floats]] = {}
    for name, solver in PEERS.items():
        took: dict[int, float] = {}
        try:
            for threads in dict.fromkeys((1, CORES)):
                call = limited(solver, threads)
                began = time.perf_counter()
                call(X, y)
                took[threads] = time.perf_counter() - began
        except ImportError:
            continue
        best = min(took, key=lambda threads: took[threads])
        found[f"{name} ({best})"] = limited(solver, best)
    return found


def refined(X: Floats, y: Floats) -> Floats:
    """The minimizer of the numbers in memory, by gradients in twice the precision until nothing changes."""
    model = LeastSquares(X, y)
    objective = model.objective(threads=CORES)
    factor = triangle(objective.tsqr(model.start()).r)
    theta = by_lstsq(X, y)
    for _ in range(3):
        gradient = objective.refined_gradient(theta)
        assert gradient is not None
        theta = theta + factor.correction(0.5 * gradient, theta).step
    return theta


def digits(found: Floats, exact: Floats) -> str:
    error = float(np.max(np.abs(found - exact) / np.abs(exact)))
    return f"{min(15.9, -np.log10(max(error, 1e-16))):.1f}"


def solves() -> str:
    rows = []
    contenders = {f"nablad ({CORES})": by_nablad, **at_their_best(*problem(CONDITIONS[0]))}
    for condition in CONDITIONS:
        print(f"least squares: condition {condition:.0e}", file=sys.stderr)
        X, y = problem(condition)
        calls = {name: partial(solver, X, y) for name, solver in contenders.items()}
        times = interleaved(calls, rounds=ROUNDS, seconds_per_turn=0.0)
        exact = refined(X, y)
        ours = times[f"nablad ({CORES})"].median
        rows += [
            [
                f"{condition:.0e}",
                name,
                pretty(times[name].median),
                f"{pretty(times[name].fastest)} - {pretty(times[name].slowest)}",
                f"{ours / times[name].median:.2f}",
                digits(solver(X, y), exact),
            ]
            for name, solver in contenders.items()
        ]
    return table(["condition", "solver (threads)", "median", "range", "nablad / it", "digits"], rows)


@contextmanager
def passes_each_time() -> Iterator[None]:
    least, expansion.LEAST_ENTRIES = expansion.LEAST_ENTRIES, sys.maxsize
    try:
        yield
    finally:
        expansion.LEAST_ENTRIES = least


def an_iteration(model: LeastSquares, step: float, iterations: int) -> float:
    """Seconds for each of the iterations after the first ten."""
    method = GradientDescent(Constant(step))
    seconds = []
    for most in (10, 10 + iterations):
        stopping = Stopping(max_iterations=most, relative_gradient_tolerance=0.0)
        began = time.perf_counter()
        report = solve(model.objective(threads=CORES), method, model.start(), stopping)
        seconds.append(time.perf_counter() - began)
        assert report.iterations == most
    return (seconds[1] - seconds[0]) / iterations


def descent() -> str:
    rows = []
    for count in DESCENT_ROWS:
        print(f"least squares: descent over {count:,} rows", file=sys.stderr)
        rng = np.random.default_rng(1)
        X = rng.standard_normal((count, COLUMNS)) * np.geomspace(1.0, 1e-4, COLUMNS)
        model = LeastSquares(X, X @ np.ones(COLUMNS) + rng.standard_normal(count))
        step = float(0.5 / np.linalg.norm(X.T @ X, 2))
        kept, passed = [], []
        for _ in range(ROUNDS):
            kept.append(an_iteration(model, step, 2_000))
            with passes_each_time():
                passed.append(an_iteration(model, step, max(10, 2_000_000 // count)))
        with_j, without = statistics.median(kept), statistics.median(passed)
        rows.append([f"{count:,} x {COLUMNS}", pretty(with_j), pretty(without), f"{without / with_j:.0f}"])
    return table(["gradient descent", "from J'J", "a pass each", "ratio"], rows)


class AnonymousMemory:
    """The most anonymous memory of this process, in bytes, sampled while the block runs; and what there was before."""

    def __enter__(self) -> AnonymousMemory:
        self.before = self.most = self._now()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(0.002):
            self.most = max(self.most, self._now())

    @staticmethod
    def _now() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


def write_mapped(folder: Path) -> None:
    rng = np.random.default_rng(2)
    theta = np.ones(COLUMNS)
    with (folder / "X.bin").open("wb") as features, (folder / "y.bin").open("wb") as targets:
        for _ in range(0, MAPPED_ROWS, ROWS):
            X = rng.standard_normal((ROWS, COLUMNS))
            X.tofile(features)
            (X @ theta + rng.standard_normal(ROWS)).tofile(targets)


def solve_mapped(folder: Path) -> dict[str, Any]:
    """In a process of its own: seconds and anonymous bytes for each method."""
    X = np.memmap(folder / "X.bin", np.float64, "r").reshape(MAPPED_ROWS, COLUMNS)
    y = np.memmap(folder / "y.bin", np.float64, "r")
    small = LeastSquares(np.array(X[:2_000]), np.array(y[:2_000]))
    solve(small.objective(threads=CORES), Newton(), small.start())  # libraries and threads are there
    found = {}
    for method in (Newton(), GradientDescent()):
        with AnonymousMemory() as memory:
            began = time.perf_counter()
            model = LeastSquares(X, y)
            report = solve(model.objective(threads=CORES), method, model.start())
            seconds = time.perf_counter() - began
        assert report.success
        found[method.name] = [seconds, memory.most - memory.before, report.iterations]
    return found


def mapped() -> str:
    if not Path("/proc/self/status").exists():
        return "Anonymous memory can be told on Linux only."
    print("least squares: a mapped file", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        write_mapped(Path(folder))
        run = [sys.executable, "-m", "benchmarks.least_squares", folder]
        told = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    rows = [
        [name, pretty(seconds), str(iterations), f"{peak / 1e6:.1f} MB"]
        for name, (seconds, peak, iterations) in told.items()
    ]
    head = [f"{MAPPED_ROWS:,} x {COLUMNS}, mapped", "time", "iterations", "anonymous memory beside the libraries"]
    return table(head, rows)


def main() -> str:
    about = describe("numpy", "scipy", "scikit-learn")
    return f"{about}\n\n{solves()}\n\n{descent()}\n\n{mapped()}"


if __name__ == "__main__":
    print(json.dumps(solve_mapped(Path(sys.argv[1]))))
