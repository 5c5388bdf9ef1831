"""A Symbol: a handle on a node that behaves as a numpy array whose numbers are not known yet, and the ways to make one.

Arithmetic, comparisons and indexing are numpy's, elementwise `==` and `!=` included: code such as
`np.where(x == 0, 1.0, x)` means what it means for arrays. So whether two symbols are the same expression is asked of
their nodes (`x.node is y.node`), and a Symbol hashes by identity. Numbers, arrays and nested lists beside a symbol
become constants; arrays and lists that hold symbols become one array of them (`lift`).

NumPy's functions arrive through its two protocols (NEP 13 and NEP 18) and are looked up in `functions.NAMES`, as are
the methods.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nablad.expressions.dimension import ROWS, Dimension, Shape, ShapeError
from nablad.expressions.graph import Node, constant, input_node, make
from nablad.expressions.labels import recorder
from nablad.expressions.table import OPS
from nablad.expressions.vocabulary import vocabulary

Operand = Union["Symbol", Node, ArrayLike]

UNKNOWN = "a symbol's numbers are not known while a function is traced"


class Symbol:
    """A node with the operators, methods and protocols of a numpy array. Immutable; hashed by identity."""

    __slots__ = ("node",)

    __pandas_priority__ = 5000
    """Above a DataFrame's: `series * symbol` is then one symbol, rather than a Series of one for each row."""

    node: Node

    def __init__(self, node: Node) -> None:
        _set_node(self, node)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Symbol is immutable")

    def __repr__(self) -> str:
        return f"Symbol[{self.node!r}]"

    # What an array tells of itself

    @property
    def shape(self) -> Shape:
        """Lengths, where the number of data rows is ROWS; to a function being traced it is a symbol to compute with."""
        shape = self.node.shape
        if recorder.note is None or ROWS not in shape or _called_from_within():
            return shape
        return tuple(apply("rows") if d is ROWS else d for d in shape)  # type: ignore[misc]

    @property
    def ndim(self) -> int:
        return len(self.node.shape)

    @property
    def T(self) -> Symbol:  # noqa: N802 - numpy's name
        return apply("transpose", number(self), attributes=(tuple(reversed(range(self.ndim))),))

    @property
    def mT(self) -> Symbol:  # noqa: N802 - numpy's name
        return _function("matrix_transpose", self)

    def __len__(self) -> int:
        return _first_length(self.node, "len()")

    def __iter__(self) -> Iterator[Symbol]:
        return (self[k] for k in range(_first_length(self.node, "iteration")))

    def __getitem__(self, key: Any) -> Symbol:
        found: Symbol = vocabulary.read(self, key)
        return found

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError(
            "a symbol cannot be assigned into, since an expression has no memory: "
            "make a new array with np.where, np.stack or np.concatenate"
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # what numpy, copy and pickle look for
            raise AttributeError(name)
        return vocabulary.method(self, name)

    # Operators

    def __add__(self, other: Operand) -> Symbol:
        return _arithmetic("add", self, other)

    def __radd__(self, other: Operand) -> Symbol:
        return _arithmetic("add", other, self)

    def __sub__(self, other: Operand) -> Symbol:
        return _arithmetic("subtract", self, other)

    def __rsub__(self, other: Operand) -> Symbol:
        return _arithmetic("subtract", other, self)

    def __mul__(self, other: Operand) -> Symbol:
        return _arithmetic("multiply", self, other)

    def __rmul__(self, other: Operand) -> Symbol:
        return _arithmetic("multiply", other, self)

    def __truediv__(self, other: Operand) -> Symbol:
        return _arithmetic("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Symbol:
        return _arithmetic("divide", other, self)

    def __floordiv__(self, other: Operand) -> NoReturn:
        _refused(np.floor_divide)

    def __rfloordiv__(self, other: Operand) -> NoReturn:
        _refused(np.floor_divide)

    def __mod__(self, other: Operand) -> NoReturn:
        _refused(np.remainder)

    def __rmod__(self, other: Operand) -> NoReturn:
        _refused(np.remainder)

    def __neg__(self) -> Symbol:
        return apply("negative", self)

    def __pos__(self) -> Symbol:
        return Symbol(number(self))

    def __abs__(self) -> Symbol:
        return _function("absolute", self)

    def __pow__(self, exponent: Operand) -> Symbol:
        result: Symbol = vocabulary.power(self, exponent)
        return result

    def __rpow__(self, base: Operand) -> Symbol:
        result: Symbol = vocabulary.power(base, self)
        return result

    def __matmul__(self, other: Operand) -> Symbol:
        result: Symbol = vocabulary.matmul(number(self), number(other))
        return result

    def __rmatmul__(self, other: Operand) -> Symbol:
        result: Symbol = vocabulary.matmul(number(other), number(self))
        return result

    # Truths: elementwise, as numpy's

    def __lt__(self, other: Operand) -> Symbol:
        return _function("less", self, other)

    def __le__(self, other: Operand) -> Symbol:
        return _function("less_equal", self, other)

    def __gt__(self, other: Operand) -> Symbol:
        return _function("greater", self, other)

    def __ge__(self, other: Operand) -> Symbol:
        return _function("greater_equal", self, other)

    def __eq__(self, other: object) -> Symbol:  # type: ignore[override]
        return _function("equal", self, other)

    def __ne__(self, other: object) -> Symbol:  # type: ignore[override]
        return _function("not_equal", self, other)

    __hash__ = object.__hash__

    def __and__(self, other: Operand) -> Symbol:
        return _function("bitwise_and", self, other)

    def __rand__(self, other: Operand) -> Symbol:
        return _function("bitwise_and", other, self)

    def __or__(self, other: Operand) -> Symbol:
        return _function("bitwise_or", self, other)

    def __ror__(self, other: Operand) -> Symbol:
        return _function("bitwise_or", other, self)

    def __xor__(self, other: Operand) -> Symbol:
        return _function("bitwise_xor", self, other)

    def __rxor__(self, other: Operand) -> Symbol:
        return _function("bitwise_xor", other, self)

    def __invert__(self) -> Symbol:
        return _function("invert", self)

    # What needs numbers

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{UNKNOWN}, so neither `if` nor `and` can look at one: use np.where(condition, x, y), and np.maximum and "
            "np.minimum rather than max and min"
        )

    def __float__(self) -> NoReturn:
        raise TypeError(
            f"{UNKNOWN}, so it cannot become a float: use numpy's functions (np.exp for math.exp), and make arrays of "
            "symbols with np.array([...]) or np.stack([...]) rather than by assigning into one of numbers"
        )

    def __int__(self) -> NoReturn:
        raise TypeError(f"{UNKNOWN}, so it cannot become an int")

    def __index__(self) -> NoReturn:
        raise TypeError(f"{UNKNOWN}, so it cannot count or be a position in a list; x[i] of a symbol x may")

    def __complex__(self) -> NoReturn:
        raise TypeError(f"{UNKNOWN}, so it cannot become a complex number")

    # NumPy's protocols

    @property
    def __array__(self) -> Callable[..., NDArray[Any]]:
        # A scalar is no array to numpy: it then keeps the symbol itself as an element, so that np.array([a, b]) works.
        if not self.node.shape:
            raise AttributeError("__array__")
        return self._elements

    def _elements(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if dtype is not None and np.dtype(dtype) != np.dtype(object):
            self.__float__()
        if ROWS in self.node.shape:
            raise ShapeError("np.array", [self.node.shape], "has one element for each data row: use np.stack([...])")
        elements: NDArray[Any] = np.empty([d for d in self.node.shape if d is not ROWS], dtype=object)
        for place in np.ndindex(elements.shape):
            elements[place] = self[place]
        return elements

    def __array_ufunc__(self, ufunc: np.ufunc, how: str, *operands: Any, **keywords: Any) -> Any:
        return vocabulary.ufunc(ufunc, how, operands, keywords)

    def __array_function__(self, function: Any, types: Any, operands: Any, keywords: Any) -> Any:
        return vocabulary.array_function(function, operands, keywords)


def _called_from_within() -> bool:
    """Whether a property of Symbol is read by this project's own code."""
    caller: str = sys._getframe(2).f_globals.get("__name__", "")
    return caller.startswith("nablad.")


_set_node = Symbol.__dict__["node"].__set__


def _first_length(node: Node, what: str) -> int:
    if not node.shape:
        raise TypeError(f"{what} needs an axis, and a scalar has none")
    length: Dimension = node.shape[0]
    if length is ROWS:
        raise ShapeError(what, [node.shape], "the number of data rows is not known yet")
    return length


def _function(name: str, *operands: Any) -> Symbol:
    result: Symbol = vocabulary.named(name)(*operands)
    return result


def _refused(ufunc: np.ufunc) -> NoReturn:
    """An operator whose ufunc has no rule: its TypeError says what to write."""
    raise vocabulary.unknown(ufunc)


def _arithmetic(op: str, x: Operand, y: Operand) -> Symbol:
    return made(op, (number(x), number(y)))


def lift(value: Operand) -> Node:
    """The node of a symbol, a node, a number, an array, or of (nested) lists and object arrays that hold symbols.

    Raises TypeError for what is no array of real numbers.
    """
    if isinstance(value, Symbol):
        return value.node
    if isinstance(value, Node):
        return value
    if isinstance(value, _NUMBERS):
        # What `constant` makes of a float, without the array.
        return make("constant", (), (_FLOAT64, (), _bytes_of(float(value))))
    return _lift_array(value)


_NUMBERS = (float, int)
_FLOAT64 = np.dtype(np.float64).str
_bytes_of = struct.Struct("=d").pack


def _lift_array(value: Any) -> Node:
    if vocabulary.holds_symbols(value):
        node: Node = vocabulary.stacked(value)
        return node
    array = np.asarray(value)
    if array.dtype.kind == "c":
        raise TypeError("complex numbers have no place in an expression: its derivatives are those of real functions")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"a number or an array of numbers is needed, not {value!r:.100}")
    return constant(array if array.dtype in (np.float32, np.float64) else array.astype(np.float64))


_TRUTHS = frozenset(name for name, row in OPS.items() if row.result == "truth")


def is_comparison(node: Node) -> bool:
    """Whether its values are truths, which only `where` and the logical ops read."""
    return node.op in _TRUTHS


def number(value: Operand) -> Node:
    """`lift`, with the truth of a comparison as 0 or 1."""
    node = value.node if value.__class__ is Symbol else lift(value)
    return apply("where", node, 1.0, 0.0).node if node.op in _TRUTHS else node


def truth(value: Operand) -> Node:
    """`lift`, with a number as whether it is other than 0, as numpy reads one."""
    node = lift(value)
    return node if node.op in _TRUTHS else apply("not_equal", node, 0.0).node


def apply(op: str, *operands: Operand, attributes: tuple[object, ...] = ()) -> Symbol:
    """op(operands; attributes) as a symbol. Raises ShapeError where the shapes do not fit.

    Truths count as 0 or 1 where the op reads numbers; numbers as whether they are other than 0 where it reads truths.
    """
    truths = OPS[op].truths
    if truths:
        nodes = [truth(x) if place in truths else number(x) for place, x in enumerate(operands)]
    else:
        nodes = [number(x) for x in operands]
    return made(op, nodes, attributes)


def made(op: str, operands: Sequence[Node], attributes: tuple[object, ...] = ()) -> Symbol:
    """`apply` on nodes that are what the op reads."""
    node = make(op, operands, attributes)
    note = recorder.note
    if note is not None:
        note(node)
    return Symbol(node)


def parameter(name: str, shape: Shape) -> Symbol:
    """An input to differentiate with respect to."""
    return Symbol(input_node(name, shape, "parameter"))


def data(name: str, shape: Shape) -> Symbol:
    """An input that stays what it is; ROWS in its shape marks the axis of the data rows."""
    return Symbol(input_node(name, shape, "data"))
