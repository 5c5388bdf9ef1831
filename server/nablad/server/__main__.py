"""`python -m nablad.server`: the server, from settings on the command line.

With --embedded it serves the process that has started it: it reads its token as one line from stdin, listens on a free
port of the loopback interface, writes {"port": ...} as one line to stdout, and ends with its parent.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from nablad.server.settings import DEFAULT_LISTEN, Settings


def main() -> None:
    """Parses the command line, and serves."""
    parser = argparse.ArgumentParser(prog="python -m nablad.server", description="An optimization solver service.")
    parser.add_argument("--listen", metavar="HOST:PORT", default=DEFAULT_LISTEN)
    parser.add_argument(
        "--data-dir", metavar="DIR", type=Path, help="where jobs and datasets outlive the server; nowhere unless given"
    )
    parser.add_argument("--workers", metavar="N", type=int, help="solves at once; one for each core unless given")
    parser.add_argument("--log-format", choices=("auto", "json", "text"), default="auto")
    parser.add_argument(
        "--allow-remote-plaintext", action="store_true", help="listen beyond loopback, unencrypted, for everybody"
    )
    parser.add_argument("--settings", metavar="JSON", help="any other setting of nablad.server.Settings, as JSON")
    parser.add_argument("--embedded", action="store_true", help="serve the process that has started this one")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    embedded = given.pop("embedded")
    try:
        settings = _settings(given, embedded)
    except ValidationError as error:
        row = error.errors()[0]
        print(f"nablad: {'.'.join(str(part) for part in row['loc'])}: {row['msg']}", file=sys.stderr)
        raise SystemExit(1) from None
    from nablad.server import serving

    (serving.serve_embedded if embedded else serving.serve)(settings)


def _settings(given: dict[str, Any], embedded: bool) -> Settings:
    more = given.pop("settings", None)
    if more is not None:
        given |= Settings.model_validate_json(more).model_dump(exclude_unset=True)
    if embedded:
        token = sys.stdin.readline().strip()
        if not token:
            print("nablad: --embedded reads its token from stdin, and found none", file=sys.stderr)
            raise SystemExit(1)
        given |= {"listen": "127.0.0.1:0", "token": SecretStr(token)}
    return Settings.model_validate(given)


if __name__ == "__main__":
    main()
