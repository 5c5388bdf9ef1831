"""The command `nablad`: serve, demo, solve and jobs, on top of nablad.client.

Nothing heavy is imported until a command needs it, so that `nablad --help` answers at once.
"""


def main() -> None:
    """Run the command line; the entry point of the console script `nablad`."""
    import os

    from nablad.cli.app import app

    # gRPC's own log lines are not for people: every error is told in a line of ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    app(prog_name="nablad")
