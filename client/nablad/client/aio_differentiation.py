"""differentiation.py with await: it says what the arguments and the results are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from nablad.client import core
from nablad.client.arrays import Data
from nablad.client.core.effects import Operation
from nablad.client.core.session import Session
from nablad.client.core.subjects import At, Subject
from nablad.client.points import Point

if TYPE_CHECKING:
    from nablad.client.derivations import DerivativeCheck
    from nablad.client.drawing import GraphDescription

T = TypeVar("T")


class AsyncDifferentiation(ABC):
    """The part of an AsyncClient that differentiates."""

    _session: Session

    @abstractmethod
    async def _run(self, operation: Operation[T]) -> T: ...

    async def value(
        self, model: Subject, theta: Point | None = None, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """f(theta), of the objective unless `of` says otherwise: a float, or an array of f's shape S; or (B,) + S.

        `model`, `theta`, `iteration` and `of` are explained by help("nablad.client.differentiation").
        InvalidRequest for an argument that does not fit.
        """
        return await self._run(core.derivatives.value(self._session, At(model, theta, iteration, of)))

    async def gradient(
        self,
        model: Subject,
        theta: Point | None = None,
        *,
        of: str | None = None,
        iteration: int | None = None,
        details: bool = False,
    ) -> Any:
        """The gradient of the objective, shape (p,): the row vector 1 x p; of an f of shape S its Jacobian, S + (p,).

        It comes in the form of theta: flat or by name. With `details` a pair of it and its Derivation, which says how
        it was computed and why. `model`, `theta`, `iteration` and `of` are explained by
        help("nablad.client.differentiation"). InvalidRequest for an argument that does not fit.
        """
        return await self._run(core.derivatives.gradient(self._session, At(model, theta, iteration, of), details))

    async def jacobian(
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
        return await self._run(core.derivatives.jacobian(self._session, at, way, sparse, details))

    async def hessian(
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

        `way`, `sparse` (p x p, of a scalar) and `details` as for `jacobian`, the other arguments as for `gradient`.
        """
        at = At(model, theta, iteration, of)
        return await self._run(core.derivatives.hessian(self._session, at, way, sparse, details))

    async def hvp(
        self, model: Subject, theta: Point | None, v: Point, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """H(theta) v of the objective without H, shape S + (p,), in the form of theta; None for theta is the start.

        v is given as theta may be. (B, p) are B directions: one for each point, or all at one point. The other
        arguments as for `gradient`.
        """
        return await self._run(core.derivatives.hvp(self._session, At(model, theta, iteration, of), v))

    async def jvp(
        self, model: Subject, theta: Point | None, v: Point, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """J(theta) v of the output without J, shape S: forward mode, the slope of f along v.

        v as for `hvp`, the other arguments as for `gradient`.
        """
        return await self._run(core.derivatives.jvp(self._session, At(model, theta, iteration, of), v))

    async def vjp(
        self, model: Subject, theta: Point | None, u: Data, *, of: str | None = None, iteration: int | None = None
    ) -> Any:
        """u J(theta) of the output without J, shape (p,), in the form of theta: reverse mode, the gradient of u . f.

        u has the shape S of f, or (B,) + S: one for each point, or all at one point. The other arguments as for
        `gradient`.
        """
        return await self._run(core.derivatives.vjp(self._session, At(model, theta, iteration, of), u))

    async def taylor(
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

        The k-th is the k-th derivative divided by k!. `direction` as v for `hvp`; `order` is at most 64. The other
        arguments as for `gradient`.
        """
        at = At(model, theta, iteration, of)
        return await self._run(core.derivatives.taylor(self._session, at, direction, order))

    async def check_derivatives(
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
        return await self._run(core.derivatives.check(self._session, at, max_entries))

    async def describe(
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
        return await self._run(core.derivatives.describe(self._session, at, max_nodes))
