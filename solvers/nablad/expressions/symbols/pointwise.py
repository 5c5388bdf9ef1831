"""Pointwise functions of symbols."""

from __future__ import annotations

from nablad.expressions.symbol import Operand, Symbol, apply


def square(x: Operand) -> Symbol:
    return apply("square", x)


def sqrt(x: Operand) -> Symbol:
    return apply("sqrt", x)


def reciprocal(x: Operand) -> Symbol:
    return apply("reciprocal", x)


def exp(x: Operand) -> Symbol:
    return apply("exp", x)


def expm1(x: Operand) -> Symbol:
    return apply("expm1", x)


def log(x: Operand) -> Symbol:
    return apply("log", x)


def log1p(x: Operand) -> Symbol:
    return apply("log1p", x)


def tanh(x: Operand) -> Symbol:
    return apply("tanh", x)


def sin(x: Operand) -> Symbol:
    return apply("sin", x)


def cos(x: Operand) -> Symbol:
    return apply("cos", x)


def erf(x: Operand) -> Symbol:
    return apply("erf", x)


def normal_cdf(x: Operand) -> Symbol:
    return apply("normal_cdf", x)


def sigmoid(x: Operand) -> Symbol:
    return apply("sigmoid", x)


def softplus(x: Operand) -> Symbol:
    return apply("softplus", x)


def relu(x: Operand) -> Symbol:
    return apply("relu", x)


def greater(x: Operand, y: Operand) -> Symbol:
    return apply("greater", x, y)


def equal(x: Operand, y: Operand) -> Symbol:
    return apply("equal", x, y)


def where(truth: Operand, x: Operand, y: Operand) -> Symbol:
    return apply("where", truth, x, y)
