"""Graphs over the wire: what goes out comes back, and no lie passes."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from nablad.expressions import OPS, ROWS, Graph, constant, data, parameter
from nablad.expressions import symbols as s
from nablad.expressions.labels import Labels
from nablad.v1 import expression_pb2, tensor_pb2
from nablad.wire import graphs, references, tensors
from nablad.wire.graphs import GraphError, GraphLimits

LIMITS = GraphLimits(nodes=200_000, constant_bytes=1 << 20, array_bytes=1 << 24)
PARAMETERS = {"A": (2, 3), "t": ()}
DATA = {"x": (5, 3), "w": (4,)}


def resolve(tensor: tensor_pb2.Tensor, field: str) -> Any:
    return tensors.decode(tensor, field=field)


def decode(message: Any, parameters: Any = PARAMETERS, columns: Any = DATA, limits: GraphLimits = LIMITS) -> Any:
    return graphs.decode(message, parameters, columns, resolve, limits, field="graph")


def sample() -> tuple[Graph, dict[Any, str]]:
    """A graph with every kind of attribute: shapes with N, ranges with steps and without, flags, numbers."""
    A, t = parameter("A", (2, 3)), parameter("t", ())
    x, w = data("x", (ROWS, 3)), data("w", (4,))
    f = x @ A.T
    moved = s.broadcast_to(s.reshape(f, (ROWS, 2, 1)), (ROWS, 2, 4))
    kept = s.where(s.greater(moved, 0.0), moved * w, s.sum(w, axes=[0], keepdims=True) - t)
    first = s.slice_of(kept, [None, (0, 1), (0, 4)])
    output = s.concatenate([first, kept], axis=1) ** 1.5 + constant(np.array([-0.0, np.pi, 1e-300, 7.0]))
    graph = Graph((A.node, t.node, x.node, w.node), (output.node,))
    return graph, {f.node: "x @ A.T", output.node: "é" * 300}


def test_what_goes_out_comes_back_as_the_same_nodes() -> None:
    graph, labels = sample()
    message = graphs.encode(graph, labels, tensors.encode)
    back = decode(expression_pb2.ExpressionGraph.FromString(message.SerializeToString()))
    assert back.graph.outputs == graph.outputs  # hash-consed: the same objects
    assert back.graph.inputs == graph.inputs
    named = dict(back.labels.items())
    assert named[graph.outputs[0]] == "é" * 200
    assert "x @ A.T" in named.values()


def test_shapes_without_rows_stay_so_and_unused_inputs_are_declared() -> None:
    x = data("x", (5, 3))
    graph = Graph((x.node,), (s.sum(x).node,))
    back = decode(graphs.encode(graph, Labels(), tensors.encode))
    assert [node.name for node in back.graph.inputs] == ["A", "t", "x", "w"]
    assert back.graph.inputs[2] is x.node


attributes = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.just(ROWS),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)


@given(attributes)
def test_attributes_come_back_with_their_types(value: Any) -> None:
    message = expression_pb2.Attribute()
    graphs.encode_attribute(value, message)
    back = graphs.decode_attribute(expression_pb2.Attribute.FromString(message.SerializeToString()), "a")
    assert repr(back) == repr(value)


def test_large_constants_become_datasets_and_are_found() -> None:
    uploaded: dict[str, Any] = {}

    def upload(array: Any) -> str:
        name = f"datasets/{tensors.hash_array(array)}"
        uploaded[name] = array
        return name

    large = np.arange(1000.0)
    graph = Graph((), ((s.sum(constant(large)) + constant(2.0)).node,))
    message = graphs.encode(graph, {}, lambda a: tensors.encode(a, inline_limit=100, upload=upload))
    (name,) = uploaded
    assert references.datasets_in(message) == [name]

    def fetch(tensor: tensor_pb2.Tensor, field: str) -> Any:
        return tensors.decode(tensor, field=field, resolve=uploaded.__getitem__)

    back = graphs.decode(message, {}, {}, fetch, LIMITS)
    assert back.graph.outputs == graph.outputs


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, np.int64, np.bool_])
def test_constants_of_other_types_become_float64(dtype: Any) -> None:
    values = np.array([0, 1, 1], dtype)
    message = graphs.encode(Graph((), (s.sum(constant(values)).node,)), {}, tensors.encode)
    assert message.constants[0].dtype == tensor_pb2.DATA_TYPE_FLOAT64


def test_int64_constants_from_elsewhere_become_float64() -> None:
    message = expression_pb2.ExpressionGraph(constants=[tensors.encode(np.arange(3))])
    message.nodes.add(op="constant").attributes.add(integer=0)
    (output,) = decode(message).graph.outputs
    assert output.value.dtype == np.float64


def test_complex_constants_are_refused_with_a_reason() -> None:
    graph = Graph((), (constant(np.array(1j)),))
    with pytest.raises(GraphError, match="real"):
        graphs.encode(graph, {}, tensors.encode)


Node = expression_pb2.ExpressionNode
Attribute = expression_pb2.Attribute


def node(op: str, *operands: int, label: str = "", attributes: Any = None, **values: Any) -> Any:
    listed = attributes or [Attribute(**{name: value}) for name, value in values.items()]
    return Node(op=op, operands=operands, attributes=listed, label=label)


def items(*values: Any) -> Any:
    message = Attribute()
    graphs.encode_attribute(values, message)
    return message


T = node("input", text="t")
X = node("input", text="x")
EMPTY_ITEM = Attribute(list=expression_pb2.AttributeList(items=[Attribute()]))
NAN = tensors.encode(np.array(np.nan))

LIES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("output", [], {}),
    ("output", [T], {"output": 1}),
    ("output", [T], {"output": 2**32 - 1}),
    ("nodes[1].op", [T, node("wibble", 0)], {}),
    ("nodes[0].op", [node("")], {}),
    ("nodes[1].operands[0]", [T, node("exp", 1)], {}),
    ("nodes[1].operands[1]", [T, node("add", 0, 2**32 - 1)], {}),
    ("nodes[0].operands[0]", [node("exp", 0), T], {}),
    ("nodes[1].operands", [T, node("add", 0)], {}),
    ("nodes[1].operands", [T, node("exp", 0, 0)], {}),
    ("nodes[0].operands", [node("concatenate", integer=0)], {}),
    ("nodes[0].operands", [node("scatter", attributes=[items(), items()])], {}),
    ("nodes[1].operands", [T, node("input", 0, text="t")], {}),
    ("nodes[1].attributes", [T, node("exp", 0, integer=1)], {}),
    ("nodes[1].attributes", [X, node("sum", 0, integer=1)], {}),
    ("nodes[1].attributes", [X, node("sum", 0, integer=1, flag=True)], {}),
    ("nodes[1].attributes", [X, node("sum", 0, attributes=[items("0"), Attribute(flag=False)])], {}),
    ("nodes[1].attributes", [X, node("sum", 0, attributes=[items(0), Attribute(real=0.5)])], {}),
    ("nodes[1].attributes[0]", [X, node("sum", 0, attributes=[Attribute(), Attribute(flag=False)])], {}),
    ("nodes[1].attributes", [X, node("reshape", 0, attributes=[items(2, (0,))])], {}),
    ("nodes[1].attributes[0].list.items[0]", [X, node("reshape", 0, attributes=[EMPTY_ITEM])], {}),
    ("nodes[1]", [X, node("sum", 0, attributes=[items(7), Attribute(flag=False)], label="sum it")], {}),
    ("nodes[1]", [X, node("reshape", 0, attributes=[items(2, 2)])], {}),
    ("nodes[1]", [X, node("transpose", 0, attributes=[items(0, 0)])], {}),
    ("nodes[2]", [T, X, node("matmul", 0, 1)], {}),
    ("nodes[2]", [T, node("greater", 0, 0), node("exp", 1)], {}),
    ("nodes[1]", [T, node("where", 0, 0, 0)], {}),
    ("nodes[0].attributes", [node("constant")], {}),
    ("nodes[0].attributes", [node("constant", integer=0)], {}),
    ("nodes[0].attributes", [node("constant", integer=-1)], {"constants": [NAN]}),
    ("nodes[0].attributes", [node("constant", integer=1)], {"constants": [NAN]}),
    ("nodes[0].attributes", [node("constant", flag=False)], {"constants": [NAN]}),
    ("constants[0]", [T], {"constants": [tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT64)]}),
    ("constants[0].raw", [T], {"constants": [tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT64, raw=b"1")]}),
    ("constants[0].dtype", [T], {"constants": [tensor_pb2.Tensor(raw=b"1")]}),
    ("constants[0].dataset", [T], {"constants": [tensor_pb2.Tensor(dtype=1, dataset="datasets/x")]}),
    ("constants[1]", [T], {"constants": [tensors.encode(np.zeros(90_000))] * 2}),
    ("nodes[0].attributes", [node("input")], {}),
    ("nodes[0].attributes", [node("input", integer=1)], {}),
    ("nodes[0].attributes[0]", [node("input", text="y")], {}),
    ("nodes[0].attributes[1]", [node("input", attributes=[Attribute(text="x"), items(5, 4)])], {}),
    ("nodes[0].attributes[1]", [node("input", attributes=[Attribute(text="A"), items(ROWS, 3)])], {}),
    ("nodes[0].attributes[1]", [node("input", attributes=[Attribute(text="t"), Attribute(text="x")])], {}),
    ("nodes[1].attributes[1]", [X, node("input", attributes=[Attribute(text="x"), items(ROWS, 3)])], {}),
    ("nodes[0].label", [node("input", text="t", label="x" * 201)], {}),
]


@pytest.mark.parametrize(("field", "nodes", "rest"), LIES, ids=[f"{i}-{row[0]}" for i, row in enumerate(LIES)])
def test_a_lie_is_named(field: str, nodes: list[Any], rest: dict[str, Any]) -> None:
    rest.setdefault("output", max(0, len(nodes) - 1))
    message = expression_pb2.ExpressionGraph(nodes=nodes, **rest)
    with pytest.raises(GraphError) as caught:
        decode(message)
    assert caught.value.field == f"graph.{field}", caught.value
    assert caught.value.message


def test_a_label_stands_in_the_message() -> None:
    nodes = [X, node("sum", 0, attributes=[items(7), Attribute(flag=False)], label="sum(x, axis=7)")]
    with pytest.raises(GraphError, match=r"sum\(x, axis=7\)"):
        decode(expression_pb2.ExpressionGraph(nodes=nodes, output=1))


@given(st.data())
def test_no_graph_of_any_kind_gives_anything_but_a_graph_error(drawn: Any) -> None:
    nodes = [T, X, node("input", text="A")]
    for _ in range(drawn.draw(st.integers(1, 4))):
        op = drawn.draw(st.sampled_from(sorted(OPS)))
        operands = drawn.draw(st.lists(st.integers(0, len(nodes) - 1), max_size=3))
        listed = []
        for value in drawn.draw(st.lists(attributes, max_size=3)):
            listed.append(Attribute())
            graphs.encode_attribute(value, listed[-1])
        nodes.append(node(op, *operands, attributes=listed))
    with suppress(GraphError):
        decoded = decode(expression_pb2.ExpressionGraph(nodes=nodes, output=len(nodes) - 1))
        assert len(decoded.graph.outputs) == 1


def test_deep_nesting_is_refused_by_us_or_by_protobuf_and_never_crashes() -> None:
    for depth in (9, 40, 900):
        message = expression_pb2.ExpressionGraph(nodes=[X, node("reshape", 0)], output=1)
        inner = message.nodes[1].attributes.add()
        for _ in range(depth):
            inner = inner.list.items.add()
        inner.integer = 0
        with pytest.raises(GraphError, match="deep"):
            decode(message)
    with pytest.raises(DecodeError):
        expression_pb2.ExpressionGraph.FromString(message.SerializeToString())


def test_nodes_are_counted_first() -> None:
    message = expression_pb2.ExpressionGraph(nodes=[T] * 11)
    with pytest.raises(GraphError, match="11; at most 10"):
        decode(message, limits=GraphLimits(10, 1, 1))


def test_sizes_are_bounded_before_anything_is_computed() -> None:
    x = parameter("x", ())
    huge = s.sum(s.broadcast_to(x, (10**6, 10**6)))
    graph = Graph((x.node,), (huge.node,))
    with pytest.raises(GraphError, match=r"broadcast_to .*'wide'"):
        graphs.check_sizes(graph, {huge.node.operands[0]: "wide"}, LIMITS)
    fixed = s.sum(s.exp(s.broadcast_to(constant(1.0), (100_000,)))) + x
    with pytest.raises(GraphError, match="at most 1048576"):
        graphs.check_sizes(Graph((x.node,), (fixed.node,)), {}, LIMITS)
    with pytest.raises(GraphError, match="3 operations; at most 2"):
        graphs.check_sizes(Graph((x.node,), (s.exp(s.sin(x)).node,)), {}, GraphLimits(2, 10, 10))


def test_all_values_together() -> None:
    x = data("x", (ROWS, 3))
    assert graphs.size_bytes([s.sum(s.exp(x)).node], 100) == 8 * (300 + 300 + 1)


def test_a_hundred_thousand_nodes_take_linear_time() -> None:
    def chain(length: int) -> Graph:
        x = parameter("t", ())
        y = x
        for k in range(length // 2):
            y = s.sin(y) + x if k % 2 else s.cos(y) * x
        return Graph((x.node,), (y.node,))

    seconds = {}
    for length in (10_000, 100_000):
        graph = chain(length)
        start = time.process_time()
        message = graphs.encode(graph, {}, tensors.encode)
        data_ = message.SerializeToString()
        back = decode(expression_pb2.ExpressionGraph.FromString(data_))
        seconds[length] = time.process_time() - start
        assert back.graph.outputs == graph.outputs
        assert list(references.tensors_in(message)) == []
    assert seconds[100_000] < 8
    assert seconds[100_000] < 40 * seconds[10_000]
