"""A curve through data: how sure are its parameters, and its predictions?

python examples/fit_a_curve.py
"""

from __future__ import annotations

import numpy as np

from nablad.client import Client, Expression

generator = np.random.default_rng(1)
t = np.linspace(0.0, 6.0, 40)
y = 5.0 * np.exp(-0.8 * t) + 1.0 + generator.normal(scale=0.1, size=t.size)

decay = Expression.parse(
    "a*exp(-k*t) + c",
    data={"t": t},
    response=y,  # minimized is the sum of squares of y - f
    start={"a": 1.0, "k": 1.0, "c": 0.0},
)

with Client.embedded(workers=1) as client:
    result = client.solve(decay, bounds={"k": (0, None)}).result()  # the method is chosen by the model
    ahead = client.predict(result, {"t": [7.0, 8.0]}, interval="prediction", level=0.9)

print(result, end="\n\n")
print(result.statistics, end="\n\n")
for when, value, low, high in zip((7, 8), ahead.outputs, ahead.lower, ahead.upper, strict=True):
    print(f"t = {when}: {value:.3f}, a new observation with probability 90 % in [{low:.3f}, {high:.3f}]")

assert result.success
assert result.statistics is not None
low, high = result.statistics.confidence_intervals(0.999)["k"]
assert low < 0.8 < high
