"""What can be differentiated, and where: light, so that a client need not load all that it could ask."""

from __future__ import annotations

from dataclasses import dataclass

from nablad.client.core.views import JobView, RunView
from nablad.client.models import Model
from nablad.client.points import Point
from nablad.client.results import Result

Subject = Model | Result | RunView | JobView | str
"""What is differentiated: a model, or a job, by whatever stands for it."""


@dataclass(frozen=True)
class At:
    """Where a derivative is taken, and of which function of theta."""

    subject: Subject
    theta: Point | None = None
    iteration: int | None = None
    of: str | None = None
