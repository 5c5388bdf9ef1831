"""Loss and gradient of K-layer tanh networks: nablad's engine beside jitted jax, torch and autograd.

The loss is the lecture's ||y - f(x)||^2. Before anything is timed, every contender's loss and gradient are held against
nablad's. Each peer runs with as many threads as it likes best: torch is timed with one thread and with all of them, and
its better median counts; jax decides for itself; so does nablad, which runs row blocks in `cores` threads.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.machine import describe
from benchmarks.timing import interleaved, pretty, table
from nablad.solvers import Layer, Network


@dataclass(frozen=True)
class Case:
    widths: tuple[int, ...]
    rows: int
    dtype: str

    @property
    def name(self) -> str:
        return f"{'-'.join(map(str, self.widths))}, {self.rows:,} rows, {self.dtype}"


SHAPES = (((2, 16, 16, 1), 200), ((64, 128, 64, 10), 1_797), ((784, 256, 128, 10), 10_000))
CASES = tuple(Case(widths, rows, dtype) for widths, rows in SHAPES for dtype in ("float64", "float32"))

Evaluate = Callable[[], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Problem:
    case: Case
    inputs: np.ndarray
    targets: np.ndarray
    theta: np.ndarray

    def matrices(self) -> list[np.ndarray]:
        """A_0, b_0, A_1, b_1, ... cut out of theta."""
        parts, at = [], 0
        for fan_in, width in zip(self.case.widths, self.case.widths[1:], strict=False):
            for shape in ((width, fan_in), (width,)):
                size = int(np.prod(shape))
                parts.append(self.theta[at : at + size].reshape(shape).copy())
                at += size
        return parts


def problem(case: Case) -> Problem:
    generator = np.random.default_rng(7)
    inputs = generator.standard_normal((case.rows, case.widths[0])).astype(case.dtype)
    targets = generator.standard_normal((case.rows, case.widths[-1])).astype(case.dtype)
    size = sum(width * (fan_in + 1) for fan_in, width in zip(case.widths, case.widths[1:], strict=False))
    theta = (generator.standard_normal(size) / np.sqrt(case.widths[0])).astype(case.dtype)
    return Problem(case, inputs, targets, theta)


def nablad(p: Problem) -> dict[str, Evaluate]:
    inner = [Layer(width, "tanh") for width in p.case.widths[1:-1]]
    model = Network(p.inputs, p.targets, (*inner, Layer(p.case.widths[-1])))
    objective = model.objective(threads=os.cpu_count() or 1)
    return {"nablad": lambda: objective.value_and_gradient(p.theta)}


def jax(p: Problem) -> dict[str, Evaluate]:
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    def loss(parameters: list[object], x: object, y: object) -> object:
        f = x
        for i in range(0, len(parameters), 2):
            z = f @ parameters[i].T + parameters[i + 1]
            f = z if i + 2 == len(parameters) else jnp.tanh(z)
        return jnp.sum((y - f) ** 2)

    call = jax.jit(jax.value_and_grad(loss))
    parameters = [jnp.asarray(a) for a in p.matrices()]
    x, y = jnp.asarray(p.inputs), jnp.asarray(p.targets)

    def evaluate() -> tuple[float, np.ndarray]:
        value, gradient = call(parameters, x, y)
        return float(value), np.concatenate([np.asarray(g).ravel() for g in gradient])

    return {"jax": evaluate}


def torch(p: Problem) -> dict[str, Evaluate]:
    import torch

    parameters = [torch.tensor(a, requires_grad=True) for a in p.matrices()]
    x, y = torch.tensor(p.inputs), torch.tensor(p.targets)

    def evaluate(threads: int) -> tuple[float, np.ndarray]:
        torch.set_num_threads(threads)
        f = x
        for i in range(0, len(parameters), 2):
            z = torch.nn.functional.linear(f, parameters[i], parameters[i + 1])
            f = z if i + 2 == len(parameters) else torch.tanh(z)
        loss = torch.sum((y - f) ** 2)
        gradient = torch.autograd.grad(loss, parameters)
        return float(loss), np.concatenate([g.numpy().ravel() for g in gradient])

    return {f"torch ({n} threads)": lambda n=n: evaluate(n) for n in sorted({1, os.cpu_count() or 1})}


def autograd(p: Problem) -> dict[str, Evaluate]:
    import autograd
    import autograd.numpy as anp

    def loss(parameters: list[np.ndarray]) -> object:
        f = p.inputs
        for i in range(0, len(parameters), 2):
            z = anp.dot(f, parameters[i].T) + parameters[i + 1]
            f = z if i + 2 == len(parameters) else anp.tanh(z)
        return anp.sum((p.targets - f) ** 2)

    call = autograd.value_and_grad(loss)
    parameters = p.matrices()

    def evaluate() -> tuple[float, np.ndarray]:
        value, gradient = call(parameters)
        return float(value), np.concatenate([g.ravel() for g in gradient])

    return {"autograd": evaluate}


PEERS = {"jax": jax, "torch": torch, "autograd": autograd}


def agree(reference: Evaluate, other: Evaluate, case: Case) -> None:
    """Raises if two contenders do not compute the same numbers: there is no point in timing them then."""
    tolerance = 1e-9 if case.dtype == "float64" else 1e-3
    (f, g), (f2, g2) = reference(), other()
    np.testing.assert_allclose(f2, f, rtol=tolerance)
    np.testing.assert_allclose(g2, g, rtol=tolerance, atol=tolerance * float(np.abs(g).max()))


def best_of(prefix: str, medians: dict[str, float]) -> float | None:
    """A peer's best setting."""
    return min((t for name, t in medians.items() if name.startswith(prefix)), default=None)


def main() -> str:
    present = [name for name in PEERS if importlib.util.find_spec(name)]
    for name in PEERS.keys() - set(present):
        print(f"{name} is not installed: left out. `make bench` installs it.", file=sys.stderr)
    rows = []
    for case in CASES:
        print(f"gradient: {case.name}", file=sys.stderr)
        p = problem(case)
        contenders = nablad(p)
        for name in present:
            contenders |= PEERS[name](p)
        for name, call in contenders.items():
            if name != "nablad":
                agree(contenders["nablad"], call, case)
        medians = {name: timing.median for name, timing in interleaved(contenders).items()}
        peers = {name: best_of(name, medians) for name in PEERS}
        fastest = min(t for t in peers.values() if t is not None) if present else None
        rows.append(
            [case.name, pretty(medians["nablad"])]
            + [pretty(t) if t is not None else "-" for t in peers.values()]
            + [f"{medians['nablad'] / fastest:.2f}" if fastest else "-"]
        )
    head = ["case", "nablad", *PEERS, "nablad / best peer"]
    return f"{describe('numpy', 'jax', 'torch', 'autograd')}\n\n{table(head, rows)}"
