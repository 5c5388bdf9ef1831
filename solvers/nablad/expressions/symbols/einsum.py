"""Sums of products over named axes (Einstein's convention), lowered to products that the table has.

Each operand first loses what concerns it alone: a label written twice reads the diagonal, a label that no one else
needs is summed. Then two operands at a time are contracted, the cheapest pair first. Of a pair's labels some are in
both and stay (batch), some are in both and are summed (contracted), the rest are in one (left, right):

    X (batch, left, contracted) @ Y (batch, contracted, right) -> (batch, left, right)

is one `matmul` with each group as one axis. The data rows N cannot be one axis together with others: among others they
go with the batch, and are summed afterwards if they are contracted. So what is separable row by row stays so, as in
"ni,ij->nj" or "ni,nj->ij". Without contracted labels the product is elementwise.
"""

from __future__ import annotations

import math
import operator
import string
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

from nablad.expressions.dimension import ROWS, Dimension, Shape, ShapeError, describe
from nablad.expressions.symbol import Operand, Symbol, apply, lift
from nablad.expressions.symbols.axes import axes_of
from nablad.expressions.symbols.reductions import sum
from nablad.expressions.symbols.structure import diagonal, reshape, transpose

Label = Hashable
TYPICAL_ROWS = 1000
"""What N counts for when pairs are compared."""

MOST_OPERANDS = 32
"""The search for the cheapest pair is cubic in their number."""


@dataclass(frozen=True)
class Term:
    """An array with a label for each axis."""

    array: Symbol
    labels: tuple[Label, ...]

    @property
    def sizes(self) -> dict[Label, Dimension]:
        return dict(zip(self.labels, self.array.shape, strict=True))

    def arranged(self, *groups: Sequence[Label]) -> Symbol:
        """One axis for each group: the product of its labels' axes."""
        sizes = self.sizes
        order = [self.labels.index(label) for group in groups for label in group]
        return reshape(transpose(self.array, order), tuple(_joined([sizes[k] for k in group]) for group in groups))

    def without(self, gone: Sequence[Label]) -> Term:
        """Summed over these labels."""
        if not gone:
            return self
        total = sum(self.array, [self.labels.index(label) for label in gone])
        return Term(total, tuple(label for label in self.labels if label not in gone))


def _joined(sizes: Sequence[Dimension]) -> Dimension:
    if len(sizes) == 1:
        return sizes[0]
    return math.prod(size for size in sizes if size is not ROWS)


def einsum(subscripts: str, *operands: Operand) -> Symbol:
    """As numpy's: "ij,jk->ik", "ii", "...ij,...j"; without an arrow, labels written once, in alphabetical order.

    Raises ShapeError where subscripts and operands do not fit.
    """
    terms, output = _parsed(subscripts, [Symbol(lift(x)) for x in operands])
    return contracted(terms, output).array


def contracted(terms: Sequence[Term], output: Sequence[Label]) -> Term:
    """The sum of products of one or more terms over all labels that the output does not name."""
    left = list(terms)
    while len(left) > 1:
        first, second = min(combinations(range(len(left)), 2), key=lambda pair: _work(*(left[k] for k in pair)))
        others = [term for k, term in enumerate(left) if k not in (first, second)]
        kept = set(output).union(*(term.labels for term in others))
        left = [_pair(left[first], left[second], kept), *others]
    (last,) = left
    last = last.without([label for label in last.labels if label not in output])
    return Term(transpose(last.array, [last.labels.index(label) for label in output]), tuple(output))


def _work(x: Term, y: Term) -> int:
    return math.prod(TYPICAL_ROWS if d is ROWS else d for d in (x.sizes | y.sizes).values())


def _pair(x: Term, y: Term, kept: set[Label]) -> Term:
    x = x.without([label for label in x.labels if label not in y.labels and label not in kept])
    y = y.without([label for label in y.labels if label not in x.labels and label not in kept])
    shared = [label for label in x.labels if label in y.labels]
    batch, inner = [k for k in shared if k in kept], [k for k in shared if k not in kept]
    left, right = [k for k in x.labels if k not in shared], [k for k in y.labels if k not in shared]
    later = _rows_among(inner, x) if len(inner) > 1 or (batch and not left and not right) else []
    inner = [k for k in inner if k not in later]
    if not inner or (batch + later and not left and not right):
        return _elementwise(x, y, [*batch, *later, *inner], left, right).without([*later, *inner])
    return _product(x, y, [*batch, *later], left, inner, right).without(later)


def _rows_among(labels: Sequence[Label], term: Term) -> list[Label]:
    return [label for label in labels if term.sizes[label] is ROWS]


def _elementwise(x: Term, y: Term, batch: Sequence[Label], left: Sequence[Label], right: Sequence[Label]) -> Term:
    one: list[Label] = []
    across = x.arranged(*([k] for k in (*batch, *left)), *(one for _ in right))
    down = y.arranged(*([k] for k in batch), *(one for _ in left), *([k] for k in right))
    return Term(across * down, (*batch, *left, *right))


def _product(
    x: Term, y: Term, batch: Sequence[Label], left: Sequence[Label], inner: Sequence[Label], right: Sequence[Label]
) -> Term:
    left_rows = _rows_among(left, x) if len(left) > 1 else []
    right_rows = _rows_among(right, y) if len(right) > 1 else []
    height, width = [k for k in left if k not in left_rows], [k for k in right if k not in right_rows]
    labels = (*batch, *left_rows, *right_rows, *height, *width)
    sizes = x.sizes | y.sizes
    if not batch and not right:
        return Term(
            _spread(x.arranged(*([k] for k in left_rows), height, inner), y.arranged(inner), labels, sizes), labels
        )
    if not batch and not left:
        turned = y.arranged(*([k] for k in right_rows), width, inner)
        return Term(_spread(turned, x.arranged(inner), labels, sizes), labels)
    stacked = [[k] for k in batch]
    # A plain matrix beside a stack stays one: no stack of copies, and one tall product.
    beside_left: list[list[Label]] = [[] for _ in right_rows] if batch or left_rows else []
    beside_right: list[list[Label]] = [[] for _ in left_rows] if batch or right_rows else []
    rows_left, rows_right = [[k] for k in left_rows], [[k] for k in right_rows]
    return Term(
        _spread(
            x.arranged(*stacked, *rows_left, *beside_left, height, inner),
            y.arranged(*stacked, *beside_right, *rows_right, inner, width),
            labels,
            sizes,
        ),
        labels,
    )


def _spread(x: Symbol, y: Symbol, labels: Sequence[Label], sizes: dict[Label, Dimension]) -> Symbol:
    """The matrix product, its joined axes apart again."""
    if y.ndim == 1 and x.ndim > 2:
        y = reshape(y, (*y.shape, 1))
    return reshape(apply("matmul", x, y), tuple(sizes[label] for label in labels))


# subscripts


def _parsed(subscripts: str, operands: Sequence[Symbol]) -> tuple[list[Term], list[Label]]:
    shapes = [x.shape for x in operands]
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    words = inputs.split(",")
    if len(words) != len(operands):
        raise ShapeError("einsum", shapes, f"{subscripts!r} is for {len(words)} operands")
    if len(words) > MOST_OPERANDS:
        raise ShapeError("einsum", shapes[:1], f"takes at most {MOST_OPERANDS} operands, not {len(words)}")
    named = [_labels(subscripts, word, shape, shapes) for word, shape in zip(words, shapes, strict=True)]
    counts = Counter(label for labels in named for label in labels)
    dots = sorted((label for label in counts if isinstance(label, int)), reverse=True)
    if arrow:
        last: list[Label] = _output(subscripts, output, dots, shapes)
    else:
        last = [*dots, *sorted(k for k, count in counts.items() if count == 1 and isinstance(k, str))]
    unknown = [label for label in last if label not in counts]
    if unknown or len(set(last)) != len(last):
        raise ShapeError("einsum", shapes, f"the output of {subscripts!r} names an axis that no operand has, or twice")
    sizes = _sizes(subscripts, named, shapes)
    return [_read(x, labels, sizes) for x, labels in zip(operands, named, strict=True)], last


def _labels(subscripts: str, word: str, shape: Shape, shapes: Sequence[Shape]) -> tuple[Label, ...]:
    """A letter for each axis; those under an ellipsis are counted from the last one: 0, 1, ..."""
    before, dots, after = word.partition("...")
    letters = before + after
    if any(letter not in string.ascii_letters for letter in letters):
        raise ShapeError("einsum", shapes, f"{word!r} in {subscripts!r} holds more than letters and one ellipsis")
    extra = len(shape) - len(letters)
    if extra < 0 or (extra and not dots):
        raise ShapeError(
            "einsum", shapes, f"{word!r} in {subscripts!r} does not have an axis for each of {describe(shape)}"
        )
    return (*before, *reversed(range(extra)), *after)


def _output(subscripts: str, word: str, dots: Sequence[Label], shapes: Sequence[Shape]) -> list[Label]:
    before, ellipsis, after = word.partition("...")
    if any(letter not in string.ascii_letters for letter in before + after):
        raise ShapeError("einsum", shapes, f"{word!r} in {subscripts!r} holds more than letters and one ellipsis")
    if dots and not ellipsis:
        raise ShapeError("einsum", shapes, f"the output of {subscripts!r} must keep the axes under the ellipsis")
    return [*before, *dots, *after]


def _sizes(subscripts: str, named: Sequence[Sequence[Label]], shapes: Sequence[Shape]) -> dict[Label, Dimension]:
    sizes: dict[Label, Dimension] = {}
    for labels, shape in zip(named, shapes, strict=True):
        for label, d in zip(labels, shape, strict=True):
            if sizes.setdefault(label, d) == 1:
                sizes[label] = d
            elif d not in (1, sizes[label]):
                both = describe((sizes[label], d))
                raise ShapeError("einsum", shapes, f"axis {label!r} of {subscripts!r} has two lengths, {both}")
    return sizes


def _read(x: Symbol, labels: tuple[Label, ...], sizes: dict[Label, Dimension]) -> Term:
    """Repeated labels read the diagonal; an axis of length 1 that others have longer is left out, as it stretches."""
    single = [k for k, label in enumerate(labels) if x.shape[k] == 1 != sizes[label]]
    x = reshape(x, tuple(d for k, d in enumerate(x.shape) if k not in single))
    labels = tuple(label for k, label in enumerate(labels) if k not in single)
    while len(set(labels)) != len(labels):
        again = next(label for label in labels if labels.count(label) > 1)
        first = labels.index(again)
        second = labels.index(again, first + 1)
        x = diagonal(x, 0, first, second)
        labels = (*(label for k, label in enumerate(labels) if k not in (first, second)), again)
    return Term(x, labels)


def tensordot(x: Operand, y: Operand, axes: int | Sequence[int | Sequence[int]] = 2) -> Symbol:
    """Products summed over the last `axes` of x and the first of y, or over pairs of axes; x's other axes, then y's."""
    left, right = Symbol(lift(x)), Symbol(lift(y))
    if isinstance(axes, Sequence):
        first, second = axes_of("tensordot", axes[0], left.shape), axes_of("tensordot", axes[1], right.shape)
    else:
        count = operator.index(axes)
        if not 0 <= count <= min(left.ndim, right.ndim):
            raise ShapeError("tensordot", (left.shape, right.shape), f"they do not both have {count} axes")
        first, second = tuple(range(left.ndim - count, left.ndim)), tuple(range(count))
    if [left.shape[k] for k in first] != [right.shape[k] for k in second]:
        raise ShapeError("tensordot", (left.shape, right.shape), f"axes {first} and {second} differ in length")
    names = [*range(left.ndim)]
    other = [first[second.index(k)] if k in second else left.ndim + k for k in range(right.ndim)]
    output = [k for k in [*names, *other] if k not in first]
    return contracted([Term(left, tuple(names)), Term(right, tuple(other))], output).array
