"""Where four methods walk: down a curved valley, and from the ridge of a saddle, drawn from their streamed iterates.

python examples/paths.py docs/paths.png
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from nablad.cli.landscapes import Landscape, Track, write_landscapes
from nablad.client import BFGS, Client, Expression, GradientDescent, LevenbergMarquardt, Newton, RecordTheta

METHODS = {
    "GradientDescent()": GradientDescent(),
    "BFGS()": BFGS(),
    "LevenbergMarquardt()": LevenbergMarquardt(),
    "Newton()": Newton(),
}

valley = Expression.parse("[10*(y - x**2), 1 - x]", start={"x": -1.2, "y": 1.0}, residual=True)
saddle = Expression.parse("[x + x**3/3, y**2 - 1]", start={"x": 1.6, "y": 0.0}, residual=True)

banana = Landscape(
    "Rosenbrock's valley",
    lambda x, y: 100 * (y - x**2) ** 2 + (1 - x) ** 2,
    x=(-1.7, 1.5),
    y=(-0.6, 1.9),
    levels=(0.1, 0.5, 2, 5, 15, 50, 150, 400),
    minimizers=((1.0, 1.0),),
)
ridge = Landscape(
    "a saddle at (0, 0)",
    lambda x, y: (x + x**3 / 3) ** 2 + (y**2 - 1) ** 2,
    x=(-0.7, 1.9),
    y=(-1.5, 1.5),
    levels=(0.05, 0.2, 0.5, 0.9, 1.0, 1.3, 2, 4, 8),
    minimizers=((0.0, -1.0), (0.0, 1.0)),
)

ended = {}
rows = []
with Client.embedded(workers=1) as client:
    for model, landscape in ((valley, banana), (saddle, ridge)):
        tracks = []
        for label, method in METHODS.items():
            run = client.solve(model, method, record_theta=RecordTheta.every(1))
            points = np.array([iterate.theta for iterate in run])
            result = run.result()
            ended[label, landscape.title] = result
            print(
                f"{landscape.title}, {label}: {result.iterations} iterations, {result.status}, loss {result.loss:.2e}"
            )
            count = "1 iteration" if result.iterations == 1 else f"{result.iterations:,} iterations"
            tracks.append(Track(label, points, f"{count}, {result.status}"))
        rows.append((landscape, tracks))

with tempfile.TemporaryDirectory() as folder:
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "paths.png"
    write_landscapes(picture, rows)
    print(f"{picture.name}: {picture.stat().st_size:,} bytes")

assert ended["Newton()", banana.title].success
# Only curvature shows a way off the ridge; whoever stays says that it is no minimum.
assert ended["Newton()", ridge.title].loss < 1e-12
assert all(result.success or "SADDLE" in result.status for (_, title), result in ended.items() if title == ridge.title)
