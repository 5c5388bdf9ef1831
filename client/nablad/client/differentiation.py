"""The derivatives that a Client can be asked for.

    client.gradient(model, [1.0, 2.0])                    a flat theta gives flat arrays: shape (2,)
    client.gradient(model, {"a": 1.0, "b": 2.0})["a"]     named arrays give a mapping of the same names
    client.hessian(model, {"A": A, "b": b})["A"]["b"]     of shape f.shape + A.shape + b.shape
    client.gradient(model, np.zeros((1000, 2)))           a thousand points in one call: shape (1000, 2)
    client.gradient(job, iteration=3)                     where the job's fourth iterate is
    client.gradient(result)                               at the result
    J, how = client.jacobian(model, theta, details=True)
    print(how.way, how.reason)

Numerator layout: for f with values of shape S and theta of shape (p,) the Jacobian has shape S + (p,), the Hessian
S + (p, p).

The first argument is a model, or what stands for a job: a Job, a Run, a Result or a job's name. `theta` is

- a flat array, shape (p,), or (B, p) for B points at once;
- a mapping with an array for each parameter (for B points, each with one more axis of length B in front);
- for a model with one parameter, an array of that parameter's own shape (or with one more axis in front); or
- None: the model's start, or the job's result; or the job's `iteration`, computed again if it was not recorded.

The parts of a result that run over theta come in the form of theta: flat, as a Named mapping, or in the parameter's own
shape; and for None by name, unless the one parameter is called theta. What has no axes is a float. With B points every
result has one more axis of length B in front.

`of` is the function that is differentiated: "objective" (what a job minimizes), "output" (what the model computes,
before any loss) or "residual". Of an expression that is no scalar and no residual, "objective" is its output.

Errors are those of nablad.client.errors: InvalidRequest for an argument that does not fit, NotFound for a job that is
not there, Conflict for one that has not come so far, LimitExceeded for what would be too large.
"""

from __future__ import annotations

from typing import Any

from nablad.client.arrays import Data
from nablad.client.core import derivatives
from nablad.client.core.derivatives import At, Subject
from nablad.client.core.session import Session
from nablad.client.derivations import DerivativeCheck
from nablad.client.drawing import GraphDescription
from nablad.client.points import Point
from nablad.client.transport import Transport


class Differentiation:
    """The part of a Client that differentiates."""

    _session: Session
    _transport: Transport

    def value(
        self, model: Subject, theta: Point | None = None, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """f(theta), of the objective unless `of` says otherwise: a float, or an array of f's shape S.

        With B points (B,) + S. theta, `iteration` and `of` are explained in nablad.client.differentiation.
        """
        return self._transport.run(derivatives.value(self._session, At(model, theta, iteration, of)))

    def gradient(
        self,
        model: Subject,
        theta: Point | None = None,
        *,
        of: str | None = None,
        iteration: int | None = None,
        details: bool = False,
    ) -> Any:
        """The gradient of the objective, shape (p,): the row vector 1 x p; of an f of shape S its Jacobian, S + (p,).

        In the form of theta; with `details` a pair of that and its Derivation.
        """
        return self._transport.run(derivatives.gradient(self._session, At(model, theta, iteration, of), details))

    def jacobian(
        self,
        model: Subject,
        theta: Point | None = None,
        *,
        of: str | None = None,
        iteration: int | None = None,
        way: str | None = None,
        sparse: bool = False,
        details: bool = False,
    ) -> Any:
        """The Jacobian of the output, shape S + (p,), in the form of theta.

        `way` asks for another way than the cheapest (`describe` lists them). `sparse` gives a CsrMatrix of shape
        (elements of f, p), at one point. With `details` a pair of the Jacobian and its Derivation.
        """
        at = At(model, theta, iteration, of)
        return self._transport.run(derivatives.jacobian(self._session, at, way, sparse, details))

    def hessian(
        self,
        model: Subject,
        theta: Point | None = None,
        *,
        of: str | None = None,
        iteration: int | None = None,
        way: str | None = None,
        sparse: bool = False,
        details: bool = False,
    ) -> Any:
        """The Hessian of the objective, shape S + (p, p), exactly symmetric in the last two, in the form of theta.

        By name, `hessian["A"]["b"]` has shape S + A.shape + b.shape. `way`, `sparse` (p x p, of a scalar) and `details`
        as for `jacobian`.
        """
        at = At(model, theta, iteration, of)
        return self._transport.run(derivatives.hessian(self._session, at, way, sparse, details))

    def hvp(
        self, model: Subject, theta: Point | None, v: Point, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """H(theta) v of the objective without H, shape S + (p,), in the form of theta.

        v is given as theta may be. (B, p) are B directions: one for each point, or all at one point.
        """
        return self._transport.run(derivatives.hvp(self._session, At(model, theta, iteration, of), v))

    def jvp(
        self, model: Subject, theta: Point | None, v: Point, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """J(theta) v of the output without J, shape S: forward mode. v as for `hvp`."""
        return self._transport.run(derivatives.jvp(self._session, At(model, theta, iteration, of), v))

    def vjp(
        self, model: Subject, theta: Point | None, u: Data, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """u J(theta) of the output without J, shape (p,), in the form of theta: reverse mode.

        u has the shape S of f, or (B,) + S: one for each point, or all at one point.
        """
        return self._transport.run(derivatives.vjp(self._session, At(model, theta, iteration, of), u))

    def taylor(
        self,
        model: Subject,
        theta: Point | None,
        direction: Point,
        order: int,
        *,
        of: str | None = None,
        iteration: int | None = None,
    ) -> Any:
        """Taylor coefficients of t -> f(theta + t direction) at 0, of the objective: shape (order + 1,) + S.

        The k-th is the k-th derivative divided by k!. `direction` as v for `hvp`.
        """
        at = At(model, theta, iteration, of)
        return self._transport.run(derivatives.taylor(self._session, at, direction, order))

    def check_derivatives(
        self,
        model: Subject,
        theta: Point | None = None,
        *,
        of: str | None = None,
        iteration: int | None = None,
        max_entries: int | None = None,
    ) -> DerivativeCheck:
        """Compares the derivatives with central differences over a range of steps, for each parameter; print it.

        At most `max_entries` entries of each parameter are looked at, evenly chosen; 64 unless given.
        """
        at = At(model, theta, iteration, of)
        return self._transport.run(derivatives.check(self._session, at, max_entries))

    def describe(
        self,
        model: Subject,
        theta: Point | None = None,
        *,
        of: str | None = None,
        iteration: int | None = None,
        max_nodes: int | None = None,
    ) -> GraphDescription:
        """The computation graph: nodes, shapes, costs, and how each derivative would be computed and why.

        With a point (theta, or a job's iteration), values and adjoints too: backpropagation to be read. A notebook
        shows it as a picture; `.svg()`, `.mermaid()` and `.dot()` give it as text. At most `max_nodes` nodes, 1000
        unless given.
        """
        at = At(model, theta, iteration, of)
        return self._transport.run(derivatives.describe(self._session, at, max_nodes))
