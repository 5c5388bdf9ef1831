"""The exact Hessian of K-layer networks: nablad's beside jitted jax.hessian and torch.func.hessian, float64.

Before anything is timed every contender's Hessian is held against nablad's. Each peer runs with as many threads as it
likes best: torch with one and with all of them, its better median counts; jax decides for itself. The first call is
timed once, in the order of the contenders: nablad's has to recognize and compile, and jax's to trace and compile. What
a process does once is done before: a small Hessian of each contender's own.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.gradient import best_of
from benchmarks.machine import describe
from benchmarks.timing import interleaved, pretty, table
from nablad.solvers import Layer, Network


@dataclass(frozen=True)
class Case:
    widths: tuple[int, ...]
    rows: int
    activation: str = "tanh"
    loss: str = "squared_error"

    @property
    def name(self) -> str:
        kind = self.activation + (", cross-entropy" if self.loss != "squared_error" else "")
        return f"{'-'.join(map(str, self.widths))}, {self.rows:,} rows, {kind}"


CASES = (
    Case((4, 10, 1), 200),
    Case((10, 20, 1), 500, "sigmoid"),
    Case((10, 20, 20, 1), 200),
    Case((10, 20, 20, 1), 1_000),
    Case((10, 20, 20, 5), 500, "gelu", "softmax_cross_entropy"),
    Case((8, 32, 32, 4), 500),
    Case((20, 48, 48, 5), 200),
)

Evaluate = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Problem:
    case: Case
    inputs: np.ndarray
    targets: np.ndarray
    theta: np.ndarray

    @property
    def size(self) -> int:
        return self.theta.size

    def layers(self, theta: Any) -> list[tuple[Any, Any]]:
        """(A, b) of each layer, cut out of any flat array."""
        parts, at = [], 0
        for fan_in, width in zip(self.case.widths, self.case.widths[1:], strict=False):
            stop = at + width * fan_in
            parts.append((theta[at:stop].reshape(width, fan_in), theta[stop : stop + width]))
            at = stop + width
        return parts


def problem(case: Case) -> Problem:
    generator = np.random.default_rng(7)
    inputs = generator.standard_normal((case.rows, case.widths[0]))
    if case.loss == "squared_error":
        targets = generator.standard_normal((case.rows, case.widths[-1]))
    else:
        targets = generator.integers(0, case.widths[-1], case.rows)
    size = sum(width * (fan_in + 1) for fan_in, width in zip(case.widths, case.widths[1:], strict=False))
    return Problem(case, inputs, targets, generator.standard_normal(size) / np.sqrt(case.widths[0]))


def nablad(p: Problem) -> dict[str, Evaluate]:
    inner = [Layer(width, p.case.activation) for width in p.case.widths[1:-1]]
    model = Network(p.inputs, p.targets, (*inner, Layer(p.case.widths[-1])), loss=p.case.loss)
    objective = model.objective(threads=os.cpu_count() or 1)
    return {"nablad": lambda: objective.hessian(p.theta)}


def jax(p: Problem) -> dict[str, Evaluate]:
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    sigma = {"tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "gelu": lambda z: jax.nn.gelu(z, approximate=False)}
    x, y = jnp.asarray(p.inputs), jnp.asarray(p.targets)

    def loss(theta: Any) -> Any:
        f = x
        *inner, (A, b) = p.layers(theta)
        for weights, bias in inner:
            f = sigma[p.case.activation](f @ weights.T + bias)
        f = f @ A.T + b
        if p.case.loss == "squared_error":
            return jnp.sum((y - f) ** 2)
        return jnp.sum(jax.nn.logsumexp(f, axis=1) - jnp.take_along_axis(f, y[:, None], 1)[:, 0])

    call = jax.jit(jax.hessian(loss))
    theta = jnp.asarray(p.theta)
    return {"jax": lambda: np.asarray(call(theta))}


def torch(p: Problem) -> dict[str, Evaluate]:
    import torch

    sigma = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": torch.nn.functional.gelu}
    x, y, theta = torch.tensor(p.inputs), torch.tensor(p.targets), torch.tensor(p.theta)

    def loss(theta: Any) -> Any:
        f = x
        *inner, (A, b) = p.layers(theta)
        for weights, bias in inner:
            f = sigma[p.case.activation](torch.nn.functional.linear(f, weights, bias))
        f = torch.nn.functional.linear(f, A, b)
        if p.case.loss == "squared_error":
            return torch.sum((y - f) ** 2)
        return torch.nn.functional.cross_entropy(f, y, reduction="sum")

    call = torch.func.hessian(loss)

    def evaluate(threads: int) -> np.ndarray:
        torch.set_num_threads(threads)
        return call(theta).numpy()

    return {f"torch ({n} threads)": lambda n=n: evaluate(n) for n in sorted({1, os.cpu_count() or 1})}


PEERS = {"jax": jax, "torch": torch}


def main() -> str:
    present = [name for name in PEERS if importlib.util.find_spec(name)]
    for name in PEERS.keys() - set(present):
        print(f"{name} is not installed: left out. `make bench` installs it.", file=sys.stderr)
    rows = []
    warming = problem(Case((2, 3, 1), 5))
    for make in (nablad, *(PEERS[name] for name in present)):
        for call in make(warming).values():
            call()
    for case in CASES:
        print(f"hessian: {case.name}", file=sys.stderr)
        p = problem(case)
        contenders, firsts = dict[str, Evaluate](), dict[str, float]()
        for make in (nablad, *(PEERS[name] for name in present)):
            for name, call in make(p).items():
                began = time.perf_counter()
                found = call()
                firsts[name] = time.perf_counter() - began
                if name == "nablad":
                    reference = found
                np.testing.assert_allclose(found, reference, rtol=1e-9, atol=1e-10 * float(np.abs(reference).max()))
                contenders[name] = call
        medians = {name: x.median for name, x in interleaved(contenders, rounds=7, seconds_per_turn=0.05).items()}
        own = medians["nablad"]
        peers = {name: best_of(name, medians) for name in PEERS}
        first = {name: best_of(name, firsts) for name in PEERS}
        rows.append(
            [case.name, f"{p.size:,}", pretty(own)]
            + [pretty(t) if t is not None else "-" for t in peers.values()]
            + [f"{t / own:.1f}" if t is not None else "-" for t in peers.values()]
            + [pretty(firsts["nablad"])]
            + [f"{t / firsts['nablad']:.0f}" if t is not None else "-" for t in first.values()]
        )
    head = ["case", "p", "nablad", *PEERS, *(f"{name} / nablad" for name in PEERS)]
    head += ["nablad's first call", *(f"{name}'s first / nablad's" for name in PEERS)]
    return f"{describe('numpy', 'jax', 'torch')}\n\n{table(head, rows)}"
