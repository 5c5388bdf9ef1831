"""`nablad jobs` against a server of `nablad serve`."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from cli.processes import Piped, Terminal

from nablad.client import Client, GradientDescent, LeastSquares, Newton, Stopping

X = np.vander(np.linspace(-1.0, 1.0, 40), 8)
Y = np.sin(3 * X[:, -2])
FOREVER = Stopping(max_iterations=10_000_000, relative_gradient_tolerance=0.0)


@pytest.fixture(scope="module")
def ended(server: str) -> str:
    """The name of a job that has converged."""
    with Client.connect(server) as client:
        job = client.submit(LeastSquares(X, Y), Newton(), title="a quick one")
        job.result()
        return job.name


def test_list_and_show(nablad: Piped, server: str, ended: str) -> None:
    shown = nablad("jobs", "list", NABLAD_SERVER=server).stdout
    row = next(line for line in shown.splitlines() if ended.removeprefix("solveJobs/") in line)
    assert "succeeded" in row
    assert "a quick one" in row
    for name in (ended, ended.removeprefix("solveJobs/")):
        done = nablad("jobs", "show", name, "--server", server)
        assert done.returncode == 0, done.stderr
        loss = re.search(r"^loss +(\S+)", done.stdout, re.MULTILINE)
        assert loss
        expected = np.sum((Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]) ** 2)
        assert float(loss[1]) == pytest.approx(expected, rel=1e-9)
        assert re.search(r"^status +CONVERGED_", done.stdout, re.MULTILINE)
        assert re.search(r"^parameter +shape", done.stdout, re.MULTILINE)
    assert "a quick one" in nablad("jobs", "list", "--state", "Succeeded", "--server", server).stdout
    assert nablad("jobs", "list", "--state", "queued", "--server", server).stdout == "No jobs.\n"
    failed = nablad("jobs", "list", "--state", "failed", "--server", server).stdout
    assert "a quick one" not in failed


@pytest.mark.parametrize("columns", [60, 200])
def test_the_list_tells_status_and_best_loss(terminal: Callable[..., Terminal], server: str, columns: int) -> None:
    """A run with momentum that ends above its best point, at a limit: no success, for all that its job succeeded."""
    with Client.connect(server) as client:
        method = GradientDescent(step=0.05, momentum=0.9)
        job = client.submit(LeastSquares(X, Y), method, stopping=Stopping(max_iterations=12), title="swinging")
        losses = [iterate.loss for iterate in job.watch()]
        assert job.refresh().status == "LIMIT_ITERATIONS"
    assert losses[-1] > min(losses)
    shown = terminal("jobs", "list", "--server", server, columns=columns)
    assert shown.wait() == 0
    lines = shown.output.splitlines()
    row = next(i for i, line in enumerate(lines) if job.name.removeprefix("solveJobs/") in line)
    assert "LIMIT_ITERATIONS" in lines[row]
    assert f"{min(losses):.6g}" in "".join(lines[row : row + 2])


def test_watch_in_a_pipe_is_one_line_an_iterate(nablad: Piped, server: str, ended: str) -> None:
    done = nablad("jobs", "watch", ended, "--server", server)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("CONVERGED_")
    seqs = [int(line.split()[1]) for line in lines[:-1]]
    later = nablad("jobs", "watch", ended, "--after-seq", str(seqs[0]), "--server", server).stdout.splitlines()
    assert later == lines[1:]


def test_a_job_that_is_not_there(nablad: Piped, server: str) -> None:
    done = nablad("jobs", "show", "nothing", "--server", server)
    assert done.returncode == 1
    assert "nothing; `nablad jobs list` shows those there are" in done.stderr
    assert done.stderr.count("\n") == 1


def test_watching_stops_by_ctrl_c_and_the_job_goes_on_until_it_is_cancelled(
    nablad: Piped, terminal: Callable[..., Terminal], server: str
) -> None:
    with Client.connect(server) as client:
        job = client.submit(LeastSquares(X, Y), GradientDescent(step=1e-6), stopping=FOREVER, title="endless")
        other = client.submit(LeastSquares(X, Y), GradientDescent(step=1e-6), stopping=FOREVER, title="endless, too")
        waiting = client.submit(LeastSquares(X, Y), Newton(), title="behind them")
        watching = terminal("jobs", "watch", job.name, "--server", server)
        watching.wait_for("running")
        watching.wait_for("iteration (log scale)")
        watching.interrupt()
        assert watching.wait() == 130
        assert job.refresh().state == "RUNNING"
        assert "queued" in nablad("jobs", "list", "--server", server).stdout
        done = nablad("jobs", "cancel", job.name, other.name.removeprefix("solveJobs/"), "--server", server)
        assert done.returncode == 0
        assert [each.result().status for each in (job, other)] == ["USER_CANCELLED"] * 2
        assert waiting.result().success
        again = nablad("jobs", "cancel", job.name, "--server", server)
        assert (again.returncode, again.stdout) == (0, f"{job.name}: had ended before, cancelled\n")


def test_a_job_cancelled_before_its_turn_is_shown_like_any_other(nablad: Piped, server: str) -> None:
    with Client.connect(server) as client:
        method = GradientDescent(step=1e-6)
        running = [client.submit(LeastSquares(X, Y), method, stopping=FOREVER) for _ in range(2)]
        waiting = client.submit(LeastSquares(X, Y), Newton(), title="never run")
        for job in (waiting, *running):
            job.cancel()
        for job in running:
            job.result()
        done = nablad("jobs", "show", waiting.name, "--server", server)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Cancelled before it was run" in done.stdout


def test_the_list_is_two_lines_a_job_where_a_row_has_no_room(
    terminal: Callable[..., Terminal], server: str, ended: str
) -> None:
    listing = terminal("jobs", "list", "--server", server, columns=70)
    assert listing.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", listing.output)
    name = ended.removeprefix("solveJobs/")
    assert re.search(
        rf"^{name}  CONVERGED_\w+\n  iteration \d+  best loss \S+  \S+ \w+ old  a quick one$", text, re.MULTILINE
    )
