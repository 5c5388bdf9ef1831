"""What the service costs beside the solves: uploads, memory, a second worker, a thousand watchers.

- Upload: an array through `client.upload` (hashed, checked by CRC, written to a file) beside the same bytes in chunks
  of the same size through a bare gRPC stream, whose server counts them and forgets them. Both servers are processes.
- Memory: what server, template and workers hold together while a dataset is uploaded and solved: the sum of their PSS,
  in which a page that several share counts once. Sampled; peaks between two samples are missed.
- Workers: solves per second of one-thread workers, one and two, jobs waiting all the while.
- Watchers: streams of one job at once, from several client processes. Each checks that nothing is missing: events and
  skipped ones add up to the seq, and the last event is the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import numpy as np

from benchmarks.machine import describe
from benchmarks.timing import pretty, table
from nablad.client import Client, GradientDescent, Layer, LeastSquares, Network, Newton, Stopping, Thinning
from nablad.v1 import event_pb2, solver_pb2
from nablad.wire import chunks, rpc

ROUNDS = 7
UPLOAD_ROWS = 250_000
COLUMNS = 100
MEMORY_ROWS = 500_000
WATCHERS = 1_000
WATCHING_PROCESSES = 2
WATCHED_ITERATIONS = 10_000
Metadata = tuple[tuple[str, str], ...]
SINK = "/bench.Sink/Upload"
WATCH = "/nablad.v1.SolverService/WatchSolveJob"


# Uploads


async def _sink() -> None:
    """A server that takes a stream of bytes and answers with their number; it prints its port."""

    async def take(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        total = 0
        async for message in messages:
            total += len(message)
        return str(total).encode()

    server = grpc.aio.server(options=rpc.SERVER_OPTIONS)
    handler = grpc.stream_unary_rpc_method_handler(take)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Sink", {"Upload": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


@contextlib.contextmanager
def bare_server() -> Iterator[grpc.Channel]:
    """A channel to a sink in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.service", "sink"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=rpc.CLIENT_OPTIONS) as channel:
            yield channel
    finally:
        process.kill()
        process.wait()


def bare_upload(channel: grpc.Channel, array: np.ndarray) -> float:
    """Seconds of the array's bytes as a stream of chunks, nothing checked."""
    data = memoryview(array).cast("B")
    pieces = (bytes(data[at : at + chunks.CHUNK_BYTES]) for at in range(0, len(data), chunks.CHUNK_BYTES))
    began = time.perf_counter()
    total = channel.stream_unary(SINK)(pieces)
    seconds = time.perf_counter() - began
    assert int(total) == len(data)
    return seconds


def upload(client: Client, array: np.ndarray) -> float:
    """Seconds of an upload; the dataset is deleted."""
    began = time.perf_counter()
    dataset = client.upload(array)
    seconds = time.perf_counter() - began
    client.delete_dataset(dataset)
    return seconds


def uploads() -> str:
    generator = np.random.default_rng(0)
    array = generator.standard_normal((UPLOAD_ROWS, COLUMNS))
    bare: list[float] = []
    ours: list[float] = []
    with bare_server() as channel, Client.embedded(workers=1) as client:
        for i in range(ROUNDS + 1):
            print(f"service: upload {i} of {ROUNDS}", file=sys.stderr)
            seconds = bare_upload(channel, array), upload(client, array)
            if i:
                bare.append(seconds[0])
                ours.append(seconds[1])
    shares = sorted(a / b for a, b in zip(bare, ours, strict=True))
    size = array.nbytes / 1e6
    rows = [
        ["bare gRPC", f"{size / statistics.median(bare):,.0f} MB/s", "1.00"],
        [
            "client.upload",
            f"{size / statistics.median(ours):,.0f} MB/s",
            f"{statistics.median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f})",
        ],
    ]
    return table([f"{size:,.0f} MB", "rate", "of bare"], rows)


# Memory


def family(root: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def resident(pids: list[int]) -> int:
    """Bytes that the processes hold in memory together: a page shared by n of them is a n-th of each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


class Peak:
    """The most memory that a server's processes are seen to hold while the block runs."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._stop = threading.Event()
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.bytes = max(self.bytes, resident(family(self._root)))
            self._stop.wait(0.05)


def server_process(client: Client) -> int:
    server = client._server
    assert server is not None
    return server.process.pid


def memory() -> str:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((MEMORY_ROWS, COLUMNS))
    targets = features @ np.ones(COLUMNS) + generator.standard_normal(MEMORY_ROWS)
    size = features.nbytes + targets.nbytes
    rows = []
    with Client.embedded(workers=2) as client:
        root = server_process(client)
        client.solve(LeastSquares(features[:50], targets[:50])).result()  # its workers are there now
        idle = resident(family(root))
        rows.append(["idle, two workers", f"{idle / 1e6:,.0f} MB", f"{idle / size:.2f}"])

        def row(name: str, peak: Peak) -> None:
            rows.append([name, f"{peak.bytes / 1e6:,.0f} MB", f"{peak.bytes / size:.2f}"])

        print("service: memory", file=sys.stderr)
        with Peak(root) as peak:
            x, y = client.upload(features), client.upload(targets)
        row("upload", peak)
        network = Network(x, y, [Layer(16, "tanh"), Layer(1)])
        solves = {
            "gradient descent, 20 iterations": (LeastSquares(x, y), GradientDescent(), 20),
            "Newton": (LeastSquares(x, y), Newton(), 20),
            "network 100-16-1, 3 iterations": (network, GradientDescent(), 3),
        }
        for name, (model, method, most) in solves.items():
            with Peak(root) as peak:
                client.solve(model, method, stopping=Stopping(max_iterations=most)).result()
            row(name, peak)
    return table([f"dataset of {size / 1e6:,.0f} MB", "peak, all processes", "of the dataset"], rows)


# Workers


def solves_a_second(client: Client, jobs: int) -> float:
    """Of small networks, all submitted at once. Their 200 rows are one block: a worker has one thread for it."""
    generator = np.random.default_rng(1)
    inputs = generator.standard_normal((200, 2))
    model = Network(inputs, np.sin(inputs.sum(axis=1)), [Layer(16, "tanh"), Layer(16, "tanh"), Layer(1)])
    stopping = Stopping(max_iterations=1_000, relative_gradient_tolerance=0.0)
    began = time.perf_counter()
    waiting = [client.submit(model, GradientDescent(1e-4), stopping=stopping) for _ in range(jobs)]
    for job in waiting:
        job.watch(thinning=Thinning.budget(8)).result()
    return jobs / (time.perf_counter() - began)


def workers() -> str:
    rates: dict[int, list[float]] = {1: [], 2: []}
    with Client.embedded(workers=1) as one, Client.embedded(workers=2) as two:
        for i in range(ROUNDS + 1):
            print(f"service: workers, round {i} of {ROUNDS}", file=sys.stderr)
            for count, client in ((1, one), (2, two)):
                rate = solves_a_second(client, 6)
                if i:
                    rates[count].append(rate)
    ratios = sorted(b / a for a, b in zip(rates[1], rates[2], strict=True))
    rows = [
        ["1", f"{statistics.median(rates[1]):.2f}", "1.00"],
        [
            "2",
            f"{statistics.median(rates[2]):.2f}",
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        ],
    ]
    return table(["workers, one thread each", "solves / s", "of one"], rows)


# Watchers


async def _watch(channel: grpc.aio.Channel, metadata: Metadata, request: bytes) -> tuple[int, int]:
    """How many events came, and how many were told to be skipped. Raises if one is missing without a word."""
    told = events = skipped = last = 0
    ended = False
    async for data in channel.unary_stream(WATCH)(request, metadata=metadata):
        block = event_pb2.SolveEventBlock.FromString(data)
        seqs = [event.seq for event in block.events]
        assert all(a < b for a, b in itertools.pairwise([last, *seqs])), "not in order"
        last = seqs[-1] if seqs else last
        assert block.last_seq == told + len(seqs) + block.skipped, "a gap that nobody told"
        told = block.last_seq
        events += len(seqs)
        skipped += block.skipped
        ended = ended or any(event.HasField("done") for event in block.events[-2:])
    assert ended, "the end is missing"
    return events, skipped


async def _watch_all(target: str, token: str, count: int) -> None:
    """`count` watchers on one connection, once it hears the job's name: every 50th sees all events, others some."""
    metadata = ((rpc.AUTHORIZATION_METADATA, f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(target, options=rpc.CLIENT_OPTIONS) as channel:
        await channel.channel_ready()
        print("ready", flush=True)
        name = (await asyncio.to_thread(sys.stdin.readline)).strip()
        whole = solver_pb2.WatchSolveJobRequest(name=name)
        thinned = solver_pb2.WatchSolveJobRequest(name=name, thinning=solver_pb2.Thinning(budget=100))
        requests = [(thinned if i % 50 else whole).SerializeToString() for i in range(count)]
        seen = await asyncio.gather(*(_watch(channel, metadata, request) for request in requests))
    totals = {events + skipped for events, skipped in seen}
    print(len(seen), sum(events for events, _ in seen), min(totals), max(totals))


def _watching(target: str, token: str, count: int) -> subprocess.Popen[str]:
    """A process with so many watchers, ready to go."""
    arguments = [sys.executable, "-m", "benchmarks.service", "watch", target, str(count)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{token}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    return process


def watched(client: Client, count: int) -> list[str]:
    """A row: `count` watchers of a job, from its request to the end of the last of them."""
    print(f"service: {count} watchers", file=sys.stderr)
    server = client._server
    assert server is not None
    features = np.random.default_rng(2).standard_normal((200, 10)) * np.logspace(0, -4, 10)
    model = LeastSquares(features, features.sum(axis=1))
    method = GradientDescent(float(0.5 / np.linalg.norm(features, 2) ** 2))
    stopping = Stopping(max_iterations=WATCHED_ITERATIONS, relative_gradient_tolerance=0.0)
    processes = [
        _watching(server.target, server.token, len(range(i, count, WATCHING_PROCESSES)))
        for i in range(min(count, WATCHING_PROCESSES))
    ]
    root = server.process.pid
    before = resident(family(root))
    with Peak(root) as peak:
        began = time.perf_counter()
        name = client.submit(model, method, stopping=stopping).name
        told = [[int(number) for number in process.communicate(f"{name}\n")[0].split()] for process in processes]
        seconds = time.perf_counter() - began
    came, received, fewest, most = zip(*told, strict=True)
    assert sum(came) == count
    assert min(fewest) == max(most), "watchers saw journals of different lengths"
    return [
        f"{count:,}",
        f"{max(most):,}",
        f"{sum(received):,}",
        pretty(seconds),
        f"{sum(received) / seconds:,.0f}",
        f"{max(0, peak.bytes - before) / 1e6:,.0f} MB",
    ]


def watchers() -> str:
    with Client.embedded(workers=1) as client:
        watched(client, 1)
        rows = [watched(client, count) for count in (1, 100, WATCHERS)]
    head = ["watchers", "events of the job", "received by all", "until the last has its end", "received / s", "memory"]
    return table(head, rows)


SECTIONS = {"uploads": uploads, "memory": memory, "workers": workers, "watchers": watchers}


def main() -> str:
    return "\n\n".join([describe("numpy", "grpcio", "protobuf"), *(section() for section in SECTIONS.values())])


if __name__ == "__main__":
    # The processes that this benchmark starts; or some of its sections.
    if sys.argv[1] == "sink":
        asyncio.run(_sink())
    elif sys.argv[1] == "watch":
        asyncio.run(_watch_all(sys.argv[2], sys.stdin.readline().strip(), int(sys.argv[3])))
    else:
        for name in sys.argv[1:]:
            print(f"{SECTIONS[name]()}\n")
