"""What a worker is told at its birth."""

from __future__ import annotations

import struct
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from nablad.server.settings import Limits

# A process id on its way from the template to the front.
PID = struct.Struct("<q")


class WorkerConfig(BaseModel):
    """Travels as JSON."""

    model_config = ConfigDict(frozen=True)

    datasets: Path
    durable: bool
    """Whether the datasets outlive the server."""
    threads: int
    limits: Limits
