"""A power cut at any write, and a disk that refuses any write, lose nothing that was acknowledged (short versions)."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def rows(*arguments: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2}


def test_a_power_cut_loses_nothing_that_was_acknowledged() -> None:
    found = rows("benchmarks.power_loss", "--every", "9", "--torn", "3")
    assert int(found["different images"]) > 150
    assert int(found["facts acknowledged"]) > 20


def test_a_disk_that_refuses_gives_one_clear_error_and_the_work_goes_on() -> None:
    found = rows("benchmarks.disk_faults", "--every", "160")
    assert int(found["faults tried"]) >= 40
    assert found["other error"] == "0"


def test_the_check_can_fail(tmp_path: Path) -> None:
    """The same run without its directory syncs loses facts: the model of the disk is strict enough to notice."""
    from benchmarks.faultfs.build import compile_shim, drive
    from benchmarks.faultfs.disk import Disk, read_log
    from benchmarks.power_loss import check

    (tmp_path / "campaign").mkdir()
    shim = compile_shim(tmp_path)
    drive(shim, tmp_path / "campaign", tmp_path / "facts", tmp_path / "log")
    disk = Disk()
    for op in read_log(tmp_path / "log"):
        if op.kind != "sync":
            disk.apply(op)
    facts = [line.split("\t")[1] for line in (tmp_path / "facts").read_text().splitlines()][:-1]
    for number, (_, image) in enumerate(disk.images(random.Random(1), 2)):
        target = tmp_path / f"image-{number}"
        target.mkdir()
        for path, content in image.items():
            file = target / Path(path).relative_to(tmp_path / "campaign")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if number != 1:  # everything written, nothing lost
            assert check(target, facts)
        else:
            assert check(target, facts) == []


@pytest.mark.parametrize("data", [b"", b"abc", b"x" * 2000])
def test_the_model_of_the_disk_keeps_what_was_synced(data: bytes) -> None:

    from benchmarks.faultfs.disk import Disk, Operation

    disk = Disk()
    for kind, path in (("create", "/d/f"), ("write", "/d/f"), ("sync", "/d/f"), ("sync", "/d")):
        disk.apply(Operation(kind, path, "", 0, data if kind == "write" else b"", 0))
    disk.apply(Operation("write", "/d/f", "", 0, b"LOST", 0))
    images = dict(disk.images(random.Random(0), 0))
    assert images["strict"]["/d/f"] == data
    assert images["all"]["/d/f"].startswith(b"LOST")
