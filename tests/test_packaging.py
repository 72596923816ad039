"""What is installed is what is on disk: packages, data, pins, and nothing stray beside them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_package_list_is_the_folders_on_disk() -> None:
    rooms = ("agent", "loops", "surrogate", "tools")
    folders = {p.parent.relative_to(ROOT) for room in rooms for p in (ROOT / room).rglob("*") if p.is_file()}
    real = {f"lodestone.{'.'.join(f.parts)}" for f in folders if "__pycache__" not in f.parts}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == real


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # setuptools reuses build/: a file that was removed since would live on in the wheel.
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_code_and_data_and_nothing_else_on_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0].split("-")[0] for n in names} == {"lodestone"}
    for needed in (
        "lodestone/loops/default_config.toml",
        "lodestone/agent/prompts/planner.md",
        "lodestone/tools/recognise/recogniser.safetensors",
        "lodestone/tools/recognise/recogniser.json",
        "lodestone/tools/evaluate/references_chgnet-0.3.0.json",
        "lodestone/loops/report/page.html.j2",
        "lodestone/loops/report/viewer.js",
    ):
        assert needed in names


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    # -S -P with an explicit path: the editable install must not stand in for the wheel.
    script = (
        f"import sys; sys.path[:0] = [{str(site)!r}]; sys.path += {[p for p in sys.path if 'site-packages' in p]!r};"
        "import lodestone.loops.cli as c; assert c.__file__.startswith(sys.path[0]), c.__file__;"
        "sys.exit(c.main(['goal', 'ground state of NaCl']))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "NaCl" in done.stdout


def test_every_installed_dependency_is_pinned() -> None:
    pins = {
        canonicalize_name(Requirement(line).name)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    }
    wanted = [Requirement(r) for r in metadata.requires("lodestone") or []]
    todo = [r for r in wanted if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in ("dev", "dft"))]
    seen: set[str] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        seen.add(name)
        extras = ["", *requirement.extras]
        todo += [
            r
            for r in map(Requirement, needs)
            if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)
        ]
    assert len(seen) > 80
    assert sorted(seen - pins) == []


def test_constraints_hold_the_two_pins_that_things_hang_on() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "torch==2.13.0" in text
    assert "fastapi<0.155" in text


def test_the_readme_starts_with_two_commands_that_the_makefile_knows() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    head = readme.splitlines()[:30]
    commands = [line.split()[1] for line in head if line.startswith("make ")]
    assert commands == ["campaign", "test"]
    assert set(commands) <= targets
    for path in re.findall(r"\]\(([\w/.-]+)\)", readme):
        assert (ROOT / path).exists(), path
