"""Writes the tables of docs/solvers.md: python docs/solvers.py [--measure]

Those of choices, methods and statuses are the project's own tables, printed. The measured ones take minutes, and are
made anew with --measure only: they are `python -m benchmarks nist more`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nablad import client, solvers
from nablad.server.worker.outcome import advice
from nablad.solvers import METHODS, Expression
from nablad.solvers.choice import CHOICES
from nablad.solvers.control import Control, Limits
from nablad.solvers.metered import Metered
from nablad.solvers.methods.base import NEEDS
from nablad.solvers.methods.step_lengths import STEP_LENGTHS
from nablad.solvers.status import Family, Status
from nablad.wire.statuses import STATUSES

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("solvers.md")
COMMAND = "python docs/solvers.py"
REQUIRED = {"learning_rate": 1e-3}
"""Settings that have no default, for the methods' states to be looked at."""


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def choices() -> str:
    rows = []
    for choice in CHOICES:
        reason = choice.reason.format(p="p parameters")
        rows.append([choice.problem, f"`{written(choice.method())}`", reason])
    return table(["problem", "method", "why"], rows)


PARTS: dict[Any, Any] = {
    client.ConstantStep: solvers.Constant,
    client.ArmijoSearch: solvers.Armijo,
    client.WolfeSearch: solvers.Wolfe,
    client.BarzilaiBorwein: solvers.BarzilaiBorwein,
    client.ExactStep: solvers.Exact,
    client.TrustRegion: solvers.TrustRegion,
    client.InverseTimeDecay: solvers.InverseTime,
    client.ExponentialDecay: solvers.Exponential,
    client.CosineDecay: solvers.Cosine,
    client.StepDecay: solvers.StepDecay,
}
"""What methods are made of: the client's, which are typed, and the solvers', which have the defaults."""
RENAMED = {
    ("GradientDescent", "step"): "step_length",
    ("Newton", "trust_region"): "globalization",
    ("ArmijoSearch", "initial_step"): "initial",
    ("WolfeSearch", "initial_step"): "initial",
    ("StochasticGradientDescent", "schedule"): "",
    ("Adam", "schedule"): "",
}
"""The client's settings by the solvers' names, where these differ; an empty one has no counterpart."""


def written(value: Any) -> str:
    """A setting as it would be typed: what is default is left out."""
    if not is_dataclass(value):
        return repr(value)
    names = {name: ours for (_, ours), name in RENAMED.items()}
    given = [
        f"{names.get(field.name, field.name)}={written(getattr(value, field.name))}"
        for field in fields(value)
        if getattr(value, field.name) != default(field)
    ]
    typed = {theirs: ours.__name__ for ours, theirs in PARTS.items()}
    return f"{typed.get(type(value), type(value).__name__)}({', '.join(given)})"


def default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def signature(ours: Any, theirs: Any) -> str:
    """A class of the client with the defaults of the solvers' counterpart, as it may be typed."""
    defaults = {field.name: default(field) for field in fields(theirs)}
    parts = []
    for field in fields(ours):
        name = RENAMED.get((ours.__name__, field.name), field.name)
        value = MISSING if default(field) is MISSING else defaults.get(name, default(field))
        parts.append(field.name if value is MISSING else f"{field.name}={written(value)}")
    return f"{ours.__name__}({', '.join(parts)})"


def signatures() -> list[str]:
    """Of every method, then of what they are made of."""
    every = [(getattr(client, cls.__name__), cls) for cls in METHODS.values()] + list(PARTS.items())
    return [signature(ours, theirs) for ours, theirs in every]


def bounds(cls: Any) -> str:
    """Whether the method keeps bounds, and with which settings it does not."""
    unable = {
        "gradient_descent": [
            *(ours.__name__ for ours, row in PARTS.items() if row in STEP_LENGTHS and not STEP_LENGTHS[row].bounded),
            "momentum",
            "nesterov",
        ],
        "newton": ["line_search"],
    }.get(cls.name)
    if not cls.bounded:
        return "no"
    return "yes" if unable is None else f"yes; not with {', '.join(f'`{name}`' for name in unable)}"


def methods() -> str:
    rows = []
    for name, cls in METHODS.items():
        about = (sys.modules[cls.__module__].__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
        derivatives = {1: "first", 2: "second"}[cls.order]
        needs = "; ".join(NEEDS[need].split(":")[0] for need in cls.needs) or "nothing more"
        cells = [f"`{cls.__name__}`", f"`{name}`", derivatives, needs, bounds(cls), state(cls)]
        rows.append([*cells, about])
    head = ["method", "on the wire", "derivatives", "needs", "keeps bounds", "numbers in its state", "in a line"]
    listed = "\n".join(f"- `{each}`" for each in signatures())
    return f"{table(head, rows)}\n\n{SETTINGS}\n\n{listed}"


SETTINGS = """\
The settings of `nablad.client` with their defaults, first the methods', then those of what they are made of. (In the
client itself None stands for them: the server has the defaults, and the modules' docstrings argue each.)"""


def state(cls: Any) -> str:
    """How many numbers a state holds, as a polynomial in p, from three sizes."""
    sizes = np.array([12, 24, 48])
    counts = [numbers_in_state(cls, p) for p in sizes]
    square, linear, _ = np.linalg.solve(np.vander(sizes, 3).astype(float), np.array(counts, dtype=float))
    parts = [f"{round(square, 1):g} p²"] if square > 0.05 else []
    parts += [f"{round(linear):g} p"] if linear > 0.5 else []
    return " + ".join(parts)


def numbers_in_state(cls: Any, p: int) -> int:
    rng = np.random.default_rng(p)
    X = rng.standard_normal((4 * p, p)) / np.sqrt(p)
    y = np.tanh(X @ rng.standard_normal(p)) + 0.3 * rng.standard_normal(4 * p)
    model = Expression.trace(lambda t, d: np.tanh(d["X"] @ t), start=np.zeros(p), data={"X": X}, response=y)
    method = cls(**{field.name: REQUIRED[field.name] for field in fields(cls) if default(field) is MISSING})
    limits = Limits(Control(), model.objective().counters)
    objective = Metered(model.objective(), limits)
    largest = 0
    with np.errstate(all="ignore"):
        found = method.init(objective, model.initial(), limits)
        for _ in range(14):
            arrays = {id(v): v.size for v in vars_of(found).values() if isinstance(v, np.ndarray)}
            largest = max(largest, sum(arrays.values()))
            found = method.step(objective, found, limits)
    return largest


def vars_of(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


FAMILIES = {
    Family.CONVERGED: "a success; `evidence.verdict` tells what was verified of the point",
    Family.STALLED: "the method cannot go on; no minimum was verified",
    Family.LIMIT: "a limit that was set, or the method's default",
    Family.USER: "somebody ended it",
    Family.FAILED: "there is nothing to go on from",
}


def statuses() -> str:
    rows = []
    for row in STATUSES.values():
        status = Status[row.solver_name]
        rows.append([f"`{row.name}`", FAMILIES[status.family], advice(status)])
    return table(["status", "which means", "what to do"], rows)


def measured() -> str:
    sys.path.insert(0, str(ROOT))
    return "\n\n".join(importlib.import_module(f"benchmarks.{name}").main() for name in ("nist", "more"))


SECTIONS: dict[str, Callable[[], str]] = {"choices": choices, "methods": methods, "statuses": statuses}
MEASURED: dict[str, Callable[[], str]] = {"measured": measured}


def page(text: str, sections: dict[str, Callable[[], str]]) -> str:
    """The page with these sections made anew."""
    for name, make in sections.items():
        begin, end = f"<!-- {name}: made by `{COMMAND}` -->\n", f"<!-- end of {name} -->"
        head, rest = text.split(begin)
        text = f"{head}{begin}\n{make()}\n\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    wanted = SECTIONS | (MEASURED if "--measure" in sys.argv[1:] else {})
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), wanted), encoding="utf-8")
