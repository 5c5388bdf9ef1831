"""A job outlives its client: one connection starts it and leaves, another watches it, thinned, and cancels it.

python examples/watch_from_elsewhere.py
"""

from __future__ import annotations

import numpy as np

from nablad.client import Client, GradientDescent, LeastSquares, Stopping, Thinning

generator = np.random.default_rng(0)
features = generator.standard_normal((500, 20)) * np.logspace(0, -3, 20)  # badly scaled: slow on purpose
targets = features @ np.ones(20) + generator.standard_normal(500)

with Client.embedded(workers=1) as client:
    job = client.submit(
        LeastSquares(features, targets),
        GradientDescent(),
        stopping=Stopping(max_iterations=10_000_000, relative_gradient_tolerance=0.0),
        title="badly scaled, slow on purpose",
    )
    print(f"{job.name} is {job.state}")

    watched = client.job(job.name).watch(thinning=Thinning.per_decade(3))
    for iterate in watched:
        print(f"iteration {iterate.iteration:6d}: loss {iterate.loss:.6f}")
        if iterate.iteration >= 1_000:
            break

    job.cancel()
    result = job.result()

print(result.message)
print(f"the best point was kept: loss {result.loss:.6f} at iteration {result.best_iteration}")
assert result.family == "USER"
