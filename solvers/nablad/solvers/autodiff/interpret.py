"""The oracle: one numpy call per node, in any dtype.

Slow, plain, and complete: complex inputs give complex-step derivatives of analytic ops (Squire and Trapp 1998). Every
fast path is tested against this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nablad.expressions import ROWS, Graph, Node
from nablad.expressions.dimension import concrete
from nablad.solvers.autodiff.ops import MEANING


def interpret(graph: Graph, inputs: Mapping[str, ArrayLike], rows: int | None = None) -> tuple[NDArray[Any], ...]:
    """The outputs' values. `rows` binds N where no input's shape does.

    Constants take the inputs' floating type, so that a float32 graph stays float32; so do inputs of whole numbers.
    Beyond an op's domain there is NaN or infinity, and no warning.
    """
    given = {node: np.asarray(inputs[node.name]) for node in graph.inputs}
    bound = _bind_rows(given, rows)
    floating = [x.dtype for x in given.values() if x.dtype.kind in "fc"]
    dtype = np.result_type(*floating) if floating else np.dtype(np.float64)
    values: dict[Node, Any] = {node: x if x.dtype.kind in "fc" else x.astype(dtype) for node, x in given.items()}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if node not in values:
                values[node] = _value(node, values, bound, dtype)
    return tuple(np.array(values[node]) for node in graph.outputs)


def _value(node: Node, values: Mapping[Node, Any], rows: int | None, dtype: np.dtype[Any]) -> Any:
    if node.op == "rows":
        return np.asarray(rows, dtype.type(0).real.dtype)
    attributes = node.attributes if rows is None or node.op == "constant" else concrete(node.attributes, rows)
    result = MEANING[node.op].evaluate(*(values[operand] for operand in node.operands), *attributes)
    return np.asarray(result, dtype) if node.op in ("constant", "eye") else np.asarray(result)


def _bind_rows(given: Mapping[Node, NDArray[Any]], rows: int | None) -> int | None:
    lengths = set() if rows is None else {rows}
    for node, array in given.items():
        if len(node.shape) != array.ndim or any(
            d is not ROWS and d != n for d, n in zip(node.shape, array.shape, strict=True)
        ):
            raise ValueError(f"input {node!r} was given an array of shape {array.shape}")
        lengths |= {n for d, n in zip(node.shape, array.shape, strict=True) if d is ROWS}
    if len(lengths) > 1:
        raise ValueError(f"the inputs disagree on the number of rows: {sorted(lengths)}")
    return lengths.pop() if lengths else None
