"""The exact Hessian of layers upon layers: one direction for each pre-activation, not for each parameter.

spine.py      what a layered spine is, and how one is found in any graph; no model is known here by name
tape.py       what each data row contributes, as a graph
curvature.py  the sums over the rows, with the mathematics
blocks.py     where they are summed, and how the Hessian is read from there
sums.py       running that on data, in stripes and threads
penalty.py    what depends on theta alone
hessian.py    all of it together: the Hessian, and J'J of a residual
jacobian.py   a residual's Jacobian by reverse mode, as a graph
"""

from nablad.solvers.autodiff.layered.hessian import Layered, LayeredHessian, compile_gram, compile_layered
from nablad.solvers.autodiff.layered.jacobian import jacobian_by_rows

__all__ = ["Layered", "LayeredHessian", "compile_gram", "compile_layered", "jacobian_by_rows"]
