"""What is provable of a graph's shape in theta: its polynomial degree, from the op rows' degree rules.

The degree is an upper bound: x*x - x*x is called quadratic. That is the safe side; a method uses the class only to
choose a faster way to the same numbers.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from nablad.expressions import Node, topological
from nablad.solvers.autodiff.ops import MEANING


class Linearity(enum.Enum):
    """The class of a function of the parameters."""

    CONSTANT = "constant"
    AFFINE = "affine"
    QUADRATIC = "quadratic"
    NONE = "none"


def degrees(outputs: Iterable[Node], inputs: Iterable[Node]) -> dict[Node, float]:
    """An upper bound of each needed node's polynomial degree in the inputs; infinity where it is no polynomial."""
    found: dict[Node, float] = dict.fromkeys(inputs, 1.0)
    for node in topological(outputs):
        if node not in found:
            operands = [found[operand] for operand in node.operands]
            # inf * 0 would be NaN, and a constant operand keeps a constant result in every row.
            found[node] = MEANING[node.op].degree(operands, node.attributes) if any(operands) else 0.0
    return found


def degree(output: Node, inputs: Iterable[Node]) -> float:
    """That of one output."""
    return degrees([output], inputs)[output]


_CLASSES = {0.0: Linearity.CONSTANT, 1.0: Linearity.AFFINE, 2.0: Linearity.QUADRATIC}


def linearity(output: Node, inputs: Iterable[Node]) -> Linearity:
    """The class of the output as a function of the inputs."""
    return class_of(degree(output, inputs))


def class_of(degree: float) -> Linearity:
    return _CLASSES.get(degree, Linearity.NONE)
