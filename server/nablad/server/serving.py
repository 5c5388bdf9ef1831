"""A server from start to end.

Start: settings checked, the port bound, the template of the workers started, datasets read, the jobs of an earlier
server queued again, then SERVING; jobs and short requests wait until there are workers. End, on SIGTERM or SIGINT:
NOT_SERVING at once and no new jobs. Running jobs are left for the next server on this data directory, and streams told
from which seq to go on. Without a directory nothing comes after: jobs are cancelled and keep their best points, and
streams get their last blocks. Then the port is closed. All within `shutdown_seconds`; a second signal ends at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

# grpc's own lines on stderr would stand beside our log; what they say reaches us as exceptions.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from nablad.server import logs
from nablad.server.datasets.catalog import Catalog
from nablad.server.datasets.files import DatasetFiles
from nablad.server.home import InUse, home
from nablad.server.scheduler import Scheduler
from nablad.server.services.boundary import Boundary, Tokens
from nablad.server.services.datasets import READERS, DatasetService
from nablad.server.services.derivatives import DerivativeService
from nablad.server.services.solver import SolverService
from nablad.server.services.watching import Watchers
from nablad.server.settings import Settings, split_address
from nablad.server.short_requests import ShortRequests
from nablad.server.store import MemoryStore, SqliteStore, Store, StoreError
from nablad.server.supervisor import Template
from nablad.server.worker_config import WorkerConfig
from nablad.v1 import (
    dataset_pb2,
    dataset_pb2_grpc,
    derivative_pb2,
    derivative_pb2_grpc,
    solver_pb2,
    solver_pb2_grpc,
)
from nablad.wire import rpc
from nablad.wire.deserializers import MalformedRequests

SERVICES = (
    solver_pb2.DESCRIPTOR.services_by_name["SolverService"].full_name,
    dataset_pb2.DESCRIPTOR.services_by_name["DatasetService"].full_name,
    derivative_pb2.DESCRIPTOR.services_by_name["DerivativeService"].full_name,
)
OVERALL = ""
REASON = "the server was stopped"
STORE_FILE = "jobs.db"


class CannotServe(Exception):
    """The server cannot start; the message is one line for the person who started it."""


def serve(settings: Settings, announce: Callable[[int], None] | None = None) -> None:
    """Serves until it is told to stop. SystemExit(1), after one line on stderr, where it cannot start.

    With `announce` it tells its port by it, and ends with stdin.
    """
    try:
        asyncio.run(_serve(settings, announce))
    except CannotServe as error:
        print(f"nablad: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def serve_embedded(settings: Settings) -> None:
    """The same for a parent process: the port goes to stdout as one JSON line, and the end of stdin is the end."""
    serve(settings, _announce)


def _announce(port: int) -> None:
    print(json.dumps({"port": port}), flush=True)


async def _serve(settings: Settings, announce: Callable[[int], None] | None) -> None:
    _check_address(settings)
    logs.configure(settings.log_format)
    with ExitStack() as stack:
        try:
            directory = stack.enter_context(home(settings.data_dir))
            datasets = directory / "datasets"
            datasets.mkdir(exist_ok=True)
        except InUse as error:
            raise CannotServe(
                f"{error.path} is in use by another server: give each one a --data-dir of its own"
            ) from None
        except OSError as error:
            raise CannotServe(f"cannot use {settings.data_dir or tempfile.gettempdir()} for data: {error}") from None
        server = Server(settings, datasets, await _store(settings, directory))
        stop = asyncio.Event()
        _end_on_signals(stop, stack.close)
        if announce is not None:
            _end_with_parent(stop, server)
        try:
            port = await server.start()
            if announce is not None:
                # Who starts a server for himself has work for it: he need not count with its warming.
                await server.wait_until_ready()
                announce(port)
            await stop.wait()
            await server.shut_down()
        finally:
            await server.close()


async def _store(settings: Settings, directory: Path) -> Store:
    if settings.data_dir is None:
        return MemoryStore()
    path = directory / STORE_FILE
    try:
        return await SqliteStore.open(path)
    except StoreError as error:
        raise CannotServe(f"{path}: {error}") from None


def _check_address(settings: Settings) -> None:
    if not settings.is_loopback and not settings.allow_remote_plaintext:
        raise CannotServe(
            f"{settings.listen} can be reached from other machines, and nothing would be encrypted: "
            "listen on 127.0.0.1, or say --allow-remote-plaintext if that is what you want"
        )


def _end_on_signals(stop: asyncio.Event, tidy: Callable[[], None]) -> None:
    def handle(number: int) -> None:
        if stop.is_set():
            tidy()
            os._exit(128 + number)
        logs.info("stopping", signal=signal.Signals(number).name)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)


def _end_with_parent(stop: asyncio.Event, server: Server) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.hurry()
        stop.set()

    def wait() -> None:
        while os.read(0, 65536):
            pass
        with suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(end)

    threading.Thread(target=wait, name="parent", daemon=True).start()


class Server:
    """All parts of one server, put together."""

    def __init__(self, settings: Settings, datasets: Path, store: Store) -> None:
        self._settings = settings
        self._shutdown_seconds = settings.shutdown_seconds
        self._store = store
        durable = store.durable
        config = WorkerConfig(datasets=datasets, durable=durable, threads=settings.threads, limits=settings.limits)
        self._template = Template(config)
        self._catalog = Catalog(DatasetFiles(datasets, settings.limits.free_bytes, durable=durable), settings.limits)
        self._scheduler = Scheduler(self._store, self._template, self._catalog, settings)
        self._short = ShortRequests(self._template, self._catalog, settings)
        self._watchers = Watchers(self._store, self._scheduler, settings)
        self._solver = SolverService(self._store, self._scheduler, self._short, self._watchers, self._catalog, settings)
        self._derivatives = DerivativeService(self._store, self._short, self._catalog, settings)
        self._health = health.aio.HealthServicer()
        tokens = [] if settings.token is None else [Tokens(settings.token.get_secret_value())]
        self._grpc = grpc.aio.server(
            interceptors=[*tokens, Boundary(), MalformedRequests(READERS)], options=rpc.SERVER_OPTIONS
        )

    async def start(self) -> int:
        """Starts everything; the port. CannotServe where the address cannot be had, or the store not be written."""
        solver_pb2_grpc.add_SolverServiceServicer_to_server(self._solver, self._grpc)
        dataset_pb2_grpc.add_DatasetServiceServicer_to_server(
            DatasetService(self._catalog, self._scheduler, self._settings), self._grpc
        )
        derivative_pb2_grpc.add_DerivativeServiceServicer_to_server(self._derivatives, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._grpc)
        try:
            port = self._grpc.add_insecure_port(self._settings.listen)
        except RuntimeError:
            port = 0
        if port == 0:
            raise CannotServe(f"cannot listen on {self._settings.listen}: is another server running there?")
        # Imports and warming take the template some seconds, in a process of its own: calls are accepted meanwhile.
        self._short.start()
        await self._catalog.load()
        try:
            resumed = await self._scheduler.resume()
        except StoreError as error:
            raise CannotServe(f"jobs cannot be resumed: {error}") from None
        self._scheduler.start()
        await self._scheduler.forget_the_oldest()  # there may be room for fewer than before
        for record in resumed:
            self._watchers.expect(record)
        await self._grpc.start()
        for service in (OVERALL, *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        host, _ = split_address(self._settings.listen)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        logs.info("server started", address=address, pid=os.getpid(), workers=self._settings.workers)
        return port

    async def wait_until_ready(self) -> None:
        """Returns once there are workers: jobs are accepted before, and wait for them."""
        await asyncio.gather(self._short.wait_until_ready(), self._scheduler.wait_until_ready())

    def hurry(self) -> None:
        """The shutdown need not wait for anybody."""
        self._shutdown_seconds = 0.0

    async def shut_down(self) -> None:
        """Ends streams in order, and jobs that no later server could go on with, within the time there is."""
        deadline = asyncio.get_running_loop().time() + self._shutdown_seconds
        await self._health.enter_graceful_shutdown()
        self._solver.draining = self._derivatives.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                if self._store.durable:
                    await self._scheduler.stop()
                    self._end_streams()
                else:
                    await self._scheduler.drain(f"Cancelled: {REASON}.")
                await self._watchers.wait_until_none()
        logs.info("server stopped", jobs_left=self._scheduler.unfinished, streams_cut=self._watchers.count)

    async def close(self) -> None:
        """Ends whatever is left."""
        self._end_streams()
        if self._watchers.count:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, self._shutdown_seconds)):
                    await self._watchers.wait_until_none()
        await self._grpc.stop(min(0.5, self._shutdown_seconds))
        await self._short.stop()
        await self._scheduler.stop()
        await self._store.close()
        self._template.close()

    def _end_streams(self) -> None:
        self._watchers.close()
        self._store.wake()
