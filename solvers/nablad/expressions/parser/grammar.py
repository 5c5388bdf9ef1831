"""From tokens to a tree, by precedence climbing (Pratt 1973), without recursion.

Each rule is a generator that yields the rule it needs next and is sent what that made; one loop runs them from a list
of its own. So the depth of a text is bounded by NESTING alone, never by Python's stack, and time is linear.

    loosest   a if c else b   ->   or   ->   and   ->   not   ->   < <= > >= == !=   ->   + -   ->   * / @
              ->   unary + -   ->   **   ->   f(...) x[...] x.T   tightest

Powers associate to the right and bind tighter than a minus before them: -x**2 is -(x**2), 2**-1 is 0.5.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias, TypeVar

from nablad.expressions.functions import NAMES
from nablad.expressions.parser import tree
from nablad.expressions.parser.errors import ExpressionError
from nablad.expressions.parser.lexer import WORDS, Token, tokens
from nablad.expressions.parser.tree import Tree

NESTING = 200
"""How deep parentheses, brackets, unary minus, powers and conditionals may be nested in each other."""

Rule: TypeAlias = Generator[Any, Any, Tree]
T = TypeVar("T", bound=Tree)

CONDITIONAL, OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGN, POWER, POSTFIX = range(1, 11)

INFIX = {
    "if": CONDITIONAL,
    "or": OR,
    "and": AND,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), COMPARISON),
    **dict.fromkeys(("+", "-"), SUM),
    **dict.fromkeys(("*", "/", "@"), PRODUCT),
    "**": POWER,
    **dict.fromkeys(("(", "[", "."), POSTFIX),
}
PREFIX = {"+": SIGN, "-": SIGN, "not": NOT}

MODULES = frozenset({"np", "numpy", "math", "scipy", "special", "linalg"})
"""What may stand before a function's name, as in np.exp."""

PYTHON = ("def", "for", "from", "import", "in", "is", "lambda", "return")
"""Words of Python that begin no expression. They may be names."""

INSTEAD = {
    "^": "write ** for a power",
    "%": "there is no remainder: write x - y*floor(x/y)",
    "//": "write floor(x/y)",
    "=": "an expression is needed, not an assignment (== compares)",
    ":=": "an expression is needed, not an assignment",
    "&": "write `and`",
    "&&": "write `and`",
    "|": "write `or`",
    "||": "write `or`",
    "~": "write `not`",
    "!": "write `not`",
    ":": "a range belongs in brackets: x[1:3]",
    "else": "write a if condition else b",
    "...": "dots belong in brackets: x[..., 0]",
    **dict.fromkeys(PYTHON, "an expression is needed, not Python code"),
}


def read(text: str) -> list[Tree]:
    """Every part of the text's tree, operands first, the whole last. Raises ExpressionError."""
    parser = _Parser(text)
    if parser.token.kind == "end":
        raise ExpressionError("the text is empty: an expression is needed", text, 0)
    stack: list[Rule] = [parser.whole()]
    made: Any = None
    while stack:
        try:
            stack.append(stack[-1].send(made))
            made = None
        except StopIteration as done:
            stack.pop()
            made = done.value
    return parser.made


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.made: list[Tree] = []
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        return self._tokens[self._next]

    # Rules

    def whole(self) -> Rule:
        result = yield self.expression(0)
        if self.token.text == "," and self.token.kind == "sign":
            hint = "an array is written in brackets, [a, b], a decimal fraction with a point, 1.5"
            raise self._error(f"',': {hint}", self.token.start, self.token.stop)
        if self.token.kind != "end":
            raise self._unexpected("the end of the text", result)
        return result  # type: ignore[no-any-return]

    def expression(self, least: int) -> Rule:
        """An operand, and every operator after it that binds at least so tightly."""
        left = yield self.operand()
        while (power := self._infix()) >= max(least, 1):
            token = self.token
            if power == POSTFIX:
                left = yield self.postfix(left, token)
            elif power == COMPARISON:
                left = yield self.comparison(left)
            elif power == CONDITIONAL:
                left = yield self.conditional(left)
            else:
                self._advance()
                if power == POWER:
                    right = yield self.nested(SIGN, token)
                else:
                    right = yield self.expression(power + 1)
                left = self._make(tree.Operation(left.start, right.stop, token, (left, right)))
        return left  # type: ignore[no-any-return]

    def nested(self, least: int, opening: Token) -> Rule:
        """An expression one level deeper."""
        self._depth += 1
        if self._depth > NESTING:
            raise self._error(f"nested more than {NESTING} deep", opening.start, opening.stop)
        result = yield self.expression(least)
        self._depth -= 1
        return result  # type: ignore[no-any-return]

    def operand(self) -> Rule:
        token = self.token
        if token.text in PREFIX and token.kind != "string":
            self._advance()
            inner = yield self.nested(PREFIX[token.text], token)
            return self._make(tree.Operation(token.start, inner.stop, token, (inner,)))
        if token.text in ("(", "["):
            return (yield self.bracketed(token))  # type: ignore[no-any-return]
        if token.kind == "number":
            self._advance()
            return self._make(tree.Number(token.start, token.stop, token.text))
        if token.kind == "string":
            self._advance()
            return self._make(tree.String(token.start, token.stop, token.text[1:-1]))
        if token.kind == "name" and token.text not in WORDS:
            return self._name()
        raise self._unexpected("a number, a name or (", None)

    def bracketed(self, opening: Token) -> Rule:
        """(x), (x, y), [x, y]."""
        self._advance()
        closing = ")" if opening.text == "(" else "]"
        items: list[Tree] = []
        comma = False
        while self._is_inside(opening, closing):
            items.append((yield self.nested(0, opening)))
            comma = self._comma(opening, closing, items[-1])
            if not comma:
                break
        stop = self._close()
        if opening.text == "(" and len(items) == 1 and not comma:
            items[0].start, items[0].stop = opening.start, stop
            return items[0]
        if not items:
            raise self._error(f"there is nothing between {opening.text} and {closing}", opening.start, stop)
        return self._make(tree.Sequence(opening.start, stop, tuple(items)))

    def postfix(self, left: Tree, token: Token) -> Rule:
        if token.text == "(":
            return (yield self.call(left, token))  # type: ignore[no-any-return]
        if token.text == "[":
            return (yield self.index(left, token))  # type: ignore[no-any-return]
        self._advance()
        name = self.token
        if name.text != "T":
            known = name.text in NAMES and self._tokens[self._next + 1].text == "("
            hint = f"write {name.text}({self._source(left)}, ...)" if known else "only .T, the transpose, may follow"
            raise self._error(f"{hint}, not .{name.text}", name.start, name.stop)
        self._advance()
        return self._make(tree.Transposed(left.start, name.stop, left))

    def call(self, left: Tree, opening: Token) -> Rule:
        if not isinstance(left, tree.Name) or self.made[-1] is not left:
            raise self._unexpected("an operator", left)
        self.made.pop()  # the function's name is no operand
        self._advance()
        arguments: list[Tree] = []
        keywords: list[tuple[Token, Tree]] = []
        while self._is_inside(opening, ")"):
            name = self.token
            if name.kind == "name" and self._tokens[self._next + 1].text == "=":
                self._advance()
                self._advance()
                keywords.append((name, (yield self.nested(0, opening))))
                last = keywords[-1][1]
            elif keywords:
                raise self._error("an argument without a name after one with a name", name.start, name.stop)
            else:
                last = yield self.nested(0, opening)
                arguments.append(last)
            if not self._comma(opening, ")", last):
                break
        stop = self._close()
        return self._make(tree.Call(left.start, stop, left, tuple(arguments), tuple(keywords)))

    def index(self, left: Tree, opening: Token) -> Rule:
        self._advance()
        parts: list[Tree] = []
        comma = False
        while self._is_inside(opening, "]"):
            parts.append((yield self.index_part(opening)))
            comma = self._comma(opening, "]", parts[-1])
            if not comma:
                break
        stop = self._close()
        if not parts:
            raise self._error("an index is needed between [ and ]", opening.start, stop)
        return self._make(tree.Index(left.start, stop, left, tuple(parts)))

    def index_part(self, opening: Token) -> Rule:
        first = self.token
        if first.text == "..." and first.kind == "sign":
            self._advance()
            return self._make(tree.Dots(first.start, first.stop))
        bounds: list[Tree | None] = []
        while True:
            bound = None
            if self._is_inside(opening, "]") and self.token.text not in (":", ","):
                bound = yield self.nested(0, opening)
            bounds.append(bound)
            if self.token.text != ":" or len(bounds) == 3:
                break
            self._advance()
        if len(bounds) == 1:
            if bounds[0] is None:
                raise self._unexpected("an index", None)
            return bounds[0]
        start, stop, step = (*bounds, None, None)[:3]
        return self._make(
            tree.Slice(first.start, max(self._tokens[self._next - 1].stop, first.stop), (start, stop, step))
        )

    def comparison(self, left: Tree) -> Rule:
        signs: list[Token] = []
        operands = [left]
        while self._infix() == COMPARISON:
            signs.append(self.token)
            self._advance()
            operands.append((yield self.expression(SUM)))
        return self._make(tree.Comparison(left.start, operands[-1].stop, tuple(signs), tuple(operands)))

    def conditional(self, holds: Tree) -> Rule:
        opening = self.token
        self._advance()
        condition = yield self.nested(OR, opening)
        if self.token.text != "else":
            raise self._unexpected("`else`", condition)
        self._advance()
        fails = yield self.nested(CONDITIONAL, opening)
        return self._make(tree.Conditional(holds.start, fails.stop, condition, holds, fails))

    # Tokens

    def _advance(self) -> None:
        self._next += 1

    def _infix(self) -> int:
        """How tightly the operator here binds; 0 where there is none."""
        token = self.token
        return INFIX.get(token.text, 0) if token.kind in ("sign", "name") else 0

    def _make(self, part: T) -> T:
        self.made.append(part)
        return part

    def _name(self) -> Tree:
        first = last = self.token
        self._advance()
        parts = [first.text]
        while parts[0] in MODULES and self.token.text == "." and self._tokens[self._next + 1].kind == "name":
            self._advance()
            last = self.token
            parts.append(last.text)
            self._advance()
        while len(parts) > 1 and parts[0] in MODULES:
            del parts[0]
        return self._make(tree.Name(first.start, last.stop, ".".join(parts)))

    def _comma(self, opening: Token, closing: str, before: Tree) -> bool:
        """Passes a comma. Anything but a comma or the closing bracket is an error."""
        if self.token.text == "," and self.token.kind == "sign":
            self._advance()
            return True
        if not self._is_inside(opening, closing):
            return False
        if self.token.kind == "sign" and self.token.text in ")]" and self.token.text != closing:
            message = f"{closing} was expected, to close the {opening.text} before, found {self.token}"
            raise self._error(message, self.token.start, self.token.stop)
        raise self._unexpected(f"an operator, a comma or {closing}", before)

    def _is_inside(self, opening: Token, closing: str) -> bool:
        """Whether another item begins here. ExpressionError at the opening bracket if the text ends."""
        if self.token.kind == "end":
            raise self._error(f"this {opening.text} is never closed", opening.start, opening.stop)
        return self.token.text != closing or self.token.kind == "string"

    def _close(self) -> int:
        stop = self.token.stop
        self._advance()
        return stop

    # Errors

    def _source(self, part: Tree) -> str:
        text = self.text[part.start : part.stop]
        return text if len(text) <= 20 else "..." + text[-17:]

    def _error(self, message: str, start: int, stop: int) -> ExpressionError:
        return ExpressionError(message, self.text, start, stop)

    def _unexpected(self, expected: str, before: Tree | None) -> ExpressionError:
        """What is here is not what was expected; the usual mistakes are called by their names."""
        token = self.token
        message = f"{expected} was expected, found {token}"
        if token.kind == "sign" and token.text in ")]":
            message = f"there is no {'(' if token.text == ')' else '['} for this {token.text}" if before else message
        elif token.kind in ("sign", "name") and token.text in INSTEAD:
            message = f"{token}: {INSTEAD[token.text]}"
        elif (
            before is not None
            and token.text not in WORDS
            and (token.kind in ("number", "name", "string") or token.text in ("(", "["))
        ):
            message = self._juxtaposed(before, token)
        elif token.kind == "end":
            message = f"{expected} was expected, but the text ends here"
        return self._error(message, token.start, token.stop)

    def _juxtaposed(self, before: Tree, token: Token) -> str:
        last = self._tokens[self._next - 1]
        left = last.text if last.kind in ("number", "name") else self._source(before)
        if last.kind == "number" and token.start == last.stop and token.text in ("j", "J"):
            return "complex numbers have no place here: derivatives are those of real functions"
        if last.text in PYTHON:
            return f"{last}: {INSTEAD[last.text]}"
        if isinstance(before, tree.Name) and before.name in NAMES and token.kind != "string":
            return f"{before.name} is a function: write {before.name}({token.text})"
        right = f"{token.text}...{')' if token.text == '(' else ']'}" if token.text in "([" else token.text
        return f"an operator is missing: write {left}*{right} for a product"
