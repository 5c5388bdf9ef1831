"""What a server may be told: frozen values, checked once, before anything starts.

`Limits` are the bounds that hold before work begins; they travel to the workers as JSON. Everything that a client can
make grow has a row there.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, SecretStr, field_validator

DEFAULT_LISTEN = "127.0.0.1:50051"
MIB = 1 << 20
GIB = 1 << 30


class Limits(BaseModel):
    """How large anything may become. Sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: PositiveInt = 10**9
    parameters: PositiveInt = 10**8
    layers: PositiveInt = 256
    expression_text: PositiveInt = 100_000
    """Characters."""
    expression_nodes: PositiveInt = 200_000
    expression_inputs: PositiveInt = 10_000
    """Parameters and data arrays, each."""
    expression_constant_bytes: PositiveInt = 256 * MIB
    """Of all constants together, and of what is computed from them alone."""
    hessian_bytes: PositiveInt = 2 * GIB
    """What a method with a full Hessian may take for one p x p matrix."""
    workspace_bytes: PositiveInt = 8 * GIB
    """What the model estimates for its own memory, beside the data."""
    fill_bytes: PositiveInt = 256 * MIB
    iterations: PositiveInt = 10**7
    journal_bytes: PositiveInt = 512 * MIB
    """Of one job's recorded thetas."""
    title: PositiveInt = 120
    queue: PositiveInt = 10_000
    unfinished_bytes: PositiveInt = 2 * GIB
    """Of the specs of the jobs that have not ended."""
    watchers: PositiveInt = 1_000
    finished_jobs: PositiveInt = 1_000
    finished_bytes: PositiveInt = 2 * GIB
    """Of the journals and specs of the finished jobs; the oldest go first."""
    dataset_bytes: PositiveInt = 16 * GIB
    datasets_bytes: PositiveInt = 64 * GIB
    answers_bytes: PositiveInt = 4 * GIB
    """Of the datasets that carried replies home; the oldest go first."""
    free_bytes: PositiveInt = 64 * MIB
    """Disk space that uploads leave alone."""
    uploads: PositiveInt = 32
    short_requests: PositiveInt = 256
    """Validations and predictions that may wait for the reserved worker."""
    short_request_bytes: PositiveInt = 256 * MIB
    """Of those together."""
    prediction_bytes: PositiveInt = GIB
    """What a prediction may give back."""
    derivative_bytes: PositiveInt = GIB
    """What a derivative may give back."""
    taylor_order: PositiveInt = 64
    check_entries: PositiveInt = 10_000
    """Of each parameter, that a check of derivatives looks at."""
    described_nodes: PositiveInt = 10_000


class Settings(BaseModel):
    """A server's settings. ValidationError on what cannot be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = DEFAULT_LISTEN
    """HOST:PORT; port 0 takes any that is free."""
    data_dir: Path | None = None
    """Where jobs and datasets are kept: the next server there goes on with the jobs that have not ended. Without it
    jobs are in memory, and datasets in a temporary directory; both end with the server.
    """
    workers: PositiveInt = Field(default_factory=lambda: available_cores())
    """How many solves run at once; one more process is reserved for short requests."""
    allow_remote_plaintext: bool = False
    """Listen beyond loopback although nothing is encrypted and nobody is asked who he is."""
    token: SecretStr | None = None
    """If given, every call must carry it as `authorization: Bearer <token>`."""
    log_format: Literal["auto", "json", "text"] = "auto"
    limits: Limits = Limits()

    heartbeat_seconds: PositiveFloat = 5.0
    stall_seconds: PositiveFloat = 30.0
    """How long one message may wait for a watcher that does not read, or for the next chunk of an upload."""
    unwatched_seconds: PositiveFloat = 10.0
    """How long a job that wants to be watched waits for its watcher to come back."""
    shutdown_seconds: PositiveFloat = 10.0
    short_request_seconds: PositiveFloat = 120.0
    max_deaths: PositiveInt = 3
    """So many workers may die on one job before it is given up."""

    @field_validator("listen")
    @classmethod
    def _has_host_and_port(cls, value: str) -> str:
        split_address(value)
        return value

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can reach the address."""
        host, _ = split_address(self.listen)
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def threads(self) -> int:
        """Row-block threads of each worker: the cores shared out."""
        return max(1, available_cores() // self.workers)


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def split_address(address: str) -> tuple[str, int]:
    """("::1", 50051) of "[::1]:50051". ValueError if it is not HOST:PORT."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT, such as {DEFAULT_LISTEN}")
    return host, int(port)
