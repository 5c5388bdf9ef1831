"""`nablad demo`: gradient descent beside Newton's method on real data, live.

Two problems. Longley's regression, its six nearly collinear columns standardized: the Hessian's condition number is
what gradient descent pays for in iterations, and what Newton's method does not see. And a small network on the
Wisconsin tumours: no longer quadratic, but curvature still tells how far to go.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nablad.cli.bundled import BUNDLED
from nablad.cli.chart import FEW, MANY, Chart
from nablad.cli.connect import connect
from nablad.cli.csv_data import read_table
from nablad.cli.errors import CommandError, Exit
from nablad.cli.fitting import SOFTMAX, SQUARED_ERROR, build_model, prepare
from nablad.cli.live import follow
from nablad.cli.plotting import check_plot, write_plot
from nablad.cli.tables import Column, count, is_live, line, number, seconds, show
from nablad.cli.trace import Trace, excess_chart

if TYPE_CHECKING:
    from rich.console import Console

    from nablad.client import Client, Method, Result

_FAST, _SLOW = "Newton", "gradient descent"


@dataclass(frozen=True)
class _Problem:
    """One race of the demo."""

    name: str
    data: str
    title: str
    layers: str | None = None
    ridge: float | None = None
    seed: int = 0


_PROBLEMS = (
    _Problem("least squares", "longley", "1  Least squares: US employment 1947-1962 (Longley), 7 parameters"),
    # Of the first eight seeds, one whose two runs end in the same minimum, so that their losses can be compared.
    _Problem(
        "network",
        "breast_cancer",
        "2  Network 30-2-2 (tanh): 569 tumours (Wisconsin), 68 parameters",
        layers="2:tanh,2",
        ridge=0.3,
        seed=1,
    ),
)
# Both methods go on to the same accuracy, which a first-order method's own default does not ask for.
_RELATIVE_GRADIENT = 1e-10


@dataclass(frozen=True)
class DemoOptions:
    """The options of `nablad demo`, as given."""

    server: str | None
    plot: Path | None
    seconds: float
    iterations: int


def demo(console: Console, options: DemoOptions) -> Exit:
    """Run the races one after the other, and sum them up in a table."""
    if options.plot is not None:
        check_plot(options.plot)
    raced: list[tuple[_Problem, list[Trace]]] = []
    charts: list[Chart] = []
    completed = True
    with connect(options.server, workers=2) as client:
        for problem in _PROBLEMS:
            traces, completed = _race(console, client, problem, options)
            raced.append((problem, traces))
            charts.append(excess_chart(problem.title)(traces))
            line(console)
            if not completed:
                break
    _summary(console, raced)
    if completed:
        _moral(console, raced)
    if options.plot is not None:
        write_plot(options.plot, charts, "Gradient descent beside Newton's method")
        line(console, f"Picture written to {options.plot}")
    return Exit.CONVERGED if completed else Exit.INTERRUPTED


def _race(console: Console, client: Client, problem: _Problem, options: DemoOptions) -> tuple[list[Trace], bool]:
    from nablad.client import GradientDescent, Newton, RecordTheta, Stopping, Thinning

    data = BUNDLED[problem.data]
    table = read_table(str(data.path), data.target, labels=data.labels)
    model = build_model(
        prepare(table, standardize=True, test_split=None, seed=0),
        problem.layers,
        SOFTMAX if data.labels else SQUARED_ERROR,
        intercept=True,
        ridge=problem.ridge,
        seed=problem.seed,
    )
    methods: dict[str, Method] = {_SLOW: GradientDescent(), _FAST: Newton()}
    stopping = Stopping(
        max_time=options.seconds,
        max_iterations=options.iterations,
        relative_gradient_tolerance=_RELATIVE_GRADIENT,
    )
    pairs = []
    for label, method in methods.items():
        run = client.solve(
            model,
            method,
            stopping=stopping,
            record_theta=RecordTheta.never(),
            thinning=Thinning.per_decade(60, omit_theta=True),
            title=f"demo: {problem.name}, {label}",
            cancel_when_unwatched=True,
        )
        pairs.append((Trace(label, FEW if label == _FAST else MANY), run))
    if problem is _PROBLEMS[0]:
        # Not before there is a server that answers: if none does, that is the one thing to say.
        line(console, "nablad demo: gradient descent beside Newton's method; a real server, streamed over gRPC.")
        line(console)
    completed = follow(console, pairs, excess_chart(problem.title))
    return [trace for trace, _ in pairs], completed


def _summary(console: Console, raced: list[tuple[_Problem, list[Trace]]]) -> None:
    columns = [
        Column("method"),
        Column("iterations", number=True),
        Column("final loss", number=True),
        Column("gradient", number=True),
        Column("time", number=True),
        Column("verdict", folds=True),
    ]
    for problem, traces in raced:
        show(console, columns, [_row(trace) for trace in traces], problem.title)
        if not is_live(console):
            line(console)


def _row(trace: Trace) -> list[str]:
    result = trace.result
    if result is None:
        return [trace.label, "-", "-", "-", "-", "no answer"]
    return [
        trace.label,
        count(result.iterations),
        number(result.loss, 9),
        number(result.evidence.gradient_norm, 2),
        seconds(result.times.total),
        _verdict(result),
    ]


def _verdict(result: Result) -> str:
    verdict = result.evidence.verdict
    return result.status if verdict == "unverified" else f"{verdict}, {result.status}"


def _moral(console: Console, raced: list[tuple[_Problem, list[Trace]]]) -> None:
    """What one has seen, in numbers that the runs gave, and what to try next."""
    for problem, traces in raced:
        slow, fast = (trace.result for trace in traces)
        if slow is None or fast is None:
            raise CommandError("a run ended without a result")
        line(console, f"{problem.name.capitalize()}: {comparison(slow, fast)}")
    line(console, "Newton's step knows the curvature; the gradient alone does not tell how far to go.")
    if any(trace.result and trace.result.evidence.verdict == "flat" for _, traces in raced for trace in traces):
        line(console, "(flat: one number added to both outputs of the network changes nothing.)")
    line(console)
    name = _command_name()
    line(console, f"Next: {name} solve longley", "bold" if is_live(console) else None)
    line(console, f"      {name} solve YOUR.csv --target COLUMN", "bold" if is_live(console) else None)


def _command_name() -> str:
    """How this command can be called again: `make demo` runs it from an environment that is not on the path."""
    own = sys.argv[0]
    return own if shutil.which("nablad") is None and Path(own).name == "nablad" else "nablad"


def comparison(slow: Result, fast: Result) -> str:
    """A sentence on who came how far; it speaks of valleys only where Newton's method has reached the bottom of one."""
    times = "iteration" if fast.iterations == 1 else "iterations"
    text = f"Newton's method took {count(fast.iterations)} {times}"
    if slow.success and fast.success:
        return f"{text}, gradient descent {count(slow.iterations)}."
    if not fast.success:
        return (
            f"{text} and had not converged ({fast.status}), gradient descent {count(slow.iterations)}"
            f" ({slow.status}); --seconds and --iterations give them more."
        )
    excess = slow.loss - fast.loss
    if excess <= 0.0:
        return (
            f"{text}; gradient descent, after {count(slow.iterations)}, had come to a lower point, in another valley."
        )
    return f"{text}; gradient descent, after {count(slow.iterations)}, was still {number(excess, 2)} above it."
