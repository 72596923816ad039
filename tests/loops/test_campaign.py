"""What a campaign promises: it survives kill -9 anywhere, pays once, and refuses bad input in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lodestone.loops.history import build_record
from lodestone.loops.knowledge import Knowledge
from lodestone.loops.ledger import Ledger
from lodestone.loops.record import EvaluatedCrystal
from lodestone.tools.core.errors import LedgerError
from lodestone.tools.core.structure import write_cif

WORDS = "find the ground state of NaCl; 6 evaluations; 2 rounds"
SMALL = {
    "LODESTONE_PREFECT__ENABLED": "false",
    "LODESTONE_CAMPAIGN__PROPOSALS": "8",
    "LODESTONE_CAMPAIGN__BATCH": "2",
    "LODESTONE_CAMPAIGN__MAX_ATOMS": "8",
    "LODESTONE_RELAX__CHUNK_SIZE": "4",
}


def lodestone(*arguments: str, cwd: Path, timeout: float = 300, **env: str) -> subprocess.CompletedProcess[str]:
    """The real command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "lodestone.loops.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **SMALL, **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def assert_same_table(first: Path, second: Path) -> None:
    """What a user compares: the same crystals in the same order, and energies that agree to 0.1 meV/atom.

    Two processes that relax the same crystals agree to about 1e-6 eV, not to the last bit.
    """
    one, two = (build_record(directory).evaluated for directory in (first, second))
    assert [_identity(e) for e in one] == [_identity(e) for e in two]
    for a, b in zip(one, two, strict=True):
        for mine, other in ((a.values, b.values), (a.predicted, b.predicted)):
            assert set(mine) == set(other)
            for name, quantity in mine.items():
                # Volume and density are flat at the minimum: a relaxation fixes them less well than the energy.
                tolerance = {"abs": 1e-4} if "energy" in name else {"rel": 1e-4}
                assert quantity.value == pytest.approx(other[name].value, **tolerance), name


def _identity(e: EvaluatedCrystal) -> tuple[Any, ...]:
    return e.order, e.round, e.candidate_id, e.formula, e.space_group, e.generator, e.meets_goal


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One campaign that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = lodestone("run", WORDS, "--yes", "--evaluator", "sevennet", "--dir", "c", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "c"


def test_a_sentence_becomes_evaluated_crystals_and_a_report(undisturbed: Path) -> None:
    record = build_record(undisturbed)
    assert record.status == "finished"
    worked = [e for e in record.evaluated if not e.failure]
    best = min(worked, key=lambda e: e.values["energy_above_hull"].value)
    assert best.formula == "NaCl"
    assert best.values["energy_above_hull"].value <= 1e-6
    assert best.values["formation_energy"].value == pytest.approx(-2.0, abs=0.25)  # PBE: -1.8 to -2.1 eV/atom
    assert record.evaluations_reference == 2
    assert record.evaluations_spent <= 6
    assert "SevenNet" in record.method
    page = (undisturbed / "report.html").read_text()
    assert "NaCl" in page
    assert "not DFT" in page
    assert json.loads((undisturbed / "results.json").read_text())
    assert list((undisturbed / "cifs").glob("*.cif"))


def test_time_outside_the_tools_is_reported(undisturbed: Path) -> None:
    times = {t.stage: t for t in build_record(undisturbed).times}
    assert times["relax"].tool
    assert times["evaluate"].wall_s > 0
    assert not times["outside the tools"].tool


@pytest.mark.parametrize("failpoint", ["ledger.relaxed.after:1", "submit.after:1"])
def test_kill_9_then_resume_gives_the_undisturbed_table_and_pays_once(
    undisturbed: Path, tmp_path: Path, failpoint: str
) -> None:
    killed = lodestone(
        "run", WORDS, "--yes", "--evaluator", "sevennet", "--dir", "c", cwd=tmp_path, LODESTONE_FAILPOINT=failpoint
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = {r.key: r.observation for r in Ledger.open(tmp_path / "c").evaluations() if r.observation}
    resumed = lodestone("resume", "c", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    ledger = Ledger.open(tmp_path / "c")
    after = {r.key: r.observation for r in ledger.evaluations()}
    assert {k: after[k] for k in before} == before
    assert_same_table(tmp_path / "c", undisturbed)
    done = [e["key"] for e in ledger.events(("done", "failed_charged"))]
    assert len(done) == len(set(done)) == len(after)
    starts = [p.parent.name for p in (tmp_path / "c" / "jobs").glob("*/*/started-*.json")]
    assert sorted(starts) == sorted(after)
    assert ledger.verify() > 10


def test_killed_evaluation_worker_is_started_again(undisturbed: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lodestone.loops.cli", "run", WORDS, "--yes", "--evaluator", "sevennet", "--dir", "c"],
        cwd=tmp_path,
        env={**os.environ, **SMALL},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        jobs = tmp_path / "c" / "jobs"
        while not list(jobs.glob("*/*/started-*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        worker = _workers(jobs)[0]
        os.killpg(os.getpgid(worker), signal.SIGKILL)
        assert process.wait(timeout=300) == 0
    finally:
        process.kill()
    assert_same_table(tmp_path / "c", undisturbed)


def _workers(jobs: Path) -> list[int]:
    """Process ids of evaluation workers of one campaign."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if "lodestone.tools.evaluate.worker" in command and str(jobs.name) in command:
                cwd = Path(os.readlink(entry / "cwd"))
                if cwd == jobs.parent.parent or str(jobs) in command:
                    found.append(int(entry.name))
    return found


def _relaxed(directory: Path) -> bool:
    try:
        return bool(Ledger.open(directory).events("relaxed"))
    except LedgerError:  # not there yet, or half made
        return False


def test_ctrl_c_stops_cleanly_and_says_how_to_resume(undisturbed: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lodestone.loops.cli", "run", WORDS, "--yes", "--evaluator", "sevennet", "--dir", "c"],
        cwd=tmp_path,
        env={**os.environ, **SMALL},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        # A shell that starts the tests in the background has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not _relaxed(tmp_path / "c") and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "lodestone resume c" in errors
    assert "Traceback" not in errors
    assert build_record(tmp_path / "c").status == "interrupted"
    assert lodestone("resume", "c", cwd=tmp_path).returncode == 0
    assert_same_table(tmp_path / "c", undisturbed)


def test_status_and_export_of_a_finished_campaign(undisturbed: Path) -> None:
    folder = undisturbed.parent
    status = lodestone("status", "c", "--json", cwd=folder)
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["request"].startswith(WORDS.split(";")[0])
    assert json.loads(status.stdout)["accounts"][0]["spent"] == 6
    for fmt in ("cif", "poscar", "extxyz", "db", "json"):
        done = lodestone("export", "c", "--format", fmt, "--out", f"out-{fmt}", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert list((folder / f"out-{fmt}").iterdir())


def test_resuming_a_finished_campaign_pays_nothing(undisturbed: Path) -> None:
    spent = Ledger.open(undisturbed).spent()
    done = lodestone("resume", "c", cwd=undisturbed.parent)
    assert done.returncode == 0, done.stderr
    assert Ledger.open(undisturbed).spent() == spent


def test_knowledge_is_derived_from_the_ledger_alone(undisturbed: Path) -> None:
    first, second = (Knowledge.read(Ledger.open(undisturbed)) for _ in range(2))
    assert first.cheap == second.cheap
    assert [m.values for m in first.measured] == [m.values for m in second.measured]
    assert all(v["energy_above_hull"] >= 0 for v in first.cheap.values())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "", "--yes"], 3, "empty"),
        (["run", "find a stable Xx2O compound", "--yes"], 3, "Xx"),
        (["run", "stable NaCl with a gap above 3 eV and below 2 eV", "--yes"], 3, ""),
        (["run", "ground state of NaCl", "--evaluations", "0", "--yes"], 3, "not positive"),
        (["run", "ground state of NaCl", "--evaluations", "-3", "--yes"], 3, "not positive"),
        (["run", "ground state of NaCl; 1 evaluation", "--yes"], 3, "references"),
        (["run", "stable NaCl with 300 atoms", "--yes"], 3, "300"),
        (["run", "ground state of NaCl", "--evaluator", "vaspp", "--yes"], 4, "vaspp"),
        (["run", "ground state of NaCl", "--wall", "soon", "--yes"], 3, "soon"),
        (["run", "ground state of NaCl"], 3, "--yes"),
        (["run", "ground state of NaCl", "--yes", "--dir", "/proc/nowhere"], 8, "/proc/nowhere"),
        (["status", "nowhere"], 8, "No campaign"),
        (["resume", "nowhere"], 8, "No campaign"),
        (["report", "nowhere"], 8, "No campaign"),
        (["export", "nowhere"], 8, "No campaign"),
    ],
)
def test_bad_input_gets_one_clear_line(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    done = lodestone(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert words in lines[0]
    assert not list(tmp_path.glob("*/ledger.sqlite"))


def test_a_broken_cif_among_the_known_crystals_is_named(tmp_path: Path) -> None:
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "broken.cif").write_text("data_x\n_cell_length_a nonsense\n")
    done = lodestone(
        "run", WORDS, "--yes", "--evaluator", "sevennet", cwd=tmp_path, LODESTONE_SCREEN__KNOWN_CRYSTALS="known"
    )
    assert done.returncode == 5, done.stderr
    assert done.stderr.startswith("error: ")
    assert "broken.cif" in done.stderr
    assert not (tmp_path / "campaigns").exists()


def test_known_crystals_are_left_out(undisturbed: Path, tmp_path: Path) -> None:
    best = next(e for e in build_record(undisturbed).evaluated if e.meets_goal)
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "halite.cif").write_text(write_cif(best.crystal))
    done = lodestone(
        "run", WORDS, "--yes", "--evaluator", "sevennet", "--dir", "c", cwd=tmp_path,
        LODESTONE_SCREEN__KNOWN_CRYSTALS="known",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = build_record(tmp_path / "c")
    assert best.space_group not in {e.space_group for e in record.evaluated}
    assert any("halite.cif" in f.reason for f in record.failures)
    assert all(e.novel for e in record.evaluated)


def test_two_runs_on_one_directory(undisturbed: Path) -> None:
    done = lodestone("run", WORDS, "--yes", "--evaluator", "sevennet", "--dir", "c", cwd=undisturbed.parent)
    assert done.returncode == 8
    assert "lodestone resume" in done.stderr


def test_a_full_disk_is_reported_and_nothing_is_lost(undisturbed: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(undisturbed, tmp_path / "c")
    spent = Ledger.open(tmp_path / "c").spent()
    # A file-size limit makes the kernel refuse writes, as a full disk does.
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "from lodestone.loops.cli import main; sys.exit(main(['resume', 'c']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, env={**os.environ, **SMALL}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 8, done.stderr
    assert "Traceback" not in done.stderr
    ledger = Ledger.open(tmp_path / "c")
    assert ledger.verify() > 0
    assert ledger.spent() == spent
