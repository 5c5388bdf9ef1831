"""Worker processes as the front sees them: started one by one, spoken to by frames, seen to die.

Each worker has one socket. Its end of file is the worker's death, whatever the cause; and the front's death is the end
of file that every worker waits for. Starting one: a message with the worker's end of a new socket pair to the template
process, which forks.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from nablad.server import frames
from nablad.server.frames import Frame, FrameError, Kind
from nablad.server.worker_config import PID, WorkerConfig

# One BLAS thread per worker: parallelism is above it, in row blocks and workers.
SINGLE_THREADED = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
START_SECONDS = 60.0


class WorkerLost(Exception):
    """The worker's process has ended."""


class Worker:
    """A live worker process."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader = reader
        self._writer = writer
        self._killed = False

    async def send(self, frame: Frame) -> None:
        """Sends a command. WorkerLost."""
        try:
            self._writer.write(frames.encode(frame))
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerLost(self.pid) from error

    async def receive(self) -> Frame:
        """The next reply. WorkerLost where there will be none."""
        try:
            frame = await frames.read(self._reader)
        except FrameError as error:
            raise WorkerLost(self.pid) from error
        if frame is None:
            raise WorkerLost(self.pid)
        return frame

    async def idle_until(self, wanted: asyncio.Future[None]) -> bool:
        """Waits for something to do; False where the worker dies before."""
        died = asyncio.create_task(self._died())
        try:
            await asyncio.wait({died, wanted}, return_when=asyncio.FIRST_COMPLETED)
            return not died.done()
        finally:
            died.cancel()
            await asyncio.wait({died})

    async def _died(self) -> None:
        with suppress(WorkerLost):
            while True:
                await self.receive()

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have died."""
        return self._reader.at_eof()

    def kill(self) -> None:
        """Ends the process at once, and only once: one that is gone has left its number to whoever comes next."""
        if not self._killed and not self.is_gone:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._killed = True
        self._writer.close()


class Template:
    """The process that forks workers; restarted if it dies."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = asyncio.Lock()

    async def start_worker(self) -> Worker:
        """A new worker, ready for work. WorkerLost if it ends before it is."""
        ours, theirs = socket.socketpair()
        try:
            async with self._lock:
                template = self._running()
                with theirs:
                    socket.send_fds(template, [self._config.model_dump_json().encode()], [theirs.fileno()])
                loop = asyncio.get_running_loop()
                answer = await asyncio.wait_for(loop.sock_recv(template, PID.size), START_SECONDS)
            if len(answer) < PID.size:
                raise WorkerLost("the template process has ended")
            ours.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except (OSError, WorkerLost, TimeoutError) as error:
            ours.close()
            self.close()
            raise WorkerLost("no worker could be started") from error
        worker = Worker(PID.unpack(answer)[0], reader, writer)
        try:
            ready = await asyncio.wait_for(worker.receive(), START_SECONDS)
        except (WorkerLost, TimeoutError) as error:
            worker.kill()
            raise WorkerLost(worker.pid) from error
        if ready.kind is not Kind.READY or json.loads(ready.parts[0])["pid"] != worker.pid:
            worker.kill()
            raise WorkerLost(worker.pid)
        return worker

    def _running(self) -> socket.socket:
        if self._process is not None and self._process.poll() is None and self._socket is not None:
            return self._socket
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nablad.server.worker.template", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | SINGLE_THREADED,
                start_new_session=True,
            )
        ours.setblocking(False)
        self._socket = ours
        return ours

    def close(self) -> None:
        """Ends the template; the workers that it has forked stay."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.2)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None
