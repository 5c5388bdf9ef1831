"""What has been seen of a run so far, as a watching thread writes it and the display reads it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nablad.cli.chart import Chart, Curve, Look

if TYPE_CHECKING:
    from nablad.client import Event, Iterate, Result

ChartOf = Callable[[Sequence["Trace"]], Chart]


@dataclass
class Trace:
    """The iterates of one run. Only `add` grows the lists, iterations last: a reader sees no half of an iterate."""

    label: str
    look: Look
    losses: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    last: Iterate | None = None
    lowest: float = math.inf
    waiting: str = "starting"
    warnings: list[str] = field(default_factory=list)
    result: Result | None = None
    error: Exception | None = None

    def take(self, event: Event) -> None:
        """Note an event."""
        from nablad.client import Iterate, SolveWarning, StateChange

        if isinstance(event, Iterate):
            self.add(event)
        elif isinstance(event, SolveWarning):
            self.warnings.append(event.message)
        elif isinstance(event, StateChange) and event.state == "QUEUED":
            self.waiting = f"queued, {event.queue_position} before it" if event.queue_position else "queued"
        elif isinstance(event, StateChange):
            self.waiting = "starting"

    def add(self, iterate: Iterate) -> None:
        """Append an iterate; one seen before (after the stream was taken up again) is left out."""
        if self.iterations and iterate.iteration <= self.iterations[-1]:
            return
        self.losses.append(iterate.loss)
        self.lowest = min(self.lowest, iterate.loss) if math.isfinite(iterate.loss) else self.lowest
        self.last = iterate
        self.iterations.append(iterate.iteration)

    def curve(self) -> Curve:
        """The losses up to now."""
        count = len(self.iterations)
        return Curve(self.label, self.look, self.iterations[:count], self.losses[:count])


def loss_chart(title: str) -> ChartOf:
    """A chart of the losses themselves."""
    return lambda traces: Chart(title, "loss (log scale)", tuple(trace.curve() for trace in traces))


def excess_chart(title: str) -> ChartOf:
    """A chart of the loss above the lowest loss that any of the runs found.

    Where the minimum is not 0, the loss itself flattens and hides how fast a method closes in; its excess does not.
    What is below the rounding of the lowest loss is drawn at the floor.
    """

    def chart(traces: Sequence[Trace]) -> Chart:
        lowest = min((trace.lowest for trace in traces), default=math.inf)
        if not math.isfinite(lowest):
            return loss_chart(title)(traces)
        floor = 10.0 ** math.floor(math.log10(sys.float_info.epsilon * abs(lowest) or sys.float_info.min))
        curves = []
        for trace in traces:
            curve = trace.curve()
            excess = [max(loss - lowest, floor) if math.isfinite(loss) else loss for loss in curve.losses]
            curves.append(Curve(curve.label, curve.look, curve.iterations, excess))
        return Chart(title, "loss above the lowest (log scale)", tuple(curves), floor=floor)

    return chart
