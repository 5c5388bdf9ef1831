"""A small network learns sin(x), by gradient descent first, then by Newton's method from where that stopped.

python examples/train_a_network.py
"""

from __future__ import annotations

import numpy as np

from nablad.client import Client, GradientDescent, Layer, Network, Newton, Stopping

x = np.linspace(-3, 3, 120)
model = Network(x[:, None], np.sin(x), [Layer(3, "tanh"), Layer(1)], ridge=1e-2, seed=1)

with Client.embedded(workers=1) as client:
    rough = client.solve(model, GradientDescent(), stopping=Stopping(max_iterations=200)).result()
    print(f"gradient descent: loss {rough.loss:.3e} after {rough.iterations} iterations")

    run = client.solve(model, Newton(), start=rough.theta)
    for iterate in run:
        print(f"  Newton {iterate.iteration:2d}: loss {iterate.loss:.9e}, |gradient| {iterate.gradient_norm:.1e}")
    fine = run.result()
    predicted = client.predict(fine, [[0.5], [1.0]])

print(fine.message)
print(f"sin(0.5) = {np.sin(0.5):.4f}, the network says {np.ravel(predicted)[0]:.4f}")
assert fine.loss < rough.loss
