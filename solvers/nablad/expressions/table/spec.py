"""What one row of the language holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nablad.expressions.dimension import Shape

ShapeRule = Callable[[Sequence[Shape], Sequence[Any]], Shape]


@dataclass(frozen=True)
class OpSpec:
    """A row of the language."""

    name: str
    arity: int | None
    """The number of operands; None where any number will do."""
    shape: ShapeRule
    """(operand shapes, attributes) -> result shape; raises ShapeError."""
    domain: str = "all real numbers"
    """Where the op is defined, and what it gives elsewhere."""
    attributes: tuple[str, ...] = ()
    """Names of the constants that belong to the op itself, in order."""
    result: Literal["real", "truth"] = "real"
