"""Which method is taken where none is named: decided by size, kind and bounds, without an evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nablad.solvers import Bounds, Capabilities, choose_method
from nablad.solvers.choice import CHOICES, DENSE_SIZE
from nablad.solvers.methods.base import check_supported
from solvers import objectives as o


def objective(size: int, bounded: bool = False, **capabilities: bool) -> Any:
    def never(theta: Any) -> Any:
        raise AssertionError("the choice evaluates nothing")

    found = o.Smooth(f=never, g=never, H=never, size=size, capabilities=Capabilities(**capabilities))
    found.bounds = Bounds(np.zeros(size), np.ones(size)) if bounded else None
    return found


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(
    ("size", "capabilities", "name"),
    [
        (3, {"residual": True, "affine": True, "quadratic": True}, "newton"),
        (3, {"residual": True}, "newton"),
        (3, {}, "newton"),
        (DENSE_SIZE, {}, "newton"),
        (DENSE_SIZE + 1, {}, "lbfgs"),
        (DENSE_SIZE + 1, {"residual": True, "affine": True, "quadratic": True, "separable": True}, "lbfgs"),
    ],
)
def test_by_size_and_kind(size: int, capabilities: dict[str, bool], name: str, bounded: bool) -> None:
    asked = objective(size, bounded, **capabilities)
    method, reason = choose_method(asked, asked.bounds)
    assert method.name == name
    assert f"{size:,}" in reason
    check_supported(method, asked)


def test_the_last_row_takes_everything() -> None:
    assert all(
        CHOICES[-1].applies(objective(size, bounded), None) for size in (0, 1, 10**6) for bounded in (True, False)
    )
