"""States as bytes: a JSON header and raw little-endian arrays. No pickle, so that bytes from a disk can do no harm.

    magic (8 bytes) | header length (uint32, little-endian) | header (UTF-8 JSON) | arrays, one after the other

Numbers survive exactly: Python writes a double with the shortest digits that read back to the same bits; NaN and the
infinities, which JSON lacks, are tagged. Arrays come back in C order with dtype and shape as they were.
"""

from __future__ import annotations

import json
import math
import struct
from enum import Enum
from typing import Any

import numpy as np

from nablad.solvers.linalg.symmetric import Curvature
from nablad.solvers.status import Finding, Status

MAGIC = b"NABLAST1"
_ENUMS: dict[str, type[Enum]] = {"Status": Status, "Curvature": Curvature}


def pack(value: dict[str, Any]) -> bytes:
    """Bytes of a tree of dicts, lists, numbers, strings, None, arrays, findings and the project's enums."""
    arrays: list[bytes] = []
    header = json.dumps(_encode(value, arrays), allow_nan=False, separators=(",", ":")).encode()
    return b"".join([MAGIC, struct.pack("<I", len(header)), header, *arrays])


def unpack(data: bytes) -> dict[str, Any]:
    """The inverse of `pack`. Raises ValueError on anything else."""
    start = len(MAGIC) + 4
    if data[: len(MAGIC)] != MAGIC or len(data) < start:
        raise ValueError("these bytes are not a nablad state")
    (length,) = struct.unpack("<I", data[len(MAGIC) : start])
    try:
        header = json.loads(data[start : start + length])
        value = _Decoder(data, start + length).decode(header)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"damaged nablad state: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("damaged nablad state: not a table of fields")
    return value


def _encode(value: Any, arrays: list[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        arrays.append(little.tobytes())
        return {"~": "array", "dtype": little.dtype.str, "shape": list(value.shape)}
    if isinstance(value, Enum):
        return {"~": "enum", "of": type(value).__name__, "name": value.name}
    if isinstance(value, Finding):
        return {"~": "finding", "status": value.status.name, "message": value.message, "advice": value.advice}
    if isinstance(value, dict):
        return {"~": "dict", "items": {key: _encode(item, arrays) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return [_encode(item, arrays) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"~": "float", "value": str(float(value))}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a state cannot hold a {type(value).__name__}")


class _Decoder:
    def __init__(self, data: bytes, offset: int) -> None:
        self.data = data
        self.offset = offset

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind = value["~"]
        if kind == "dict":
            return {key: self.decode(item) for key, item in value["items"].items()}
        if kind == "float":
            return float(value["value"])
        if kind == "enum":
            return _ENUMS[value["of"]][value["name"]]
        if kind == "finding":
            return Finding(Status[value["status"]], value["message"], value.get("advice"))
        return self._array(value)

    def _array(self, value: dict[str, Any]) -> np.ndarray[Any, Any]:
        dtype = np.dtype(value["dtype"])
        if dtype.hasobject:
            raise ValueError("an array of objects")
        shape = tuple(int(n) for n in value["shape"])
        count = math.prod(shape)
        array = np.frombuffer(self.data, dtype=dtype, count=count, offset=self.offset).reshape(shape)
        self.offset += count * dtype.itemsize
        return array.astype(dtype.newbyteorder("="))
