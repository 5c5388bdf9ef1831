"""The process from which workers are forked: it is warm, and has no thread but one.

Started by the front as `python -m nablad.server.worker.template FD`, FD one end of a socket pair. For each message
that carries a file descriptor, it forks a worker that owns the descriptor, and answers with its process id. A fork
costs a few milliseconds where a fresh interpreter takes half a second. multiprocessing's own forkserver would import
the front's `__main__` into each worker, and speak pickle.

It ends when the front's end of the pair is closed, by whatever means; so do the workers, each by its own socket.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from nablad.server.worker import process, warming
from nablad.server.worker_config import PID

MAX_CONFIG_BYTES = 65536


def main() -> None:
    """Serves forks until the front is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the front decides when its workers end
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies: the front sees a death by the worker's socket
    warming.warm_up()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as front:
        while True:
            config, descriptors, _, _ = socket.recv_fds(front, MAX_CONFIG_BYTES, 1)
            if not config:
                return
            pid = os.fork()
            if pid == 0:
                front.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                process.main(socket.socket(fileno=descriptors[0]), config)
            os.close(descriptors[0])
            front.sendall(PID.pack(pid))


if __name__ == "__main__":
    main()
