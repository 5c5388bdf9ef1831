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
    """Where the op is defined, what it gives elsewhere, and its derivative where it has none."""
    attributes: tuple[str, ...] = ()
    """Names of the constants that belong to the op itself, in order; the name tells the kind (attributes.py)."""
    result: Literal["real", "truth"] = "real"
    truths: tuple[int, ...] = ()
    """The operands that are truths; all others are real numbers."""
