"""Linear algebra: derivatives at singular matrices, bad matrices in a stack, rows, accuracy, costs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

from nablad.expressions import ROWS, Graph, ShapeError, Symbol, data, parameter
from nablad.expressions import symbols as s
from nablad.solvers.autodiff.blocks import Evaluator, compile_program
from nablad.solvers.autodiff.interpret import interpret
from nablad.solvers.autodiff.plan import Workspace, compile_plan
from nablad.solvers.autodiff.structure import Linearity, linearity
from nablad.solvers.autodiff.transform import gradient, jvp, vjp


def at(outputs: list[Symbol], **values: Any) -> list[Any]:
    """Values of outputs whose inputs are parameters named as the values, by plan and interpreter."""
    inputs = tuple(parameter(name, np.shape(value)).node for name, value in values.items())
    graph = Graph(inputs, tuple(x.node for x in outputs))
    slow = interpret(graph, values)
    fast = Workspace(compile_plan(graph, np.dtype(float)), 1).run([np.asarray(x, float) for x in values.values()])
    for ours, theirs in zip(fast, slow, strict=True):
        # Sums are added up in another order.
        largest = np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-14 * largest)
    return list(slow)


def slope_and_curvature(f: Callable[[Symbol], Symbol], point: Any, v: Any) -> list[Any]:
    x = parameter("x", point.shape)
    (first,) = gradient(f(x).node, [x.node])
    (second,) = jvp([first.node], {x.node: Symbol(s.lift(v))})
    (again,) = gradient(s.sum(first * v).node, [x.node])
    return at([f(x), first, second, again], x=point)


def exact_det(point: Any, v: Any) -> tuple[Any, Any, Any]:
    """det, its gradient and its Hessian along v, by sympy in rational numbers."""
    size = len(point)
    symbols = sympy.Matrix(size, size, sympy.symbols(f"x:{size * size}"))
    det = symbols.det(method="berkowitz")
    place = dict(zip(symbols, [sympy.Rational(float(k)) for k in point.flat], strict=True))
    first = [sympy.diff(det, k) for k in symbols]
    along = [
        sum(sympy.diff(d, k) * sympy.Rational(float(c)) for k, c in zip(symbols, v.flat, strict=True)) for d in first
    ]

    def numbers(values: Any) -> Any:
        return np.array([float(sympy.sympify(k).subs(place)) for k in values])

    return numbers([det])[0], numbers(first).reshape(size, size), numbers(along).reshape(size, size)


def integers(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(float)


@pytest.mark.parametrize(
    ("size", "rank"), [(1, 1), (1, 0), (2, 2), (2, 1), (2, 0), (3, 3), (3, 2), (3, 1), (3, 0), (4, 3), (4, 2), (4, 1)]
)
def test_det_and_two_derivatives_at_every_rank(size: int, rank: int) -> None:
    full = integers(13, size, size) + 4 * np.eye(size)
    point = full if rank == size else integers(11, size, rank) @ integers(12, rank, size)
    assert np.linalg.matrix_rank(point) == rank
    v = integers(14, size, size)
    value, first, second = exact_det(point, v)
    ours = slope_and_curvature(s.det, point, v)
    scale = max(1.0, np.abs(point).max()) ** size
    for result, expected in zip(ours, [value, first, second, second], strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-13, atol=1e-14 * scale)


def test_cofactors_of_a_singular_matrix_neither_overflow_nor_vanish() -> None:
    diagonal = np.array([1e200, 1e150, 1e-180, 1e-150, 0.0])
    x = parameter("x", (5, 5))
    (slope,) = gradient(s.det(x).node, [x.node])
    (ours,) = at([slope], x=np.diag(diagonal))
    np.testing.assert_allclose(ours, np.diag([0, 0, 0, 0, 1e20]), rtol=1e-12, atol=1e-300)


def test_third_derivative_of_det_at_a_regular_matrix() -> None:
    """det(A + tT) for 3 x 3 is a cubic in t with leading coefficient det T."""
    point, v = integers(15, 3, 3) + 4 * np.eye(3), integers(16, 3, 3) - 2 * np.eye(3)
    x = parameter("x", (3, 3))
    y = s.det(x)
    for _ in range(3):
        (y,) = jvp([y.node], {x.node: Symbol(s.lift(v))})
    np.testing.assert_allclose(at([y], x=point)[0], 6 * np.linalg.det(v), rtol=1e-12)
    (first,) = gradient(s.det(x).node, [x.node])
    (second,) = gradient(s.sum(first * v).node, [x.node])
    (third,) = gradient(s.sum(second * v).node, [x.node])
    np.testing.assert_allclose(np.sum(at([third], x=point)[0] * v), 6 * np.linalg.det(v), rtol=1e-12)


def test_fourth_derivatives_follow() -> None:
    point, v = integers(15, 4, 4) + 4 * np.eye(4), integers(16, 4, 4) - 2 * np.eye(4)
    x = parameter("x", (4, 4))
    y = s.det(x)
    for _ in range(4):
        (y,) = jvp([y.node], {x.node: Symbol(s.lift(v))})
    np.testing.assert_allclose(at([y], x=point)[0], 24 * np.linalg.det(v), rtol=1e-10)


FUNCTIONS: dict[str, tuple[Callable[[Symbol], Symbol], Callable[[Any], Any]]] = {
    "det": (s.det, mpmath.det),
    "logdet": (s.logdet, lambda a: mpmath.log(abs(mpmath.det(a)))),
    "inv": (lambda x: s.sum(s.inv(x) * WEIGHTS), lambda a: dot(WEIGHTS, a**-1)),
    "solve": (
        lambda x: s.sum(s.solve(x, VECTOR) * s.square(s.solve(matrix(x), VECTOR))),
        lambda a: sum(y**3 for y in mpmath.lu_solve(a, mpmath.matrix(VECTOR.tolist()))),
    ),
    "cholesky": (lambda x: s.sum(s.cholesky(x) * WEIGHTS), lambda a: dot(WEIGHTS, mpmath.cholesky((a + a.T) / 2))),
    "solve_triangular": (
        lambda x: s.sum(s.square(s.solve_triangular(x, VECTOR, lower=True, transposed=True))),
        lambda a: sum(y**2 for y in mpmath.lu_solve(lower(a).T, mpmath.matrix(VECTOR.tolist()))),
    ),
}
WEIGHTS = integers(21, 4, 4)
VECTOR = np.array([1.0, -2.0, 3.0, 0.5])


def matrix(x: Symbol) -> Symbol:
    return s.matrix_transpose(s.matrix_transpose(x))


def dot(weights: Any, a: Any) -> Any:
    return mpmath.fsum(weights[i, j] * a[i, j] for i in range(len(weights)) for j in range(len(weights)))


def lower(a: Any) -> Any:
    return mpmath.matrix(a.rows, a.cols) + mpmath.matrix(
        [[a[i, j] if j <= i else 0 for j in range(a.cols)] for i in range(a.rows)]
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_two_derivatives_to_twelve_digits(name: str) -> None:
    """Against difference quotients in 60 digits."""
    ours, exact = FUNCTIONS[name]
    point = integers(22, 4, 4) @ integers(22, 4, 4).T + 5 * np.eye(4)
    v, w = integers(23, 4, 4), integers(24, 4, 4)
    value, first, second, again = slope_and_curvature(ours, point, v)
    np.testing.assert_allclose(second, again, rtol=1e-11, atol=1e-13)
    with mpmath.workdps(60):
        a, b, c = (mpmath.matrix(k.tolist()) for k in (point, v, w))
        h = mpmath.mpf(10) ** -20
        slope = (exact(a + h * b) - exact(a - h * b)) / (2 * h)
        bend = (
            exact(a + h * b + h * c) - exact(a + h * b - h * c) - exact(a - h * b + h * c) + exact(a - h * b - h * c)
        ) / (4 * h * h)
        expected = [float(exact(a)), float(slope), float(bend)]
    np.testing.assert_allclose([value, np.sum(first * v), np.sum(second * w)], expected, rtol=1e-12)


def test_cholesky_reads_the_symmetric_part_and_its_gradient_is_symmetric() -> None:
    """The convention of jax.numpy.linalg.cholesky: both for the value and for the derivative."""
    point = np.array([[4.0, 3.0], [1.0, 5.0]])
    x = parameter("x", (2, 2))
    y = s.cholesky(x)
    (slope,) = gradient(s.sum(y * np.array([[1.0, 0.0], [2.0, 3.0]])).node, [x.node])
    factor, ours = at([y, slope], x=point)
    np.testing.assert_allclose(factor, [[2.0, 0.0], [1.0, 2.0]], rtol=1e-15)
    np.testing.assert_array_equal(ours, ours.T)
    # l00 + 2 l10 + 3 l11 with a = 4, b = 2, c = 5: l00 = sqrt a, l10 = b / sqrt a, l11 = sqrt(c - b^2 / a).
    a, b, c = sympy.symbols("a b c")
    f = sympy.sqrt(a) + 2 * b / sympy.sqrt(a) + 3 * sympy.sqrt(c - b**2 / a)
    da, db, dc = (float(sympy.diff(f, k).subs({a: 4, b: 2, c: 5})) for k in (a, b, c))
    np.testing.assert_allclose(ours, [[da, db / 2], [db / 2, dc]], rtol=1e-14)


BAD = {
    "inv": (s.inv, np.zeros((3, 3))),
    "solve": (lambda x: s.solve(x, np.ones((3, 2))), np.ones((3, 3))),
    "cholesky": (s.cholesky, -np.eye(3)),
    "cholesky of NaN": (s.cholesky, np.full((3, 3), np.nan)),
    "solve_triangular": (lambda x: s.solve_triangular(x, np.ones((3, 2))), np.diag([1.0, 0.0, 1.0])),
    "det of NaN": (s.det, np.full((3, 3), np.nan)),
    "cofactors of NaN": (lambda x: s.apply("cofactors", x), np.full((3, 3), np.nan)),
    "derivative of cofactors": (lambda x: s.apply("cofactors_derivative", x, np.eye(3)), np.full((3, 3), np.nan)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_matrix_is_nan_and_leaves_the_others_alone(name: str) -> None:
    function, bad = BAD[name]
    good = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (alone,) = at([function(parameter("x", (3, 3)))], x=good)
        (stack,) = at([function(parameter("x", (3, 3, 3)))], x=np.stack([good, bad, good]))
        (single,) = at([function(parameter("x", (3, 3)))], x=bad)
    np.testing.assert_allclose(stack[0], alone, rtol=1e-14)
    np.testing.assert_allclose(stack[2], alone, rtol=1e-14)
    assert np.all(np.isfinite(alone))
    assert np.all(np.isnan(stack[1]))
    assert np.all(np.isnan(single))


def test_logdet_of_a_singular_matrix() -> None:
    x = parameter("x", (2, 2))
    sign, size = s.slogdet(x)
    (slope,) = gradient(size.node, [x.node])
    ours = at([sign, size, slope], x=np.zeros((2, 2)))
    assert ours[0] == 0.0
    assert ours[1] == -np.inf
    assert np.all(np.isnan(ours[2]))
    huge = at([sign, size], x=np.diag([-1e200, 1e200]))
    np.testing.assert_allclose(huge, [-1.0, 400 * np.log(10)], rtol=1e-15)


@pytest.mark.parametrize("stack", [(), (2,)])
def test_matrices_of_no_size(stack: tuple[int, ...]) -> None:
    point = np.zeros((*stack, 0, 0))
    x = parameter("x", point.shape)
    det, slope, inverse, factor = at(
        [s.det(x), gradient(s.sum(s.det(x)).node, [x.node])[0], s.inv(x), s.cholesky(x)], x=point
    )
    np.testing.assert_array_equal(det, np.ones(stack))
    assert slope.shape == inverse.shape == factor.shape == point.shape
    for solve in (s.solve, s.solve_triangular):
        assert at([solve(x, np.zeros((0, 3)))], x=point)[0].shape == (*stack, 0, 3)


def test_stacks_over_the_data_rows_are_solved_row_by_row() -> None:
    rows = 3000
    rng = np.random.default_rng(31)
    theta, a, b = parameter("theta", (3, 3)), data("a", (ROWS, 3, 3)), data("b", (ROWS, 3))
    x = s.solve(a + theta, s.reshape(b, (ROWS, 3, 1)))
    loss = s.sum(s.square(x)) + s.sum(s.logdet(a + theta)) + s.sum(s.solve(theta, b.T))
    (slope,) = gradient(loss.node, [theta.node])
    program = compile_program(Graph((theta.node, a.node, b.node), (loss.node, slope.node)), np.dtype(float))
    assert program.separable
    point = rng.normal(size=(3, 3)) + 5 * np.eye(3)
    values = {"a": rng.uniform(-0.5, 0.5, (rows, 3, 3)), "b": rng.normal(size=(rows, 3))}
    total, ours = Evaluator(program, values, rows).run({"theta": point})
    inverse = np.linalg.inv(values["a"] + point)
    y = np.einsum("nij,nj->ni", inverse, values["b"])
    expected = np.sum(y * y) + np.sum(np.linalg.slogdet(values["a"] + point)[1])
    np.testing.assert_allclose(total, expected + np.sum(np.linalg.solve(point, values["b"].T)), rtol=1e-12)
    across = np.einsum("nji,nj->ni", inverse, 2 * y)
    shared = np.linalg.inv(point)
    linear = -np.outer(shared.T @ np.ones(3), shared @ values["b"].sum(0))
    np.testing.assert_allclose(ours, -across.T @ y + inverse.sum(0).T + linear, rtol=1e-10)


def test_degrees() -> None:
    a, b = parameter("a", (2, 2)), parameter("b", (2,))
    constant = np.array([[2.0, 1.0], [0.0, 3.0]])
    assert linearity(s.solve(constant, b).node, [b.node]) is Linearity.AFFINE
    assert linearity(s.solve(a, b).node, [b.node]) is Linearity.AFFINE
    assert linearity(s.solve(a, b).node, [a.node]) is Linearity.NONE
    assert linearity(s.det(a).node, [a.node]) is Linearity.NONE
    assert linearity(s.solve_triangular(constant, b).node, [b.node]) is Linearity.AFFINE


@pytest.mark.parametrize(
    ("function", "value", "bound"),
    [
        (s.logdet, 2 / 3 * 50**3, 4.1),
        (lambda x: s.sum(s.inv(x)), 2 * 50**3, 3.1),
        (lambda x: s.sum(s.solve(x, np.ones(50))), 2 / 3 * 50**3, 2.6),
        (lambda x: s.sum(s.cholesky(x)), 1 / 3 * 50**3, 13.2),
    ],
)
def test_costs_are_told_truly(function: Any, value: float, bound: float) -> None:
    """The value's within a tenth of the textbook's leading term; the gradient's as a multiple of it."""
    x = parameter("x", (50, 50))
    y = function(x)
    (slope,) = gradient(y.node, [x.node])
    plain = compile_plan(Graph((x.node,), (y.node,)), np.dtype(float)).flops[1]
    both = compile_plan(Graph((x.node,), (y.node, slope.node)), np.dtype(float)).flops[1]
    assert abs(plain / value - 1) < 0.1
    assert both / plain < bound


def test_one_matrix_with_many_right_hand_sides_is_factored_once() -> None:
    a, b = parameter("a", (30, 30)), parameter("b", (100, 30, 1))
    plan = compile_plan(Graph((a.node, b.node), (s.solve(a, b).node,)), np.dtype(float))
    assert plan.flops[1] < 2 / 3 * 30**3 + 2 * 30**2 * 100 + 1


@pytest.mark.parametrize("shapes", [((3,),), ((2, 3),), ((ROWS, ROWS),), ((3, ROWS),)])
@pytest.mark.parametrize("function", [s.det, s.logdet, s.inv, s.cholesky])
def test_only_square_matrices_of_fixed_size(function: Any, shapes: Any) -> None:
    with pytest.raises(ShapeError, match="square"):
        function(data("x", *shapes))


def test_right_hand_sides_must_fit() -> None:
    for function in (s.solve, s.solve_triangular):
        with pytest.raises(ShapeError, match="3 rows"):
            function(parameter("a", (3, 3)), parameter("b", (4,)))


def test_float32_stays_float32() -> None:
    x = parameter("x", (2, 3, 3))
    point = np.random.default_rng(41).normal(size=(2, 3, 3)).astype(np.float32) + 3 * np.eye(3, dtype=np.float32)
    point[1] = 0
    outputs = [s.det(x), s.inv(x), s.cholesky(x), s.solve(x, np.ones(3)), s.solve_triangular(x, np.ones(3))]
    (pulled,) = vjp([outputs[0].node], [x.node], [Symbol(s.lift(np.ones(2)))])
    for result in interpret(Graph((x.node,), tuple(y.node for y in [*outputs, pulled])), {"x": point}):
        assert result.dtype == np.float32
