"""Text means what the same text means to Python and numpy; what is no expression is refused at its place."""

from __future__ import annotations

import inspect
import pickle
import re
import sys
from typing import Any

import numpy as np
import pytest
from expressions.evaluate import parsed, shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from nablad.expressions import ROWS, ExpressionError, InvalidName, ShapeError, definition, parse
from nablad.expressions.functions import NAMES
from nablad.expressions.parser import CONSTANTS, LENGTH, NESTING
from nablad.expressions.parser.lexer import LOOKALIKES

ARRAYS: dict[str, Any] = {
    "x": 0.7,
    "y": -1.3,
    "b_1": 2.5,
    "v": np.array([0.5, -1.0, 2.0]),
    "A": np.array([[1.0, 2.0, -0.5], [0.25, -1.0, 3.0]]),
    "größe": 1.1,
}
PYTHON = {"np": np, "numpy": np, "pi": np.pi, "e": np.e, "exp": np.exp, "sin": np.sin, "where": np.where, "sum": np.sum}


def refusal(text: str, parameters: dict[str, tuple[int, ...]]) -> ExpressionError | None:
    try:
        parse(text, parameters)
    except ExpressionError as error:
        return error
    return None


def used(text: str) -> dict[str, Any]:
    """The arrays that the text names; others would be unused parameters, which are allowed."""
    return {name: value for name, value in ARRAYS.items() if name in text}


@pytest.mark.parametrize(
    "text",
    [
        "1.5e-3 * x + .5 - 2. / b_1",
        "-x**2",
        "2**-1 * x",
        "-2**-x**2",
        "x**2**3",
        "2**3**2 * x",
        "x - y - b_1",
        "x / y / b_1",
        "x / (y / b_1)",
        "-(-x)",
        "+-+x",
        "x*-y",
        "(((x)))",
        "x\n + y\t* x",
        "1 if x > 0 else y",
        "x if y > 0 else y if x > 0 else b_1",
        "(x < y) * 3.0 + x",
        "(x > 0.5) + (y > 0.5)",
        "A @ v",
        "A @ v + y * v[:2]",
        "A.T @ A @ v",
        "A.T[1:, ::-1] @ A",
        "v[0] * v[-1] + v[2*1 - 1]",
        "A[0]",
        "A[:, 0]",
        "A[..., None, 1]",
        "A[0, ::-1]",
        "v[1:][0] + v[:-1][-1]",
        "v[[0, 2, 2]]",
        "A[[0, 1], [2, 0]]",
        "np.array([[x, 1], [y, 2]]) @ np.array([1, b_1])",
        "np.exp(-x) * np.pi + numpy.linalg.norm(v)",
        "sum(A, axis=0)",
        "sum(A, axis=(0, 1))",
        "np.sum(A, axis=-1, keepdims=True)",
        "np.reshape(v, (3, 1)) * v",
        "np.clip(v, None, 1)",
        "np.where(v > 0, v, 0)",
        "np.maximum(x, 0) + np.arctan2(y, x)",
        "np.stack((v, 2*v), axis=1)",
        "np.concatenate([v, v[:1]])",
        "größe * x",
        "e * pi * x",
        "x * (2 > 1)",
        "1e308 * 10 * x",
        "0.1 + 0.2 + x",
        "9007199254740993 * x",
        "3 * 7 - 2 * x",
        "x + -0",
        "(1 / 3) * x ** (1 / 3)",
    ],
)
def test_text_is_what_python_computes(text: str) -> None:
    python = text.replace("(x > 0.5) + (y > 0.5)", "1.0 * (x > 0.5) + 1.0 * (y > 0.5)")
    wanted = eval(f"({python})", dict(PYTHON), {name: np.asarray(value) for name, value in ARRAYS.items()})
    text = text.replace("np.array", "") if "np.array(" in text else text
    got = parsed(text, used(text))
    np.testing.assert_allclose(got, wanted, rtol=1e-15)
    assert got.shape == np.shape(wanted)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("x > 0 and y > 0", "(x > 0) & (y > 0)"),
        ("x > 0 or y > 0", "(x > 0) | (y > 0)"),
        ("not x > 0", "~(x > 0)"),
        ("not x > 0 and y < 0", "~(x > 0) & (y < 0)"),
        ("not (x > 0 and y < 0)", "~((x > 0) & (y < 0))"),
        ("x > 1 or x > 0 and y < 0", "(x > 1) | ((x > 0) & (y < 0))"),
        ("0 < x < 1", "(0 < x) & (x < 1)"),
        ("y < x <= 0.7 < b_1 != 3", "(y < x) & (x <= 0.7) & (0.7 < b_1) & (b_1 != 3)"),
        ("v == 2 or v != v", "(v == 2) | (v != v)"),
        ("x >= 0.7", "x >= 0.7"),
        ("x and y", "(x != 0) & (y != 0)"),
    ],
)
def test_truths_are_elementwise_and_count_as_numbers(text: str, python: str) -> None:
    wanted = eval(python, {}, {name: np.asarray(value) for name, value in ARRAYS.items()})
    np.testing.assert_array_equal(parsed(text, used(text)), 1.0 * wanted)


LEAVES = st.sampled_from(["x", "y", "b_1", "2", "0.5", "3.25", "e", "pi"])


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["+", "-", "*", "/", "**", " + ", " *"])
    return st.one_of(
        st.tuples(inner, signs, inner).map("".join),
        inner.map(lambda a: f"({a})"),
        inner.map(lambda a: f"-{a}"),
        inner.map(lambda a: f"exp({a})"),
        inner.map(lambda a: f"np.sin( {a} )"),
        st.tuples(inner, inner, inner).map(lambda t: f"where({t[0]} > {t[1]}, {t[1]}, {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"({t[0]} if x < {t[1]} else y)"),
    )


@given(st.recursive(LEAVES, compound, max_leaves=12))
@settings(max_examples=300, deadline=None)
def test_any_text_is_what_python_computes(text: str) -> None:
    """Precedence and associativity are Python's: its own parser is the oracle, and NaN where numpy has NaN."""
    with np.errstate(all="ignore"):
        python = re.sub(r"\b(2|0\.5|3\.25)", r"np.float64(\1)", text)
        wanted = eval(python, dict(PYTHON), {n: np.float64(v) for n, v in ARRAYS.items() if n in ("x", "y", "b_1")})
    got = parsed(f"({text}) + 0*x", {name: ARRAYS[name] for name in ("x", "y", "b_1")})
    np.testing.assert_allclose(got, wanted + 0.0, rtol=1e-11)


def test_numbers_are_pythons_floats() -> None:
    for digits in [
        "0.1",
        "1e-310",
        "123456789012345678901234567890",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
    ]:
        assert float(parsed(f"0*x + {digits}", {"x": 1.0})) == float(digits)


def test_what_is_common_is_one_node_and_inputs_come_in_order() -> None:
    traced = parse("exp(a*b) + exp(a*b)*c", {"b": (), "a": ()}, {"c": (ROWS,), "unused": (3,)})
    assert [node.name for node in traced.graph.inputs] == ["b", "a", "c", "unused"]
    assert [node.attributes[2] for node in traced.graph.inputs] == ["parameter", "parameter", "data", "data"]
    assert [node.op for node in traced.graph.nodes].count("exp") == 1
    assert traced.output.shape == (ROWS,)
    assert parse("2*a", {"a": (), "b": ()}).unused == ["b"]


def test_a_parameter_may_be_called_as_a_constant_or_a_function_is() -> None:
    assert parsed("e + pi", {"e": 1.0, "pi": 2.0}) == 3.0
    assert parsed("exp(exp) + T", {"exp": 0.0, "T": 4.0}) == 5.0
    assert parsed("if_*np.T", {"if_": 2.0, "T": 3.0}) == 6.0


def test_modules_may_stand_before_a_function() -> None:
    graph = parse("norm(v) + exp(v[0])", {"v": (3,)}).graph
    for text in ("np.linalg.norm(v) + np.exp(v[0])", "linalg.norm(v) + math.exp(v[0])"):
        assert parse(text, {"v": (3,)}).graph == graph


# Errors: the text, the place (start of the carets, and how many), words of the message

ERRORS = [
    ("", 0, 1, "the text is empty"),
    (" \n ", 0, 1, "the text is empty"),
    ("x +", 3, 1, "a number, a name or ( was expected, but the text ends here"),
    ("* x", 0, 1, "a number, a name or ( was expected, found '*'"),
    ("x + * y", 4, 1, "found '*'"),
    ("(x + 1", 0, 1, "this ( is never closed"),
    ("exp(x * [1, 2)", 13, 1, "] was expected, to close the [ before, found ')'"),
    ("x + [y * (1, 2]", 14, 1, ") was expected, to close the ( before"),
    ("x + sum([1, 2", 8, 1, "this [ is never closed"),
    ("x + 1)", 5, 1, "there is no ( for this )"),
    ("()", 0, 2, "nothing between ( and )"),
    ("x + []", 4, 2, "nothing between [ and ]"),
    ("2x", 1, 1, "write 2*x for a product"),
    ("2 (x + 1)", 2, 1, "write 2*(...) for a product"),
    ("(x + 1)(y)", 7, 1, "write (x + 1)*(...) for a product"),
    ("x y", 2, 1, "write x*y"),
    ("x 3", 2, 1, "write x*3"),
    ("sin x", 4, 1, "sin is a function: write sin(x)"),
    ("b_1(x)", 0, 3, "b_1 is no function: write b_1*(x) for a product"),
    ("x^2", 1, 1, "write ** for a power"),
    ("x = 3", 2, 1, "an expression is needed, not an assignment"),
    ("x := 3", 2, 2, "not an assignment"),
    ("x % 2", 2, 1, "write x - y*floor(x/y)"),
    ("x // 2", 2, 2, "write floor(x/y)"),
    ("x > 0 & y > 0", 6, 1, "write `and`"),
    ("x > 0 || y > 0", 6, 2, "write `or`"),
    ("!x", 0, 1, "write `not`"),
    ("x ? 1 : 2", 2, 1, "write a if condition else b"),
    ("x if y > 0", 10, 1, "`else` was expected"),
    ("x else y", 2, 4, "write a if condition else b"),
    ("1j * x", 1, 1, "complex numbers have no place here"),
    ("x # twice", 2, 1, "no comments"),
    ("x²", 1, 1, "write **2"),
    ("x × y", 2, 1, "write *"),
    ("x − y", 2, 1, "write -"),
    ("x · y", 2, 1, "write *"),
    ("x \u200b y", 2, 1, "U+200B"),
    ("'abc", 0, 1, "a string is not closed"),
    ("'abc' + x", 0, 5, "a number is needed, not 'abc'"),
    ("x + None", 4, 4, "a number is needed, not None"),
    ("x + (y > True)", 9, 4, "a number is needed, not True"),
    ("1e999 * x", 0, 5, "too large for a float"),
    ("x + b_2", 4, 3, "unknown name 'b_2': did you mean 'b_1'?"),
    ("x + zeta", 4, 4, "unknown name 'zeta': there are x, y, b_1, v, A"),
    ("x + sin", 4, 3, "sin is a function: write sin(x)"),
    ("π * x", 0, 1, "write pi"),
    ("x + sine(y)", 4, 4, "there is no function 'sine': did you mean 'sin'"),
    ("np.lingalg.det(A)", 0, 14, "did you mean 'linalg.det'"),
    ("exp(x, y)", 0, 9, "too many positional arguments; it is exp(x)"),
    ("exp()", 0, 5, "missing a required argument: 'x'; it is exp(x)"),
    ("sum(v, axes=0)", 0, 14, "unexpected keyword argument 'axes'; it is sum(x, axis=None, keepdims=False)"),
    ("sum(v, axis=0, axis=0)", 15, 4, "axis= is given twice"),
    ("sum(axis=0, v)", 12, 1, "an argument without a name after one with a name"),
    ("sum(v, 0)", 7, 1, "write the names of arguments after the first"),
    ("max(x, y)", 7, 1, "for the larger of two write maximum(x, y)"),
    ("sum(v, axis=0.5)", 0, 16, "axis must be a whole number that is written out, not 0.5"),
    ("sum(v, axis=3)", 0, 14, "axis 3 is not an axis of (3,), where v is (3,)"),
    ("v.sum()", 2, 3, "write sum(v, ...), not .sum"),
    ("v.real", 2, 4, "only .T, the transpose, may follow, not .real"),
    ("v[]", 1, 2, "an index is needed"),
    ("v[3]", 0, 4, "index 3 is out of bounds for axis 0 with length 3"),
    ("v[0.5]", 2, 3, "an index must be a whole number, not 0.5"),
    ("v[0, 0]", 0, 7, "too many indices: 2 for 1 axes"),
    ("v[x:]", 2, 1, "a range is of whole numbers that are written out"),
    ("v[1:2:3:4]", 7, 1, "a range belongs in brackets"),
    ("v[:, :", 1, 1, "this [ is never closed"),
    ("v[x > 0]", 0, 8, "use np.where(condition, x, 0)"),
    ("v : x", 2, 1, "a range belongs in brackets"),
    ("x, y", 1, 1, "an array is written in brackets, [a, b]"),
    ("1,5*x", 1, 1, "a decimal fraction with a point"),
    ("x; y", 1, 1, "the whole text is one expression"),
    ("lambda x: x", 7, 1, "an expression is needed, not Python code"),
    ("sum([x for x in v])", 7, 3, "an expression is needed, not Python code"),
    ("linalg.eig(A)", 0, 10, "there is no function 'eig'"),
    ("x*1j", 3, 1, "complex numbers have no place here"),
    ("A @ x", 0, 5, "where A is (2, 3), x is ()"),
    ("1 + A @ A * 2", 4, 5, "matmul((2, 3), (2, 3)): inner dimensions (3,) and (2,) differ, where A is (2, 3)"),
    ("x + (v + A[:, :2])", 4, 14, "where v is (3,), A[:, :2] is (2, 2)"),
    ("[[x, 1], [y]]", 0, 13, ""),
    ("x + 2 @ 3", 4, 5, "@ multiplies arrays"),
]


@pytest.mark.parametrize(("text", "position", "length", "words"), ERRORS, ids=[repr(row[0]) for row in ERRORS])
def test_a_mistake_is_told_at_its_place(text: str, position: int, length: int, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text, shapes(ARRAYS))
    error = caught.value
    assert words in error.message
    assert (error.position, error.stop - error.position, error.text) == (position, length, text)
    assert "\n" not in error.message
    if text.strip():
        message, line, carets = str(error).rsplit("\n", 2)
        assert (message, line) == (error.message, f"  {text}")
        assert carets == " " * (2 + position) + "^" * length


def test_shape_errors_have_their_cause() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("v + A[:, :2]", shapes(ARRAYS))
    assert isinstance(caught.value.__cause__, ShapeError)


def test_the_caret_stands_in_its_line_and_a_long_line_is_cut() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("x +\n  y *\n\tz", {"x": (), "y": ()})
    assert str(caught.value).splitlines()[1:] == ["   z", "   ^"]
    with pytest.raises(ExpressionError) as caught:
        parse("x + " * 500 + "zz" + " + x" * 500, {"x": ()})
    line, carets = str(caught.value).splitlines()[1:]
    assert len(line) < 120
    assert line[carets.index("^") : carets.rindex("^") + 1] == "zz"
    with pytest.raises(ExpressionError) as caught:
        parse("变量 + y", {"变量": ()})
    assert str(caught.value).splitlines()[-1] == " " * 9 + "^"


def test_errors_survive_a_process_boundary() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("x + z", {"x": ()})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.position, copy.stop) == (str(caught.value), 4, 5)


def test_every_lookalike_is_named() -> None:
    for sign, instead in LOOKALIKES.items():
        with pytest.raises(ExpressionError) as caught:
            parse(f"x {sign} x", {"x": ()})
        assert instead in caught.value.message
        assert caught.value.position == 2


@pytest.mark.parametrize("name", ["2x", "x y", "", "x-1", 3])
def test_names_are_identifiers(name: Any) -> None:
    with pytest.raises(InvalidName, match="is not a name"):
        parse("x", {name: (), "x": ()})
    with pytest.raises(InvalidName, match="both a parameter and data"):
        parse("x", {"x": ()}, {"x": (3,)})


# Limits


@pytest.mark.parametrize(
    "text",
    ["(" * 1_000_000, "1+" * 500_000 + "1", " " * (LENGTH + 1), "x" * (LENGTH + 1)],
    ids=["parentheses", "sum", "spaces", "name"],
)
def test_length_is_limited_first(text: str) -> None:
    with pytest.raises(ExpressionError, match="characters; 100,000 are allowed"):
        parse(text, {"x": ()})


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "[",
        "-",
        "2**",
        "not ",
        "exp(",
        "x[",
        "1 if x else ",
        "(x,",
        "[x,",
        "f(a=",
        "-(",
        "x[1:",
        "+",
        "x**-",
    ],
)
@pytest.mark.parametrize("rest", ["", "x"])
def test_nesting_is_limited(unit: str, rest: str) -> None:
    text = unit * (LENGTH // len(unit) - 1) + rest
    with pytest.raises(ExpressionError, match=f"nested more than {NESTING} deep"):
        parse(text, {"x": ()})


def test_what_is_allowed_is_deep_and_long_enough() -> None:
    """No recursion: a deep text and a long sum are read on a stack that has little room left."""
    here = len(inspect.stack())
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(here + 60)
    try:
        deep = parse("(" * NESTING + "x" + ")" * NESTING, {"x": ()})
        chain = parse("-" * NESTING + "x", {"x": ()})
        long = parse("+".join(["x"] * 40_000), {"x": ()})
        many = parse("x" + "*2" * 30_000, {"x": ()})
    finally:
        sys.setrecursionlimit(limit)
    assert deep.output.op == "input"
    assert len(chain.graph.nodes) == NESTING + 1
    assert len(long.graph.nodes) == 40_000
    assert len(many.graph.nodes) == 30_002


@pytest.mark.parametrize(
    "text",
    [
        *(
            "x" + "[0]" * 30_000,
            "x" + ".T" * 30_000,
            "x<" * 20_000 + "x",
            "x " * 40_000,
            "1.1" * 30_000,
            "exp" * 30_000,
        ),
        *("." * 90_000, "'" * 90_001, "x if x else" * 9_000, "np." * 30_000, "=" * 90_000, "\\" * 90_000, "²" * 90_000),
    ],
    ids=lambda text: repr(text[:8]),
)
def test_hostile_text_ends_soon(text: str) -> None:
    """Accepted or refused, in linear time (the test's own limit is generous) and without recursion."""
    error = refusal(text, {"x": (1,)})
    assert error is None or len(str(error)) < 1000


def test_the_number_of_operations_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "NODES", 50)
    with pytest.raises(ExpressionError, match="more than 50 operations"):
        parse("+".join(["x"] * 52), {"x": ()})
    parse("+".join(["x"] * 51), {"x": ()})


@given(st.text(alphabet="xyvA()[]+-*/@.,:<>=!&|^%eEj01 2\"'{}#π²−\t\nsinexp", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    error = refusal(text, shapes(ARRAYS))
    assert error is None or (0 <= error.position <= len(text) and str(error))


SIGNS = ["(", "(", ")", ")", "[", "]", ",", "=", "axis", "0", "-1", "2", "*", "+", "@", ":", ".T", "...", "<"]
SIGNS += ["if", "else", "not", "and", "x", "v", "A", "'ij,j->i'"]
WORDS = [*sorted(NAMES), *CONSTANTS, *SIGNS]


@given(
    st.lists(
        st.sampled_from(WORDS),
        max_size=14,
    )
)
@settings(max_examples=500, deadline=None)
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    error = refusal(" ".join(words), shapes(ARRAYS))
    assert error is None or str(error)


@given(
    st.sampled_from(sorted(NAMES)),
    st.lists(
        st.sampled_from(["x", "v", "A", "0", "-1", "(0, 1)", "[x, 1]", "None", "True", "'ij'", "1.5", "x > 0"]),
        max_size=4,
    ),
)
@settings(max_examples=500, deadline=None)
def test_any_call_is_read_or_refused(name: str, arguments: list[str]) -> None:
    error = refusal(f"{name}({', '.join(arguments)})", shapes(ARRAYS))
    assert error is None or str(error)
