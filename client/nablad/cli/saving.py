"""Fitted parameters as an .npz file, which `numpy.load` reads without pickle.

It holds `theta`, the whole vector as it was solved; a network's arrays `A_0`, `b_0`, ... by name, or a linear model's
`coefficients` and `intercept` in the table's units; `feature_names`; `feature_means` and `feature_scales` if features
were standardized; `classes` if there are any; and `metadata`, a JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nablad.cli.files import write_atomically
from nablad.cli.fitting import LinearParameters, Problem


@dataclass(frozen=True)
class Fitted:
    """What is saved."""

    theta: NDArray[np.float64]
    parameters: Mapping[str, NDArray[np.float64]]
    problem: Problem
    linear: LinearParameters | None
    metadata: Mapping[str, Any]


def save(path: Path, fitted: Fitted) -> None:
    """Write the file, whole or not at all."""
    table, scaling = fitted.problem.table, fitted.problem.scaling
    arrays: dict[str, NDArray[Any]] = {} if fitted.linear is not None else dict(fitted.parameters)
    arrays["theta"] = fitted.theta
    arrays["feature_names"] = np.array(table.feature_names, dtype=np.str_)
    if scaling is not None:
        arrays |= {"feature_means": scaling.means, "feature_scales": scaling.scales}
    if fitted.linear is not None:
        arrays["coefficients"] = fitted.linear.coefficients
        if fitted.linear.intercept is not None:
            arrays["intercept"] = np.array(fitted.linear.intercept)
    if table.classes:
        arrays["classes"] = np.array(table.classes, dtype=np.str_)
    arrays["metadata"] = np.array(json.dumps(dict(fitted.metadata), sort_keys=True))
    # numpy's stubs take any keyword for the flag `allow_pickle`.
    write_atomically(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]
