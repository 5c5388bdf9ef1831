"""What is wrong with a model, and where."""

from __future__ import annotations


class InvalidModel(ValueError):
    """A model that cannot be. `field` is a path in the constructor's own names, such as "layers[1].width"."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
