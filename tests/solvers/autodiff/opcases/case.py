"""What one case of an op's table of tests holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """An op on operands of these shapes, drawn uniformly from low to high."""

    op: str
    shapes: tuple[Shape, ...]
    attributes: tuple[Any, ...] = ()
    low: float = -2.0
    high: float = 2.0
    expected: Callable[..., Any] | None = None
    """(*operands, *attributes) -> numpy's or scipy's own answer."""
    fixed: Mapping[int, Any] = field(default_factory=dict)
    """Operands that are constants of the test, by index: truths, whole numbers; they are not differentiated."""
    prepare: Callable[[Any], Any] | None = None
    """Applied to every drawn operand: makes a matrix positive definite, say."""

    def __str__(self) -> str:
        return f"{self.op}{self.shapes}{self.attributes}"
