"""Stands in for a campaign's agent, for tests only: does what the file `behaviour` in its directory says."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from lodestone.loops.ledger import Ledger

directory = Path(sys.argv[1])
behaviour = (directory / "behaviour").read_text()
with (directory / "starts").open("a") as file:
    file.write(f"{os.getpid()} {len(os.sched_getaffinity(0))} {os.environ['OMP_NUM_THREADS']} {time.monotonic()}\n")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
if behaviour == "finish":
    Ledger.open(directory).set_meta("status", "finished", "finished")
elif behaviour == "crash":
    os.kill(os.getpid(), signal.SIGKILL)
elif behaviour == "crash with progress":
    Ledger.open(directory).note("relaxed", 1, {})
    os.kill(os.getpid(), signal.SIGKILL)
elif behaviour == "crash in each session":
    Ledger.open(directory).take_over(os.getpid(), "host")
    Ledger.open(directory).set_meta("status", "running", "session started")
    Ledger.open(directory).note("calibrated", 1, {})
    os.kill(os.getpid(), signal.SIGKILL)
elif behaviour == "end early":
    sys.exit(0)
elif behaviour == "interrupted":
    sys.exit(130)
elif behaviour == "bad setting":
    sys.exit(4)
elif behaviour == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
else:
    time.sleep(600)
