"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, thing: str, things: str = "") -> str:
    """`1 row`, `2,000 rows`, `1 degree of freedom`."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"
