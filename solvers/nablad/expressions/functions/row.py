"""What one function of the language is: its name in text, its aliases, and what it calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

_INERT: dict[str, tuple[Any, ...]] = {
    "out": (None,),
    "dtype": (None, float, np.float64),
    "order": (None, "C", "K"),
    "casting": ("same_kind",),
    "subok": (True, False),
    "copy": (None, True, False),
    "optimize": (True, False, "greedy", "optimal"),
}


def without_defaults(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Without what numpy's own signatures have and mean nothing here: `out=None`, `dtype=float`, `order="C"`."""
    return {
        name: value
        for name, value in keywords.items()
        if not (isinstance(value, str | type | bool | None) and value in _INERT.get(name, ()))
    }


@dataclass(frozen=True)
class Function:
    """A row of the table. `call` has numpy's signature."""

    name: str
    call: Callable[..., Any]
    about: str
    aliases: tuple[str, ...] = ()
    """Other names, among them all those of numpy's (`linalg.det`) and scipy.special's functions that mean the same."""
    positional: int | None = None
    """How many arguments text may give without their names; None for as many as there are."""

    @cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.call)

    @cached_property
    def usage(self) -> str:
        """As a user writes it: sum(x, axis=None, keepdims=False)."""
        shown = []
        for k, parameter in enumerate(self.signature.parameters.values()):
            name = f"*{parameter.name}" if parameter.kind is parameter.VAR_POSITIONAL else parameter.name
            has_default = parameter.default is not parameter.empty
            if self.positional is not None and k >= self.positional and not has_default:
                name = f"{name}="
            shown.append(f"{name}={parameter.default!r}" if has_default else name)
        return f"{self.name}({', '.join(shown)})"

    def bind(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The call's result. Raises TypeError, naming the signature, where the arguments do not fit it."""
        try:
            bound = self.signature.bind(*arguments, **keywords)
        except TypeError as error:
            raise TypeError(f"{error}; it is {self.usage}") from None
        return self.call(*bound.args, **bound.kwargs)

    def bind_first(self, first: Any, *arguments: Any, **keywords: Any) -> Any:
        """As a method of numpy's: the first argument comes from before the dot."""
        return self.bind((first, *arguments), without_defaults(keywords))
