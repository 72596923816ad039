"""Runs campaigns of the fast world in forked children, kills what it is told to kill, and compares what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lodestone.loops.campaign import Campaign
from lodestone.loops.ledger import Ledger, holds_ledger
from lodestone.loops.ledger.verify import verify
from lodestone.loops.view import View
from lodestone.tools.core.errors import LodestoneError
from lodestone.tools.core.types import ChemicalSpace, GoalSpec, Observation, sha256

from . import parts as world


@dataclass
class Setup:
    """One campaign of the fast world."""

    directory: Path
    site: Path
    words: str = "the most stable compound of Cu and Au; 12 evaluations; 4 rounds"
    seed: int = 0
    metals: tuple[str, ...] = ()
    """Any alloy of these, also the pure metals, whatever the words say."""
    settings: dict[str, Any] = field(default_factory=dict)
    evaluator: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    scheduler: str = ""
    """Address of a Dask scheduler whose workers do the work; empty: the agent's own machine does."""


class Notes(View):
    """Keeps what the campaign says, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, text: str) -> None:
        """See `View.note`."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def preload() -> None:
    """Import once what every campaign needs, so that a forked child starts at once; one thread, so that it can fork."""
    import langchain.agents  # noqa: F401
    import pymatgen.analysis.phase_diagram
    import pymatgen.analysis.structure_matcher  # noqa: F401
    import torch

    from lodestone.surrogate import campaign_model  # noqa: F401

    torch.set_num_threads(1)


def start(setup: Setup, extra: Mapping[str, str] | None = None) -> int:
    """Run or resume a campaign in a forked child; its process id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        os.environ.update({**world.environment(setup.site), **setup.environment, **(extra or {})})
        log = os.open(setup.directory.with_suffix(".log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = _campaign(setup)
    except LodestoneError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        code = error.exit_code
    except OSError as error:
        print(f"OSError: {error}", flush=True)
        code = 8
    except BaseException:  # noqa: BLE001  the child ends here, whatever it was
        traceback.print_exc()
    finally:
        os._exit(code)
    raise AssertionError


def run_alone(setup: Setup, timeout_s: float = 300.0) -> int:
    """Run or resume a campaign in a new interpreter; how it ended. For callers with threads, which cannot fork."""
    facts = {**vars(setup), "directory": str(setup.directory), "site": str(setup.site)}
    with setup.directory.with_suffix(".log").open("ab") as log:
        return subprocess.run(
            [sys.executable, "-m", __name__, json.dumps(facts)],
            env={**os.environ, **world.environment(setup.site), **setup.environment},
            stdout=log,
            stderr=log,
            timeout=timeout_s,
            check=False,
        ).returncode


def _campaign(setup: Setup) -> int:
    chosen = world.settings(**{"campaign.seed": setup.seed, **setup.settings})
    directory = setup.directory
    if holds_ledger(directory) and not _unfinished_creation(directory):
        campaign = Campaign.open(directory)
        goal = GoalSpec.model_validate(campaign.ledger.meta("goal"))
        parts = world.parts(goal, chosen, directory, **setup.evaluator)
    else:
        understanding = world.goal(setup.words, setup.seed)
        if setup.metals:
            space = ChemicalSpace(allowed=setup.metals, n_elements=(1, len(setup.metals)), max_atoms=8)
            spec = understanding.goal.model_copy(update={"space": space})
            understanding = understanding.model_copy(update={"goal": spec})
        parts = world.parts(understanding.goal, chosen, directory, **setup.evaluator)
        campaign = Campaign.create(directory, understanding, chosen, parts)
    notes = Notes(directory.with_suffix(".notes"))
    if setup.scheduler:
        from .cluster import fan_out

        fan_out(parts, setup.scheduler, notes.note)
    try:
        campaign.run(parts, notes)
    finally:
        campaign.close()
    return 0


def _unfinished_creation(directory: Path) -> bool:
    """A ledger whose creation was killed holds nothing: do what its message says, remove it."""
    try:
        Ledger.open(directory, read_only=True)
    except LodestoneError as error:
        if "never finished" not in str(error):
            raise
        for file in directory.glob("ledger.*"):
            file.unlink()
        return True
    return False


def wait(pid: int, timeout_s: float = 120.0) -> int:
    """How a child ended: exit code, or minus the signal. One that takes longer is killed, and -99."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -99


def job_processes(directory: Path) -> list[int]:
    """Supervisors and calculators that work for a campaign."""
    found = []
    wanted = str((directory / "jobs").resolve())
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"lodestone.tools.evaluate.worker" in command and wanted.encode() in command:
                found.append(int(entry.name))
    return found


@dataclass
class Outcome:
    """What is left of a campaign."""

    fingerprint: str
    done: dict[str, str]
    """Key to the digest of its recorded result."""
    problems: list[str]
    attempts: int
    """Calculations that were started."""


def outcome(directory: Path) -> Outcome:
    """Look at a campaign as a stranger would: the ledger, then the job files."""
    ledger = Ledger.open(directory, read_only=True)
    rows = ledger.evaluations()
    done = {r.key: r.observation.digest() for r in rows if r.observation is not None}
    table = {
        "evaluations": [
            (r.position, r.round, r.key, r.state, r.why, r.observation and _what(r.observation)) for r in rows
        ],
        "candidates": [(c.round, c.position, c.candidate.id, c.pooled, c.failure) for c in ledger.candidates()],
        "plans": [p.model_dump(mode="json") for p, _ in ledger.plans()],
        "stop": ledger.meta("stop_reason"),
    }  # fmt: skip
    problems = list(verify(ledger).problems)
    recorded = Counter(e["key"] for e in ledger.events(("done", "failed_charged")))
    problems += [f"{k[:12]} was recorded {n} times" for k, n in recorded.items() if n != 1]
    for account in ledger.accounts().values():
        if account.cap is not None and account.spent + account.reserved > account.cap:
            problems.append(f"{account.resource} is over its cap")
    for path in (directory / "jobs").glob("??/*/result.json"):
        if path.parent.name not in recorded and ledger.meta("status") == "finished":
            problems.append(f"the finished job {path.parent.name[:12]} was never recorded")
    attempts = len(list((directory / "jobs").glob("??/*/started-*.json")))
    return Outcome(sha256(json.dumps(table, sort_keys=True, default=str)), done, problems, attempts)


def _what(observation: Observation) -> dict[str, Any]:
    """A result without what it took: that differs between any two runs."""
    return observation.model_dump(mode="json", exclude={"cost_core_s", "wall_s", "artefacts"})


def lost(before: Mapping[str, str], after: Mapping[str, str]) -> int:
    """Results that were there and are gone, or changed."""
    return sum(after.get(key) != digest for key, digest in before.items())


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    told |= {"directory": Path(told["directory"]), "site": Path(told["site"]), "metals": tuple(told["metals"])}
    world.install(told["site"])
    raise SystemExit(_campaign(Setup(**told)))
