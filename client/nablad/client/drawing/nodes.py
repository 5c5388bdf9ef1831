"""A node of a graph as it was described: what it is, and at a point, its numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """An array in a few numbers."""

    elements: tuple[float, ...]
    """All of them, row by row, where there are at most eight."""
    smallest: float
    largest: float
    norm: float
    """The root of the sum of squares."""
    finite: bool
    """Whether every element is."""

    def __str__(self) -> str:
        # Zero is added so that a negative zero is not told as -0.
        if len(self.elements) == 1:
            return f"{self.elements[0] + 0.0:.5g}"
        if self.elements:
            return f"[{', '.join(f'{x + 0.0:.4g}' for x in self.elements)}]"
        bounds = f"{self.smallest + 0.0:.3g} to {self.largest + 0.0:.3g}"
        return f"{bounds}, norm {self.norm:.3g}{'' if self.finite else ', not finite'}"


@dataclass(frozen=True)
class GraphNode:
    """One operation."""

    op: str
    operands: tuple[int, ...]
    """Indices of earlier nodes."""
    label: str
    """What it is called: a source text, a parameter's name, a layer; may be empty."""
    attributes: str
    shape: tuple[int | str, ...]
    """"N" stands for the number of data rows."""
    operations: float
    """Floating point operations."""
    adjoint_order: int | None
    """When its adjoint is complete in the reverse sweep: 1 for the output; None where theta does not matter."""
    value: Summary | None
    """With a point."""
    adjoint: Summary | None
    """d output / d node, with a point."""

    @property
    def is_leaf(self) -> bool:
        """Whether it is an input or a constant."""
        return not self.operands
