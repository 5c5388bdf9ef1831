"""A worker: takes one command at a time from its socket, and answers.

A reader thread takes the frames, so that a cancel reaches a running solve through its Control, and the end of file,
which is the front's end, ends the worker at once: no worker outlives its front. The main thread does the work.

A MemoryError is told and then ends the process: what it leaves of the heap is of no use. Any other exception is a
fault of ours; it is told, and the worker goes on.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
import traceback
from typing import NoReturn

from google.rpc import status_pb2

from nablad.server import frames
from nablad.server.datasets.files import FULL, DatasetFiles
from nablad.server.frames import Frame, FrameError, Kind
from nablad.server.worker import evaluate, solve
from nablad.server.worker.context import WorkerContext
from nablad.server.worker.emitter import Emitter, Flusher
from nablad.server.worker.violations import Violations
from nablad.server.worker_config import WorkerConfig
from nablad.solvers import Control, Interrupted, Status
from nablad.wire import errors
from nablad.wire.statuses import BY_SOLVER_NAME


def main(connection: socket.socket, config: bytes) -> NoReturn:
    """The whole life of a worker."""
    try:
        _Process(connection, WorkerConfig.model_validate_json(config)).serve()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class _Process:
    def __init__(self, connection: socket.socket, config: WorkerConfig) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._commands: queue.SimpleQueue[tuple[Frame, Control]] = queue.SimpleQueue()
        self._control = Control()
        self._flusher = Flusher()
        self._context = WorkerContext(
            DatasetFiles(config.datasets, config.limits.free_bytes, durable=config.durable),
            config.limits,
            config.threads,
            self._announce,
        )

    def serve(self) -> None:
        """Works until it is told to shut down."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        self._send(Frame(Kind.READY, (json.dumps({"pid": os.getpid()}).encode(),)))
        while True:
            frame, control = self._commands.get()
            if frame.kind is Kind.SHUTDOWN:
                return
            if frame.kind is Kind.SOLVE:
                self._solve(frame, control)
            else:
                self._evaluate(frame, control)

    def _read(self) -> None:
        try:
            while (frame := frames.receive(self._connection)) is not None:
                if frame.kind is Kind.CANCEL:
                    self._control.cancel()
                elif frame.kind in (Kind.PAUSE, Kind.STEER):
                    message = f"this server cannot {frame.kind.name.lower()} a job"
                    self._send(_refused(errors.unimplemented(message)))
                else:
                    self._control = Control()
                    self._commands.put((frame, self._control))
        except FrameError:
            traceback.print_exc()
        finally:
            os._exit(0)

    def _send(self, frame: Frame) -> None:
        data = frames.encode(frame)
        with self._sending:
            self._connection.sendall(data)

    def _announce(self, dataset: bytes) -> None:
        self._send(Frame(Kind.DATASET, (dataset,)))

    def _solve(self, frame: Frame, control: Control) -> None:
        emitter = Emitter(self._send, frame.epoch, frame.first_seq, self._flusher)
        try:
            with emitter:
                solve.solve(frame, control, emitter, self._context)
        except MemoryError as error:
            self._failed(frame, Status.OUT_OF_MEMORY, error, emitter.iteration)
            os._exit(1)
        except Exception as error:
            self._failed(frame, Status.INTERNAL, error, emitter.iteration)

    def _failed(self, frame: Frame, status: Status, error: BaseException, iteration: int | None) -> None:
        name, message = BY_SOLVER_NAME[status.name].name, failure(status, error, iteration)
        trace = "".join(traceback.format_exception(error))
        self._send(Frame(Kind.FAILED, (name.encode(), message.encode(), trace.encode()), frame.epoch))

    def _evaluate(self, frame: Frame, control: Control) -> None:
        try:
            reply = Frame(Kind.EVALUATED, (evaluate.EVALUATIONS[frame.kind](frame, self._context, control),))
        except Violations as found:
            reply = _refused(errors.invalid_argument(found.rows))
        except Interrupted:
            reply = _refused(errors.unavailable("the request was given up", reason="CANCELLED"))
        except MemoryError:
            message = "the server has not enough memory for this model"
            self._send(_refused(errors.resource_exhausted(message, reason="OUT_OF_MEMORY", subject="memory")))
            os._exit(1)
        except OSError as error:
            if error.errno not in FULL:
                raise
            message = "the server's disk is full"
            reply = _refused(errors.resource_exhausted(message, reason="DISK_FULL", subject="disk", retry_delay=60.0))
        except Exception as error:
            traceback.print_exc()
            reply = _refused(errors.internal(f"{type(error).__name__} in the server; this is a fault of its own"))
        self._send(reply)


def failure(status: Status, error: BaseException, iteration: int | None) -> str:
    """The message of a job that ended with an exception: what, where, and what to do next."""
    where = "before its first iterate" if iteration is None else f"after iteration {iteration}"
    kept = "" if iteration is None else " The best point so far is kept."
    return f"The run failed {where} with {errors.cut(f'{type(error).__name__}: {error}')}.{kept} {status.advice}"


def _refused(status: status_pb2.Status) -> Frame:
    return Frame(Kind.REFUSED, (status.SerializeToString(),))
