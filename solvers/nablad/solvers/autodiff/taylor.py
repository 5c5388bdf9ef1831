"""Taylor mode: the coefficients of t -> f(theta + t v), of any order, from the op rows' forward derivatives alone.

Write x(t) = sum_k x_k t^k for every node. If y = op(x), then forward mode says y' = g(x, y, x') with a graph g, so

    y_0 = op(x_0),    y_k = (1/k) [t^(k-1)] g(x(t), y(t), x'(t)),    [t^j] x' = (j + 1) x_(j+1),

and the nodes of g are expanded in the same manner; what they need is always of lower order, so this ends. That one rule
holds for every op that has a derivative: sin finds cos, and cos finds sin again; tanh finds its own square.

Where a sum of products says the same more directly, it does (Griewank and Walther 2008, chapter 13): linear ops act on
coefficients; multilinear ones by convolution; y = a / b by y_k = (a_k - sum_(j>=1) b_j y_(k-j)) / b_0, A y = b alike
with matrices; y = x^c by x y' = c y x'. A coefficient that is zero by structure is None and costs nothing, so
polynomials end by themselves.

Cost: O(K^2) operations for each node of f and order K; a few ops whose derivative is a new function each time (gamma)
take O(K^3). No recursion: demands wait on a list.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

from nablad.expressions import Node, Symbol, apply, input_node
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.ops import MEANING, Linear, Multilinear
from nablad.solvers.autodiff.transform import push

OPERATIONS_LIMIT = 1_000_000
"""Terms of one expansion; beyond, it is refused."""

Coefficient = Symbol | None
Demand = tuple[Node, int]
Rule = Generator[Demand, None, Coefficient]


class ExpansionTooLarge(ValueError):
    """An expansion that would take too many operations."""


def taylor(output: Node, theta: Node, direction: Symbol, order: int) -> tuple[Coefficient, ...]:
    """c_0 ... c_order of output(theta + t direction) in powers of t; None where one is zero by structure."""
    expansion = _Expansion({theta: direction})
    return tuple(expansion.coefficient(output, k) for k in range(order + 1))


class _Expansion:
    """The coefficients known so far. A node's 0th is the node itself, unless it depends on a rate."""

    def __init__(self, moved: dict[Node, Symbol]) -> None:
        self._moved = moved
        self._varying: dict[Node, bool] = dict.fromkeys(moved, True)
        self._rated: dict[Node, bool] = dict.fromkeys(moved, False)
        self._source: dict[Node, Node] = {}
        self._rates: dict[Node, Symbol] = {}
        self._tangents: dict[Node, Node | None] = {}
        self._known: dict[Demand, Coefficient] = {}
        self._made = 0

    def coefficient(self, node: Node, k: int) -> Coefficient:
        """[t^k] of the node. A rule is a generator: it yields what it needs, until it can go on."""
        first = node, k
        waiting: list[tuple[Demand, Rule]] = []
        demand: Demand | None = first
        while demand is not None or waiting:
            if demand is not None and demand not in self._known:
                waiting.append((demand, self._rule(*demand)))
            if not waiting:
                break
            asked, rule = waiting[-1]
            try:
                demand = next(rule)
            except StopIteration as done:
                waiting.pop()
                self._known[asked] = None if done.value is None else _stretched(done.value, asked[0])
                demand = None
        return self._known[first]

    def at(self, node: Node, k: int) -> Coefficient:
        """A coefficient that the rule has asked for before."""
        return self._known[(node, k)]

    def varies(self, node: Node) -> bool:
        self._look(node)
        return self._varying[node]

    def _look(self, node: Node) -> None:
        waiting = [node]
        while waiting:
            x = waiting[-1]
            unknown = [operand for operand in x.operands if operand not in self._varying]
            if unknown and x not in self._varying:
                waiting.extend(unknown)
                continue
            waiting.pop()
            if x not in self._varying:
                self._varying[x] = any(self._varying[operand] for operand in x.operands)
                self._rated[x] = any(self._rated[operand] for operand in x.operands)

    def tangent(self, node: Node) -> Node | None:
        """g of y' = g(x, y, x'); None where y stays as it is."""
        if node not in self._tangents:
            found = push(node, [self._rate(x) for x in node.operands])
            self._tangents[node] = None if found is None else _stretched(found, node).node
        return self._tangents[node]

    def _rate(self, node: Node) -> Symbol | None:
        """A stand-in for x'(t), None where x stays as it is."""
        if not self.varies(node):
            return None
        if node not in self._rates:
            rate = input_node(f"rate {len(self._rates)}", node.shape, "rate")
            self._source[rate] = node
            self._varying[rate] = self._rated[rate] = True
            self._rates[node] = Symbol(rate)
        return self._rates[node]

    def _rule(self, node: Node, k: int) -> Rule:
        self._look(node)
        if node in self._source:
            return _of_rate(self, self._source[node], k)
        if k == 0 and not self._rated[node]:
            return _given(Symbol(node))
        if node in self._moved:
            return _given(self._moved[node] if k == 1 else None)
        if not self._varying[node]:
            return _given(None)
        self._made += k + 1
        if self._made > OPERATIONS_LIMIT:
            raise ExpansionTooLarge(f"an expansion to this order takes more than {OPERATIONS_LIMIT:,} operations")
        rule = RULES.get(node.op)
        if rule is None:
            rule = KINDS.get(type(MEANING[node.op].derivative), _by_tangent)
        return rule(self, node, k)


def _given(value: Coefficient) -> Rule:
    """A coefficient that needs no other."""
    return value
    yield


def _of_rate(expansion: _Expansion, source: Node, k: int) -> Rule:
    yield source, k + 1
    found = expansion.at(source, k + 1)
    return found if found is None or k == 0 else float(k + 1) * found


def _by_tangent(expansion: _Expansion, node: Node, k: int) -> Rule:
    """y_k = [t^(k-1)] y' / k."""
    if k == 0:
        return (yield from _applied(expansion, node))
    tangent = expansion.tangent(node)
    if tangent is None:
        return None
    yield tangent, k - 1
    found = expansion.at(tangent, k - 1)
    return found if found is None or k == 1 else found / float(k)


def _applied(expansion: _Expansion, node: Node) -> Rule:
    """y_0 = op(x_0)."""
    operands = []
    for x in node.operands:
        yield x, 0
        found = expansion.at(x, 0)
        operands.append(s.zeros(x.shape) if found is None else found)
    return apply(node.op, *operands, attributes=node.attributes)


def _linear(expansion: _Expansion, node: Node, k: int) -> Rule:
    """Linear in all operands together."""
    parts = []
    for x in node.operands:
        yield x, k
        parts.append(expansion.at(x, k))
    if all(part is None for part in parts):
        return None
    filled = [s.zeros(x.shape) if part is None else part for x, part in zip(node.operands, parts, strict=True)]
    return apply(node.op, *filled, attributes=node.attributes)


def _sum(expansion: _Expansion, node: Node, k: int) -> Rule:
    """x + z, x - z."""
    x, z = node.operands
    yield x, k
    yield z, k
    left, right = expansion.at(x, k), expansion.at(z, k)
    if right is None:
        return left
    if node.op == "subtract":
        right = -right
    return right if left is None else left + right


def _multilinear(expansion: _Expansion, node: Node, k: int) -> Rule:
    """sum over i + j + ... = k of op(x_i, z_j, ...)."""
    varying = [place for place, x in enumerate(node.operands) if expansion.varies(x)]
    for place in varying:
        for i in range(k + 1):
            yield node.operands[place], i
    parts: list[Coefficient] = []
    for orders in _compositions(k, len(varying)):
        operands: list[Coefficient] = [Symbol(x) for x in node.operands]
        for place, i in zip(varying, orders, strict=True):
            operands[place] = expansion.at(node.operands[place], i)
        present = [x for x in operands if x is not None]
        if len(present) == len(operands):
            parts.append(apply(node.op, *present, attributes=node.attributes))
    return _total(parts)


def _square(expansion: _Expansion, node: Node, k: int) -> Rule:
    """x_i x_j and x_j x_i are one product."""
    (x,) = node.operands
    for i in range(k + 1):
        yield x, i
    pairs = [_product(expansion.at(x, i), expansion.at(x, k - i)) for i in range((k + 1) // 2)]
    twice = _total(pairs)
    middle = expansion.at(x, k // 2) if k % 2 == 0 else None
    return _total([None if twice is None else 2.0 * twice, None if middle is None else s.square(middle)])


def _divide(expansion: _Expansion, node: Node, k: int) -> Rule:
    """y_k = (a_k - sum_(j>=1) b_j y_(k-j)) / b_0."""
    a, b = node.operands
    yield a, k
    yield b, 0
    rest = yield from _remainder(expansion, node, b, expansion.at(a, k), k, _product)
    return None if rest is None else rest / _present(expansion.at(b, 0), b)


def _reciprocal(expansion: _Expansion, node: Node, k: int) -> Rule:
    """As 1 / b."""
    (b,) = node.operands
    yield b, 0
    if k == 0:
        return s.reciprocal(_present(expansion.at(b, 0), b))
    rest = yield from _remainder(expansion, node, b, None, k, _product)
    return None if rest is None else rest / _present(expansion.at(b, 0), b)


def _solve(expansion: _Expansion, node: Node, k: int) -> Rule:
    """A_0 y_k = b_k - sum_(j>=1) A_j y_(k-j)."""
    matrix, b = node.operands
    yield matrix, 0
    yield b, k
    rest = yield from _remainder(expansion, node, matrix, expansion.at(b, k), k, _matrix_product)
    if rest is None:
        return None
    first = _present(expansion.at(matrix, 0), matrix)
    return apply("solve", first, rest, attributes=node.attributes)


def _remainder(
    expansion: _Expansion,
    node: Node,
    factor: Node,
    given: Coefficient,
    k: int,
    product: Callable[[Coefficient, Coefficient], Coefficient],
) -> Rule:
    """given - sum_(j=1..k) factor_j y_(k-j)."""
    if k == 0 or not expansion.varies(factor):
        return given
    for j in range(1, k + 1):
        yield factor, j
        yield node, k - j
    total = _total([product(expansion.at(factor, j), expansion.at(node, k - j)) for j in range(1, k + 1)])
    if total is None:
        return given
    return -total if given is None else given - total


def _fixed_power(expansion: _Expansion, node: Node, k: int) -> Rule:
    """x y' = c y x', so y_k = sum_(j=1..k) (c j - (k - j)) x_j y_(k-j) / (k x_0).

    A whole c >= 0 goes by the tangent c x^(c-1) x' instead: that is right at x_0 = 0 too, and ends.
    """
    (x,), (exponent,) = node.operands, node.attributes
    if k == 0 or (exponent >= 0 and float(exponent).is_integer()):
        return (yield from _by_tangent(expansion, node, k))
    yield x, 0
    for j in range(1, k + 1):
        yield x, j
        yield node, k - j
    parts: list[Coefficient] = []
    for j in range(1, k + 1):
        product, weight = _product(expansion.at(x, j), expansion.at(node, k - j)), exponent * j - (k - j)
        parts.append(None if product is None or weight == 0 else weight * product)
    total = _total(parts)
    return None if total is None else total / (float(k) * _present(expansion.at(x, 0), x))


def _where(expansion: _Expansion, node: Node, k: int) -> Rule:
    """The branch that is taken at t = 0."""
    truth, *branches = node.operands
    yield truth, 0
    for x in branches:
        yield x, k
    found = [expansion.at(x, k) for x in branches]
    if all(x is None for x in found):
        return None
    return s.where(_present(expansion.at(truth, 0), truth), *(0.0 if x is None else x for x in found))


def _product(x: Coefficient, z: Coefficient) -> Coefficient:
    return None if x is None or z is None else x * z


def _matrix_product(x: Coefficient, z: Coefficient) -> Coefficient:
    return None if x is None or z is None else s.matmul(x, z)


def _present(x: Coefficient, node: Node) -> Symbol:
    return s.zeros(node.shape) if x is None else x


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All (i, j, ...) >= 0 of the given sum."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _stretched(x: Symbol, node: Node) -> Symbol:
    return x if x.shape == node.shape else s.broadcast_to(x, node.shape)


def _total(parts: Sequence[Coefficient]) -> Coefficient:
    total: Coefficient = None
    for part in parts:
        if part is not None:
            total = part if total is None else total + part
    return total


RULES: dict[str, Callable[[_Expansion, Node, int], Rule]] = {
    "add": _sum,
    "subtract": _sum,
    "negative": _linear,
    "multiply": _multilinear,
    "square": _square,
    "divide": _divide,
    "reciprocal": _reciprocal,
    "fixed_power": _fixed_power,
    "where": _where,
    "solve": _solve,
}
"""Ops whose coefficients are said more directly than by their tangent."""

KINDS: dict[type, Callable[[_Expansion, Node, int], Rule]] = {Multilinear: _multilinear, Linear: _linear}
