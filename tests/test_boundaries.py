"""The walls of the house: who may import whom, read from the source of every module.

docs/architecture.md draws the same table. A new import that crosses a wall fails here with its file and line.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOTS = ("protos", "solvers", "server", "client")


@dataclass(frozen=True)
class Room:
    """A part of the namespace, and what its modules may import beside the standard library and themselves."""

    prefix: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


# The longest prefix that fits a module is its room.
ROOMS = (
    Room("nablad.expressions", (), ("numpy",)),
    Room(
        "nablad.solvers.autodiff",
        (
            "nablad.expressions",
            "nablad.solvers.objective",
            "nablad.solvers.bounds",
            "nablad.solvers.blas",
            "nablad.solvers.quiet",
        ),
        ("numpy", "scipy"),
    ),
    # The compiler, and nothing else of it than what makes a text into machine code.
    Room("nablad.solvers.autodiff.kernels.native", ("nablad.solvers.autodiff.kernels",), ("llvmlite",)),
    # scipy for the addresses of its BLAS
    Room("nablad.solvers.autodiff.kernels.gemm", ("nablad.solvers.autodiff.kernels",), ("numpy", "scipy")),
    Room("nablad.solvers.autodiff.kernels", ("nablad.expressions",), ("numpy",)),
    Room(
        "nablad.solvers.models",
        ("nablad.expressions", "nablad.solvers.autodiff", "nablad.solvers.objective"),
        ("numpy",),
    ),
    Room("nablad.solvers.linalg", (), ("numpy", "scipy")),
    Room("nablad.solvers.bounds", (), ("numpy",)),
    Room("nablad.solvers.objective", ("nablad.solvers.bounds",), ("numpy",)),
    Room("nablad.solvers.blas", (), ("threadpoolctl",)),
    Room(
        "nablad.solvers.methods",
        (
            "nablad.solvers.linalg",
            "nablad.solvers.objective",
            "nablad.solvers.bounds",
            "nablad.solvers.status",
            "nablad.solvers.words",
            "nablad.solvers.control",
        ),
        ("numpy",),
    ),
    # Student's t
    Room("nablad.solvers.statistics", ("nablad.solvers",), ("numpy", "scipy")),
    Room("nablad.solvers", ("nablad.solvers",), ("numpy", "threadpoolctl")),
    Room("nablad.v1", (), ("google", "grpc")),
    Room("nablad.wire", ("nablad.v1", "nablad.expressions"), ("numpy", "grpc", "google", "crc32c")),
    Room(
        "nablad.server",
        ("nablad.wire", "nablad.v1", "nablad.solvers"),
        (
            "numpy",
            "grpc",
            "grpc_health",
            "grpc_reflection",
            "google",
            "pydantic",
            "pydantic_core",
            "threadpoolctl",
        ),
    ),
    # scipy's own sparse matrices, for who asks for one
    Room("nablad.client.sparse", ("nablad.client",), ("numpy", "scipy")),
    Room("nablad.client", ("nablad.wire", "nablad.v1", "nablad.expressions"), ("numpy", "grpc", "google")),
    # the one door from the command line into the server, and to the errors of its settings
    Room("nablad.cli.serve", ("nablad.cli", "nablad.server"), ("pydantic",)),
    Room("nablad.cli", ("nablad.client",), ("numpy", "typer", "click", "rich", "matplotlib")),
)


@dataclass(frozen=True)
class Import:
    module: str
    imported: str
    where: str


def modules() -> dict[str, Path]:
    found = {}
    for root in ROOTS:
        for path in sorted((ROOT / root).glob("nablad/**/*.py")):
            parts = path.relative_to(ROOT / root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(module: str) -> list[Import]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            # `from package import module` reaches the module
            names = [f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names]
        else:
            continue
        where = f"{path.relative_to(ROOT)}:{node.lineno}"
        found += [Import(module, name, where) for name in names]
    return found


def inside(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def room_of(module: str) -> Room:
    fitting = [room for room in ROOMS if inside(module, room.prefix)]
    assert fitting, f"{module} is in no room: add it to ROOMS"
    return max(fitting, key=lambda room: len(room.prefix))


def allowed(item: Import, room: Room) -> bool:
    top = item.imported.partition(".")[0]
    if top == "nablad":
        return inside(item.imported, room.prefix) or any(inside(item.imported, prefix) for prefix in room.ours)
    return top in sys.stdlib_module_names or top in room.theirs


def test_every_import_stays_within_its_walls() -> None:
    crossings = [
        f"{item.where}: {module} imports {item.imported}"
        for module in MODULES
        for item in imports_of(module)
        if not allowed(item, room_of(module))
    ]
    assert not crossings, "\n".join(crossings)


def test_the_server_uses_public_names_of_the_solvers_only() -> None:
    reached = [
        f"{item.where}: {item.imported}"
        for module in MODULES
        if inside(module, "nablad.server")
        for item in imports_of(module)
        if inside(item.imported, "nablad.solvers") and item.imported != "nablad.solvers"
    ]
    assert not reached, "\n".join(reached)


def test_workers_never_import_grpc() -> None:
    reached = [
        f"{item.where}: {item.imported}"
        for module in MODULES
        if inside(module, "nablad.server.worker")
        for item in imports_of(module)
        if inside(item.imported, "grpc") or item.imported.endswith("_pb2_grpc")
    ]
    assert not reached, "\n".join(reached)


def edges() -> dict[str, set[str]]:
    """Module -> modules that it needs, be it at once or inside a function; not for type checkers."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        hidden = {
            node.lineno
            for top in ast.parse(path.read_text()).body
            if isinstance(top, ast.If) and "TYPE_CHECKING" in ast.dump(top.test)
            for node in ast.walk(top)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        found[module] = {
            item.imported
            for item in imports_of(module)
            if item.imported in MODULES and item.imported != module and int(item.where.rpartition(":")[2]) not in hidden
        }
    return found


def test_no_module_imports_itself_in_a_circle() -> None:
    remaining = edges()
    while remaining:
        free = [module for module, needs in remaining.items() if not (needs & remaining.keys())]
        assert free, "a circle among: " + ", ".join(sorted(remaining))
        for module in free:
            del remaining[module]


def test_nablad_is_a_namespace_package() -> None:
    hiding = [str(path) for root in ROOTS for path in (ROOT / root).glob("nablad/__init__.py")]
    assert not hiding, "a nablad/__init__.py hides the other roots"
    for package in {module.split(".")[1] for module in MODULES}:
        path = MODULES[f"nablad.{package}"]
        assert path.name == "__init__.py"
        assert (path.parent / "py.typed").exists(), f"{path.parent} has no py.typed"


def test_there_is_no_utils() -> None:
    assert not [m for m in MODULES if m.rpartition(".")[2] in {"utils", "util", "helpers", "misc", "common"}]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import nablad.expressions", ("scipy", "grpc", "pydantic", "nablad.solvers")),
        ("import nablad.solvers", ("numpy", "scipy", "grpc")),
        (
            "import nablad.client",
            ("scipy", "pydantic", "rich", "typer", "matplotlib", "nablad.solvers", "nablad.server"),
        ),
        ("import nablad.cli", ("numpy", "grpc", "scipy", "matplotlib", "nablad.server")),
        ("import nablad.client", ("numpy", "grpc", "google.protobuf")),
        (
            "from nablad.client import Client, LeastSquares, Newton, Stopping",
            ("nablad.expressions", "nablad.client.core.derivatives", "nablad.client.drawing", "nablad.client.aio"),
        ),
        (
            "from nablad.cli.app import app; app(['--help'], standalone_mode=False)",
            ("numpy", "grpc", "google.protobuf"),
        ),
    ],
)
def test_what_an_import_brings_with_it(statement: str, absent: tuple[str, ...]) -> None:
    probe = f"import sys; {statement}; print(); print(*[name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == []
