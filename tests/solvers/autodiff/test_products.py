"""Products against numpy: every rank it takes, every kind of subscript, with the data rows among the axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad.expressions import ROWS, Graph, ShapeError, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.blocks import compile_program
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.rows import split
from nablad.solvers.autodiff.simplify import simplify
from nablad.solvers.autodiff.transform import gradient, jvp

LENGTHS = {"i": 2, "j": 3, "k": 4, "l": 5, "n": 7}

EINSUMS = [
    "ij->ji",
    "ij",
    "ji",
    "ii",
    "ii->i",
    "iij->j",
    "iji->ij",
    "iii->i",
    "ijk->ik",
    "ij->",
    "i,i",
    "i,i->i",
    "i,j->ij",
    "i,j->ji",
    "i,j->",
    "ij,j->i",
    "j,ij->i",
    "ij,jk->ik",
    "ij,jk->ki",
    "ij,jk",
    "ij,kj->ik",
    "ij,ij->",
    "ij,ji->",
    "ij,ij->i",
    "ij,ij->ij",
    "ijk,jkl->il",
    "ijk,kjl->li",
    "ijk,ijl->ikl",
    "ijk,ik->ij",
    "ik,ijk->ji",
    "ijk,jil->kl",
    "ijk,ijk->k",
    "ij,k,jl->lik",
    "ij,jk,kl->il",
    "ij,jk,kl,l->i",
    "i,ij,j",
    "ii,ij->j",
    "ijj,jk->ik",
    ",ij->ij",
    "i,->i",
    "n,n->",
    "ni,ij->nj",
    "ni,nj->ij",
    "ni,ij,nj->n",
    "nij,nj->ni",
    "nij,nij->",
    "nij,nj,ni->",
    "nij,njk->nik",
    "ij,nj->ni",
    "nij,jk->nik",
    "nij,kl->nijkl",
    "kj,nij->nik",
    "nij,nik->jk",
    "n,ni->ni",
    "n,nij,j->i",
    "nij,ijk->nk",
    "nik,jik->nj",
]


def operands(subscripts: str) -> list[Any]:
    rng = np.random.default_rng(51)
    words = subscripts.split("->")[0].split(",")
    return [rng.normal(size=[LENGTHS[k] for k in word]) for word in words]


@pytest.mark.parametrize("over", ["numbers", "rows"])
@pytest.mark.parametrize("subscripts", EINSUMS)
def test_einsum_is_numpys(subscripts: str, over: str) -> None:
    """Also with n as the axis of data rows, and its derivative along one operand: the sum is linear in each."""
    if over == "rows" and "n" not in subscripts:
        over = "numbers again"
    arrays = operands(subscripts)
    words = subscripts.split("->")[0].split(",")
    shapes = [
        tuple(ROWS if over == "rows" and k == "n" else d for k, d in zip(word, x.shape, strict=True))
        for word, x in zip(words, arrays, strict=True)
    ]
    inputs = [data(f"x{k}", shape) for k, shape in enumerate(shapes)]
    y = s.einsum(subscripts, *inputs)
    tangent = data("t", shapes[0])
    (pushed,) = jvp([y.node], {inputs[0].node: tangent})
    graph = Graph(tuple(x.node for x in (*inputs, tangent)), (y.node, pushed.node))
    moved = np.random.default_rng(52).normal(size=arrays[0].shape)
    values = {f"x{k}": x for k, x in enumerate(arrays)}
    results = interpret(graph, {**values, "t": moved})
    fast = Workspace(compile_plan(simplify(graph), np.dtype(float)), 7).run([*arrays, moved], 7)
    for ours, quick, first in zip(results, fast, (arrays[0], moved), strict=True):
        expected = np.einsum(subscripts, first, *arrays[1:])
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(quick, expected, rtol=1e-12, atol=1e-14)


ROW_BY_ROW = [word for word in EINSUMS if "n" in word]


@pytest.mark.parametrize("subscripts", ROW_BY_ROW)
def test_einsum_over_rows_is_separable_and_so_is_its_gradient(subscripts: str) -> None:
    words = subscripts.split("->")[0].split(",")
    inputs = [
        (data if "n" in word else parameter)(f"x{k}", tuple(ROWS if c == "n" else LENGTHS[c] for c in word))
        for k, word in enumerate(words)
    ]
    y = s.einsum(subscripts, *inputs)
    # The square of a sum over rows would not be separable, however the sum is written.
    y = s.sum(s.square(y) if ROWS in y.shape else y)
    theta = [x.node for x in inputs if x.node.attributes[2] == "parameter"]
    graph = Graph(tuple(x.node for x in inputs), (y.node, *(g.node for g in gradient(y.node, theta))))
    assert split(simplify(graph)) is not None


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("...ij,...jk->...ik", ((5, 2, 3), (3, 4))),
        ("...ij,...jk", ((5, 2, 3), (6, 1, 3, 4))),
        ("i...,i...->...", ((2, 5), (2, 6, 5))),
        ("...", ((2, 3),)),
        ("...i->...", ((4, 2, 3),)),
        ("...ii->...i", ((4, 3, 3),)),
        ("i...j->j...i", ((4, 2, 3),)),
        ("...,...", ((3,), (2, 1))),
        ("ij,j", ((2, 1), (3,))),
        ("ii", ((1, 1),)),
        ("ij , jk -> ik", ((2, 3), (3, 4))),
        ("ij,jk->ik", ((2, 0), (0, 4))),
        ("B,aB", ((2,), (3, 2))),
    ],
)
def test_einsum_with_ellipses_and_stretched_axes(subscripts: str, shapes: Any) -> None:
    rng = np.random.default_rng(53)
    arrays = [rng.normal(size=shape) for shape in shapes]
    compare(lambda m, *x: m.einsum(subscripts, *x), arrays)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk->ik", ((2, 3),), "for 2 operands"),
        ("ij->i", ((2,),), "axis for each"),
        ("i->i", ((2, 3),), "axis for each"),
        ("ij,jk->ik", ((2, 3), (4, 5)), "two lengths"),
        ("ij->k", ((2, 3),), "no operand has"),
        ("ij->ii", ((2, 3),), "twice"),
        ("i1->i", ((2, 3),), "letters"),
        ("i->i1", ((2,),), "letters"),
        ("...i->i", ((2, 3),), "must keep"),
        ("....i", ((2, 3),), "letters"),
        ("nn->n", ((ROWS, ROWS),), "N"),
        (",".join("i" * 33), ((2,),) * 33, "at most 32"),
    ],
)
def test_einsum_refuses_in_words(subscripts: str, shapes: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        s.einsum(subscripts, *(data(f"x{k}", shape) for k, shape in enumerate(shapes)))


def test_einsum_contracts_the_cheapest_pair_first() -> None:
    """A (B v) for matrices of 200 x 200, not (A B) v."""
    a, b, v = parameter("a", (200, 200)), parameter("b", (200, 200)), parameter("v", (200,))
    y = s.einsum("ij,jk,k->i", a, b, v)
    plan = compile_plan(Graph((a.node, b.node, v.node), (y.node,)), np.dtype(float))
    assert sum(plan.flops) < 4.1 * 200**2


def compare(function: Any, arrays: list[Any]) -> None:
    """Shape and numbers as numpy's, and the derivative along the first operand, in which all of these are linear."""
    inputs = [parameter(f"x{k}", x.shape) for k, x in enumerate(arrays)]
    y = function(s, *inputs)
    moved = np.random.default_rng(54).normal(size=arrays[0].shape)
    (pushed,) = jvp([y.node], {inputs[0].node: Symbol(s.lift(moved))})
    graph = Graph(tuple(x.node for x in inputs), (y.node, pushed.node))
    results = interpret(graph, {f"x{k}": x for k, x in enumerate(arrays)})
    expected = function(np, *arrays), function(np, moved, *arrays[1:])
    for ours, theirs in zip(results, expected, strict=True):
        assert ours.shape == np.shape(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


SHAPES: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "matmul": [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 2)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (6, 3, 4)),
        ((0,), (0,)),
    ],
    "dot": [
        ((), ()),
        ((), (2, 3)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 2)),
        ((5, 2, 3), (6, 3, 4)),
    ],
    "inner": [((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((5, 2, 3), (4, 3))],
    "vdot": [((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (6,)), ((), ())],
    "outer": [((3,), (2,)), ((2, 3), (2,)), ((), (2,))],
    "kron": [((2,), (3,)), ((2, 3), (4, 2)), ((2,), (3, 2)), ((2, 3, 2), (3,)), ((), (2, 2))],
}


@pytest.mark.parametrize(
    ("name", "shapes"), [(name, pair) for name, pairs in SHAPES.items() for pair in pairs], ids=str
)
def test_products_are_numpys(name: str, shapes: Any) -> None:
    rng = np.random.default_rng(55)
    compare(lambda m, x, y: getattr(m, name)(x, y), [rng.normal(size=shape) for shape in shapes])


@pytest.mark.parametrize(
    ("shapes", "axes"),
    [
        (((2, 3, 4), (3, 4, 5)), 2),
        (((2, 3), (3, 4)), 1),
        (((2, 3), (4,)), 0),
        (((2, 3, 4), (4, 5, 3)), ([1, 2], [2, 0])),
        (((2, 3, 4), (4, 5, 3)), (-1, 0)),
        (((2, 3), (2, 3)), ([0, 1], [0, 1])),
    ],
)
def test_tensordot_is_numpys(shapes: Any, axes: Any) -> None:
    rng = np.random.default_rng(56)
    compare(lambda m, x, y: m.tensordot(x, y, axes), [rng.normal(size=shape) for shape in shapes])


@pytest.mark.parametrize("exponent", [0, 1, 2, 5, -1, -3])
@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3)])
def test_matrix_power_is_numpys(exponent: int, shape: tuple[int, ...]) -> None:
    point = np.random.default_rng(57).normal(size=shape) + 3 * np.eye(3)
    x = parameter("x", shape)
    (ours,) = interpret(Graph((x.node,), (s.matrix_power(x, exponent).node,)), {"x": point})
    np.testing.assert_allclose(ours, np.linalg.matrix_power(point, exponent), rtol=1e-12)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda x, v: s.matmul(x, 2.0),
        lambda x, v: s.matmul(v, x),
        lambda x, v: s.matmul(v, np.ones(4)),
        lambda x, v: s.dot(x, np.ones(4)),
        lambda x, v: s.vdot(x, v),
        lambda x, v: s.tensordot(x, v, 2),
        lambda x, v: s.tensordot(x, v, (0, 0)),
        lambda x, v: s.matrix_power(x, 2),
        lambda x, v: s.kron(data("n", (ROWS,)), v),
        lambda x, v: s.outer(data("n", (ROWS, 2)), v),
    ],
)
def test_operands_that_do_not_fit_are_refused(attempt: Any) -> None:
    with pytest.raises(ShapeError):
        attempt(parameter("x", (2, 3)), parameter("v", (3,)))


def test_products_with_rows_stay_separable() -> None:
    x, theta = data("x", (ROWS, 3)), parameter("theta", (3,))
    v = data("v", (ROWS,))
    loss = s.dot(v, s.matmul(x, theta)) + s.sum(s.matmul(v, x) * theta) + s.vdot(x, x) + s.dot(v, v)
    loss = loss + s.sum(s.tensordot(x, np.ones((3, 2)), 1)) + s.sum(s.kron(x, np.ones((1, 2))))
    (slope,) = gradient(loss.node, [theta.node])
    program = compile_program(Graph((theta.node, x.node, v.node), (loss.node, slope.node)), np.dtype(float))
    assert program.separable
