"""What is refused for its size, before any memory is taken."""

from __future__ import annotations


class TooLarge(MemoryError):
    """More bytes than are allowed."""

    def __init__(self, message: str, needed: int, limit: int, why: str = "") -> None:
        super().__init__(f"{message} {needed:,} bytes; at most {limit:,} are allowed" + (f" ({why})" if why else ""))
        self.needed = needed
        self.limit = limit


class ResultTooLarge(TooLarge):
    """A derivative with more numbers than may be computed at once."""

    def __init__(self, shape: tuple[int, ...], needed: int, limit: int, why: str = "") -> None:
        super().__init__(f"a result of shape {shape} takes", needed, limit, why)


class WorkTooLarge(TooLarge):
    """A graph whose buffers would take more than is allowed."""

    def __init__(self, needed: int, limit: int) -> None:
        super().__init__("to compute this takes about", needed, limit)
