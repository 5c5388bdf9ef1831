"""Runs the benchmarks named on the command line, or all of them, and prints their tables."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = (
    "gradient",
    "hessian",
    "derivatives",
    "small",
    "least_squares",
    "stream",
    "service",
    "startup",
    "networks",
    "nist",
    "more",
    "growth",
)


def run(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 1
    for name in names or BENCHMARKS:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n## {name}\n\n{module.main()}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
