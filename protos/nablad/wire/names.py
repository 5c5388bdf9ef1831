"""Resource names: `solveJobs/{id}` and `datasets/{id}`, id of the SHA-256 in hexadecimal for a dataset."""

from __future__ import annotations

import re

JOBS = "solveJobs"
DATASETS = "datasets"

_ID = {
    JOBS: re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"),
    DATASETS: re.compile(r"[0-9a-f]{64}"),
}


def name_of(collection: str, identifier: str) -> str:
    """`name_of(JOBS, "a1")` is "solveJobs/a1"."""
    return f"{collection}/{identifier}"


def id_of(collection: str, name: str) -> str:
    """The id in a resource's name. ValueError, with the form that is expected, if it is not such a name."""
    head, _, identifier = name.partition("/")
    if head != collection or not _ID[collection].fullmatch(identifier):
        raise ValueError(f"{name!r} is not a name of the form {collection}/{{id}}")
    return identifier
