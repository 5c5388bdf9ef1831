"""A few lanes at a time: the little language in which kernels are written, and its translation to LLVM's.

A kernel is a Python function of vectors. Run once, it leaves behind straight-line code in static single assignment: an
operator is an instruction, a number is a constant in every lane. What is written here is IEEE arithmetic as it stands,
no instruction is reassociated or contracted behind our backs: a fused multiply-add is one only where `fma` says so, so
that the bits are those of the text. Two vectors of the machine's width are one of ours, which keeps its two
multipliers busy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

BITS = 512
"""Of one vector: eight float64 or sixteen float32."""


@dataclass(frozen=True)
class Lanes:
    """What a vector holds: float64 or float32."""

    name: str
    scalar: str
    integer: str
    count: int
    mantissa: int
    """Bits of the fraction."""
    bias: int
    """Of the exponent."""

    @property
    def vector(self) -> str:
        return f"<{self.count} x {self.scalar}>"

    @property
    def integers(self) -> str:
        return f"<{self.count} x {self.integer}>"

    @property
    def truths(self) -> str:
        return f"<{self.count} x i1>"

    @property
    def suffix(self) -> str:
        """Of LLVM's overloaded intrinsics."""
        return f"v{self.count}f{BITS // self.count}"

    @property
    def bytes(self) -> int:
        return BITS // self.count // 8


LANES = {
    "float64": Lanes("float64", "double", "i64", BITS // 64, 52, 1023),
    "float32": Lanes("float32", "float", "i32", BITS // 32, 23, 127),
}


class Writer:
    """The body of one function in the making."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.lines: list[str] = []
        self.block = "entry"
        self.declared: set[str] = set()
        self._count = 0

    def fresh(self, kind: str = "v") -> str:
        self._count += 1
        return f"%{kind}{self._count}"

    def put(self, text: str) -> str:
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return name

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def call(self, result: str, name: str, *arguments: tuple[str, str]) -> str:
        self.declared.add(f"declare {result} @{name}({', '.join(kind for kind, _ in arguments)})")
        return self.put(f"call {result} @{name}({', '.join(f'{kind} {value}' for kind, value in arguments)})")

    def constant(self, value: float) -> Vector:
        lanes = self.lanes
        # A float's constant is written as the double of the same value.
        exact = float(np.float32(value)) if lanes.scalar == "float" else float(value)
        bits = struct.unpack("<Q", struct.pack("<d", exact))[0]
        return Vector(self, "<" + ", ".join([f"{lanes.scalar} 0x{bits:016X}"] * lanes.count) + ">")

    def integer(self, value: int) -> Whole:
        lanes = self.lanes
        return Whole(self, "<" + ", ".join([f"{lanes.integer} {value}"] * lanes.count) + ">")


@dataclass(frozen=True)
class Truth:
    """A truth in each lane."""

    writer: Writer
    name: str

    def _with(self, instruction: str, other: str) -> Truth:
        return Truth(self.writer, self.writer.put(f"{instruction} {self.writer.lanes.truths} {self.name}, {other}"))

    def __and__(self, other: Truth) -> Truth:
        return self._with("and", other.name)

    def __or__(self, other: Truth) -> Truth:
        return self._with("or", other.name)

    def __invert__(self) -> Truth:
        return self._with("xor", "<" + ", ".join(["i1 true"] * self.writer.lanes.count) + ">")

    def choose(self, yes: Vector | float, no: Vector | float) -> Vector:
        """`yes` where true, `no` elsewhere, lane by lane; both have been computed."""
        writer = self.writer
        kind = writer.lanes.vector
        a, b = _vector(writer, yes).name, _vector(writer, no).name
        return Vector(writer, writer.put(f"select {writer.lanes.truths} {self.name}, {kind} {a}, {kind} {b}"))

    def rarely(self, unusual: Callable[[], Vector], usual: Vector) -> Vector:
        """`unusual()` in all lanes if this is true in any; it is computed only then."""
        writer = self.writer
        lanes = writer.lanes
        anywhere = writer.call("i1", f"llvm.vector.reduce.or.v{lanes.count}i1", (lanes.truths, self.name))
        place = writer.fresh("b")[1:]
        before = writer.block
        writer.lines.append(f"  br i1 {anywhere}, label %{place}.rare, label %{place}.on, !prof !0")
        writer.label(f"{place}.rare")
        found = unusual()
        after = writer.block
        writer.lines.append(f"  br label %{place}.on")
        writer.label(f"{place}.on")
        return Vector(writer, writer.put(f"phi {lanes.vector} [ {found.name}, %{after} ], [ {usual.name}, %{before} ]"))

    def number(self) -> Vector:
        """1 where true, 0 elsewhere: how truths stand in memory."""
        return self.choose(1.0, 0.0)


@dataclass(frozen=True)
class Whole:
    """A whole number in each lane, as wide as the lane."""

    writer: Writer
    name: str

    def _with(self, instruction: str, other: Whole | int) -> Whole:
        writer = self.writer
        right = writer.integer(other) if isinstance(other, int) else other
        return Whole(writer, writer.put(f"{instruction} {writer.lanes.integers} {self.name}, {right.name}"))

    def __add__(self, other: Whole | int) -> Whole:
        return self._with("add", other)

    def __sub__(self, other: Whole | int) -> Whole:
        return self._with("sub", other)

    def __and__(self, other: Whole | int) -> Whole:
        return self._with("and", other)

    def __or__(self, other: Whole | int) -> Whole:
        return self._with("or", other)

    def __xor__(self, other: Whole | int) -> Whole:
        return self._with("xor", other)

    def __lshift__(self, other: int) -> Whole:
        return self._with("shl", other)

    def shift_down(self, other: int) -> Whole:
        """Of a number that is not negative."""
        return self._with("lshr", other)

    def equals(self, other: int) -> Truth:
        writer = self.writer
        right = writer.integer(other).name
        return Truth(writer, writer.put(f"icmp eq {writer.lanes.integers} {self.name}, {right}"))

    def float_bits(self) -> Vector:
        """The floating point number with these bits."""
        writer = self.writer
        return Vector(writer, writer.put(f"bitcast {writer.lanes.integers} {self.name} to {writer.lanes.vector}"))


@dataclass(frozen=True)
class Vector:
    """A floating point number in each lane."""

    writer: Writer
    name: str

    def _with(self, instruction: str, left: Vector | float, right: Vector | float) -> Vector:
        writer = self.writer
        a, b = _vector(writer, left).name, _vector(writer, right).name
        return Vector(writer, writer.put(f"{instruction} {writer.lanes.vector} {a}, {b}"))

    def __add__(self, other: Vector | float) -> Vector:
        return self._with("fadd", self, other)

    def __radd__(self, other: float) -> Vector:
        return self._with("fadd", other, self)

    def __sub__(self, other: Vector | float) -> Vector:
        return self._with("fsub", self, other)

    def __rsub__(self, other: float) -> Vector:
        return self._with("fsub", other, self)

    def __mul__(self, other: Vector | float) -> Vector:
        return self._with("fmul", self, other)

    def __rmul__(self, other: float) -> Vector:
        return self._with("fmul", other, self)

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._with("fdiv", self, other)

    def __rtruediv__(self, other: float) -> Vector:
        return self._with("fdiv", other, self)

    def __neg__(self) -> Vector:
        return Vector(self.writer, self.writer.put(f"fneg {self.writer.lanes.vector} {self.name}"))

    def _compare(self, how: str, other: Vector | float) -> Truth:
        writer = self.writer
        right = _vector(writer, other).name
        return Truth(writer, writer.put(f"fcmp {how} {writer.lanes.vector} {self.name}, {right}"))

    # Comparisons with NaN are false, but for `differs`.
    def __gt__(self, other: Vector | float) -> Truth:
        return self._compare("ogt", other)

    def __ge__(self, other: Vector | float) -> Truth:
        return self._compare("oge", other)

    def __lt__(self, other: Vector | float) -> Truth:
        return self._compare("olt", other)

    def __le__(self, other: Vector | float) -> Truth:
        return self._compare("ole", other)

    def equals(self, other: Vector | float) -> Truth:
        return self._compare("oeq", other)

    def differs(self, other: Vector | float) -> Truth:
        return self._compare("une", other)

    def is_nan(self) -> Truth:
        return self._compare("uno", self)

    def intrinsic(self, name: str, *others: Vector | float) -> Vector:
        """LLVM's `name` of this vector and others."""
        writer = self.writer
        kind = writer.lanes.vector
        arguments = [(kind, _vector(writer, x).name) for x in (self, *others)]
        return Vector(writer, writer.call(kind, f"llvm.{name}.{writer.lanes.suffix}", *arguments))

    def fma(self, factor: Vector | float, term: Vector | float) -> Vector:
        """self * factor + term, rounded once."""
        return self.intrinsic("fma", factor, term)

    def absolute(self) -> Vector:
        return self.intrinsic("fabs")

    def sqrt(self) -> Vector:
        return self.intrinsic("sqrt")

    def rounded(self) -> Vector:
        """To the nearest whole number, halves to even."""
        return self.intrinsic("rint")

    def copy_sign(self, other: Vector) -> Vector:
        return self.intrinsic("copysign", other)

    def bits(self) -> Whole:
        writer = self.writer
        return Whole(writer, writer.put(f"bitcast {writer.lanes.vector} {self.name} to {writer.lanes.integers}"))

    def each(self, function: str, *others: Vector) -> Vector:
        """The C library's function of each lane; its name is that for doubles."""
        writer = self.writer
        lanes = writer.lanes
        symbol = f"nablad_{function}_{lanes.name}"
        result = "poison"
        for lane in range(lanes.count):
            scalars = [
                (lanes.scalar, writer.put(f"extractelement {lanes.vector} {x.name}, i32 {lane}"))
                for x in (self, *others)
            ]
            value = writer.call(lanes.scalar, symbol, *scalars)
            result = writer.put(f"insertelement {lanes.vector} {result}, {lanes.scalar} {value}, i32 {lane}")
        return Vector(writer, result)

    def polynomial(self, coefficients: Sequence[float]) -> Vector:
        """sum_k c_k x^k by Horner's rule, each step rounded once."""
        total = self.writer.constant(coefficients[-1])
        for c in coefficients[-2::-1]:
            total = total.fma(self, c)
        return total


class Loaded(Vector):
    """An operand in memory, read where it is first used: what only a rare branch needs is read only there."""

    def __init__(self, writer: Writer, read: Callable[[], str]) -> None:
        object.__setattr__(self, "writer", writer)
        object.__setattr__(self, "_read", read)

    def __getattr__(self, attribute: str) -> str:
        if attribute != "name":
            raise AttributeError(attribute)
        read: Callable[[], str] = object.__getattribute__(self, "_read")
        object.__setattr__(self, "name", read())
        return self.name


def _vector(writer: Writer, value: Vector | float) -> Vector:
    return value if isinstance(value, Vector) else writer.constant(float(value))


def load_vector(writer: Writer, base: str, index: str, mask: str | None, beyond: float) -> Vector:
    """The vector at base[index]; under a mask nothing is read of other lanes, they are `beyond`."""
    lanes = writer.lanes
    place = writer.put(f"getelementptr {lanes.scalar}, ptr {base}, i64 {index}")
    if mask is None:
        return Vector(writer, writer.put(f"load {lanes.vector}, ptr {place}, align {lanes.bytes}"))
    name = f"@llvm.masked.load.{lanes.suffix}.p0"
    writer.declared.add(f"declare {lanes.vector} {name}(ptr, i32, {lanes.truths}, {lanes.vector})")
    rest = f"{lanes.truths} {mask}, {lanes.vector} {writer.constant(beyond).name}"
    return Vector(writer, writer.put(f"call {lanes.vector} {name}(ptr {place}, i32 {lanes.bytes}, {rest})"))


def splat(writer: Writer, scalar: str, value: str) -> str:
    """The value in every lane."""
    kind = f"<{writer.lanes.count} x {scalar}>"
    first = writer.put(f"insertelement {kind} poison, {scalar} {value}, i32 0")
    return writer.put(f"shufflevector {kind} {first}, {kind} poison, <{writer.lanes.count} x i32> zeroinitializer")


def first_lanes(writer: Writer, left: str) -> str:
    """The first `left` lanes."""
    numbers = ", ".join(f"i64 {k}" for k in range(writer.lanes.count))
    every = splat(writer, "i64", left)
    return writer.put(f"icmp ult <{writer.lanes.count} x i64> <{numbers}>, {every}")
