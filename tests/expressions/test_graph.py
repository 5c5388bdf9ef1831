"""The language: hash-consing, order, shapes, and depth."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from nablad.expressions import ROWS, Graph, ShapeError, constant, data, make, parameter, rebuild, topological
from nablad.expressions import symbols as s
from nablad.expressions.dimension import broadcast
from nablad.expressions.graph import _interned


def test_equal_expressions_are_one_node() -> None:
    x = parameter("x", (3,))
    assert (s.exp(x) * 2.0).node is (s.exp(x) * 2.0).node
    assert s.sum(x, [0]).node is not s.sum(x, [0], keepdims=True).node


def test_constants_differ_by_bytes_dtype_and_shape() -> None:
    distinct = [0.0, -0.0, np.float32(0.0), np.zeros(1), np.zeros((1, 1)), np.nan]
    assert len({constant(value) for value in distinct}) == len(distinct)
    assert constant(np.nan) is constant(np.nan)
    assert constant(2) is constant(2.0)


def test_a_constant_is_a_copy() -> None:
    array = np.ones(3)
    node = constant(array)
    array[0] = 7.0
    assert node.value.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        node.value[0] = 1.0


def test_nodes_are_immutable() -> None:
    with pytest.raises(AttributeError):
        constant(1.0).op = "exp"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        s.eye(2).node = constant(1.0)  # type: ignore[misc]


def test_nodes_die_with_their_last_holder() -> None:
    gc.collect()
    before = len(_interned)
    y = s.sin(parameter("only here", ()))
    assert len(_interned) == before + 2
    del y
    gc.collect()
    assert len(_interned) == before


def test_order_is_operands_first_and_does_not_depend_on_history() -> None:
    def build() -> list[str]:
        x = parameter("x", (2,))
        y = s.exp(x) + s.sin(x) * s.exp(x)
        return [repr(node) for node in topological([y.node, s.cos(x).node])]

    first = build()
    _noise = [s.tanh(parameter(f"n{k}", ())) for k in range(50)]
    assert build() == first
    assert first.index("exp() (2,)") < first.index("multiply() (2,)") < first.index("add() (2,)")


def test_threads_agree_on_the_node() -> None:
    x = parameter("x", ())
    found: list[object] = []

    def work() -> None:
        found.extend(s.power(x, 3.0 + k).node for k in range(200))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 200


def test_a_graph_knows_its_inputs() -> None:
    x, y = parameter("x", ()), parameter("y", ())
    with pytest.raises(ValueError, match="does not declare"):
        Graph((x.node,), ((x * y).node,))
    with pytest.raises(ValueError, match="share a name"):
        Graph((x.node, data("x", (2,)).node), (x.node,))


def test_rebuild_replaces() -> None:
    x, y = parameter("x", ()), parameter("y", ())
    (swapped,) = rebuild([s.exp(x + 1.0).node], {x.node: y.node})
    assert swapped is s.exp(y + 1.0).node


def test_rows_broadcast_like_a_number_that_is_not_known() -> None:
    assert broadcast("add", [(ROWS, 1), (4,)]) == (ROWS, 4)
    assert broadcast("add", [(ROWS,), (ROWS,)]) == (ROWS,)
    assert broadcast("add", [(ROWS, 1), (ROWS,)]) == (ROWS, ROWS)
    with pytest.raises(ShapeError, match=r"add\(\(N,\), \(3,\)\)"):
        broadcast("add", [(ROWS,), (3,)])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, v: x @ s.transpose(x) @ v,
        lambda x, v: v @ x,
        lambda x, v: s.reshape(x, (3,)),
        lambda x, v: make("sum", [x.node], ((7,), False)),
        lambda x, v: s.slice_of(x, [(0, 2), None]),
        lambda x, v: s.slice_of(v, [(1, 4)]),
        lambda x, v: s.concatenate([x, v], 0),
        lambda x, v: s.transpose(x, [0, 0]),
        lambda x, v: s.broadcast_to(x, (ROWS, 4)),
        lambda x, v: s.scatter([v], (5,), [[(0, 2)]]),
        lambda x, v: s.logsumexp(1.0, 0),
        lambda x, v: make("exp", [x.node, x.node]),
    ],
)
def test_shapes_that_do_not_fit_are_refused(wrong: object) -> None:
    x, v = data("x", (ROWS, 3)), parameter("v", (3,))
    with pytest.raises(ShapeError):
        wrong(x, v)  # type: ignore[operator]


def test_a_hundred_thousand_deep() -> None:
    y = x = parameter("x", ())
    for _ in range(100_000):
        y = s.sin(y)
    assert len(topological([y.node])) == 100_001
    (same,) = rebuild([y.node], {x.node: x.node})
    assert same is y.node
    del y, same
    gc.collect()
