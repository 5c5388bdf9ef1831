"""Which way, and why.

A graph of a hundred thousand nodes is not differentiated only to be counted: a way is estimated first, with one
multiplication for each value that depends on theta and each direction, and built only if the estimate is not far above
the best way counted so far. Sparse ways are looked at where the dense ones are dear, or where a sparse matrix is asked
for: finding a pattern takes time of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nablad.expressions import topological
from nablad.solvers.autodiff.derivatives.counting import estimate, split_operations
from nablad.solvers.autodiff.derivatives.ways import WAYS, Derivative, NoSuchWay, Setting, Way, prepared

FAR = 2.0
"""A way whose estimate is so many times the best count is not counted."""
LARGE = 20_000
"""Nodes of a graph for which only the way with the least estimate is built."""
NEAR = 1.1
"""Costs that differ by less are not told apart: the way that comes first in the table is taken."""
DEAR = 1e7
"""Operations of the best dense way from which on sparse ones are looked at."""


ESTIMATED = "estimated, one multiplication for each value"


@dataclass(frozen=True)
class Choice:
    """One way, what it costs here, and why it was taken."""

    way: Way
    passes: int
    operations: float
    reason: str = ""
    others: tuple[Choice, ...] = ()
    """What else may be asked for by name; operations are an estimate where the reason says so."""


def choose(derivative: Derivative, setting: Setting, name: str | None = None, sparse: bool = False) -> Choice:
    """The cheapest way, or the one that is asked for by name. Raises NoSuchWay.

    With `sparse`, a sparse matrix is wanted.
    """
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
    dense = _cheapest([way for way in ways if way.colored is None and way.unfit(setting) is None], setting)
    colored = [way for way in ways if way.colored is not None]
    if not sparse and (dense.operations < DEAR or setting.sparsity is None):
        return dense
    obstacles = {way.name: way.unfit(setting) for way in colored}
    fit = [way for way in colored if obstacles[way.name] is None]
    told = [f"{name} {obstacle}" for name, obstacle in obstacles.items() if obstacle is not None]
    if not fit:
        return replace(dense, reason="; ".join([dense.reason, *told]))
    best = _cheapest(fit, setting)
    wins = best.operations <= dense.operations if sparse else best.operations < dense.operations
    first, second = (best, dense) if wins else (dense, best)
    reason = "; ".join([_cost(first), *map(_also, (second, *second.others, *first.others)), *told])
    return Choice(first.way, first.passes, first.operations, reason, (second, *second.others, *first.others))


def _cheapest(ways: Sequence[Way], setting: Setting) -> Choice:
    """Estimates first: the graphs of ways that are far from winning are not built."""
    best: Choice | None = None
    others: list[Choice] = []
    large = len(topological([setting.function.output])) > LARGE
    for least, k in sorted((estimate(way, setting), k) for k, way in enumerate(ways)):
        way = ways[k]
        if best is not None and (large or least >= FAR * best.operations):
            others.append(Choice(way, way.passes(setting), least, ESTIMATED))
            continue
        found = _counted(way, setting, "counted on its own graph")
        if best is None or _better(found, best, ways):
            best, found = found, best
        if found is not None:
            others.append(found)
    assert best is not None
    return Choice(best.way, best.passes, best.operations, "; ".join([_cost(best), *map(_also, others)]), tuple(others))


def _better(choice: Choice, than: Choice, ways: Sequence[Way]) -> bool:
    if ways.index(choice.way) < ways.index(than.way):
        return choice.operations < NEAR * than.operations
    return NEAR * choice.operations < than.operations


def _cost(choice: Choice) -> str:
    return f"{choice.way.name}: {_told(choice)} cost {_number(choice.operations)} operations"


def _also(choice: Choice) -> str:
    about = "at least" if choice.reason == ESTIMATED else "about"
    return f"{choice.way.name} {about} {_number(choice.operations)} with {_told(choice)}"


def _number(x: float) -> str:
    return f"{x:,.0f}" if x < 1e6 else f"{x:.1e}"


def _told(choice: Choice) -> str:
    return f"{choice.passes} {choice.way.directions} direction{'s' if choice.passes != 1 else ''}"


def _counted(way: Way, setting: Setting, reason: str = "") -> Choice:
    passes = way.passes(setting)
    if way.kernel is None:
        return Choice(way, passes, estimate(way, setting), reason)
    kernel = way.kernel(prepared(way, setting))
    fixed, moving = split_operations((kernel.output,), kernel.direction, setting.rows)
    return Choice(way, passes, setting.points * (fixed + passes * moving), reason)
