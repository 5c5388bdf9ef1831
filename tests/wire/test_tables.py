"""Names, statuses and references."""

from __future__ import annotations

import numpy as np
import pytest

from nablad.v1 import event_pb2, solver_pb2, tensor_pb2, termination_pb2
from nablad.wire import names, references, statuses, tensors


def test_the_table_has_every_status_of_the_wire_once() -> None:
    assert {row.number for row in statuses.STATUSES.values()} == set(termination_pb2.Status.values()) - {0}
    assert len(statuses.BY_SOLVER_NAME) == len(statuses.STATUSES)


def test_the_solvers_have_the_same_statuses_and_families() -> None:
    from nablad.solvers.status import Status

    assert {s.name: s.family.name for s in Status} == {
        row.solver_name: row.family for row in statuses.STATUSES.values()
    }
    assert all(row.success == Status[row.solver_name].success for row in statuses.STATUSES.values())


def test_names_of_numbers() -> None:
    for row in statuses.STATUSES.values():
        assert statuses.status_name(row.number) == row.name
        assert statuses.family_name(row.family_number) == row.family
    assert statuses.status_name(0) == "UNSPECIFIED"
    assert statuses.status_name(12345) == "STATUS_12345"
    for verdict in ("minimum", "saddle", "flat", "maximum", "unverified"):
        assert statuses.verdict_name(statuses.verdict_number(verdict)) == verdict
    assert [statuses.state_number(s) for s in statuses.STATES] == [1, 2, 3, 4, 5]
    assert set(statuses.STATES) >= statuses.TERMINAL_STATES


def test_resource_names() -> None:
    digest = tensors.hash_array(np.zeros(3))
    assert names.id_of(names.DATASETS, names.name_of(names.DATASETS, digest)) == digest
    assert names.id_of(names.JOBS, "solveJobs/a-1_Z") == "a-1_Z"


@pytest.mark.parametrize(
    ("collection", "name"),
    [
        (names.JOBS, name)
        for name in (
            "",
            "a",
            "solveJobs",
            "solveJobs/",
            "solveJobs/../x",
            "solveJobs/a/b",
            "datasets/a",
            "solveJobs/a\n",
        )
    ]
    + [
        (names.DATASETS, "datasets/abc"),
        (names.DATASETS, "datasets/" + "g" * 64),
        (names.DATASETS, "datasets/.." * 20),
    ],
)
def test_other_names_are_refused(collection: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"{collection}/{{id}}"):
        names.id_of(collection, name)


def test_references_finds_every_tensor_with_its_path() -> None:
    request = solver_pb2.SolveRequest()
    request.spec.model.least_squares.features.dataset = "datasets/a"
    request.spec.model.least_squares.targets.dataset = "datasets/b"
    request.spec.start.raw = b""
    assert [path for path, _ in references.tensors_in(request)] == [
        "spec.model.least_squares.features",
        "spec.model.least_squares.targets",
        "spec.start",
    ]
    assert references.datasets_in(request) == ["datasets/a", "datasets/b"]

    result = event_pb2.SolveResult(settings_used={"a": "b"})
    for name in "AbA":
        result.parameters.add(name=name, value=tensor_pb2.Tensor(dataset=f"datasets/{name}"))
    block = event_pb2.SolveEventBlock(events=[event_pb2.SolveEvent(done=event_pb2.Done(result=result))])
    assert [path for path, _ in references.tensors_in(block)] == [
        f"events[0].done.result.parameters[{i}].value" for i in range(3)
    ]
    assert references.datasets_in(block) == ["datasets/A", "datasets/b"]
