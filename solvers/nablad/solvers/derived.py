"""What is told of a derivative: the array, the way to it, and the graph that it was computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nablad.solvers.autodiff.derivatives import Choice
from nablad.solvers.autodiff.derivatives.describe import GraphNode
from nablad.solvers.autodiff.sparsity import Csr
from nablad.solvers.objective import FloatArray


@dataclass(frozen=True)
class Derived:
    """A derivative, and how it was computed."""

    array: FloatArray | Csr
    way: str
    """The way's name."""
    reason: str
    """Why this way, in words with numbers."""
    passes: int
    """How many directions were pushed, or pulled, through the graph."""
    flops: float
    """Floating point operations, by the costs of the ops."""

    @classmethod
    def of(cls, found: FloatArray | Csr, choice: Choice) -> Derived:
        array = found if isinstance(found, Csr) else np.ascontiguousarray(found)
        return cls(array, choice.way.name, choice.reason, choice.passes, choice.operations)


@dataclass(frozen=True)
class Derivation:
    """How a derivative would be computed."""

    way: str
    reason: str
    passes: int
    operations: float

    @classmethod
    def of(cls, choice: Choice) -> Derivation:
        return cls(choice.way.name, choice.reason, choice.passes, choice.operations)


@dataclass(frozen=True)
class WayChoice:
    """The choice for one derivative."""

    derivative: str
    """"gradient", "jacobian" or "hessian"."""
    chosen: Derivation
    others: tuple[Derivation, ...]
    """What else may be asked for by name."""

    @classmethod
    def of(cls, derivative: str, choice: Choice) -> WayChoice:
        return cls(derivative, Derivation.of(choice), tuple(Derivation.of(other) for other in choice.others))


@dataclass(frozen=True)
class Description:
    """A graph, and how its derivatives are computed."""

    nodes: tuple[GraphNode, ...]
    """Operands first."""
    output: int
    """Of `nodes`."""
    total_nodes: int
    """How many there are in all."""
    linearity: str
    """What the function is in theta: "constant", "affine", "quadratic" or "none"."""
    separable: bool
    """It is computed row by row, so that memory is bounded."""
    choices: tuple[WayChoice, ...]
    value_operations: float
    gradient_operations: float
    """Of one value with its gradient; with u J for one u where f is no scalar."""
    live_bytes: int
    """Buffers of one value with gradient, as they are."""
    tape_bytes: int
    """What they would be if every result were kept."""
