"""What is wrong with a request, in the client's own field names.

pydantic says where in nested values and what; the same place on the wire is a path such as
`spec.model.network.layers[1].activation`. A sentence says what is wrong and what would be right.
"""

from __future__ import annotations

from pydantic import ValidationError

from nablad.wire.errors import FieldViolation
from nablad.wire.tensors import join

# pydantic speaks of inputs, this project of fields.
_WORDS = (("Input should be", "must be"), ("Field required", "is required"))


class Violations(Exception):
    """A request that cannot be carried out as it is."""

    def __init__(self, rows: list[FieldViolation]) -> None:
        super().__init__("; ".join(f"{row.field}: {row.description}" for row in rows))
        self.rows = rows


def path_of(prefix: str, location: tuple[int | str, ...]) -> str:
    """`path_of("spec", ("layers", 1, "width"))` is "spec.layers[1].width"."""
    path = prefix
    for part in location:
        path = f"{path}[{part}]" if isinstance(part, int) else join(path, part)
    return path


def from_pydantic(error: ValidationError, prefix: str) -> list[FieldViolation]:
    """All of its errors, in order."""
    return [
        FieldViolation(
            join(path_of(prefix, row["loc"]), str(row.get("ctx", {}).get("member", ""))).removesuffix("."),
            _sentence(row["msg"], row["type"], row["input"]),
        )
        for row in error.errors(include_url=False)
    ]


def _sentence(message: str, kind: str, given: object) -> str:
    for theirs, ours in _WORDS:
        message = message.replace(theirs, ours)
    if isinstance(given, int | float | str) and kind not in ("missing", "tensor", "duration"):
        return f"{message}; it is {given!r}"
    return message
