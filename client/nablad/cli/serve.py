"""`nablad serve`: the one place where the command line meets the server package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nablad.cli.errors import CommandError, Exit


def serve(
    listen: str | None, data_dir: Path | None, workers: int | None, log_format: str | None, allow_remote_plaintext: bool
) -> Exit:
    """Run the service until it is told to stop. What is not given has the server's own default."""
    from pydantic import ValidationError

    from nablad.server import Settings
    from nablad.server import serve as run

    given: dict[str, Any] = {"listen": listen, "data_dir": data_dir, "workers": workers, "log_format": log_format}
    try:
        settings = Settings(
            **{name: value for name, value in given.items() if value is not None},
            allow_remote_plaintext=allow_remote_plaintext,
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "settings"
        raise CommandError(f"{option}: {first['msg'].removeprefix('Value error, ')}") from None
    run(settings)
    return Exit.CONVERGED
