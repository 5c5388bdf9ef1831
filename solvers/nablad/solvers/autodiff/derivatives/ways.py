"""The ways to a Jacobian or a Hessian, what each costs, and the choice between them.

With p parameters and m elements of f, forward mode pushes p directions, reverse mode pulls m; by rows, as many as one
row has elements. A way's cost is counted on its own graph,

    operations = (what no direction touches) + passes x (what depends on the direction),

by the op rows' costs (Griewank and Walther 2008, chapter 4, bound the same by constants). A graph of a hundred thousand
nodes is not differentiated only to be counted: a way is estimated first, with one multiplication for each value that
depends on theta and each direction, and built only if the estimate is not far above the best way counted so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from nablad.expressions import Node, topological
from nablad.expressions.dimension import row_size
from nablad.solvers.autodiff.derivatives import kernels
from nablad.solvers.autodiff.derivatives.function import Function
from nablad.solvers.autodiff.derivatives.kernels import Kernel
from nablad.solvers.autodiff.ops import MEANING

FAR = 2.0
"""A way whose estimate is so many times the best count is not counted."""

Derivative = Literal["jacobian", "hessian"]


class NoSuchWay(ValueError):
    """A way that is not in the table, or that this function does not allow."""


@dataclass(frozen=True)
class Setting:
    """What a way's cost depends on."""

    function: Function
    rows: int
    affine_residual: bool = False
    """f is the sum of squares of a residual that is affine in theta."""
    points: int = 1

    @property
    def elements(self) -> int:
        return self.function.elements(self.rows)

    @property
    def elements_of_a_row(self) -> int:
        return row_size(self.function.output.shape)[1]


@dataclass(frozen=True)
class Way:
    """A row of the table."""

    name: str
    derivative: Derivative
    directions: str
    """What its directions are called in messages."""
    unfit: Callable[[Setting], str | None]
    """Why it cannot be gone here; None where it can."""
    passes: Callable[[Setting], int]
    kernel: Callable[[Function], Kernel] | None
    """The graph for one direction; None for a way of its own (`gauss_newton_exact`)."""
    factor: Callable[[Setting], float] = lambda setting: 1.0
    """So many times each direction visits the values that depend on theta."""
    whole: Callable[[Function], bool] = lambda function: False
    """Whether the number of rows must be bound in the graph first."""


@dataclass(frozen=True)
class Choice:
    """One way, what it costs here, and why it was taken."""

    way: Way
    passes: int
    operations: float
    reason: str = ""
    others: tuple[Choice, ...] = ()
    """What else may be asked for by name; operations are an estimate where the reason says so."""


def always(setting: Setting) -> str | None:
    return None


def _only_scalars_of_squares(setting: Setting) -> str | None:
    if setting.affine_residual:
        return None if setting.points == 1 else "is for one point: the Hessian is the same everywhere"
    return "needs an objective that is a sum of squares of a residual that is affine in the parameters"


def _mixes_rows(function: Function) -> bool:
    return bool(row_size(function.output.shape)[0]) and not function.by_rows


def _pulled(function: Function) -> Kernel:
    return kernels.pulled_by_rows(function) if function.by_rows else kernels.pulled(function)


def _pulls(setting: Setting) -> int:
    return setting.elements_of_a_row if setting.function.by_rows else setting.elements


def _size(setting: Setting) -> int:
    return setting.function.size


WAYS: tuple[Way, ...] = (
    Way("reverse", "jacobian", "pulled", always, _pulls, _pulled, whole=_mixes_rows),
    Way("forward", "jacobian", "pushed", always, _size, kernels.pushed),
    Way(
        "gauss_newton_exact",
        "hessian",
        "pushed",
        _only_scalars_of_squares,
        _size,
        None,
    ),
    Way(
        "forward_over_reverse",
        "hessian",
        "pushed",
        always,
        _size,
        kernels.curved,
        factor=lambda setting: float(_pulls(setting)),
        whole=_mixes_rows,
    ),
    Way(
        "forward_over_forward",
        "hessian",
        "pushed",
        always,
        _size,
        kernels.pushed_twice,
        factor=lambda setting: float(_size(setting)),
    ),
)


def prepared(way: Way, setting: Setting) -> Function:
    """The function as this way differentiates it."""
    return setting.function.whole(setting.rows) if way.whole(setting.function) else setting.function


def choose(derivative: Derivative, setting: Setting, name: str | None = None) -> Choice:
    """The cheapest way, or the one that is asked for by name. Raises NoSuchWay."""
    ways = [way for way in WAYS if way.derivative == derivative]
    known = ", ".join(way.name for way in ways)
    if name is not None:
        for way in ways:
            if way.name == name:
                obstacle = way.unfit(setting)
                if obstacle is not None:
                    raise NoSuchWay(f"{name} {obstacle}")
                return _counted(way, setting, "asked for by name")
        raise NoSuchWay(f"{name!r} is no way to a {derivative}; known are {known}")
    return _cheapest([way for way in ways if way.unfit(setting) is None], setting)


def _cheapest(ways: Sequence[Way], setting: Setting) -> Choice:
    """Estimates first: the graphs of ways that are far from winning are not built."""
    best: Choice | None = None
    others: list[Choice] = []
    for least, k in sorted((estimate(way, setting), k) for k, way in enumerate(ways)):
        way = ways[k]
        if best is not None and least >= FAR * best.operations:
            others.append(Choice(way, way.passes(setting), least, "estimated, one multiplication for each value"))
            continue
        found = _counted(way, setting, "counted on its own graph")
        if best is None or found.operations < best.operations:
            best, found = found, best
        if found is not None:
            others.append(found)
    assert best is not None
    told = [f"{best.way.name}: {_told(best)} cost {_number(best.operations)} operations"]
    told += [f"{other.way.name} about {_number(other.operations)} with {_told(other)}" for other in others]
    return Choice(best.way, best.passes, best.operations, "; ".join(told), tuple(others))


def _number(x: float) -> str:
    return f"{x:,.0f}" if x < 1e6 else f"{x:.1e}"


def _told(choice: Choice) -> str:
    return f"{choice.passes} {choice.way.directions} direction{'s' if choice.passes != 1 else ''}"


def estimate(way: Way, setting: Setting) -> float:
    """Operations if each visit of a value that depends on theta took one multiplication for each of its numbers."""
    visits = _visited(setting.function, setting.rows)
    return setting.points * way.passes(setting) * way.factor(setting) * visits


@lru_cache(maxsize=64)
def _visited(function: Function, rows: int) -> float:
    moving = {function.theta}
    numbers = 0.0
    for node in topological([function.output]):
        if any(x in moving for x in node.operands):
            moving.add(node)
            numbers += min(1.0, MEANING[node.op].cost) * _length(node, rows)
    return numbers


def _counted(way: Way, setting: Setting, reason: str = "") -> Choice:
    passes = way.passes(setting)
    if way.kernel is None:
        return Choice(way, passes, estimate(way, setting), reason)
    kernel = way.kernel(prepared(way, setting))
    fixed, moving = _operations((kernel.output,), kernel.direction, setting.rows)
    return Choice(way, passes, setting.points * (fixed + passes * moving), reason)


@lru_cache(maxsize=256)
def _operations(outputs: tuple[Node, ...], moved: Node, rows: int) -> tuple[float, float]:
    """(of nodes that do not depend on `moved`, of those that do), for N rows."""
    moving = {moved}
    fixed = depending = 0.0
    for node in topological(outputs):
        work = operations(node, rows)
        if any(x in moving for x in node.operands):
            moving.add(node)
            depending += work
        else:
            fixed += work
    return fixed, depending


def operations(node: Node, rows: int) -> float:
    """Floating point operations of one node, by its op row's cost."""
    cost = MEANING[node.op].cost
    return cost * _length(node, rows) if cost else 0.0


def _length(node: Node, rows: int) -> float:
    """Of the index set that the op loops over."""
    power, size = row_size(MEANING[node.op].space(node))
    return float(size) * float(rows) ** power
