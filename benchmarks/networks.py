"""Networks trained: minibatch Adam beside scikit-learn's, and Newton to a verified minimum beside gradient descent.

**Digits.** scikit-learn's 1,797 images of 8 x 8 pixels, divided by 16; 1,437 to train on, 360 held out. The network is
64-128-10 with relu and cross-entropy; both contenders run Adam with the same rate, batch size and L2 penalty, each
with its own initial weights. Which epoch first classifies 97% of the held-out images is read off a run that looks
after each epoch; seconds come from a second run that does not look, contenders in turn, each with one BLAS thread and
all data in float64. nablad's epoch includes the value and gradient of all rows that it reports; MLPClassifier's the
running mean of its batches' losses.

**Minima.** A tanh network of 225 parameters fitted to 400 rows of a noisy function; from ten random starts, Newton()
and then GradientDescent() with the seconds that Newton took. The ridge is small: without one the smallest curvature is
too near to zero to be told from it, while a ridge of 1e-5 may remove a whole unit, whose bias then moves nothing, so
that the minimum is not strict.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe
from benchmarks.timing import pretty, table
from nablad.solvers import (
    Adam,
    GradientDescent,
    Iterate,
    Layer,
    Network,
    Newton,
    RecordTheta,
    Report,
    Stopping,
    run,
    solve,
)
from nablad.solvers.blas import one_blas_thread

Floats = NDArray[np.float64]
GOAL = 0.97
PENALTY = 1e-4
"""scikit-learn's alpha: alpha / (2 N) ||A||^2 is added to the mean loss."""


@dataclass(frozen=True)
class Classification:
    """Inputs (N, D) and classes (N,), and more of them held out."""

    inputs: Floats
    classes: NDArray[np.int64]
    held_inputs: Floats
    held_classes: NDArray[np.int64]

    def accuracy(self, scores: Floats) -> float:
        """The share of the held-out rows whose largest score (N, C) is that of their class."""
        return float(np.mean(np.argmax(scores, axis=1) == self.held_classes))


@dataclass
class Training:
    """One contender from one seed."""

    accuracies: list[float] = field(default_factory=list)
    """On the held-out rows, after each epoch."""
    seconds: float = 0.0
    """Of the whole run, without looking."""

    def epochs_to(self, goal: float) -> int | None:
        return next((k + 1 for k, accuracy in enumerate(self.accuracies) if accuracy >= goal), None)

    def seconds_to(self, goal: float) -> float | None:
        epochs = self.epochs_to(goal)
        return None if epochs is None else self.seconds * epochs / len(self.accuracies)


def digits() -> Classification:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    inputs, classes = load_digits(return_X_y=True)
    x, held_x, y, held_y = train_test_split(inputs / 16.0, classes, test_size=360, random_state=0, stratify=classes)
    return Classification(x, y, held_x, held_y)


def train_nablad(data: Classification, width: int, method: Adam, epochs: int) -> Training:
    """Adam on a network with one hidden layer; the method's seed is the initial weights', too."""
    layers = (Layer(width, "relu"), Layer(int(data.classes.max()) + 1))
    model = Network(
        data.inputs,
        data.classes,
        layers,
        loss="softmax_cross_entropy",
        reduction="mean",
        ridge=0.5 * PENALTY / len(data.inputs),
        seed=method.seed,
    )
    stopping, training = Stopping(max_iterations=epochs), Training()
    for event in run(model.objective(), method, model.start(), stopping, record_theta=RecordTheta.each()):
        if isinstance(event, Iterate) and event.iteration:
            assert event.theta is not None
            training.accuracies.append(data.accuracy(model.predict(event.theta, data.held_inputs)))
    began = time.perf_counter()
    solve(model.objective(), method, model.start(), stopping)
    training.seconds = time.perf_counter() - began
    return training


def train_sklearn(data: Classification, width: int, method: Adam, epochs: int) -> Training:
    """The same by MLPClassifier."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    settings: dict[str, Any] = {
        "hidden_layer_sizes": (width,),
        "batch_size": method.batch_size,
        "learning_rate_init": method.learning_rate,
        "alpha": PENALTY,
        "random_state": method.seed,
    }
    training = Training()
    with one_blas_thread(), warnings.catch_warnings():
        # That it has not converged after so many epochs is what is asked for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        looking = MLPClassifier(**settings)
        for _ in range(epochs):
            looking.partial_fit(data.inputs, data.classes, classes=np.unique(data.classes))
            training.accuracies.append(data.accuracy(looking.predict_proba(data.held_inputs)))
        timed = MLPClassifier(**settings, max_iter=epochs, tol=0.0, n_iter_no_change=epochs)
        began = time.perf_counter()
        timed.fit(data.inputs, data.classes)
        training.seconds = time.perf_counter() - began
    return training


def trainings(seeds: Sequence[int], epochs: int) -> str:
    """The table of digits: medians over the seeds."""
    data, rows = digits(), []
    contenders = {"nablad Adam": train_nablad, "MLPClassifier": train_sklearn}
    for batch_size, rate in ((32, 1e-3), (200, 5e-3)):
        runs: dict[str, list[Training]] = {name: [] for name in contenders}
        for seed in seeds:
            print(f"networks: digits, batches of {batch_size}, seed {seed}", file=sys.stderr)
            for name, train in contenders.items():
                runs[name].append(train(data, 128, Adam(rate, batch_size=batch_size, seed=seed), epochs))
        rows += [[f"{batch_size}, {rate:g}", name, *_summary(each, epochs)] for name, each in runs.items()]
    head = ["batch, rate", "contender", f"reached {GOAL:.0%}", "epochs to it", "seconds to it", "final", "one epoch"]
    return table(head, rows)


def _summary(runs: Sequence[Training], epochs: int) -> list[str]:
    reached = [(e, s) for e, s in ((r.epochs_to(GOAL), r.seconds_to(GOAL)) for r in runs) if e and s]
    return [
        f"{len(reached)} of {len(runs)}",
        f"{statistics.median(e for e, _ in reached):g}" if reached else "-",
        pretty(statistics.median(s for _, s in reached)) if reached else "-",
        f"{statistics.median(r.accuracies[-1] for r in runs):.2%}",
        pretty(statistics.median(r.seconds for r in runs) / epochs),
    ]


@dataclass(frozen=True)
class Race:
    """Newton, and gradient descent with the same time, from one start."""

    newton: Report
    gradient: Report


def noisy(rows: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Four inputs in [-1, 1], and a smooth function of them with noise of 0.1."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-1.0, 1.0, (rows, 4))
    y = np.sin(3.0 * x[:, 0]) * x[:, 1] + np.cos(2.0 * x[:, 2]) * x[:, 3]
    return x, y + 0.1 * generator.standard_normal(rows)


def tanh_network(widths: Sequence[int], rows: int) -> Network:
    """Hidden layers of these widths and one output, by the mean of squares and a ridge of 1e-6."""
    hidden = [Layer(width, "tanh") for width in widths]
    return Network(*noisy(rows), (*hidden, Layer(1)), reduction="mean", ridge=1e-6)


def race(model: Network) -> Race:
    newton = solve(model.objective(), Newton(), model.start(), Stopping(max_iterations=1_000))
    limit = Stopping(max_iterations=10**9, max_seconds=newton.seconds.total)
    return Race(newton, solve(model.objective(), GradientDescent(), model.start(), limit))


def minima(model: Network, seeds: Sequence[int]) -> str:
    """The table of minima."""
    rows = []
    for seed in seeds:
        print(f"networks: minimum from seed {seed}", file=sys.stderr)
        found = race(replace(model, seed=seed))
        evidence = found.newton.evidence
        smallest = evidence.smallest_curvature
        rows.append(
            [
                f"{seed}",
                found.newton.status.name.lower(),
                evidence.verdict,
                f"{found.newton.iterations}",
                pretty(found.newton.seconds.total),
                f"{found.newton.value:.8f}",
                f"{evidence.relative_gradient_norm:.1e}",
                "-" if smallest is None else f"{smallest:.1e}",
                f"{found.gradient.iterations}",
                f"{found.gradient.value:.8f}",
                f"{found.gradient.evidence.relative_gradient_norm:.1e}",
            ]
        )
    head = ["seed", "Newton ends", "verdict", "iterations", "time", "f", "|g| / |g_0|", "least curvature"]
    return table([*head, "descent's iterations", "its f", "its |g| / |g_0|"], rows)


def main() -> str:
    model = tanh_network((16, 8), 400)
    parts = [describe("numpy", "scikit-learn")]
    if importlib.util.find_spec("sklearn"):
        parts.append(f"### Digits, 64-128-10\n\n{trainings(range(5), 40)}")
    else:
        print("scikit-learn is not installed: its digits are left out. `make bench` installs it.", file=sys.stderr)
    parts.append(f"### A tanh network of {model.size} parameters, ten starts\n\n{minima(model, range(10))}")
    return "\n\n".join(parts)
