"""Calls during which numpy says nothing of NaN, infinity, overflow and division by zero.

`np.errstate` costs as much as five additions of short vectors, to go in and out, which shows where a call comes with
every iteration. Since numpy 2 what it sets is a context variable: set once in a context of the run's own (PEP 567), it
holds for whatever is called there, and for nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import numpy as np

_BY_CONTEXT = int(np.__version__.partition(".")[0]) >= 2


def quiet() -> Callable[..., Any]:
    """A way to call a function without numpy's warnings: quiet()(f, x, ...) is f(x, ...). Not to be nested in itself,
    nor shared by threads; variables of the caller's context that are set later are not seen in the calls.
    """
    if not _BY_CONTEXT:
        return _with_errstate
    context = copy_context()
    context.run(np.seterr, all="ignore")
    return context.run


def _with_errstate(call: Callable[..., Any], *arguments: Any) -> Any:
    with np.errstate(all="ignore"):
        return call(*arguments)
