"""Settings of all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# No test is timed: machines are shared. CI draws the same examples each time, so that red means a change; everybody
# else draws new ones.
settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

# A shell starts background jobs with Ctrl-C ignored, and so would be every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
