"""Derivatives as a service: backpropagation to look at, a fit, and its derivatives where the fit stands.

python examples/derivatives.py [PICTURE.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from nablad.client import Client, Expression, Newton


def f(p):
    """The lecture's example of backpropagation."""
    c = p["x"] ** 2 + np.exp(p["x"] ** 2)
    return np.sqrt(c) + np.cos(c)


def derivative(x):
    """By hand."""
    c = x**2 + np.exp(x**2)
    return 2 * x * (1 / (2 * np.sqrt(c)) - np.sin(c)) * (1 + np.exp(x**2))


days = np.array([1.0, 2.0, 3.0, 5.0, 7.0, 10.0])
demand = np.array([8.3, 10.3, 19.0, 16.0, 15.6, 19.8])

with Client.embedded(workers=1) as client:  # or Client.connect("localhost:50051")
    # An ordinary numpy function, called once with symbols; its derivatives come from its graph.
    model = Expression.trace(f, start={"x": 1.0})
    print(f"f(1) = {client.value(model):.12f}, f'(1) = {client.gradient(model)['x']:.12f}")
    np.testing.assert_allclose(client.gradient(model)["x"], derivative(1.0), rtol=1e-14)

    # A thousand points in one call; Taylor coefficients of any order.
    x = np.linspace(-1.5, 1.5, 1000)
    np.testing.assert_allclose(client.gradient(model, x), derivative(x), rtol=1e-12, atol=1e-12)
    print("Taylor at 1:", np.array2string(client.taylor(model, 1.0, 1.0, 4), precision=4))

    # Every intermediate variable with its value and adjoint: backpropagation, step by step. In a notebook, a picture.
    graph = client.describe(model, 1.0)
    print(graph)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(graph.svg())

    # The same model solves, and the job's derivatives can be asked for: at its result, or at any iterate.
    growth = Expression.parse("a*(1 - exp(-b*t))", data={"t": days}, response=demand, start={"a": 20.0, "b": 0.3})
    result = client.solve(growth, Newton()).result()
    print(result.message)
    hessian = client.hessian(result)
    print("curvature in a and b together:", hessian["a"]["b"])
    for k in range(result.iterations + 1):
        print(f"iterate {k}: |gradient| = {np.linalg.norm(client.gradient(result, iteration=k).flat):.3g}")

    # One way is chosen by its cost; it can be seen, and others asked for.
    jacobian, how = client.jacobian(result, details=True)
    print(how)
    assert jacobian["a"].shape == days.shape

    # And each can be doubted.
    check = client.check_derivatives(growth)
    print(check)
    assert check
    assert result.success
