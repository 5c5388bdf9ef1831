"""Activations: the table that a layer's `activation` is looked up in. To add one is to add a row.

Each row writes sigma(z) on symbols; its derivatives follow from the op rows. gelu is the exact form z Phi(z), with Phi
the normal distribution function (Hendrycks and Gimpel 2016), not its tanh approximation; silu is z / (1 + e^-z); elu is
z for z > 0 and alpha (e^z - 1) below (Clevert et al. 2016), where the exponential never sees a positive z, so that it
cannot overflow in the branch that is not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nablad.expressions import Symbol
from nablad.expressions import symbols as s


@dataclass(frozen=True)
class Activation:
    """A row: z and the row's own constants -> sigma(z)."""

    name: str
    build: Callable[..., Symbol]
    initialization: str
    """The family's default; see initialization.py."""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Names and defaults of the constants that a layer may set."""


def _identity(z: Symbol) -> Symbol:
    return z


def _leaky_relu(z: Symbol, slope: float) -> Symbol:
    return s.where(s.greater(z, 0.0), z, slope * z)


def _elu(z: Symbol, alpha: float) -> Symbol:
    positive = s.greater(z, 0.0)
    return s.where(positive, z, alpha * s.expm1(s.where(positive, 0.0, z)))


def _gelu(z: Symbol) -> Symbol:
    return z * s.normal_cdf(z)


def _silu(z: Symbol) -> Symbol:
    return z * s.sigmoid(z)


ACTIVATIONS: dict[str, Activation] = {
    row.name: row
    for row in (
        Activation("identity", _identity, "glorot_uniform"),
        Activation("relu", s.relu, "he_normal"),
        Activation("leaky_relu", _leaky_relu, "he_normal", {"slope": 0.01}),
        Activation("elu", _elu, "he_normal", {"alpha": 1.0}),
        Activation("gelu", _gelu, "he_normal"),
        Activation("silu", _silu, "he_normal"),
        Activation("tanh", s.tanh, "glorot_uniform"),
        Activation("sigmoid", s.sigmoid, "glorot_uniform"),
        Activation("softplus", s.softplus, "he_normal"),
        Activation("sin", s.sin, "glorot_uniform"),
    )
}
