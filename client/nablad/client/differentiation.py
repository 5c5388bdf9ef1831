"""The derivatives that a Client can be asked for.

For f with values of shape S (() for a scalar) and p parameters in all:

    value(model, theta)                       f                                    S
    gradient(model, theta)                    its gradient, of the objective       (p,)
    jacobian(model, theta)                    its Jacobian J, of the output        S + (p,)
    hessian(model, theta)                     its Hessian H, of the objective      S + (p, p)
    hvp(model, theta, v)                      H v, without H                       S + (p,)
    jvp(model, theta, v)                      J v, without J                       S
    vjp(model, theta, u)                      u J, without J                       (p,)
    taylor(model, theta, direction, order)    Taylor coefficients                  (order + 1,) + S
    check_derivatives(model, theta)           beside difference quotients          a DerivativeCheck
    describe(model, theta)                    the graph, its values and adjoints   a GraphDescription

For example

    client.gradient(model, [1.0, 2.0])                    a flat theta gives flat arrays: shape (2,)
    client.gradient(model, {"a": 1.0, "b": 2.0})["a"]     named arrays give a mapping of the same names
    client.hessian(model, {"A": A, "b": b})["A"]["b"]     of shape f.shape + A.shape + b.shape
    client.gradient(model, np.zeros((1000, 2)))           a thousand points in one call: shape (1000, 2)
    client.gradient(job, iteration=3)                     where the job's fourth iterate is
    client.gradient(result)                               at the result
    J, how = client.jacobian(model, theta, details=True)
    print(how.way, how.reason)

This is numerator layout: derivatives stand after f's own axes.

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

from typing import TYPE_CHECKING, Any

from nablad.client import core
from nablad.client.arrays import Data
from nablad.client.core.session import Session
from nablad.client.core.subjects import At, Subject
from nablad.client.points import Point
from nablad.client.transport import Transport

if TYPE_CHECKING:
    from nablad.client.derivations import DerivativeCheck
    from nablad.client.drawing import GraphDescription


class Differentiation:
    """The part of a Client that differentiates."""

    _session: Session
    _transport: Transport

    def value(
        self, model: Subject, theta: Point | None = None, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """f(theta), of the objective unless `of` says otherwise: a float, or an array of f's shape S; or (B,) + S.

            client.value(model)                   at the model's start
            client.value(model, {"a": 1.0})       at a point, by name; or flat, [1.0]
            client.value(result, of="output")     what the model computes where a job ended

        `model`, `theta`, `iteration` and `of` are explained by help("nablad.client.differentiation").
        InvalidRequest for an argument that does not fit.
        """
        return self._transport.run(core.derivatives.value(self._session, At(model, theta, iteration, of)))

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

            client.gradient(model)                         at the model's start
            client.gradient(model, {"A": A, "b": b})["A"]  at a point given by name: of A's shape
            client.gradient(model, np.zeros((1000, p)))    at a thousand points: (1000, p)
            client.gradient(result)                        where a job ended; with iteration=3, at its iterate 3

        It comes in the form of theta: flat or by name. With `details` a pair of it and its Derivation, which says how
        it was computed and why. `model`, `theta`, `iteration` and `of` are explained by
        help("nablad.client.differentiation"). InvalidRequest for an argument that does not fit.
        """
        return self._transport.run(core.derivatives.gradient(self._session, At(model, theta, iteration, of), details))

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
        """The Jacobian of the output, shape S + (p,), in the form of theta: `jacobian["A"]` has shape S + A.shape.

        Of the residual with of="residual". `way` asks for another way than the cheapest (`describe` lists them).
        `sparse` gives a CsrMatrix of shape (elements of f, p), at one point, found by coloring. With `details` a pair
        of the Jacobian and its Derivation. The other arguments as for `gradient`.
        """
        at = At(model, theta, iteration, of)
        return self._transport.run(core.derivatives.jacobian(self._session, at, way, sparse, details))

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

            client.hessian(model, [1.0, 2.0])                  shape (2, 2)
            client.hessian(model, {"A": A, "b": b})["A"]["b"]  of shape A.shape + b.shape

        `way`, `sparse` (p x p, of a scalar) and `details` as for `jacobian`, the other arguments as for `gradient`.
        """
        at = At(model, theta, iteration, of)
        return self._transport.run(core.derivatives.hessian(self._session, at, way, sparse, details))

    def hvp(
        self, model: Subject, theta: Point | None, v: Point, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """H(theta) v of the objective without H, shape S + (p,), in the form of theta; None for theta is the start.

        v is given as theta may be. (B, p) are B directions: one for each point, or all at one point. The other
        arguments as for `gradient`.
        """
        return self._transport.run(core.derivatives.hvp(self._session, At(model, theta, iteration, of), v))

    def jvp(
        self, model: Subject, theta: Point | None, v: Point, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """J(theta) v of the output without J, shape S: forward mode, the slope of f along v.

        v as for `hvp`, the other arguments as for `gradient`.
        """
        return self._transport.run(core.derivatives.jvp(self._session, At(model, theta, iteration, of), v))

    def vjp(
        self, model: Subject, theta: Point | None, u: Data, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """u J(theta) of the output without J, shape (p,), in the form of theta: reverse mode, the gradient of u . f.

        u has the shape S of f, or (B,) + S: one for each point, or all at one point. The other arguments as for
        `gradient`.
        """
        return self._transport.run(core.derivatives.vjp(self._session, At(model, theta, iteration, of), u))

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

            c = client.taylor(model, theta, direction, order=8)
            np.polyval(c[::-1], t)    is nearly f(theta + t direction), for a scalar f and small t

        The k-th is the k-th derivative divided by k!. `direction` as v for `hvp`; `order` is at most 64. The other
        arguments as for `gradient`.
        """
        at = At(model, theta, iteration, of)
        return self._transport.run(core.derivatives.taylor(self._session, at, direction, order))

    def check_derivatives(
        self,
        model: Subject,
        theta: Point | None = None,
        *,
        of: str | None = None,
        iteration: int | None = None,
        max_entries: int | None = None,
    ) -> DerivativeCheck:
        """Compares the derivatives with central differences over a range of steps, for each parameter.

        True where they agree; print it for a table of the errors, and of the order with which they fall (2 for a smooth
        f). At most `max_entries` entries of each parameter are looked at, evenly chosen; 64 unless given. The other
        arguments as for `gradient`.
        """
        at = At(model, theta, iteration, of)
        return self._transport.run(core.derivatives.check(self._session, at, max_entries))

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
        return self._transport.run(core.derivatives.describe(self._session, at, max_nodes))
