"""Line searches: how far along a descent direction. Armijo's backtracking, and the strong Wolfe search."""

from nablad.solvers.methods.line_search.armijo import Armijo, backtrack, extend
from nablad.solvers.methods.line_search.failure import search_failure
from nablad.solvers.methods.line_search.ray import Ray, Search, Trial
from nablad.solvers.methods.line_search.wolfe import Wolfe, strong_wolfe

__all__ = ["Armijo", "Ray", "Search", "Trial", "Wolfe", "backtrack", "extend", "search_failure", "strong_wolfe"]
