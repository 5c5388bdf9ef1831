"""Graphs: immutable, hash-consed nodes, and named inputs with ordered outputs.

Two nodes of the same op, operands and attributes are one object, so a common subexpression is found by writing it
twice (Ershov 1958; Goto 1974). Constants are told apart by dtype, shape and bytes: -0.0 equals 0.0 but is another
constant. Every walk is iterative: a chain of 100,000 nodes is no deeper than a list. Order is that of a depth-first
walk from the outputs, so it depends on the graph alone, never on addresses or on what else was built.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nablad.expressions.dimension import Shape, ShapeError, describe
from nablad.expressions.table import OPS, OpSpec


class Node:
    """One op applied to operands. Made only by `make`; compared by identity, which hash-consing makes equality."""

    __slots__ = ("__weakref__", "attributes", "op", "operands", "shape")

    op: str
    operands: tuple[Node, ...]
    attributes: tuple[Any, ...]
    shape: Shape

    def __init__(self, op: str, operands: tuple[Node, ...], attributes: tuple[Any, ...], shape: Shape) -> None:
        _set_op(self, op)
        _set_operands(self, operands)
        _set_attributes(self, attributes)
        _set_shape(self, shape)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Node is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("nodes are hash-consed within one process; send the graph's message, not its nodes")

    def __repr__(self) -> str:
        shown = [str(a) for name, a in zip(self.spec.attributes, self.attributes, strict=True) if name != "bytes"]
        return f"{self.op}({', '.join(shown)}) {describe(self.shape)}"

    @property
    def spec(self) -> OpSpec:
        return OPS[self.op]

    @property
    def value(self) -> NDArray[Any]:
        """A constant's array, read-only."""
        dtype, shape, data = self.attributes
        return np.frombuffer(data, dtype).reshape(shape)

    @property
    def name(self) -> str:
        """An input's name."""
        return str(self.attributes[0])


# The slots' own setters: a node is written once, here, and a quarter of its making was spent looking them up.
_set_op, _set_operands, _set_attributes, _set_shape = (
    Node.__dict__[name].__set__ for name in ("op", "operands", "attributes", "shape")
)


class _Entry(weakref.ref[Node]):
    """A weak reference that knows its key. weakref.WeakValueDictionary does the same in twice the time."""

    __slots__ = ("key",)

    key: Any


_interned: dict[Any, _Entry] = {}
_lock = threading.RLock()


def _forget(entry: Any) -> None:
    # Called when the node is gone, in whatever thread; by then the key may belong to its successor.
    with _lock:
        key = entry.key
        if _interned.get(key) is entry:
            del _interned[key]


def make(op: str, operands: Sequence[Node] = (), attributes: tuple[Any, ...] = ()) -> Node:
    """The node op(operands; attributes).

    Raises ShapeError where the operands do not fit, KeyError for an op that the table does not have.
    """
    if operands.__class__ is not tuple:
        operands = tuple(operands)
    key = (op, operands, attributes)
    # A look-up and the call of what it finds are whole each under the interpreter's own lock, and a node that the call
    # gives is held from then on: a hit needs no lock of ours.
    entry = _interned.get(key)
    node = None if entry is None else entry()
    if node is not None:
        return node
    spec = OPS[op]
    if spec.arity is not None and len(operands) != spec.arity:
        raise ShapeError(op, (n.shape for n in operands), f"takes {spec.arity} operands")
    return _intern(key, spec.shape([n.shape for n in operands], attributes))


def remake(node: Node, operands: tuple[Node, ...]) -> Node:
    """The node's op on other operands, with which its result is known to have the same shape: no rule is asked."""
    if operands == node.operands:
        return node
    key = (node.op, operands, node.attributes)
    entry = _interned.get(key)
    found = None if entry is None else entry()
    return _intern(key, node.shape) if found is None else found


def _intern(key: tuple[str, tuple[Node, ...], tuple[Any, ...]], shape: Shape) -> Node:
    with _lock:
        entry = _interned.get(key)
        node = None if entry is None else entry()
        if node is None:  # nor has another thread made it meanwhile
            node = Node(*key, shape)
            fresh = _Entry(node, _forget)
            fresh.key = key
            _interned[key] = fresh
    return node


def constant(value: ArrayLike) -> Node:
    """A constant leaf; the array is copied. Integers become float64: a graph is over the real numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "fc":
        array = array.astype(np.float64)
    return make("constant", (), (array.dtype.str, array.shape, array.tobytes()))


def input_node(name: str, shape: Shape, role: str = "data") -> Node:
    """An input leaf. `role` is "parameter" (what is differentiated) or "data"."""
    return make("input", (), (name, tuple(shape), role))


def topological(outputs: Iterable[Node], stop: Iterable[Node] = ()) -> list[Node]:
    """Every node that the outputs need, operands first, each once; not those in `stop`, nor what only they need."""
    order: list[Node] = []
    done: set[Node] = set(stop)
    ready, finish, append = done.issuperset, done.add, order.append
    for output in outputs:
        stack = [output]
        pop, push = stack.pop, stack.extend
        while stack:
            node = stack[-1]
            if node in done:
                pop()
            elif ready(node.operands):
                append(pop())
                finish(node)
            else:
                # Those that are done are dropped when their turn comes, which is cheaper than to look before.
                push(node.operands[::-1])
    return order


def rebuild(
    outputs: Sequence[Node],
    replace: Mapping[Node, Node],
    make_node: Callable[[Node, tuple[Node, ...]], Node] | None = None,
) -> tuple[Node, ...]:
    """The outputs with some nodes replaced; `make_node(old, new operands)` may rewrite what is rebuilt."""
    new: dict[Node, Node] = dict(replace)
    if make_node is None:
        alike = all(old.shape == stand_in.shape for old, stand_in in replace.items())
        make_node = remake if alike else _made_again
    for node in topological(outputs, replace):
        new[node] = make_node(node, tuple([new[operand] for operand in node.operands]))
    return tuple([new[node] for node in outputs])


def _made_again(node: Node, operands: tuple[Node, ...]) -> Node:
    return node if operands == node.operands else make(node.op, operands, node.attributes)


@dataclass(frozen=True)
class Graph:
    """Outputs as functions of inputs. An input that no output needs is allowed."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]

    def __post_init__(self) -> None:
        names = [node.name for node in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError(f"inputs share a name: {names}")
        declared = set(self.inputs)
        stray = [n.name for n in self.nodes if n.op == "input" and n not in declared]
        if stray:
            raise ValueError(f"outputs need inputs that the graph does not declare: {stray}")

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that the outputs need, operands first, in an order that depends on the graph alone."""
        return tuple(topological(self.outputs))
