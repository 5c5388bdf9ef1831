"""Datasets: what arrives whole is kept under its hash; what does not leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server.running import (
    TIMEOUT,
    Running,
    array_of,
    data,
    descent,
    endless,
    iterates_of,
    quick,
    refused,
    result_of,
    serving,
    upload_of,
    wait_for,
)

from nablad.v1 import dataset_pb2, event_pb2, model_pb2, solver_pb2, tensor_pb2
from nablad.wire import chunks
from nablad.wire.tensors import AnyArray, encode, hash_array

RNG = np.random.default_rng(11)
DatasetRequest = dataset_pb2.UploadDatasetRequest


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[Running]:
    limits = {"dataset_bytes": 20_000_000, "datasets_bytes": 60_000_000, "uploads": 2}
    with serving("--data-dir", str(store), workers=1, stall_seconds=1.0, limits=limits) as running:
        yield running
        assert not running.logged("call failed inside the server"), running.log_text()
        assert not running.logged("job failed inside the server"), running.log_text()


def files(store: Path) -> set[str]:
    return {path.name for path in (store / "datasets").iterdir()}


def download(server: Running, name: str, offset: int = 0) -> tuple[dataset_pb2.Dataset, bytes]:
    request = dataset_pb2.DownloadDatasetRequest(name=name, offset=offset)
    first, *rest = server.datasets.DownloadDataset(request, timeout=TIMEOUT)
    at = offset
    for response in rest:
        chunks.check(response.chunk, at, first.header.size_bytes)
        at += len(response.chunk.data)
    return first.header, b"".join(response.chunk.data for response in rest)


def send(server: Running, requests: list[DatasetRequest]) -> Any:
    return server.datasets.UploadDataset(iter(requests), timeout=TIMEOUT)


@pytest.mark.parametrize(
    "array",
    [
        RNG.normal(size=(500, 40)),
        RNG.normal(size=(3, 2, 5)).astype(np.float32),
        np.arange(10),
        np.zeros((0, 3)),
        np.array(2.5),
    ],
    ids=lambda a: f"{a.dtype}-{a.shape}",
)
def test_an_array_goes_up_and_comes_down(server: Running, array: AnyArray) -> None:
    dataset = server.upload(array)
    assert dataset.name == f"datasets/{hash_array(array)}"
    header, received = download(server, dataset.name)
    assert header == dataset
    assert received == array.tobytes()
    assert download(server, dataset.name, array.nbytes // 2)[1] == received[array.nbytes // 2 :]
    assert server.datasets.GetDataset(dataset_pb2.GetDatasetRequest(name=dataset.name)) == dataset


def test_what_is_here_already_is_answered_at_once(server: Running) -> None:
    array = RNG.normal(size=1000)
    dataset = server.upload(array, sha256=hash_array(array))
    assert server.upload(array) == dataset
    header = upload_of(array, sha256=hash_array(array))[:1]
    assert send(server, header) == dataset  # no chunk was needed


def test_a_chunk_may_have_fields_of_tomorrow(server: Running) -> None:
    array = RNG.normal(size=1000)
    header, chunk = upload_of(array)
    unknown = dataset_pb2.Chunk.FromString(chunk.chunk.SerializeToString() + b"\x38\x07")
    assert send(server, [header, DatasetRequest(chunk=unknown)]).name == f"datasets/{hash_array(array)}"


ARRAY = RNG.normal(size=(200, 100))
WHOLE = upload_of(ARRAY)


def chunk(index: int, **fields: Any) -> DatasetRequest:
    changed = DatasetRequest()
    changed.CopyFrom(WHOLE[index])
    for name, value in fields.items():
        setattr(changed.chunk, name, value)
    return changed


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "header"),
        (WHOLE[1:], "header"),
        ([WHOLE[0], WHOLE[0]], "chunk"),
        (WHOLE[:-1], "chunk"),
        ([WHOLE[0], WHOLE[2]], "chunk.offset"),
        ([*WHOLE[:2], WHOLE[1]], "chunk.offset"),
        ([WHOLE[0], chunk(1, offset=-1)], "chunk.offset"),
        ([WHOLE[0], chunk(1, crc32c=1)], "chunk.crc32c"),
        ([*WHOLE, chunk(-1, offset=ARRAY.nbytes)], "chunk.data"),
        (upload_of(ARRAY, sha256="0" * 64), "header.sha256"),
        (upload_of(ARRAY, sha256="xyz"), "header.sha256"),
        ([*WHOLE, DatasetRequest(sha256="0" * 64)], "header.sha256"),
        ([*WHOLE, DatasetRequest(sha256="xyz")], "sha256"),
        ([*upload_of(ARRAY, sha256="1" * 64), DatasetRequest(sha256="1" * 64)], "sha256"),
        ([DatasetRequest(header={"shape": [3]})], "header.dtype"),
        ([DatasetRequest(header={"dtype": 1, "shape": [-3]})], "header.shape[0]"),
        ([DatasetRequest(header={"dtype": 1, "shape": [2**40, 2**40]})], "header.shape"),
    ],
    ids=range(17),
)
def test_a_damaged_upload_is_named_and_leaves_nothing(
    server: Running, store: Path, requests: list[DatasetRequest], field: str
) -> None:
    before = files(store)
    details = refused(lambda: send(server, requests))
    assert details.code == "INVALID_ARGUMENT"
    assert details.violations[0].field == field, details.violations
    wait_for(lambda: files(store) == before, "the part to be removed")


def test_an_upload_that_is_cut_or_stalls_leaves_nothing(server: Running, store: Path) -> None:
    before = files(store)

    def stalling() -> Iterator[DatasetRequest]:
        yield from WHOLE[:2]
        time.sleep(3)

    call = server.datasets.UploadDataset.future(stalling(), timeout=TIMEOUT)
    wait_for(lambda: any(name.endswith(".part") for name in files(store)), "the upload to begin")
    call.cancel()
    wait_for(lambda: files(store) == before, "the part to be removed")
    assert refused(lambda: server.datasets.UploadDataset(stalling(), timeout=TIMEOUT)).reason == "UPLOAD_STALLED"
    wait_for(lambda: files(store) == before, "the part to be removed")


def test_sizes_are_bounded(server: Running) -> None:
    header = DatasetRequest(header={"dtype": 1, "shape": [2_500_001]})
    assert refused(lambda: send(server, [header])).reason == "DATASET_TOO_LARGE"


def test_a_job_uses_a_dataset_and_protects_it(server: Running) -> None:
    features, _ = data()
    name = server.upload(features).name

    def delete() -> Any:
        return server.datasets.DeleteDataset(dataset_pb2.DeleteDatasetRequest(name=name), timeout=TIMEOUT)

    reference = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT64, shape=features.shape, dataset=name)
    spec = endless()
    spec.model.least_squares.features.CopyFrom(reference)
    job = server.create(spec)
    details = refused(delete)
    assert (details.code, details.resource) == ("FAILED_PRECONDITION", name)
    assert job.name in details.message
    server.wait_until_it_iterates(job.name)  # so that it ends with a point
    server.cancel(job.name)
    server.wait_until(job.name, event_pb2.JOB_STATE_CANCELLED)
    plain, referring = quick(), quick()
    referring.model.least_squares.features.CopyFrom(reference)
    assert result_of(server.solve(plain)).theta == result_of(server.solve(referring)).theta
    delete()
    assert refused(delete).code == "NOT_FOUND"
    details = refused(lambda: server.create(referring))
    assert details.violations[0].field == "spec.model.least_squares.features.dataset"
    request = solver_pb2.PredictRequest(solve_job=job.name, inputs=encode(features))
    assert refused(lambda: server.solver.Predict(request, timeout=TIMEOUT)).reason == "DATASET_DELETED"


def test_large_results_and_predictions_travel_as_datasets(server: Running) -> None:
    columns = 140_000
    features, targets = RNG.normal(size=(4, columns)) / 300, np.ones(4)
    uploaded = server.upload(features)
    spec = solver_pb2.SolveSpec(
        model=model_pb2.Model(
            least_squares=model_pb2.LeastSquares(
                features=tensor_pb2.Tensor(dtype=1, shape=features.shape, dataset=uploaded.name),
                targets=encode(targets),
            )
        ),
        record_theta=solver_pb2.RecordTheta(every=2),
        **descent(1e-3, max_iterations=4),
    )
    events = server.solve(spec)
    thetas = [i.theta for i in iterates_of(events) if i.HasField("theta")]
    result = result_of(events)
    assert len(thetas) == 3
    for theta in (*thetas, result.theta, result.gradient):
        assert theta.WhichOneof("encoding") == "dataset"
        header, _ = download(server, theta.dataset)
        assert list(header.shape) == [columns]
    theta = np.frombuffer(download(server, result.theta.dataset)[1])
    np.testing.assert_allclose(np.sum((targets - features @ theta) ** 2), result.loss)


def test_lists_have_pages(server: Running) -> None:
    made = [server.upload(np.full(3, float(index))).name for index in range(100, 105)]
    request = dataset_pb2.ListDatasetsRequest(page_size=3)
    first = server.datasets.ListDatasets(request)
    assert [dataset.name for dataset in first.datasets] == made[:1:-1]
    server.upload(np.full(3, -1.0))
    second = server.datasets.ListDatasets(
        dataset_pb2.ListDatasetsRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [dataset.name for dataset in second.datasets] == made[1::-1]


def test_datasets_outlive_their_server(tmp_path: Path) -> None:
    array = RNG.normal(size=50)
    with serving("--data-dir", str(tmp_path), workers=1) as server:
        dataset = server.upload(array)
    (tmp_path / "datasets" / "left-over.part").write_bytes(b"x")
    with serving("--data-dir", str(tmp_path), workers=1) as server:
        assert download(server, dataset.name) == (dataset, array.tobytes())
        assert files(tmp_path) == {f"{hash_array(array)}.bin", f"{hash_array(array)}.json"}


def test_a_full_disk_refuses_the_upload_and_nothing_else(tmp_path: Path) -> None:
    with serving("--data-dir", str(tmp_path), workers=1, file_bytes=1 << 20) as server:
        for _ in range(2):
            details = refused(lambda: server.upload(np.zeros(300_000)))
            assert (details.code, details.reason) == ("RESOURCE_EXHAUSTED", "DISK_FULL")
        assert files(tmp_path) == set()
        assert server.upload(np.zeros(1000)).size_bytes == 8000
        assert array_of(result_of(server.solve(quick())).theta).shape == (3,)
