"""The methods by name: to add a method is to add a row."""

from __future__ import annotations

from typing import Any

from nablad.solvers.methods.base import Method
from nablad.solvers.methods.gradient_descent import GradientDescent
from nablad.solvers.methods.newton import Newton

METHODS: dict[str, type[Method[Any]]] = {
    "gradient_descent": GradientDescent,
    "newton": Newton,
}
