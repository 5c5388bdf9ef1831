"""Patterns: never less than the Jacobian's entries, for every op row; no more, where the structure is plain."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from solvers.autodiff.derivatives.functions import EXAMPLES, Example
from solvers.autodiff.opcases import CASES, Case

from nablad.expressions import OPS, Graph, Symbol, data, make, parameter
from nablad.expressions import symbols as s
from nablad.solvers import Derivatives, Expression
from nablad.solvers.autodiff.derivatives import Function
from nablad.solvers.autodiff.sparsity import Csr, Unknown, pattern


def found(output: Symbol, theta: Symbol, **arrays: Any) -> np.ndarray:
    return pattern(output.node, theta.node, arrays).toarray()


@pytest.mark.parametrize("case", [c for c in CASES if OPS[c.op].result == "real"], ids=str)
def test_no_entry_is_missed(case: Case) -> None:
    rng = np.random.default_rng(zlib.crc32(case.op.encode()))
    drawn = {k: rng.uniform(case.low, case.high, shape) for k, shape in enumerate(case.shapes) if k not in case.fixed}
    if case.prepare is not None:
        drawn = {k: case.prepare(x) for k, x in drawn.items()}
    theta = parameter("theta", (sum(x.size for x in drawn.values()),))
    operands, start = [], 0
    for k in range(len(case.shapes)):
        if k in case.fixed:
            array = np.asarray(case.fixed[k])
            operands.append(s.greater(np.where(array, 1.0, 0.0), 0.5) if array.dtype == bool else Symbol(s.lift(array)))
            continue
        operands.append(s.reshape(s.slice_of(theta, [(start, start + drawn[k].size)]), drawn[k].shape))
        start += drawn[k].size
    output = make(case.op, [x.node for x in operands], case.attributes)
    point = np.concatenate([x.ravel() for x in drawn.values()])
    if 0 in output.shape:
        return
    model = Expression(Graph((theta.node,), (output,)), {"theta": point})
    jacobian = Derivatives(model).jacobian(point, way="forward").array.reshape(-1, len(point))
    mask = pattern(output, theta.node, {}).toarray()
    assert mask.shape == jacobian.shape
    assert not np.any(jacobian[~mask])


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_patterns_of_whole_functions(example: Example) -> None:
    model = example.model()
    problem = model.problem
    function = Function(problem.output, problem.parameters, problem.data).whole(model.rows)
    mask = pattern(function.output, function.theta, model.data).toarray()
    theta = model.start()
    jacobian = Derivatives(model).jacobian(theta).array.reshape(mask.shape)
    assert not np.any(jacobian[~mask])


X = parameter("x", (6,))
M = s.reshape(X, (2, 3))
TRIDIAGONAL = np.diag(np.ones(6)) + np.diag(np.ones(5), 1) + np.diag(np.ones(5), -1)
PLAIN: list[tuple[str, Symbol, Any]] = [
    ("pointwise", s.exp(X) * X, np.eye(6)),
    ("stretched", s.reshape(s.slice_of(X, [(0, 2)]), (2, 1)) + s.slice_of(X, [(3, 6)]),
     [[i == j or j == 3 + k for j in range(6)] for i in range(2) for k in range(3)]),
    ("transpose", M.T, np.eye(6)[[0, 3, 1, 4, 2, 5]]),
    ("sum of rows", s.sum(M, [1]), np.kron(np.eye(2), np.ones(3))),
    ("sum of columns", s.sum(M, [0], True), np.kron(np.ones(2), np.eye(3))),
    ("differences", s.slice_of(X, [(1, 6)]) - s.slice_of(X, [(0, 5)]), np.eye(6)[1:] + np.eye(6)[:-1]),
    ("scatter", s.scatter([s.slice_of(X, [(0, 2)])], (4,), [[(1, 3)]]), np.eye(6)[[5, 0, 1, 5]] * [1, 1, 1, 1, 1, 0]),
    ("constant matrix", s.matmul(TRIDIAGONAL, s.sin(X)), TRIDIAGONAL),
    ("constant matrix of many", s.matmul(np.array([[1.0, 0.0]]), M), np.eye(6)[:3]),
    ("product", s.matmul(M, np.ones((3, 2))), np.kron(np.eye(2), np.ones((2, 3)))),
    ("its own transpose", s.matmul(M, M.T), [[1] * 3 + [0] * 3, [1] * 6, [1] * 6, [0] * 3 + [1] * 3]),
    ("elements one by one", s.concatenate([s.slice_of(X, [(k, k + 1)]) * s.slice_of(X, [(0, 1)]) for k in (5, 2)], 0),
     np.eye(6)[[5, 2]] + np.eye(6)[[0, 0]]),
    ("scattered one by one",
     s.scatter([s.reshape(s.sin(s.slice_of(X, [(k, k + 1)])), (1, 1)) for k in (5, 2)], (2, 2),
               [[(0, 1), (1, 2)], [(1, 2), (0, 1)]]),
     [[0] * 6, np.eye(6)[5], np.eye(6)[2], [0] * 6]),
    ("index", s.take(X, [5.0, 0.0, 0.0], 0), np.eye(6)[[5, 0, 0]]),
    ("independent", s.ones((2,)), np.zeros((2, 6))),
    ("slope of a step", s.floor(X), np.zeros((6, 6))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "output", "expected"), PLAIN, ids=[row[0] for row in PLAIN])
def test_plain_structure_is_found_exactly(name: str, output: Symbol, expected: Any) -> None:
    assert np.array_equal(found(output, X), np.asarray(expected, bool))


def test_an_index_that_is_data_is_read() -> None:
    group = data("group", (3,))
    assert np.array_equal(
        found(s.take(X, group, 0), X, group=np.array([2.0, 2.0, 4.0])), np.eye(6, dtype=bool)[[2, 2, 4]]
    )


def test_what_would_outgrow_its_budget_is_given_up_with_a_reason() -> None:
    y: Symbol = X
    for _ in range(30):
        y = s.sin(y)
    with pytest.raises(Unknown, match="30 nodes"):
        pattern(y.node, X.node, {}, 500)
    large = parameter("large", (1_000,))
    with pytest.raises(Unknown, match="more than 800 elements"):
        pattern(s.sin(large).node, large.node, {}, 800)
    with pytest.raises(Unknown, match=r"more than 50,000 entries"):
        pattern((s.sum(large) * large).node, large.node, {}, 50_000)


def test_compressed_rows() -> None:
    matrix = Csr((2, 3), np.array([0, 2, 3]), np.array([0, 2, 1]), np.array([1.0, 2.0, 3.0]))
    assert np.array_equal(matrix.dense(), [[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
