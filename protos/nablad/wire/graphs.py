"""Graphs on the wire: Graph <-> nablad.v1.ExpressionGraph.

Nodes come operands first, and refer to earlier ones by index, so that neither way needs recursion: both are one pass,
some microseconds a node. Constants stand apart, as tensors that may be datasets. An `input` says its name and its
shape; whether it is a parameter or data, the message around the graph says. `decode` believes nothing: an op, an
attribute, a shape or an index that cannot be is a `GraphError` that names the field, and the node by its label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nablad.expressions import OPS, ROWS, Graph, Node, Shape, constant, input_node, make, topological
from nablad.expressions.attributes import check_attributes, check_operands
from nablad.expressions.collecting import collection_put_off
from nablad.expressions.dimension import concrete, describe
from nablad.expressions.labels import Labels
from nablad.v1 import expression_pb2, tensor_pb2
from nablad.wire.tensors import AnyArray, TensorError, join

MAX_LABEL = 200
MAX_NESTING = 8
"""Of lists of attributes. The table's deepest is 3: places, a place, a range."""

ITEM_BYTES = 8

ToTensor = Callable[[AnyArray], tensor_pb2.Tensor]
FromTensor = Callable[[tensor_pb2.Tensor, str], AnyArray]


class GraphError(ValueError):
    """A graph that cannot be. `field` is the path of the member at fault, `message` says what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


@dataclass(frozen=True)
class GraphLimits:
    """How large a graph may be."""

    nodes: int
    constant_bytes: int
    """Of all constants together, and of all that is computed from constants alone."""
    array_bytes: int
    """Of one node's value."""


class Decoded(NamedTuple):
    """A graph with one output, its inputs the parameters and then the data; and what its nodes are called."""

    graph: Graph
    labels: Labels


# Attributes: numbers, truths, text, N, nothing, and lists of these.


def encode_attribute(value: Any, message: expression_pb2.Attribute) -> None:
    """Writes an attribute, nested tuples and all, into a message. TypeError for what no attribute can be."""
    if value is None:
        message.none = True
    elif value is ROWS:
        message.rows = True
    elif isinstance(value, bool | np.bool_):
        message.flag = bool(value)
    elif isinstance(value, int | np.integer):
        message.integer = int(value)
    elif isinstance(value, float | np.floating):
        message.real = float(value)
    elif isinstance(value, str):
        message.text = value
    elif isinstance(value, tuple | list):
        message.list.SetInParent()
        for item in value:
            encode_attribute(item, message.list.items.add())
    else:
        raise TypeError(f"an attribute cannot be {value!r:.60}")


def decode_attribute(message: expression_pb2.Attribute, field: str, nesting: int = 0) -> Any:
    """The value of an attribute; lists become tuples. GraphError if it has none, or is nested too deep."""
    kind = message.WhichOneof("value")
    if kind is None:
        raise GraphError(field, "has no value")
    if kind == "list":
        if nesting == MAX_NESTING:
            raise GraphError(field, f"is nested more than {MAX_NESTING} deep")
        items = message.list.items
        return tuple([decode_attribute(item, f"{field}.list.items[{i}]", nesting + 1) for i, item in enumerate(items)])
    if kind == "rows":
        return ROWS
    return None if kind == "none" else getattr(message, kind)


# Graphs


def encode(graph: Graph, labels: Mapping[Node, str], tensor: ToTensor) -> expression_pb2.ExpressionGraph:
    """A graph with one output as a message; `tensor` writes its constants, large ones as datasets.

    Labels are cut to 200 characters. GraphError for complex constants, and unless there is one output.
    """
    if len(graph.outputs) != 1:
        raise GraphError("output", f"a graph of {len(graph.outputs)} outputs cannot be sent; one is needed")
    message = expression_pb2.ExpressionGraph()
    index: dict[Node, int] = {}
    for node in graph.nodes:
        sent = message.nodes.add(op=node.op, operands=[index[operand] for operand in node.operands])
        label = labels.get(node)
        if label:
            sent.label = label[:MAX_LABEL]
        if node.op == "constant":
            sent.attributes.add(integer=len(message.constants))
            message.constants.append(tensor(_real(node.value)))
        elif node.op == "input":
            encode_attribute(node.name, sent.attributes.add())
            encode_attribute(node.shape, sent.attributes.add())
        else:
            for value in node.attributes:
                encode_attribute(value, sent.attributes.add())
        index[node] = len(index)
    message.output = index[graph.outputs[0]]
    return message


def _real(value: AnyArray) -> AnyArray:
    if value.dtype.kind == "c":
        raise GraphError("constants", "are real numbers; derivatives here are those of real functions")
    return value if value.dtype in (np.float32, np.float64) else value.astype(np.float64)


def decode(
    message: expression_pb2.ExpressionGraph,
    parameters: Mapping[str, Shape],
    data: Mapping[str, Shape],
    constants: FromTensor,
    limits: GraphLimits,
    *,
    field: str = "",
) -> Decoded:
    """The graph that a message describes, and the labels of its nodes.

    `parameters` and `data` are the arrays' shapes in numbers. Where a node of a data array says N for its first axis,
    that axis is the data rows. `constants` gives a constant's array, or raises TensorError. `field` is the message's
    own path. GraphError on a lie.
    """
    if len(message.nodes) > limits.nodes:
        raise GraphError(join(field, "nodes"), f"has {len(message.nodes)}; at most {limits.nodes} are allowed")
    reader = _Reader(parameters, data, field)
    reader.read_constants(message.constants, constants, limits.constant_bytes)
    with collection_put_off():
        for position, sent in enumerate(message.nodes):
            reader.read_node(position, sent)
    if message.output >= len(reader.nodes):
        raise GraphError(join(field, "output"), f"is {message.output}; there are {len(reader.nodes)} nodes")
    inputs = [reader.inputs.get(name) or input_node(name, shape, "parameter") for name, shape in parameters.items()]
    inputs += [reader.inputs.get(name) or input_node(name, shape, "data") for name, shape in data.items()]
    return Decoded(Graph(tuple(inputs), (reader.nodes[message.output],)), Labels(reader.labels))


def check_sizes(graph: Graph, labels: Mapping[Node, str], limits: GraphLimits) -> None:
    """Looks at what a graph would take by being compiled. GraphError, naming the node by its label.

    What depends on no input is computed while compiling; all of that together is bounded. An axis of N data rows counts
    as one: such arrays are evaluated in blocks.
    """
    if len(graph.nodes) > limits.nodes:
        raise GraphError("", f"has {len(graph.nodes)} operations; at most {limits.nodes} are allowed")
    fixed: set[Node] = set()
    fixed_bytes = 0
    for node in graph.nodes:
        if node.op == "input":
            continue
        size = math.prod(concrete(node.shape, 1)) * ITEM_BYTES
        if fixed.issuperset(node.operands):
            fixed.add(node)
            fixed_bytes += size
        if size > limits.array_bytes or fixed_bytes > limits.constant_bytes:
            what = f"{node.op} {describe(node.shape)}" + (f" in {labels[node]!r}" if node in labels else "")
            allowed = limits.array_bytes if size > limits.array_bytes else limits.constant_bytes
            taken = max(size, fixed_bytes if fixed_bytes > limits.constant_bytes else 0)
            raise GraphError("", f"would take {taken} bytes by {what}; at most {allowed} are allowed")


def size_bytes(outputs: Iterable[Node], rows: int) -> int:
    """What all values of a graph would take together, N = `rows`: more than is ever alive at once."""
    elements: int = sum(math.prod(concrete(node.shape, rows)) for node in topological(outputs))
    return elements * ITEM_BYTES


class _Reader:
    """What has been read so far."""

    def __init__(self, parameters: Mapping[str, Shape], data: Mapping[str, Shape], field: str) -> None:
        self.parameters = parameters
        self.shapes = {**data, **parameters}
        self.field = field
        self.constants: list[Node] = []
        self.nodes: list[Node] = []
        self.inputs: dict[str, Node] = {}
        self.labels: dict[Node, str] = {}

    def read_constants(self, sent: Sequence[tensor_pb2.Tensor], read: FromTensor, limit: int) -> None:
        size = 0
        for position, tensor in enumerate(sent):
            field = f"{join(self.field, 'constants')}[{position}]"
            try:
                array = read(tensor, field)
            except TensorError as error:
                raise GraphError(error.field or field, error.message) from None
            size += array.nbytes
            if size > limit:
                message = f"make {size} bytes, up to this one; at most {limit} are allowed: give large arrays as data"
                raise GraphError(field, message)
            self.constants.append(constant(array))

    def read_node(self, position: int, sent: expression_pb2.ExpressionNode) -> None:
        if len(sent.label) > MAX_LABEL:
            message = f"has {len(sent.label)} characters; at most {MAX_LABEL} are allowed"
            raise GraphError(self._path(position, "label"), message)
        if sent.op == "input":
            node = self._input(position, sent)
        elif sent.op == "constant":
            node = self._constant(position, sent)
        else:
            node = self._applied(position, sent)
        self.nodes.append(node)
        if sent.label:
            self.labels.setdefault(node, sent.label)

    def _path(self, position: int, member: str = "") -> str:
        path = f"{join(self.field, 'nodes')}[{position}]"
        return join(path, member) if member else path

    def _applied(self, position: int, sent: expression_pb2.ExpressionNode) -> Node:
        spec = OPS.get(sent.op)
        if spec is None:
            raise GraphError(self._path(position, "op"), f"is {sent.op!r:.60}; docs/ops.md lists those that there are")
        operands = self._operands(position, sent.operands)
        if (spec.arity is None and not operands) or (spec.arity is not None and len(operands) != spec.arity):
            needed = "at least one" if spec.arity is None else str(spec.arity)
            raise GraphError(self._path(position, "operands"), f"has {len(operands)}; {sent.op} takes {needed}")
        given = self._attributes(position, sent)
        if len(given) != len(spec.attributes):
            names = ", ".join(spec.attributes) or "none"
            message = f"has {len(given)}; {sent.op} takes {len(spec.attributes)}: {names}"
            raise GraphError(self._path(position, "attributes"), message)
        try:
            attributes = check_attributes(spec, given)
        except ValueError as error:
            raise GraphError(self._path(position, "attributes"), str(error)) from None
        try:
            check_operands(spec, [operand.spec.result for operand in operands])
            return make(sent.op, operands, attributes)
        except ValueError as error:
            where = f"in {sent.label!r}: " if sent.label else ""
            raise GraphError(self._path(position), f"{where}{error}") from None

    def _operands(self, position: int, indices: Iterable[int]) -> list[Node]:
        found = []
        for place, index in enumerate(indices):
            if index >= position:
                message = f"is {index}; node {position} can use earlier nodes only"
                raise GraphError(self._path(position, f"operands[{place}]"), message)
            found.append(self.nodes[index])
        return found

    def _attributes(self, position: int, sent: expression_pb2.ExpressionNode) -> tuple[Any, ...]:
        if not sent.attributes:
            return ()
        path = self._path(position, "attributes")
        return tuple([decode_attribute(item, f"{path}[{i}]") for i, item in enumerate(sent.attributes)])

    def _leaf(self, position: int, sent: expression_pb2.ExpressionNode) -> tuple[Any, ...]:
        if len(sent.operands):
            raise GraphError(self._path(position, "operands"), f"has {len(sent.operands)}; {sent.op} takes 0")
        return self._attributes(position, sent)

    def _constant(self, position: int, sent: expression_pb2.ExpressionNode) -> Node:
        attributes = self._leaf(position, sent)
        index = attributes[0] if len(attributes) == 1 else None
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(self.constants):
            message = f"must be the index of one of the {len(self.constants)} constants"
            raise GraphError(self._path(position, "attributes"), message)
        return self.constants[index]

    def _input(self, position: int, sent: expression_pb2.ExpressionNode) -> Node:
        attributes = self._leaf(position, sent)
        path = self._path(position, "attributes")
        if len(attributes) not in (1, 2) or not isinstance(attributes[0], str):
            raise GraphError(path, "must be a name, and a shape where N is to stand in it")
        name = attributes[0]
        declared = self.shapes.get(name)
        if declared is None:
            known = ", ".join(self.shapes) or "none"
            message = f"is {name!r:.60}, which is neither a parameter nor data; known are {known:.200}"
            raise GraphError(f"{path}[0]", message)
        role = "parameter" if name in self.parameters else "data"
        allowed = [declared]
        if role == "data" and declared:
            allowed.append((ROWS, *declared[1:]))
        given = attributes[1] if len(attributes) == 2 else declared
        if given not in allowed:
            shapes = " or ".join(describe(shape) for shape in allowed)
            raise GraphError(f"{path}[1]", f"is not the shape of {name!r:.60}, which is {shapes}")
        node = input_node(name, allowed[allowed.index(given)], role)
        if self.inputs.setdefault(name, node) is not node:
            raise GraphError(f"{path}[1]", f"is another shape of {name!r:.60} than a node before says")
        return node
