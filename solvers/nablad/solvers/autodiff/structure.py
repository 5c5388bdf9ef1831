"""What is provable of a graph's shape in theta: its polynomial degree, from the op rows' degree rules.

The degree is an upper bound: x*x - x*x is called quadratic. That is the safe side; a method uses the class only to
choose a faster way to the same numbers.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable

from nablad.expressions import Node, topological
from nablad.solvers.autodiff.ops import MEANING


class Linearity(enum.Enum):
    """The class of a function of the parameters."""

    CONSTANT = "constant"
    AFFINE = "affine"
    QUADRATIC = "quadratic"
    NONE = "none"


def degree(output: Node, inputs: Iterable[Node]) -> float:
    """An upper bound of the polynomial degree of the output in the inputs; infinity where it is no polynomial."""
    degrees: dict[Node, float] = dict.fromkeys(inputs, 1.0)
    for node in topological([output]):
        if node not in degrees:
            operands = [degrees[operand] for operand in node.operands]
            # inf * 0 would be NaN, and a constant operand keeps a constant result in every row.
            degrees[node] = 0.0 if all(d == 0 for d in operands) else MEANING[node.op].degree(operands, node.attributes)
    return degrees[output]


def linearity(output: Node, inputs: Iterable[Node]) -> Linearity:
    """The class of the output as a function of the inputs."""
    classes = {0.0: Linearity.CONSTANT, 1.0: Linearity.AFFINE, 2.0: Linearity.QUADRATIC}
    found = degree(output, inputs)
    return Linearity.NONE if math.isinf(found) else classes.get(found, Linearity.NONE)
