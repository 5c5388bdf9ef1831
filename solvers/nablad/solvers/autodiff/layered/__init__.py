"""The exact Hessian of layers upon layers: one direction for each pre-activation, not for each parameter.

spine.py      what a layered spine is, and how one is found in any graph; no model is known here by name
tape.py       what each data row contributes, as a graph
curvature.py  the sums over the rows, with the mathematics
blocks.py     where they are summed, and how the Hessian is read from there
hessian.py    all of it compiled, and run on data
"""

from nablad.solvers.autodiff.layered.hessian import Layered, LayeredHessian, compile_layered

__all__ = ["Layered", "LayeredHessian", "compile_layered"]
