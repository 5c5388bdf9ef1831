"""Tables of numbers from CSV text, with errors that name line and column.

The first line is a header. The separator (comma, semicolon, tab or bar) is read off it, a byte order mark is skipped,
and rows are streamed into flat arrays of doubles: the memory is that of the numbers, 8 bytes each, whatever the file's.
"""

from __future__ import annotations

import csv
import math
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from nablad.cli.errors import CommandError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "."})


@dataclass(frozen=True)
class Table:
    """Features X, shape (N, D), and a target that is numbers, shape (N), or labels, int64 indices into `classes`.

    `dropped` rows lacked a value; `unnamed` columns have no name in the header and were not asked for.
    """

    source: str
    feature_names: tuple[str, ...]
    target_name: str
    features: NDArray[np.float64]
    target: NDArray[np.float64] | NDArray[np.int64]
    classes: tuple[str, ...] = ()
    dropped: int = 0
    unnamed: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """The number of rows N."""
        return len(self.target)


def read_table(
    path: str,
    target: str | None,
    features: Sequence[str] | Callable[[Sequence[str]], Sequence[str]] | None = None,
    *,
    labels: bool = False,
    drop_missing: bool = False,
    name: str | None = None,
) -> Table:
    """Read a CSV file, or standard input where the path is '-'.

    `features` are the columns used, in this order, or a function that picks them from the names of the columns beside
    the target; all named ones unless given. With `labels` the target
    is a class, any text. With `drop_missing`, rows that lack a value in a column used are left out; else they are
    errors. `name` is what to call the file. Without a target, the error says which columns there are.
    Raises CommandError with line and column for whatever cannot be read.
    """
    with _text(path) as (source, stream):
        source = name or source
        try:
            return _read(source, stream, target, features, labels, drop_missing)
        except UnicodeDecodeError as error:
            raise CommandError(f"{source} is not UTF-8 text ({error.reason}); save it as UTF-8 CSV") from None
        except csv.Error as error:
            raise CommandError(f"{source} is not CSV: {error}") from None


@contextmanager
def _text(path: str) -> Iterator[tuple[str, TextIO]]:
    if path == "-":
        yield "standard input", open(sys.stdin.fileno(), encoding="utf-8-sig", newline="", closefd=False)  # noqa: SIM115
        return
    try:
        stream = Path(path).open(encoding="utf-8-sig", newline="")  # noqa: SIM115
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None
    with stream:
        yield path, stream


def _read(
    source: str,
    stream: TextIO,
    target: str | None,
    features: Sequence[str] | Callable[[Sequence[str]], Sequence[str]] | None,
    labels: bool,
    drop_missing: bool,
) -> Table:
    first, blank = stream.readline(), 0
    while first and not first.strip():
        first, blank = stream.readline(), blank + 1
    if not first:
        raise CommandError(f"{source} is empty")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(chain([first], stream), delimiter=separator)
    given = [name.strip() for name in next(reader)]
    header = [name or f"column {i}" for i, name in enumerate(given, 1)]
    if all(_number(name) is not None for name in header):
        raise CommandError(f"{source} has no header: its first line is all numbers; put the columns' names there")
    if target is None:
        raise CommandError(f"--target COLUMN is required: the column to fit; {source} has {_listed(header)}")
    target_column = _column(source, header, target)
    # A column without a name is an index that was written along, or what follows a separator at each line's end.
    named = [n for i, n in enumerate(given) if n and i != target_column]
    names = named if features is None else features(named) if callable(features) else features
    columns = [_column(source, header, name) for name in names]
    unused = {*range(len(header))} - {*columns, target_column}
    if not columns:
        raise CommandError(f"{source} has no column beside the target {target!r}: nothing to fit it with")
    if target_column in columns:
        raise CommandError(f"{target!r} is the target, and cannot be a feature too")
    if len(set(columns)) < len(columns):
        raise CommandError("a column is named twice in --features")
    records = ((reader.line_num + blank, row) for row in reader)
    table = _rows(source, records, header, columns, target_column, labels, drop_missing, separator)
    unnamed = tuple(header[i] for i in sorted(unused)) if features is None else ()
    return replace(table, unnamed=unnamed)


def _rows(
    source: str,
    records: Iterator[tuple[int, list[str]]],
    header: list[str],
    columns: list[int],
    target_column: int,
    labels: bool,
    drop_missing: bool,
    separator: str,
) -> Table:
    import numpy as np

    values, targets, indices = array("d"), array("d"), array("q")
    classes: dict[str, int] = {}
    dropped = 0
    used = [*columns, target_column]
    for line, row in records:
        if not row or (len(row) == 1 and not row[0].strip() and len(header) > 1):
            continue
        if len(row) != len(header):
            fields = f"{len(row)} field{'s' if len(row) != 1 else ''}"
            raise CommandError(
                f"{source}, line {line}: {fields}, where the header has {len(header)}"
                f" (separated by {_SEPARATORS[separator]}; quotes keep text that has one in it together)"
            )
        missing = next((c for c in used if row[c].strip().lower() in _MISSING), None)
        if missing is not None:
            if drop_missing:
                dropped += 1
                continue
            raise CommandError(
                f"{source}, line {line}, column {header[missing]!r}: the value is missing"
                " (--drop-missing leaves such rows out)"
            )
        values.extend([_finite(source, line, header[c], row[c]) for c in columns])
        if labels:
            indices.append(classes.setdefault(row[target_column].strip(), len(classes)))
        else:
            targets.append(_finite(source, line, header[target_column], row[target_column], is_target=True))
    count = len(indices) if labels else len(targets)
    if not count:
        reason = f": all {dropped} lack a value" if dropped else " below its header"
        raise CommandError(f"{source} has no rows{reason}")
    order = sorted(classes, key=_label_order)
    rank = np.argsort([classes[name] for name in order]) if order else np.empty(0, dtype=np.int64)
    return Table(
        source=source,
        feature_names=tuple(header[c] for c in columns),
        target_name=header[target_column],
        features=np.frombuffer(values, dtype=np.float64).reshape(count, len(columns)),
        target=rank[np.frombuffer(indices, dtype=np.int64)] if labels else np.frombuffer(targets, dtype=np.float64),
        classes=tuple(order),
        dropped=dropped,
    )


def _column(source: str, header: list[str], name: str) -> int:
    found = [i for i, known in enumerate(header) if known == name]
    if not found:
        raise CommandError(f"{source} has no column {name!r}{nearest(name, header) or '; it has ' + _listed(header)}")
    if len(found) > 1:
        raise CommandError(f"{source} has {len(found)} columns named {name!r}: give each a name of its own")
    return found[0]


def _listed(header: list[str]) -> str:
    """The first names, quoted where --features needs it."""
    quoted = [f'"{name}"' if "," in name else name for name in header[:12]]
    return ", ".join(quoted) + (f" and {len(header) - 12} more" if len(header) > 12 else "")


def _number(text: str) -> float | None:
    # Python's float also takes 1_000, which nobody means in a table.
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


def _finite(source: str, line: int, column: str, text: str, is_target: bool = False) -> float:
    number = _number(text)
    if number is not None and math.isfinite(number):
        return number
    place = f"{source}, line {line}, column {column!r}: {_shortened(text)!r}"
    if number is not None:
        raise CommandError(f"{place} is not finite")
    if _number(text.replace(",", ".")) is not None:
        raise CommandError(f"{place} is not a number; write a decimal point and no commas, such as 1234.5")
    advice = "--loss softmax_cross_entropy fits classes" if is_target else "--features says which columns to use"
    raise CommandError(f"{place} is not a number; {advice}")


def _shortened(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"


def _label_order(label: str) -> tuple[bool, float, str]:
    number = _number(label)
    return number is None, number if number is not None else 0.0, label
