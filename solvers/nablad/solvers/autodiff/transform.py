"""Derivatives as graphs: forward mode (jvp), reverse mode (vjp), dead code left behind by construction.

With y = f(x), J the Jacobian in numerator layout: jvp builds J t, one tangent t for each input; vjp builds u J, one
cotangent u for each output, by the chain rule read backwards (Linnainmaa 1970; Griewank and Walther 2008, chapter 3).
Both return graphs over the nodes of f itself, so derivatives of derivatives follow, and f's own values are shared.
A graph holds what its outputs need, so nothing is ever there to be removed.

The cost of u J is at most four times that of f for arithmetic (Baur and Strassen 1983); J t at most two and a half.

An input on which an output does not depend has a derivative that is zero by structure. That zero is never built, which
is another thing than rewriting 0 * x to 0: the latter would hide a NaN, and is not done anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from nablad.expressions import Node, Symbol, apply, remake, topological
from nablad.expressions import symbols as s
from nablad.expressions.dimension import Shape
from nablad.solvers.autodiff.ops import MEANING, General, Linear, Multilinear, Pointwise


class NotDifferentiable(ValueError):
    """An op has no derivative rule."""


Watch = Callable[[Node, Node, Symbol], None]
"""Told (node, operand, contribution to the operand's cotangent) in the order of the reverse sweep."""


def vjp(
    outputs: Sequence[Node], inputs: Sequence[Node], cotangents: Sequence[Symbol], watch: Watch | None = None
) -> tuple[Symbol, ...]:
    """sum_k cotangents[k] d outputs[k] / d inputs[i], one of the shape of each input."""
    order = topological(outputs)
    active = _active(order, inputs)
    pending: dict[Node, list[Symbol]] = {}
    for output, cotangent in zip(outputs, cotangents, strict=True):
        pending.setdefault(output, []).append(cotangent)
    wanted = set(inputs)
    result: dict[Node, Symbol] = {}
    for node in reversed(order):
        if node not in active or node not in pending:
            continue
        cotangent = _total(pending.pop(node))
        if node in wanted:
            result[node] = cotangent
        for operand, contribution in _pull(node, cotangent, active):
            if watch is not None:
                watch(node, operand, contribution)
            pending.setdefault(operand, []).append(_unbroadcast(contribution, operand.shape))
    return tuple(result[node] if node in result else s.zeros(node.shape) for node in inputs)


def jvp(outputs: Sequence[Node], tangents: Mapping[Node, Symbol]) -> tuple[Symbol, ...]:
    """sum_i d outputs[k] / d inputs[i] tangents[i], one of the shape of each output."""
    moved: dict[Node, Symbol] = dict(tangents)
    for node in topological(outputs):
        if node not in moved and any(operand in moved for operand in node.operands):
            tangent = push(node, [moved.get(operand) for operand in node.operands])
            if tangent is not None:
                moved[node] = tangent if tangent.shape == node.shape else s.broadcast_to(tangent, node.shape)
    return tuple(moved[node] if node in moved else s.zeros(node.shape) for node in outputs)


def gradient(output: Node, inputs: Sequence[Node], watch: Watch | None = None) -> tuple[Symbol, ...]:
    """The gradient of a scalar, one array of the shape of each input."""
    if output.shape != ():
        raise ValueError(f"the gradient of a scalar is asked for; the output is {output!r}")
    return vjp([output], inputs, [Symbol(s.lift(1.0))], watch)


def _active(order: Sequence[Node], inputs: Sequence[Node]) -> set[Node]:
    """The nodes that depend on the inputs."""
    active = set(inputs)
    for node in order:
        if any(operand in active for operand in node.operands):
            active.add(node)
    return active


def _pull(node: Node, cotangent: Symbol, active: set[Node]) -> list[tuple[Node, Symbol]]:
    rule = MEANING[node.op].derivative
    operands, result = tuple(Symbol(x) for x in node.operands), Symbol(node)
    contributions: Sequence[Symbol | None]
    match rule:
        case Pointwise(builders) | Multilinear(builders):
            contributions = [
                build(cotangent, operands, result) if build is not None and x in active else None
                for build, x in zip(builders, node.operands, strict=True)
            ]
        case Linear(adjoint):
            contributions = adjoint(cotangent, node)
        case General(_, pull):
            contributions = pull(cotangent, operands, result)
        case None:
            if node.operands:
                raise NotDifferentiable(f"{node!r} has no derivative rule")
            contributions = ()
    return [(x, part) for x, part in zip(node.operands, contributions, strict=True) if part is not None and x in active]


def push(node: Node, tangents: Sequence[Symbol | None]) -> Symbol | None:
    """The tangent of one op, given those of its operands; None where it is zero by structure."""
    rule = MEANING[node.op].derivative
    operands, result = tuple([Symbol(x) for x in node.operands]), Symbol(node)
    match rule:
        case Pointwise(builders):
            return _sum(
                [
                    build(t, operands, result)
                    for build, t in zip(builders, tangents, strict=True)
                    if build is not None and t is not None
                ]
            )
        case Multilinear(adjoints):
            return _sum(
                apply(node.op, *operands[:k], t, *operands[k + 1 :], attributes=node.attributes)
                for k, t in enumerate(tangents)
                if t is not None and adjoints[k] is not None
            )
        case Linear(_):
            if len(tangents) == 1 and (only := tangents[0]) is not None and only.shape == node.operands[0].shape:
                return Symbol(remake(node, (only.node,)))
            filled = [s.zeros(x.shape) if t is None else t for x, t in zip(node.operands, tangents, strict=True)]
            return apply(node.op, *filled, attributes=node.attributes)
        case General(push, _):
            return push(tuple(tangents), operands, result)
        case None:
            raise NotDifferentiable(f"{node!r} has no derivative rule")


def _sum(parts: Iterable[Symbol]) -> Symbol | None:
    total: Symbol | None = None
    for part in parts:
        total = part if total is None else total + part
    return total


def _total(contributions: Sequence[Symbol]) -> Symbol:
    """Their sum; cotangents of indexed reads meet in one scatter, so that reading n elements one by one costs O(n)."""
    reads = [c.node for c in contributions if c.node.op == "scatter"]
    rest = [c for c in contributions if c.node.op != "scatter"]
    if reads:
        pieces = [piece for node in reads for piece in node.operands]
        places = [place for node in reads for place in node.attributes[1]]
        rest.append(s.scatter(pieces, reads[0].shape, places))
    total = rest[0]
    for part in rest[1:]:
        total = total + part
    return total


def _unbroadcast(cotangent: Symbol, shape: Shape) -> Symbol:
    """Undo numpy's broadcasting: what was stretched is summed. The one place where this is done."""
    if cotangent.shape == shape:
        return cotangent
    extra = cotangent.ndim - len(shape)
    stretched = [extra + axis for axis, d in enumerate(shape) if d == 1 and cotangent.shape[extra + axis] != 1]
    summed = s.sum(cotangent, [*range(extra), *stretched]) if extra or stretched else cotangent
    return summed if summed.shape == shape else s.reshape(summed, shape)
