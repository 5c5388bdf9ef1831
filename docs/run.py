"""Runs the shell blocks of a page, and writes what they print below them: python docs/run.py docs/vector-calculus.md

A block of the page is a whole command, `python -c '...'`, that can be pasted into a shell as it stands; the block after
it is what it printed. Here all of them run in one process, in the page's folder, against one real server.

`difference` compares two such texts: words are equal, and so are numbers, to nine digits; numbers such as 2e-08 or
9.2e-13, which tell of rounding errors and the like, by their order of magnitude.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nablad.client import Client

PAGE = Path(__file__).with_name("vector-calculus.md")
COMMAND = f"python docs/{Path(__file__).name} docs/{PAGE.name}"
BLOCK = re.compile(
    r"^```sh\npython -c '\n(?P<code>.*?)'\n```\n(?:\n```(?P<fence>text|mermaid)\n(?P<output>.*?)```\n)?",
    re.MULTILINE | re.DOTALL,
)
TOKEN = re.compile(r"(?<![\w.])[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?|\w+|\S")
RELATIVE = 1e-9
MAGNITUDE = 100.0
"""The factor within which rounding errors are alike."""


@dataclass(frozen=True)
class Block:
    """One command of a page, and what the page says it prints."""

    code: str
    fence: str
    output: str

    @property
    def command(self) -> str:
        """As it stands on the page."""
        return f"python -c '\n{self.code}'"

    @property
    def title(self) -> str:
        """Its first line that is no import."""
        return next(line for line in self.code.splitlines() if line and not line.startswith(("import", "from")))


def blocks(page: str) -> list[Block]:
    """The commands of a page, in order."""
    return [Block(m["code"], m["fence"] or "text", m["output"] or "") for m in BLOCK.finditer(page)]


def run(code: str) -> str:
    """What the code prints, run in this process."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    return "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines())


@contextlib.contextmanager
def one_server() -> Iterator[Client]:
    """Within, every `with Client.embedded()` is given the same client, which none of them closes."""
    embedded: Any = Client.__dict__["embedded"]
    with Client.embedded(workers=2) as client:
        Client.embedded = lambda *_, **__: contextlib.nullcontext(client)  # type: ignore[method-assign,assignment]
        try:
            yield client
        finally:
            Client.embedded = embedded  # type: ignore[method-assign]


def difference(printed: str, written: str) -> str:
    """What is printed and not written, in words; nothing if they agree."""
    found, expected = TOKEN.findall(printed), TOKEN.findall(written)
    for number, (left, right) in enumerate(zip(found, expected, strict=False)):
        if not _agree(left, right):
            return f"{left!r} is printed where the page has {right!r}, after {' '.join(expected[:number][-12:])!r}"
    return "" if len(found) == len(expected) else f"{len(found)} words are printed where the page has {len(expected)}"


def _agree(left: str, right: str) -> bool:
    try:
        a, b = (float(token.replace(",", "")) for token in (left, right))
    except ValueError:
        return left == right
    if _tells_magnitude(left) and _tells_magnitude(right):
        return a == b or (a * b > 0 and abs(math.log(a / b)) <= math.log(MAGNITUDE))
    digits = len(re.sub(r"e.*|\D", "", right).lstrip("0"))
    last = 10.0 ** -len(right.partition(".")[2]) if digits >= 7 and "e" not in right else 0.0
    return abs(a - b) <= max(RELATIVE * abs(b), 1.01 * last)


def _tells_magnitude(token: str) -> bool:
    return re.fullmatch(r"[-+]?\d(\.\d)?e[-+]?\d+", token) is not None


def written(page: str) -> str:
    """The page with every block's output as it is now."""

    def again(match: re.Match[str]) -> str:
        fence = match["fence"] or "text"
        return f"```sh\npython -c '\n{match['code']}'\n```\n\n```{fence}\n{run(match['code'])}```\n"

    with one_server():
        return BLOCK.sub(again, page)


def main(path: Path) -> None:
    path = path.resolve()
    os.chdir(path.parent)
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
