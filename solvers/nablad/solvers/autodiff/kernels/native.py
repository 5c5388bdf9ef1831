"""The kernels as machine code, compiled for this machine's processor by LLVM when first needed.

One module a dtype for all graphs that will ever come: no graph is compiled, a new one is a new list of calls. What was
compiled is kept on disk by its source, processor and compiler (object_cache.py), so that it takes a second or two once
a machine, and some milliseconds after that. Where llvmlite cannot be imported, or NABLAD_KERNELS=numpy is set, there
are no kernels, and plans run numpy's calls alone. A process decides once: the bits of its answers do not change while
it lives.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from nablad.solvers.autodiff.kernels.loops import REDUCTIONS, REPEATS, module
from nablad.solvers.autodiff.kernels.object_cache import kept
from nablad.solvers.autodiff.kernels.table import INNER, KERNELS, LIBRARY
from nablad.solvers.autodiff.kernels.vectors import LANES

VARIABLE = "NABLAD_KERNELS"


@dataclass(frozen=True)
class Native:
    """The functions of one dtype by their addresses."""

    addresses: dict[str, int]
    sequence: Callable[[int], None]
    """Makes the calls that stand at this address (sequence.py), without the interpreter's lock."""
    sequence_locked: Callable[[int], None]
    """The same with the lock held."""
    keep: Any
    """The engine, which owns the code."""


@cache
def available() -> bool:
    """Whether the plans of this process run kernels."""
    if os.environ.get(VARIABLE, "") == "numpy" or os.name != "posix":
        return False
    try:
        importlib.import_module("llvmlite.binding")
    except (ImportError, OSError):  # it is not there, or a library that it needs is not
        return False
    return True


_LOCK = threading.Lock()
_BUILT: dict[str, Native] = {}


def native(dtype: str) -> Native:
    """The code for float64 or float32, compiled on first use. Shared between threads."""
    with _LOCK:
        if dtype not in _BUILT:
            _BUILT[dtype] = _compile(dtype)
        return _BUILT[dtype]


def warm_kernels() -> None:
    """Compile the kernels, or load them, before the first request. Does nothing in a process that has none."""
    if available():
        for dtype in LANES:
            native(dtype)


def fingerprint() -> str:
    """What the kernels' bits depend on beside their source: the compiler and the processor."""
    if not available():
        return "numpy"
    import llvmlite.binding as llvm

    version = ".".join(map(str, llvm.llvm_version_info))
    return f"llvm {version} {llvm.get_host_cpu_name()}"


def _compile(dtype: str) -> Native:
    import llvmlite.binding as llvm

    _name_library(llvm, dtype)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()

    def machine() -> Any:
        target = llvm.Target.from_default_triple()
        return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True)

    text = module(LANES[dtype])

    def compiled() -> bytes:
        code = llvm.parse_assembly(text)
        code.verify()
        found: bytes = machine().emit_object(code)
        return found

    machine_code = kept((text, fingerprint(), features, llvm.get_default_triple(), "2"), compiled)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
    engine.finalize_object()
    names = [*KERNELS, *INNER, "fill", *REDUCTIONS, *(name for name, _, _ in REPEATS), "run", "gemm", "tiles", "gram"]
    names += ["twofold"] * (dtype == "float64")
    addresses = {name: engine.get_function_address(name) for name in names}
    sequence = engine.get_function_address("sequence")
    unlocked, locked = ctypes.CFUNCTYPE(None, ctypes.c_size_t), ctypes.PYFUNCTYPE(None, ctypes.c_size_t)
    return Native(addresses, unlocked(sequence), locked(sequence), engine)


def _name_library(llvm: Any, dtype: str) -> None:
    """Tell the linker where the C library's functions are."""
    library = ctypes.CDLL(None)
    for name, _ in LIBRARY:
        function = getattr(library, name if dtype == "float64" else f"{name}f")
        address = ctypes.cast(function, ctypes.c_void_p).value
        llvm.add_symbol(f"nablad_{name}_{dtype}", address)
