"""What is said of a point: nothing of one that has no numbers."""

from __future__ import annotations

import numpy as np
from solvers.properties.variants import over, plain

from nablad.solvers import LeastSquares, Status, solve


@over(plain())
def test_a_start_that_overflows_says_nothing_of_its_point(variant) -> None:
    """The residual is finite, and its square is not: nor is anything that could be told from them."""
    model = LeastSquares(np.ones((2, 1)), np.array([1e200, 2e200]))
    report = solve(model.objective(), variant.method, model.start())
    assert report.status is Status.NONFINITE_START
    assert (report.evidence.verdict, report.evidence.rank, report.evidence.decrement) == ("unverified", None, None)
    assert "determine" not in report.message
    assert "curvature" not in report.message
