"""Pictures of graphs: nothing overlaps, nothing is lost, and no label can break out of its quotes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nablad.client import Derivation, GraphDescription
from nablad.client.drawing import GraphNode, Summary, WayChoice
from nablad.client.drawing.layers import GAP, place

HOSTILE = [
    '"]; n0 --> n0 ["',
    "\\",
    '\\"',
    "\\N \\G",
    "</text><script>alert(1)</script>",
    "a\nb\r\tc",
    "\x00\x1b[31m\u202e",
    "`**bold**` #quot; end",
    "é 中 🙂",
    "]]>&amp;<!--",
    "x" * 500,
]


@st.composite
def graphs(draw: Any) -> list[tuple[int, ...]]:
    """The operands of each node of a graph."""
    count = draw(st.integers(1, 25))
    return [
        tuple(draw(st.lists(st.integers(0, node - 1), max_size=min(3, node)))) if node else () for node in range(count)
    ]


def described(operands: list[tuple[int, ...]], labels: list[str] | None = None, total: int = 0) -> GraphDescription:
    labels = labels or [f"node {i}" for i in range(len(operands))]
    nodes = tuple(
        GraphNode(
            op="add" if sources else "input",
            operands=sources,
            label=label,
            attributes="",
            shape=("N", 3),
            operations=1.0,
            adjoint_order=len(operands) - index,
            value=Summary((), -1.5, 2.5, 3.0, True),
            adjoint=Summary((0.125,), 0.125, 0.125, 0.125, True),
        )
        for index, (sources, label) in enumerate(zip(operands, labels, strict=True))
    )
    count = total or len(nodes)
    return GraphDescription(nodes, len(nodes) - 1, "none", True, (), 1.0, 3.0, 8, 80, count, {"x": (3,)})


@given(graphs(), st.data())
@settings(deadline=None)
def test_no_two_boxes_overlap_and_operands_stand_above(operands: list[tuple[int, ...]], data: Any) -> None:
    sizes = [(data.draw(st.floats(10, 300)), data.draw(st.floats(10, 90))) for _ in operands]
    placed = place(sizes, operands)
    for (left, top, width, height), size in zip(placed.boxes, sizes, strict=True):
        assert (width, height) == size
        assert left >= -1e-6
        assert top >= -1e-6
        assert left + width <= placed.width + 1e-6
        assert top + height <= placed.height + 1e-6
    for (l1, t1, w1, h1), (l2, t2, w2, h2) in combinations(placed.boxes, 2):
        beside = l1 + w1 + GAP - 1e-6 <= l2 or l2 + w2 + GAP - 1e-6 <= l1
        assert beside or t1 + h1 < t2 or t2 + h2 < t1
    for node, sources in enumerate(operands):
        for source in sources:
            assert placed.boxes[source][1] + placed.boxes[source][3] < placed.boxes[node][1]
    assert {(a, b) for a, b, _ in placed.edges} == {(s, n) for n, sources in enumerate(operands) for s in sources}
    for source, node, points in placed.edges:
        for (x, y), (left, top, width, height), bottom in (
            (points[0], placed.boxes[source], True),
            (points[-1], placed.boxes[node], False),
        ):
            assert left <= x <= left + width
            assert abs(y - (top + height if bottom else top)) < 1e-6
        assert all(y0 <= y1 + 1e-6 for (_, y0), (_, y1) in pairwise(points))


@given(graphs())
@settings(deadline=None)
def test_edges_pass_boxes_by(operands: list[tuple[int, ...]]) -> None:
    """A bend stands between boxes of its layer, not behind one."""
    placed = place([(60.0, 30.0)] * len(operands), operands)
    for source, node, points in placed.edges:
        for x, y in points[1:-1]:
            for index, (left, top, width, height) in enumerate(placed.boxes):
                inside = left + 1e-6 < x < left + width - 1e-6 and top - 1e-6 <= y <= top + height + 1e-6
                assert not inside, (source, node, index)


def test_a_chain_stands_straight() -> None:
    placed = place([(50.0, 20.0), (120.0, 20.0), (30.0, 20.0)], [(), (0,), (1,)])
    middles = [left + width / 2 for left, _, width, _ in placed.boxes]
    assert max(middles) - min(middles) < 1e-9


def test_the_picture_is_xml_and_holds_every_text() -> None:
    operands: list[tuple[int, ...]] = [(), *((i,) for i in range(len(HOSTILE) - 1))]
    root = ElementTree.fromstring(described(operands, HOSTILE).svg())
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert any("<script>" in text for text in texts)
    assert any("中" in text for text in texts)
    assert sum(text == "adjoint 0.125" for text in texts) == len(HOSTILE)
    assert {str(k) for k in range(1, len(HOSTILE) + 1)} <= set(texts)


_DOT = re.compile(r'digraph nablad \{(\s|\w+|->|;|,|=|\[|\]|"(?:[^"\\\n]|\\["\\n])*")*\}\s*')
_MERMAID = re.compile(
    r"flowchart TB|    n\d+ --> n\d+"
    r'|    (?:n\d+|note)(?:\[\[|\(\[|\[|\()"(?:[A-Za-z0-9 .,=+\-/]|#\d+;|<br/>)*"(?:\]\]|\]\)|\]|\))'
)


def test_no_label_breaks_out_of_dot_or_mermaid() -> None:
    operands: list[tuple[int, ...]] = [(), *((i,) for i in range(len(HOSTILE) - 1))]
    description = described(operands, HOSTILE, total=1000)
    assert _DOT.fullmatch(description.dot())
    for line in description.mermaid().splitlines():
        assert _MERMAID.fullmatch(line), line
    assert len(re.findall(r"^  n\d+ -> n\d+;$", description.dot(), re.MULTILINE)) == len(HOSTILE) - 1
    assert len(re.findall(r"^    n\d+ --> n\d+$", description.mermaid(), re.MULTILINE)) == len(HOSTILE) - 1


@given(st.text(max_size=30))
@settings(deadline=None)
def test_no_text_at_all_does(label: str) -> None:
    description = described([(), (0,)], [label, label])
    ElementTree.fromstring(description.svg())
    assert _DOT.fullmatch(description.dot())
    assert all(_MERMAID.fullmatch(line) for line in description.mermaid().splitlines())


def test_a_large_graph_shows_what_is_nearest_to_the_output_and_says_so() -> None:
    description = described([(), *((i,) for i in range(999))], total=5000)
    picture = description.svg(max_nodes=30)
    assert "30 of 5000 nodes are shown" in picture
    assert "node 999" in picture
    assert "node 969" not in picture
    assert description.dot(max_nodes=30).count("label=") == 31
    assert "1000 of 5000" in str(description)
    assert len(described([()]).svg()) < 2000


def test_the_table_lists_every_node() -> None:
    text = str(described([(), (), (0, 1)]))
    assert "#0, #1" in text
    assert "(N, 3)" in text
    assert "0.125" in text
    assert "a sum over data rows" in text


def test_one_line_of_one_file_is_not_repeated_on_every_node() -> None:
    operands = [(), (0,), (0, 1)]
    one = described(operands, ["model.py:3: x", "model.py:3: np.sin(x)", "model.py:3: x * np.sin(x)"])
    for text in (str(one), one.svg(), one.mermaid(), one.dot()):
        assert "np" in text
        assert "model.py:3: np" not in text
    assert one.nodes[1].label == "model.py:3: np.sin(x)"
    with_words = described(operands, ["x", "model.py:3: np.sin(x)", "its squares"])
    assert "its squares" in str(with_words)
    assert "model.py" not in str(with_words)
    for labels in (["x", "model.py:3: np.sin(x)", "model.py:4: x * y"], ["x", "x[0:3: 2]", "sin(x[0:3: 2])"]):
        two = described(operands, labels)
        assert all(label in str(two) and label in two.dot() for label in labels)


def test_a_negative_zero_is_zero() -> None:
    assert str(Summary((-0.0,), -0.0, -0.0, 0.0, True)) == "0"
    assert str(Summary((-0.0, 1.0), -0.0, 1.0, 1.0, True)) == "[0, 1]"
    assert str(Summary((), -0.0, 1.0, 1.0, True)) == "0 to 1, norm 1"


def test_a_choice_prints_as_its_reason() -> None:
    chosen = Derivation("reverse", "reverse: 1 pulled direction costs 12 operations", 1, 12.0)
    choice = WayChoice("gradient", chosen, (Derivation("forward", "", 2, 40.0),))
    assert str(choice) == repr(choice) == "gradient: reverse: 1 pulled direction costs 12 operations"
