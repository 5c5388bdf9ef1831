"""Makes the committed stubs of protos/nablad/v1, or checks that they fit the .proto files.

    python protos/stubs.py            # in the environment of protos/requirements.txt: `make protos`
    python protos/stubs.py --check    # anywhere: compares each .proto's SHA-256 with the one its stub was made from

The check needs no generator: `stubs.sha256` beside the stubs records what they were made from.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT / "nablad" / "v1"
RECORD = PACKAGE / "stubs.sha256"


def sources() -> list[Path]:
    return sorted(PACKAGE.glob("*.proto"))


def fingerprint() -> str:
    """One line per .proto, and one per stub, so that an edited stub is noticed, too."""
    files = [*sources(), *sorted(PACKAGE.glob("*_pb2*.py*"))]
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def make() -> None:
    """Into a directory of its own first: where a .proto is wrong, the old stubs stay."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        subprocess.run(
            [
                sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}",
                *(f"--{kind}_out={fresh}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
                *(str(path.relative_to(ROOT)) for path in sources()),
            ],
            cwd=ROOT, check=True, env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        )  # fmt: skip
        for stub in PACKAGE.glob("*_pb2*.py*"):
            stub.unlink()
        for stub in fresh.rglob("*_pb2*.py*"):
            # a file without a service has nothing to say to gRPC
            if "_pb2_grpc" not in stub.name or "Stub" in stub.read_text():
                shutil.copyfile(stub, PACKAGE / stub.name)
    RECORD.write_text(fingerprint())


def check() -> int:
    if RECORD.exists() and RECORD.read_text() == fingerprint():
        print(f"stubs: {len(sources())} .proto files, all stubs up to date")
        return 0
    print("stubs: protos/nablad/v1 changed since its stubs were made. Run `make protos` and commit the result.")
    return 1


if __name__ == "__main__":
    sys.exit(check() if "--check" in sys.argv[1:] else make())
