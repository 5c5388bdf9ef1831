"""Attributes from anywhere: each has a normal form, or an error in words that names op and attribute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nablad.expressions import OPS, ROWS
from nablad.expressions.attributes import KINDS, MAX_AXES, check_attributes, check_operands

ANYTHING: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.just(ROWS),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)


def test_every_attribute_of_the_table_has_a_kind() -> None:
    assert {name for spec in OPS.values() for name in spec.attributes} <= set(KINDS)


@given(st.sampled_from(sorted(OPS)), st.data())
def test_whatever_comes_is_normalized_or_refused_in_words(op: str, data: Any) -> None:
    spec = OPS[op]
    attributes = data.draw(st.tuples(*(ANYTHING for _ in spec.attributes)) | st.lists(ANYTHING, max_size=3))
    try:
        checked = check_attributes(spec, attributes)
    except ValueError as error:
        assert op in str(error)  # noqa: PT017 - any outcome but another exception is right
        return
    assert check_attributes(spec, checked) == checked
    hash(checked)


@pytest.mark.parametrize(
    ("op", "attributes", "normal"),
    [
        ("sum", ([0, np.int64(2)], False), ((0, 2), False)),
        ("fixed_power", (3,), (3.0,)),
        ("slice", ([None, [0, 4, 1], (4, -1, -2)],), ((None, (0, 4), (4, -1, -2)),)),
        ("broadcast_to", ([ROWS, 3],), ((ROWS, 3),)),
        ("scatter", ([4], [[[0, 2]], [[2, 4]]]), ((4,), (((0, 2),), ((2, 4),)))),
        ("constant", ("<f4", [1], b"1234"), ("<f4", (1,), b"1234")),
        ("input", ("x", [], "data"), ("x", (), "data")),
    ],
)
def test_normal_forms(op: str, attributes: Any, normal: Any) -> None:
    checked = check_attributes(OPS[op], attributes)
    assert checked == normal
    assert repr(checked) == repr(normal)


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("sum", (0, False), r"sum: axes must be a list of at most 24 axes counted from 0, not 0"),
        ("sum", ((True,), False), r"sum: axes must be"),
        ("sum", ((-1,), False), r"sum: axes must be"),
        ("sum", (((0,) * (MAX_AXES + 1)), False), r"sum: axes must be"),
        ("sum", ((0,), 1), r"sum: keepdims must be true or false, not 1"),
        ("sum", ((0,),), r"sum has 2 attributes \(axes, keepdims\), not 1"),
        ("eye", (10**5000,), r"eye: size must be a length, not a number too long to print"),
        ("eye", (3.0,), r"eye: size must be a length, not 3.0"),
        ("fixed_power", ("2",), r"fixed_power: exponent must be a number, not '2'"),
        ("fixed_power", (float("nan"),), r"exponent must be a finite number"),
        ("fixed_power", (10**400,), r"exponent must be a finite number"),
        ("polygamma", (10**9,), r"polygamma: order must be a whole number from 1 to 100"),
        ("slice", (((0, 4, 0),),), r"slice: ranges must be .*step not 0"),
        ("slice", (((0,),),), r"slice: ranges must be"),
        ("reshape", ((-1,),), r"reshape: shape must be"),
        ("constant", ("<f8", (2,), b"1234"), r"constant: bytes must be 16"),
        ("constant", ("<f8", (ROWS,), b"1234"), r"constant: shape must be numbers"),
        ("constant", ("<c16", (), b"1234"), r"constant: dtype must be"),
        ("input", ("x", (), "shared"), r"input: role must be"),
        ("negative", (1,), r"negative has 0 attributes \(none\), not 1"),
    ],
)
def test_errors_name_op_and_attribute(op: str, attributes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_attributes(OPS[op], attributes)


def test_operands_are_truths_where_truths_are_read() -> None:
    check_operands(OPS["where"], ["truth", "real", "real"])
    check_operands(OPS["logical_and"], ["truth", "truth"])
    with pytest.raises(ValueError, match="where: operand 0 must be a truth, not real numbers"):
        check_operands(OPS["where"], ["real", "real", "real"])
    with pytest.raises(ValueError, match="add: operand 1 must be real numbers, not a truth"):
        check_operands(OPS["add"], ["real", "truth"])
