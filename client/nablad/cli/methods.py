"""The methods by their names on the command line: to add one is to add a row.

A row says what a person calls the method, whether it needs few iterations (its curve then marks each), which options
are its own, and how its settings become the client library's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nablad.cli.chart import FEW, MANY, Look
from nablad.cli.errors import CommandError, nearest

if TYPE_CHECKING:
    from nablad.client import Method

AUTO = "auto"


@dataclass(frozen=True)
class Settings:
    """The options that belong to methods, as given."""

    step_size: float | None = None
    momentum: float | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    epochs: int | None = None


@dataclass(frozen=True)
class MethodRow:
    """A method."""

    label: str
    look: Look
    make: Callable[[Settings], Method]
    options: tuple[str, ...] = ()
    wire: str = ""
    """What the server calls it, where that is not its name with underscores."""


def _gradient_descent(given: Settings) -> Method:
    from nablad.client import GradientDescent

    return GradientDescent(step=given.step_size, momentum=given.momentum)


def _sgd(given: Settings) -> Method:
    from nablad.client import StochasticGradientDescent

    if given.learning_rate is None:
        raise CommandError("--method sgd needs --learning-rate, a step length; adam has one of its own")
    rest = {"momentum": given.momentum, "batch_size": given.batch_size}
    return StochasticGradientDescent(given.learning_rate, **rest)  # type: ignore[arg-type]


def _adam(given: Settings) -> Method:
    from nablad.client import Adam

    return Adam(learning_rate=given.learning_rate, batch_size=given.batch_size)


def _plain(name: str) -> Callable[[Settings], Method]:
    def make(_: Settings) -> Method:
        import nablad.client

        method: Method = getattr(nablad.client, name)()
        return method

    return make


_BATCHES = ("learning_rate", "batch_size", "epochs")
METHODS = {
    "newton": MethodRow("Newton", FEW, _plain("Newton")),
    "levenberg-marquardt": MethodRow("Levenberg-Marquardt", FEW, _plain("LevenbergMarquardt")),
    "gauss-newton": MethodRow("Gauss-Newton", FEW, _plain("GaussNewton")),
    "lbfgs": MethodRow("L-BFGS", MANY, _plain("LBFGS")),
    "bfgs": MethodRow("BFGS", MANY, _plain("BFGS")),
    "nonlinear-conjugate-gradient": MethodRow("conjugate gradients", MANY, _plain("NonlinearConjugateGradient")),
    "gradient-descent": MethodRow("gradient descent", MANY, _gradient_descent, ("step_size", "momentum")),
    "adam": MethodRow("Adam", MANY, _adam, _BATCHES),
    "sgd": MethodRow("SGD", MANY, _sgd, (*_BATCHES, "momentum"), wire="stochastic_gradient_descent"),
}
_BY_WIRE = {row.wire or name.replace("-", "_"): row for name, row in METHODS.items()}


def method_of(name: str, given: Settings) -> Method | None:
    """The method of a name; None is the server's choice. CommandError for an unknown one, or options of another."""
    if name != AUTO and name not in METHODS:
        known = nearest(name, METHODS) or f" is not one of {', '.join([AUTO, *METHODS])}"
        raise CommandError(f"--method {name}{known}")
    own = () if name == AUTO else METHODS[name].options
    for option, value in vars(given).items():
        if value is not None and option not in own:
            able = [other for other, row in METHODS.items() if option in row.options]
            raise CommandError(f"{_written(option)} is for --method {' and '.join(able)}")
    return None if name == AUTO else METHODS[name].make(given)


def shown(wire_name: str) -> tuple[str, Look]:
    """What a person calls a method of the server's, and how its curve looks."""
    row = _BY_WIRE.get(wire_name)
    return (wire_name.replace("_", " "), MANY) if row is None else (row.label, row.look)


def in_options(text: str) -> str:
    """The text of a client, with the methods' names as --method takes them."""
    from nablad.client.errors import METHODS as CLASSES

    names = {CLASSES[row.wire or name.replace("-", "_")]: name for name, row in METHODS.items()}
    return re.sub(r"\b\w+\b", lambda word: names.get(word[0], word[0]), text)


def _written(option: str) -> str:
    return f"--{option.replace('_', '-')}"
