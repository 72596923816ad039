"""What loads when: help is instant, and each heavy framework has its place."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("agent", "loops", "surrogate", "tools")
HEAVY = (
    "torch",
    "pymatgen",
    "chgnet",
    "sevenn",
    "gpaw",
    "botorch",
    "gpytorch",
    "prefect",
    "langchain",
    "pyxtal",
    "numpy",
)

TORCH_AT_THE_TOP = {
    "surrogate/front.py",
    "surrogate/hypervolume.py",
    "surrogate/marginals.py",
    "tools/recognise/graph.py",
    "tools/recognise/held_out.py",
    "tools/recognise/network.py",
    "tools/recognise/synthetic.py",
    "tools/recognise/train.py",
    "tools/recognise/weights.py",
}
ALONE = {
    "prefect": {"loops/prefect_mirror.py", "loops/prefect_deploy.py", "loops/prefect_actions.py"},
    "dask_jobqueue": {"loops/compute/cluster.py"},
    "chgnet": {"tools/relax/chgnet.py"},
}


def imports(path: Path, top_level: bool) -> set[str]:
    """First names of what a module imports, at its top level (type checking aside) or anywhere."""
    tree = ast.parse(path.read_text())
    nodes = list(tree.body) if top_level else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def modules() -> list[Path]:
    return [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))]


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys, json\nfrom lodestone.loops import cli\n"
        "try:\n cli.main(['--help'])\nexcept SystemExit:\n pass\n"
        "print(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "argparse" in loaded
    assert loaded & set(HEAVY) == set()


def test_only_these_modules_import_torch_at_their_top() -> None:
    found = {str(p.relative_to(ROOT)) for p in modules() if "torch" in imports(p, top_level=True)}
    assert found <= TORCH_AT_THE_TOP


@pytest.mark.parametrize("package", ALONE)
def test_one_module_imports(package: str) -> None:
    found = {str(p.relative_to(ROOT)) for p in modules() if package in imports(p, top_level=False)}
    assert found == ALONE[package]


def test_langchain_stays_in_the_agent() -> None:
    found = {
        p.relative_to(ROOT).parts[0] for p in modules() if imports(p, top_level=False) & {"langchain", "langchain_core"}
    }
    assert found == {"agent"}


def test_files_stay_readable_in_one_sitting() -> None:
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := len(p.read_text().splitlines())) > 500}
    assert long == {}
