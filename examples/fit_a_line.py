"""Least squares in ten lines: a real server, a streamed solve, a result with its evidence.

python examples/fit_a_line.py
"""

from __future__ import annotations

import numpy as np

from nablad.client import Client, LeastSquares, Newton

generator = np.random.default_rng(0)
x = np.linspace(0, 10, 200)
y = 3.0 * x - 2.0 + generator.normal(scale=0.5, size=x.size)

with Client.embedded(workers=1) as client:  # or Client.connect("localhost:50051")
    run = client.solve(LeastSquares(x[:, None], y, intercept=True), Newton())
    for iterate in run:
        print(f"iteration {iterate.iteration}: loss {iterate.loss:.6g}, |gradient| {iterate.gradient_norm:.3g}")
    result = run.result()

print(result.message)
print(f"slope {result.parameters['theta'][0]:.4f}, intercept {float(result.parameters['intercept']):.4f}")
assert result.success
