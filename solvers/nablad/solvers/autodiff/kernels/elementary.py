"""Elementary functions of vectors, to a few units in the last place.

    exp      x = n ln2 + r, |r| <= ln2 / 2, e^x = 2^n e^r, e^r a polynomial (Cody and Waite 1980); the power of two in
             two halves, so that results overflow, and become subnormal, where they should
    expm1    2^n (e^r - 1) + (2^n - 1): near 0 n = 0, and nothing cancels
    tanh     e / (e + 2) with e = expm1(2 |x|): all digits near 0
    log      x = 2^k (1 + f), log(1 + f) = f - f^2/2 + s (f^2/2 + R), s = f / (2 + f), R from the series of artanh
    log1p    log(w) + (x - (w - 1)) / w with w = 1 + x rounded: what rounding took away is put back
    erf      x P(x^2) up to 1, beyond that 1 - erfc; erfc(x) = e^(-x^2) E(t) / (1 + 2x), with x^2 in twice the
             precision, for a rounding error of it would be multiplied by its size
    sin, cos x = n pi/2 + r with pi/2 in three or four parts; beyond LARGE the C library's

Every branch is computed and one is chosen, for lanes have no branches; `rarely` is for what few arguments need. What a
clamp takes hold of is written so that NaN slips through it. Cost: 15 to 20 multiplications and additions for an
exponential, about 60 for the normal distribution function; a division counts as ten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nablad.solvers.autodiff.kernels import coefficients
from nablad.solvers.autodiff.kernels.vectors import Truth, Vector, Whole

LOG2_E = 1.0 / math.log(2.0)
ROOT_HALF = math.sqrt(0.5)
TAIL_CENTER = 3.75


@dataclass(frozen=True)
class Precision:
    """What depends on the width of a number."""

    ln2: tuple[float, float]
    """The first with zeros at its end, so that small multiples of it are exact."""
    half_pi: tuple[float, ...]
    """All but the last with zeros at their ends, so that multiples of them up to `large` are exact."""
    large: float
    """Up to this sin and cos reduce their argument here."""
    exp: tuple[float, float]
    """Below and above this the exponential is 0 and infinite."""
    expm1_low: float
    """Here expm1 is -1."""
    tanh_high: float
    """Here tanh is 1."""
    erf_high: float
    """Here erf is 1."""
    erfc_high: float
    """Here erfc is 0, also at this times sqrt(2) the normal distribution function."""
    tiny: float
    """The least normal number."""
    subnormal: tuple[float, int]
    """A power of two that makes subnormals normal, and its exponent."""


PRECISION = {
    "float64": Precision(
        ln2=(6.93147180369123816490e-01, 1.90821492927058770002e-10),
        half_pi=(1.570796326734125614166, 6.077100506303965976596e-11, 2.022266248795950732400e-21),
        large=1e5,
        exp=(-746.0, 710.0),
        expm1_low=-40.0,
        tanh_high=20.0,
        erf_high=6.0,
        erfc_high=27.5,
        tiny=2.0**-1022,
        subnormal=(2.0**54, 54),
    ),
    "float32": Precision(
        ln2=(6.9314575195e-01, 1.4286067653e-06),
        half_pi=(1.5706787109375, 0.00011761486530303955, 9.920313459588215e-10, 6.223371969669989e-14),
        large=1e3,
        exp=(-104.0, 89.0),
        expm1_low=-18.0,
        tanh_high=10.0,
        erf_high=4.0,
        erfc_high=10.2,
        tiny=2.0**-126,
        subnormal=(2.0**25, 25),
    ),
}


def _precision(x: Vector) -> Precision:
    return PRECISION[x.writer.lanes.name]


def _table(x: Vector, table: dict[str, tuple[float, ...]]) -> tuple[float, ...]:
    return table[x.writer.lanes.name]


def _shifter(x: Vector) -> float:
    """Added to a small number, it leaves the nearest whole number in the lowest bits."""
    return float(1.5 * 2.0**x.writer.lanes.mantissa)


def _power_of_two(shifted: Vector) -> Vector:
    """2^n from n + shifter, for n within the exponents of normal numbers."""
    lanes = shifted.writer.lanes
    return ((shifted.bits() + lanes.bias) << lanes.mantissa).float_bits()


def _clamped(x: Vector, low: float, high: float) -> Vector:
    x = (x < low).choose(low, x)
    return (x > high).choose(high, x)


def _reduced(x: Vector) -> tuple[Vector, Vector, Vector]:
    """x = n ln2 + r: (n + shifter, n, r)."""
    shifter = _shifter(x)
    high, low = _precision(x).ln2
    shifted = x.fma(LOG2_E, shifter)
    n = shifted - shifter
    return shifted, n, n.fma(-low, n.fma(-high, x))


def _expm1_near(r: Vector) -> Vector:
    """e^r - 1 for |r| <= ln2 / 2."""
    return (r * r).fma(r.polynomial(_table(r, coefficients.EXPM1)), r)


def _times_power(x: Vector, n: Vector) -> Vector:
    """x 2^n in two halves."""
    shifter = _shifter(x)
    first = n.fma(0.5, shifter)
    second = (n - (first - shifter)) + shifter
    return x * _power_of_two(first) * _power_of_two(second)


def _exp_of(x: Vector) -> Vector:
    """exp where x is known to lie between the clamps, or is NaN."""
    _, n, r = _reduced(x)
    return _times_power(_expm1_near(r) + 1.0, n)


def exp(x: Vector) -> Vector:
    return _exp_of(_clamped(x, *_precision(x).exp))


def exp2(x: Vector) -> Vector:
    low, high = _precision(x).exp
    x = _clamped(x, low * LOG2_E, high * LOG2_E)
    shifter = _shifter(x)
    n = (x + shifter) - shifter
    return _times_power(_expm1_near((x - n) * math.log(2.0)) + 1.0, n)


def _exp_minus_absolute(x: Vector) -> Vector:
    """exp(-|x|), which never overflows."""
    low, _ = _precision(x).exp
    y = -x.absolute()
    return _exp_of((y < low).choose(low, y))


def expm1(x: Vector) -> Vector:
    precision = _precision(x)
    shifted, _, r = _reduced(_clamped(x, precision.expm1_low, precision.exp[1]))
    # Half of the power, since 2^1024 is too large where e^x is not yet.
    half = _power_of_two(shifted - 1.0)
    return (half.fma(_expm1_near(r), half - 0.5) * 2.0).copy_sign(x)


def tanh(x: Vector) -> Vector:
    high = _precision(x).tanh_high
    size = x.absolute()
    shifted, _, r = _reduced((size > high).choose(high, size) * 2.0)
    power = _power_of_two(shifted)
    e = power.fma(_expm1_near(r), power - 1.0)
    return (e / (e + 2.0)).copy_sign(x)


def tanh_slope(y: Vector, x: Vector) -> Vector:
    """1 - tanh(x)^2, y = tanh(x). Where y is near 1 the difference has lost its digits, and x tells it."""
    near = 1.0 - y * y
    lost = near < 2.0**-8

    def from_x() -> Vector:
        e = _exp_minus_absolute(x * 2.0)
        return lost.choose(4.0 * e / ((1.0 + e) * (1.0 + e)), near)

    return lost.rarely(from_x, near)


def sigmoid(x: Vector) -> Vector:
    e = _exp_minus_absolute(x)
    return (x >= 0.0).choose(1.0, e) / (1.0 + e)


def sigmoid_slope(x: Vector) -> Vector:
    e = _exp_minus_absolute(x)
    return e / ((1.0 + e) * (1.0 + e))


def log(x: Vector) -> Vector:
    lanes, precision = x.writer.lanes, _precision(x)
    scale, exponent = precision.subnormal
    small = x < precision.tiny
    bits = small.choose(x * scale, x).bits()
    # 1 + f from 1/sqrt(2) on: bits below those of ROOT_HALF belong to the next smaller power of two.
    one, root = _bits_of(lanes.name, 1.0), _bits_of(lanes.name, ROOT_HALF)
    shifted = bits + (one - root)
    fraction = (shifted & ((1 << lanes.mantissa) - 1)) + root
    f = fraction.float_bits() - 1.0
    k = _small_whole(shifted.shift_down(lanes.mantissa), x) - (small.choose(float(exponent), 0.0) + float(lanes.bias))
    s = f / (f + 2.0)
    z = s * s
    half = 0.5 * f * f
    series = z * z.polynomial(_table(x, coefficients.LOG))
    high, low = precision.ln2
    usual = k.fma(high, f - (half - k.fma(low, s * (half + series))))
    ordinary = (x > 0.0) & (x < math.inf)

    def special() -> Vector:
        # log(inf) = inf, log(NaN) = NaN.
        beyond = x.equals(0.0).choose(-math.inf, (x < 0.0).choose(math.nan, x))
        return ordinary.choose(usual, beyond)

    return (~ordinary).rarely(special, usual)


def _bits_of(name: str, value: float) -> int:
    import struct

    wide = name == "float64"
    (bits,) = struct.unpack("<q" if wide else "<i", struct.pack("<d" if wide else "<f", value))
    return int(bits)


def _small_whole(n: Whole, like: Vector) -> Vector:
    """A whole number of few bits as a floating point number: put into the fraction of 2^52 (2^23)."""
    lanes = like.writer.lanes
    base = 2.0**lanes.mantissa
    return (n | _bits_of(lanes.name, base)).float_bits() - base


def log1p(x: Vector) -> Vector:
    w = x + 1.0
    usual = log(w) + (x - (w - 1.0)) / w
    odd = x.equals(0.0) | ~(x < math.inf) | ~(x > -1.0)

    def special() -> Vector:
        beyond = (x < math.inf).choose((x < -1.0).choose(math.nan, -math.inf), x)
        return odd.choose(x.equals(0.0).choose(x, beyond), usual)

    return odd.rarely(special, usual)


def softplus(x: Vector) -> Vector:
    return (x > 0.0).choose(x, 0.0) + log1p(_exp_minus_absolute(x))


def logaddexp(x: Vector, y: Vector) -> Vector:
    larger = (x > y).choose(x, y)
    apart = larger + log1p(_exp_minus_absolute(x - y))
    # Two infinities of one sign have no difference.
    return x.equals(y).choose(x + math.log(2.0), apart)


def _tail(x: Vector, square: Vector, low: Vector) -> Vector:
    """erfc(x) for x >= 0.5, from x^2 = square + low."""
    bell = _exp_of(-square)
    bell = bell - bell * low
    t = (x - TAIL_CENTER) / (x + TAIL_CENTER)
    return bell * t.polynomial(_table(x, coefficients.ERFCX)) / x.fma(2.0, 1.0)


def _erf_near(x: Vector) -> Vector:
    return x * (x * x).polynomial(_table(x, coefficients.ERF))


def erf(x: Vector) -> Vector:
    high = _precision(x).erf_high
    size = x.absolute()
    far = (size > high).choose(high, size)
    square = far * far
    outer = 1.0 - _tail(far, square, far.fma(far, -square))
    return (size < 1.0).choose(_erf_near(size), outer).copy_sign(x)


def erfc(x: Vector) -> Vector:
    high = _precision(x).erfc_high
    size = x.absolute()
    far = (size > high).choose(high, size)
    square = far * far
    tail = _tail(far, square, far.fma(far, -square))
    return (size < 0.5).choose(1.0 - _erf_near(x), (x < 0.0).choose(2.0 - tail, tail))


def normal_cdf(x: Vector) -> Vector:
    """Phi(x) = erfc(-x / sqrt(2)) / 2."""
    high = _precision(x).erfc_high * math.sqrt(2.0)
    size = x.absolute()
    far = (size > high).choose(high, size)
    square = far * far
    # x^2 / 2 in twice the precision, halves being exact; the division by sqrt(2) is harmless elsewhere.
    tail = 0.5 * _tail(far * ROOT_HALF, 0.5 * square, 0.5 * far.fma(far, -square))
    near = (0.5 * _erf_near(x * ROOT_HALF)) + 0.5
    # Up to 0.75 the argument of erf is below 0.54, and half of it takes little from 1/2.
    return (size < 0.75).choose(near, (x < 0.0).choose(tail, 1.0 - tail))


def _turns(x: Vector) -> tuple[Whole, Vector]:
    """x = n pi/2 + r: the quadrant's number and r."""
    shifter = _shifter(x)
    first, second, third, *others = _precision(x).half_pi
    shifted = x.fma(2.0 / math.pi, shifter)
    n = shifted - shifter
    r1 = n.fma(-first, x)
    r = n.fma(-second, r1)
    rest = n.fma(-second, r1 - r)
    r = r + n.fma(-third, rest)
    for part in others:
        r = n.fma(-part, r)
    return shifted.bits(), r


def _wave(x: Vector, quarter: int, function: str) -> Vector:
    """sin(x + quarter pi/2)."""
    turns, r = _turns(x)
    turns = turns + quarter
    z = r * r
    sine = (r * z).fma(z.polynomial(_table(x, coefficients.SIN)), r)
    cosine = (z * z).fma(z.polynomial(_table(x, coefficients.COS)), z.fma(-0.5, 1.0))
    odd = ~(turns & 1).equals(0)
    lanes = x.writer.lanes
    sign = (turns & 2) << (lanes.bytes * 8 - 2)
    usual = (odd.choose(cosine, sine).bits() ^ sign).float_bits()
    if quarter == 0:
        usual = x.equals(0.0).choose(x, usual)
    far = ~(x.absolute() <= _precision(x).large)
    return far.rarely(lambda: far.choose(x.each(function), usual), usual)


def sin(x: Vector) -> Vector:
    return _wave(x, 0, "sin")


def cos(x: Vector) -> Vector:
    return _wave(x, 1, "cos")


def maximum(x: Vector, y: Vector) -> Vector:
    """NaN from either side."""
    return ((x >= y) | x.is_nan()).choose(x, y)


def minimum(x: Vector, y: Vector) -> Vector:
    return ((x <= y) | x.is_nan()).choose(x, y)


def truth(x: Vector) -> Truth:
    """Truths stand in memory as 0 and 1."""
    return x.differs(0.0)
