"""A server that is killed and started again, seen through the library: one run, as if nothing had been."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from server.running import free_port, serving

from nablad.client import GradientDescent, LeastSquares, Stopping


def test_a_run_outlives_its_server(connect: Any, tmp_path: Path, long_model: LeastSquares) -> None:
    arguments = ("--data-dir", str(tmp_path), "--listen", f"127.0.0.1:{free_port()}")
    stopping = Stopping(max_iterations=2500, relative_gradient_tolerance=0.0)
    seen: list[int] = []
    with ExitStack() as servers:
        server = servers.enter_context(serving(*arguments, workers=1))
        client = connect(target=server.address, token=None)
        run = client.solve(long_model, GradientDescent(step=1e-9), stopping=stopping)
        for event in run.events():
            seen.append(event.seq)
            if event.seq > 500 and server.process.poll() is None:
                server.process.kill()
                server.process.wait()
                servers.enter_context(serving(*arguments, workers=1))
        assert run.result().status == "LIMIT_ITERATIONS"
    assert server.process.poll() is not None
    assert seen == list(range(1, len(seen) + 1))
    assert [it.iteration for it in run.history] == list(range(2501))
