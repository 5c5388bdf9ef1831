"""The language of models: op names with their shape rules, immutable graphs, and symbols to build them with.

Needs numpy only, so that a client can write and check a model without the engine that gives it meaning
(`nablad.solvers.autodiff`).
"""

from nablad.expressions import functions, indexing, numpy_functions, stacking, symbols
from nablad.expressions.definition import InvalidName, TooManyNodes, Traced, by_rows
from nablad.expressions.dimension import ROWS, Dimension, Shape, ShapeError
from nablad.expressions.graph import Graph, Node, constant, input_node, make, rebuild, remake, topological
from nablad.expressions.labels import Labels
from nablad.expressions.parser import ExpressionError, parse
from nablad.expressions.symbol import Symbol, apply, data, lift, parameter
from nablad.expressions.table import OPS, OpSpec
from nablad.expressions.tracing import trace
from nablad.expressions.vocabulary import vocabulary

__all__ = [
    "OPS",
    "ROWS",
    "Dimension",
    "ExpressionError",
    "Graph",
    "InvalidName",
    "Labels",
    "Node",
    "OpSpec",
    "Shape",
    "ShapeError",
    "Symbol",
    "TooManyNodes",
    "Traced",
    "apply",
    "by_rows",
    "constant",
    "data",
    "input_node",
    "lift",
    "make",
    "parameter",
    "parse",
    "rebuild",
    "remake",
    "topological",
    "trace",
]

vocabulary.named = functions.call
vocabulary.method = functions.method
vocabulary.power = symbols.power
vocabulary.matmul = symbols.matmul
vocabulary.read = indexing.read
vocabulary.ufunc = numpy_functions.call_ufunc
vocabulary.array_function = numpy_functions.call_function
vocabulary.unknown = numpy_functions.unknown
vocabulary.holds_symbols = stacking.holds_symbols
vocabulary.stacked = stacking.stacked
