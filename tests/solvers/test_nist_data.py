"""NIST's files as problems: every certified value is what the model and the data say, to the last certified digit.

Nonlinear: Gauss-Newton in 50 digits, with Jacobians by sympy, from the certified parameters. Linear: the normal
equations in rational arithmetic, where nothing is rounded.
"""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy

from benchmarks.problems.nist import LINEAR, NONLINEAR, Linear, Nonlinear, linear, lre, nonlinear


def last_digit(certified, digits):
    """A unit of each certified value's last digit."""
    c = np.abs(np.asarray(certified, dtype=float))
    exponent = np.floor(np.log10(np.where(c == 0.0, 1.0, c)))
    return 10.0 ** (exponent - digits + 1)


def agree(found, certified, digits):
    difference = np.abs(
        np.array([float(x - mpmath.mpf(repr(float(c)))) for x, c in zip(found, certified, strict=True)])
    )
    return bool((difference <= 1.01 * last_digit(certified, digits)).all())


def minimum_in_many_digits(problem: Nonlinear):
    """Parameters, standard deviations and the sum of squares at the minimum, in 50 digits."""
    names = [sympy.Symbol(name) for name in (*problem.names, *problem.columns)]
    f = sympy.sympify(problem.text.replace("arctan", "atan"), rational=True)
    parameters = names[: len(problem.names)]
    outputs = sympy.lambdify(names, [f, *[sympy.diff(f, b) for b in parameters]], "mpmath", cse=True)
    columns = list(zip(*[[mpmath.mpf(repr(v)) for v in c.tolist()] for c in problem.columns.values()], strict=True))
    y = [mpmath.mpf(repr(v)) for v in problem.response.tolist()]
    b = mpmath.matrix([mpmath.mpf(repr(v)) for v in problem.certified.parameters.tolist()])
    for _ in range(60):
        rows = [outputs(*b, *row) for row in columns]
        r = mpmath.matrix([v - row[0] for v, row in zip(y, rows, strict=True)])
        J = mpmath.matrix([row[1:] for row in rows])
        gram = J.T * J
        step = mpmath.lu_solve(gram, J.T * r)
        b += step
        if all(abs(s) <= abs(v) * mpmath.mpf(10) ** -16 for s, v in zip(step, b, strict=True)):
            break
    squares = sum(v * v for v in r)
    variances = mpmath.inverse(gram) * (squares / (len(y) - len(b)))
    return list(b), [mpmath.sqrt(variances[k, k]) for k in range(len(b))], squares


@pytest.mark.parametrize("name", NONLINEAR)
def test_the_certified_values_of_a_nonlinear_problem_are_its_minimum(name):
    problem = nonlinear(name)
    certified = problem.certified
    with mpmath.workdps(50):
        parameters, deviations, squares = minimum_in_many_digits(problem)
        variance = squares / certified.degrees_of_freedom
        assert agree(parameters, certified.parameters, problem.digits)
        assert agree(deviations, certified.standard_deviations, problem.digits)
        assert agree([squares], [certified.residual_sum_of_squares], problem.digits)
        assert agree([mpmath.sqrt(variance)], [certified.residual_standard_deviation], problem.digits)


@pytest.mark.parametrize("name", NONLINEAR)
def test_a_nonlinear_model_has_the_certified_sum_of_squares(name):
    problem = nonlinear(name)
    certified = problem.certified
    model = problem.model(2)
    assert (model.initial() == problem.starts[1]).all()
    value = model.objective().value(certified.parameters)
    if name == "Lanczos1":
        # The eleventh digit of the parameters is worth more than the whole residual, 1.4e-25.
        assert value < 1e-20
    else:
        assert lre(value, certified.residual_sum_of_squares) > 9.9
    assert len(problem.response) - len(certified.parameters) == certified.degrees_of_freedom


def exactly(problem: Linear):
    """Parameters, their variances and the residual sum of squares, as fractions."""
    decimal = np.vectorize(lambda v: Fraction(repr(float(v))), otypes=[object])
    y, p = decimal(problem.response), problem.design.shape[1]
    X = decimal(problem.design)
    if p > 2 and problem.name != "Longley":
        x = X[:, 1]
        X = np.array([[v**k for k in range(p)] for v in x], dtype=object)
    A = np.concatenate(
        [X.T @ X, (X.T @ y)[:, None], np.array([[Fraction(i == j) for j in range(p)] for i in range(p)])], 1
    )
    for k in range(p):
        A[k] = A[k] / A[k, k]
        for i in range(p):
            if i != k:
                A[i] = A[i] - A[i, k] * A[k]
    b, inverse = A[:, p], A[:, p + 1 :]
    squares = sum((y - X @ b) ** 2)
    return b, inverse.diagonal() * squares / (len(y) - p), squares


@pytest.mark.parametrize("name", LINEAR)
def test_the_certified_values_of_a_linear_problem_are_its_exact_solution(name):
    problem = linear(name)
    certified = problem.certified
    b, variances, squares = exactly(problem)
    freedom = certified.degrees_of_freedom

    def digits(found, value):
        return lre([float(x) for x in np.atleast_1d(found)], np.atleast_1d(value), problem.digits)

    assert digits(b, certified.parameters) > 13.9
    assert lre(np.sqrt(variances.astype(float)), certified.standard_deviations, problem.digits) > 13.9
    assert digits(squares, certified.residual_sum_of_squares) > 13.9
    assert lre(float(squares / freedom) ** 0.5, certified.residual_standard_deviation, problem.digits) > 13.9
    assert problem.design.shape == (len(problem.response), len(certified.parameters))
    assert len(problem.response) - len(certified.parameters) == freedom


def test_the_sets_are_complete():
    assert (len(NONLINEAR), len(LINEAR)) == (27, 11)
    assert {nonlinear(name).level for name in NONLINEAR} == {"Lower", "Average", "Higher"}
    for name in NONLINEAR:
        problem = nonlinear(name)
        assert all(len(column) == len(problem.response) for column in problem.columns.values())
        assert {len(start) for start in problem.starts} == {len(problem.certified.parameters)}


@pytest.mark.parametrize(
    ("found", "certified", "digits"),
    [
        ([1.0, 2.0], [1.0, 2.0], 11.0),
        ([1.0, 2.002], [1.0, 2.0], 3.0),
        ([1e-5], [0.0], 5.0),
        ([-1.0], [1.0], 0.0),
        ([np.nan, 1.0], [1.0, 1.0], 0.0),
        (1.0 + 1e-13, 1.0, 11.0),
    ],
)
def test_correct_digits(found, certified, digits):
    assert lre(found, certified) == pytest.approx(digits, abs=1e-9)


def test_correct_digits_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="shape"):
        lre([1.0, 2.0], 1.0)
