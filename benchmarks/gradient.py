"""Loss and gradient of K-layer networks: nablad's engine beside jitted jax, torch and autograd.

The loss is the lecture's ||y - f(x)||^2, or softmax cross-entropy of classes. Before anything is timed, every
contender's loss and gradient are held against nablad's. Each peer runs with as many threads as it likes best: torch is
timed with one thread and with all of them, and its better median counts; jax decides for itself; so does nablad, which
runs row blocks in `cores` threads. Beside the large cases stands a product of two square matrices by the BLAS that
numpy brings, with all its threads, in the same turns: the share of its rate that a gradient reaches counts the
operations that the gradient needs, and no gradient of the first layer's input.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.machine import describe
from benchmarks.timing import interleaved, pretty, table
from nablad.solvers import Layer, Network


@dataclass(frozen=True)
class Case:
    widths: tuple[int, ...]
    rows: int
    dtype: str
    activation: str = "tanh"
    loss: str = "squared_error"

    @property
    def name(self) -> str:
        words = [self.activation] if self.activation != "tanh" else []
        words += ["cross-entropy"] if self.loss != "squared_error" else []
        return ", ".join(["-".join(map(str, self.widths)), f"{self.rows:,} rows", *words, self.dtype])

    @property
    def operations(self) -> float:
        """Of the matrix products that a gradient needs."""
        pairs = list(zip(self.widths, self.widths[1:], strict=False))
        return 2.0 * self.rows * (2 * sum(a * b for a, b in pairs) + sum(a * b for a, b in pairs[1:]))


SMALL, MIDDLE, LARGE = SHAPES = (
    ((2, 16, 16, 1), 200),
    ((64, 128, 64, 10), 1_797),
    ((784, 256, 128, 10), 10_000),
)
DTYPES = ("float64", "float32")
ACTIVATIONS = ("relu", "sigmoid", "gelu")
CASES = (
    *(Case(*shape, dtype) for shape in SHAPES for dtype in DTYPES),
    *(Case(*shape, "float64", activation) for shape in SHAPES for activation in ACTIVATIONS),
    *(Case(*MIDDLE, "float32", activation) for activation in ACTIVATIONS),
    Case((2, 16, 16, 3), 200, "float64", "tanh", "softmax_cross_entropy"),
    *(Case(*shape, "float64", "relu", "softmax_cross_entropy") for shape in (MIDDLE, LARGE)),
    Case(*MIDDLE, "float32", "relu", "softmax_cross_entropy"),
)
PRODUCT = 2_000
"""Rows and columns of the matrices whose product is the measure."""

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
    if case.loss != "squared_error":
        targets = targets.argmax(axis=1).astype(case.dtype)
    size = sum(width * (fan_in + 1) for fan_in, width in zip(case.widths, case.widths[1:], strict=False))
    theta = (generator.standard_normal(size) / np.sqrt(case.widths[0])).astype(case.dtype)
    return Problem(case, inputs, targets, theta)


def nablad(p: Problem) -> dict[str, Evaluate]:
    inner = [Layer(width, p.case.activation) for width in p.case.widths[1:-1]]
    model = Network(p.inputs, p.targets, (*inner, Layer(p.case.widths[-1])), loss=p.case.loss)
    objective = model.objective(threads=os.cpu_count() or 1)
    return {"nablad": lambda: objective.value_and_gradient(p.theta)}


def jax(p: Problem) -> dict[str, Evaluate]:
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    exact_gelu = partial(jax.nn.gelu, approximate=False)
    activation = {"tanh": jnp.tanh, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "gelu": exact_gelu}[
        p.case.activation
    ]

    def loss(parameters: list[object], x: object, y: object) -> object:
        f = x
        for i in range(0, len(parameters), 2):
            z = f @ parameters[i].T + parameters[i + 1]
            f = z if i + 2 == len(parameters) else activation(z)
        if p.case.loss == "squared_error":
            return jnp.sum((y - f) ** 2)
        chosen = jnp.take_along_axis(f, y.astype(int)[:, None], axis=1)
        return jnp.sum(jax.nn.logsumexp(f, axis=1)) - jnp.sum(chosen)

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
    classes = y.long()
    functions = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "gelu": torch.nn.functional.gelu}
    activation = functions[p.case.activation]

    def evaluate(threads: int) -> tuple[float, np.ndarray]:
        torch.set_num_threads(threads)
        f = x
        for i in range(0, len(parameters), 2):
            z = torch.nn.functional.linear(f, parameters[i], parameters[i + 1])
            f = z if i + 2 == len(parameters) else activation(z)
        if p.case.loss == "squared_error":
            loss = torch.sum((y - f) ** 2)
        else:
            loss = torch.nn.functional.cross_entropy(f, classes, reduction="sum")
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


def matrix_product(dtype: str) -> Callable[[], object]:
    generator = np.random.default_rng(8)
    a, b = (generator.standard_normal((PRODUCT, PRODUCT)).astype(dtype) for _ in range(2))
    return partial(np.dot, a, b, np.empty_like(a))


def measure(case: Case, present: list[str]) -> tuple[list[str], list[str] | None]:
    """A row of the table of times, and for a large case one of the table of rates."""
    p = problem(case)
    ours = nablad(p)["nablad"]
    contenders: dict[str, Callable[[], object]] = {"nablad": ours}
    for name in present:
        if name == "autograd" and (case.activation, case.loss) != ("tanh", "squared_error"):
            continue
        for setting, call in PEERS[name](p).items():
            agree(ours, call, case)
            contenders[setting] = call
    large = (case.widths, case.rows) == LARGE
    if large:
        contenders["product"] = matrix_product(case.dtype)
    medians = {name: timing.median for name, timing in interleaved(contenders).items()}
    peers = {name: best_of(name, medians) for name in PEERS}
    fastest = min((t for t in peers.values() if t is not None), default=None)
    row = [case.name, pretty(medians["nablad"])]
    row += [pretty(t) if t is not None else "-" for t in peers.values()]
    row.append(f"{medians['nablad'] / fastest:.2f}" if fastest else "-")
    if not large:
        return row, None
    rate = 2.0 * PRODUCT**3 / medians["product"]
    times = (medians["nablad"], *(t for name, t in peers.items() if name != "autograd"))
    shares = [f"{case.operations / t / rate:.0%}" if t is not None else "-" for t in times]
    return row, [case.name, f"{rate / 1e9:.1f} GF/s", *shares]


def main() -> str:
    present = [name for name in PEERS if importlib.util.find_spec(name)]
    for name in PEERS.keys() - set(present):
        print(f"{name} is not installed: left out. `make bench` installs it.", file=sys.stderr)
    rows, rates = [], []
    for case in CASES:
        print(f"gradient: {case.name}", file=sys.stderr)
        row, rate = measure(case, present)
        rows.append(row)
        if rate is not None:
            rates.append(rate)
    times = table(["case", "nablad", *PEERS, "nablad / best peer"], rows)
    head = ["share of the rate of a matrix product", "product", "nablad", *(x for x in PEERS if x != "autograd")]
    return f"{describe('numpy', 'jax', 'torch', 'autograd')}\n\n{times}\n\n{table(head, rates)}"
