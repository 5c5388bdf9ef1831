"""How a derivative was computed, and how well it agrees with difference quotients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray


@dataclass(frozen=True)
class Derivation:
    """How a derivative was, or would be, computed."""

    way: str
    """Such as forward, reverse or forward_compressed."""
    reason: str
    """Why this way, in words with numbers."""
    passes: int
    """How many directions were pushed, or pulled, through the graph."""
    operations: float
    """Floating point operations, by the costs of the ops."""

    def __str__(self) -> str:
        passes = f"{self.passes} pass{'' if self.passes == 1 else 'es'}"
        return self.reason or f"{self.way}: {passes}, {self.operations:.3g} operations"


class Detailed(NamedTuple):
    """A derivative and what is known of it: `J, how = client.jacobian(model, theta, details=True)`."""

    value: Any
    """As without `details`."""
    derivation: Derivation


@dataclass(frozen=True)
class BlockCheck:
    """One parameter's derivatives beside central differences, steps h from large to small."""

    parameter: str
    steps: tuple[float, ...]
    """h, relative to max(1, |theta_i|)."""
    errors: tuple[float, ...]
    """For each step the largest error over the entries looked at, relative to the size of the derivative."""
    order: float | None
    """The slope of log error over log h where the error falls: 2 for a smooth function; None where none was seen."""
    best_error: float
    best_step: float
    worst_entry: str
    """The entry that agrees worst at the best step, such as A_0[1, 2]."""
    computed: float
    """Its derivative."""
    estimated: float
    """Its difference quotient."""
    entries: int
    """How many were looked at."""
    passed: bool
    corner: bool = False
    """The worst entry is at a corner of f: its slopes on the two sides differ."""


_HEAD = ("parameter", "entries", "best error", "at h", "order", "worst entry", "computed", "difference", "")


@dataclass(frozen=True, eq=False)
class DerivativeCheck:
    """Derivatives beside difference quotients, for each parameter. True where all agree; `print` shows a table."""

    blocks: tuple[BlockCheck, ...]
    passed: bool
    message: str
    """What was found, in words."""
    theta: NDArray[Any]
    """Where, shape (p,)."""

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        rows = [_HEAD, *(_row(block) for block in self.blocks)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
        lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([self.message, *lines])

    __repr__ = __str__


def _row(block: BlockCheck) -> tuple[str, ...]:
    return (
        block.parameter,
        str(block.entries),
        f"{block.best_error:.1e}",
        f"{block.best_step:.1e}",
        "-" if block.order is None else f"{block.order:.2f}",
        block.worst_entry,
        f"{block.computed:.10g}",
        f"{block.estimated:.10g}",
        "ok" if block.passed else "CORNER" if block.corner else "WRONG",
    )
