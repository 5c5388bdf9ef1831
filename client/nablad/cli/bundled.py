"""The data sets that come with nablad, as CSV files in data/; data/README.md names their sources and licences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nablad.cli.errors import CommandError, nearest


@dataclass(frozen=True)
class Bundled:
    """A data set: its name on the command line, the column to fit, and what it is."""

    name: str
    target: str
    labels: bool
    description: str

    @property
    def path(self) -> Path:
        """Where its CSV file is."""
        return Path(__file__).parent / "data" / f"{self.name}.csv"


BUNDLED = {
    row.name: row
    for row in (
        Bundled("norris", "y", False, "calibration of ozone monitors, 36 rows (NIST)"),
        Bundled("longley", "TOTEMP", False, "US employment 1947-1962, 16 rows, six almost collinear columns (NIST)"),
        Bundled("breast_cancer", "diagnosis", True, "tumours, benign or malignant, 569 rows (Wisconsin, UCI)"),
    )
}


def find(data: str) -> tuple[str, Bundled | None]:
    """The path of `data`, a file's path, '-' or the name of a bundled set; and that set. A file goes before a name."""
    if data == "-" or Path(data).exists():
        return data, None
    if data in BUNDLED:
        return str(BUNDLED[data].path), BUNDLED[data]
    if Path(data).suffix or "/" in data:
        raise CommandError(f"there is no file {data}")
    raise CommandError(
        f"there is no file {data!r}, and no bundled data set{nearest(data, BUNDLED) or ': ' + ', '.join(BUNDLED)}"
    )
