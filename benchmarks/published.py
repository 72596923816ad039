"""DFT of textbook crystals beside published PBE values: `python -m benchmarks.published --record FILE`.

Every calculation goes through the project's own evaluator and its protocol, as `lodestone calc` does. What is finished
is a line of the record and is not repeated; `--table-only` prints the table of what is there. The values and their
sources are in `published_values.py`. CHGNet and SevenNet-0 stand beside the lattice constants and equations of state.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ase import Atoms
from ase.build import bulk

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal, EvaluationRequest, JobStatus, Observation
from lodestone.tools.evaluate.registry import create_evaluator

from . import published_table
from .published_values import BOND_STEP, BONDS, FORMATION, GAPS, SOLIDS, WURTZITE_ALN

if TYPE_CHECKING:
    from lodestone.tools.evaluate.base import ProcessEvaluator

POLL_S = 0.2
BOXES = {"Cl2": 8.0}
BOX = 7.0
"""Å, edge of the cube around a molecule."""
ONE_POINT = {"kspacing": 2.0}
"""The bands of a molecule in its box are flat."""


class Task(NamedTuple):
    """One calculation."""

    name: str
    crystal: Crystal
    properties: tuple[str, ...]
    section: str
    formulas: frozenset[str]
    """Whose rows of the table need it."""
    settings: dict[str, Any] = {}
    """Of GPAW, besides the protocol."""


def tasks() -> list[Task]:
    """All calculations, the most wanted ones first, so that a run that was cut off still fills rows of the table."""
    found = []
    for formula, solid in SOLIDS.items():
        crystal = from_ase(bulk(formula, solid.structure, a=round(solid.a.value, 3)))
        users = {formula, *(f for f, formation in FORMATION.items() if formula in formation.elements)}
        found.append(Task(f"{formula}-eos", crystal, ("bulk_modulus",), "solids", frozenset(users)))
    gaps = [
        Task(f"{f}-gap", from_ase(bulk(f, gap.structure, a=gap.a)), ("band_gap",), "gaps", frozenset({f}))
        for f, gap in GAPS.items()
    ]
    others = [
        Task("Mg-energy", from_ase(_magnesium()), (), "formation", frozenset({"MgO"})),
        Task("AlN-energy", from_ase(_wurtzite()), (), "formation", frozenset({"AlN"})),
    ]
    for molecule, length in BONDS.items():
        users = {f for f, formation in FORMATION.items() if molecule in formation.elements}
        others += [
            Task(f"{molecule}-{number}", from_ase(_dimer(molecule, bond)), (), "formation", frozenset(users), ONE_POINT)
            for number, bond in enumerate((length - BOND_STEP, length, length + BOND_STEP))
        ]
    return [*found[:8], *gaps, *others, *found[8:]]


def _magnesium() -> Atoms:
    """The hcp cell of the Delta test at its all-electron volume (K. Lejaeghere et al., Science 351, aad3000 (2016))."""
    from ase.collections import dcdft

    atoms: Atoms = dcdft["Mg"]
    volume = float(dcdft.data["Mg"]["wien2k_volume"])
    atoms.set_cell(atoms.cell * (volume * len(atoms) / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    return atoms


def _wurtzite() -> Atoms:
    a, c, u = WURTZITE_ALN
    return bulk("AlN", "wurtzite", a=a, c=c, u=u)


def _dimer(molecule: str, bond: float) -> Atoms:
    box = BOXES.get(molecule, BOX)
    return Atoms(f"{molecule[:-1]}2", positions=[(0, 0, 0), (0, 0, bond)], cell=[box] * 3, pbc=True)


# --- the record -----------------------------------------------------------------------------------


class Record:
    """Finished calculations, one JSON object a line; the last line of a task counts.

    Args:
        path: is made when the first line is written; a line that was cut off is passed over.
        engine: `gpaw` or `espresso`.
        protocol: of the calculations that are asked for.
    """

    def __init__(self, path: Path, engine: str, protocol: str) -> None:
        self.path, self.engine, self.protocol = path, engine, protocol
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}
        text = path.read_text() if path.is_file() else ""
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            self._rows[self._place(row)] = row

    def _place(self, row: dict[str, Any]) -> tuple[str, str]:
        return f"{row['engine']} {row['protocol']}".strip(), row["task"]

    def has(self, engine: str, task: str, key: str) -> bool:
        """Whether this very calculation is finished."""
        row = self._row(engine, task)
        return row is not None and row["key"] == key

    def values(self, engine: str, task: str) -> tuple[dict[str, float], str]:
        """Values by name, and the reason why some are lacking; empty where nothing was calculated."""
        row = self._row(engine, task)
        return ({}, "") if row is None else (row["values"], row["failure"])

    def seconds(self) -> float:
        """Core seconds of the engine's calculations."""
        return sum(row["core_s"] for row in self._rows.values() if row["engine"] == self.engine)

    def method(self) -> str:
        """Of the engine's calculations, in words."""
        return next((row["method"] for row in self._rows.values() if row["engine"] == self.engine), "")

    def write(self, engine: str, task: str, key: str, **content: Any) -> None:
        """Add a line, and have it on disk."""
        protocol = self.protocol if engine == self.engine else ""
        row = {"engine": engine, "protocol": protocol, "task": task, "key": key, **content}
        with self.path.open("a") as file:
            file.write("\n" * self._torn + json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._rows[self._place(row)] = row

    def _row(self, engine: str, task: str) -> dict[str, Any] | None:
        where = f"{engine} {self.protocol}" if engine == self.engine else engine
        return self._rows.get((where, task))


# --- the calculations -----------------------------------------------------------------------------


def calculate(evaluator: ProcessEvaluator[Any], task: Task, record: Record) -> None:
    """Have one task done by a supervised worker, and write it down; it is stopped when this process is."""
    request = EvaluationRequest(candidate_id=task.name, crystal=task.crystal, properties=task.properties)
    key = evaluator.key(request)
    if record.has(evaluator.name, task.name, key):
        return
    try:
        while (status := evaluator.lookup(key)) is not JobStatus.DONE:
            if status is not JobStatus.RUNNING:
                evaluator.submit([(key, request)])
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        evaluator.cancel(key)
        raise
    found: Observation = evaluator.harvest(key)
    record.write(
        evaluator.name,
        task.name,
        key,
        values={name: quantity.value for name, quantity in found.values.items()},
        failure=found.failure.reason if found.failure else "",
        method=found.method,
        core_s=found.cost_core_s,
    )
    print(f"{task.name}: {found.cost_core_s:.0f} core s", file=sys.stderr, flush=True)


@cache
def chgnet() -> Any:
    """CHGNet 0.3.0 as an ASE calculator."""
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu")


@cache
def sevennet() -> Any:
    """SevenNet-0 as an ASE calculator."""
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator("7net-0", device="cpu")


POTENTIALS: dict[str, tuple[str, Callable[[], Any]]] = {
    "chgnet": ("chgnet", chgnet),
    "sevennet-0": ("sevenn", sevennet),
}
"""Name to the distribution whose version belongs to the result, and the calculator."""


def predict(name: str, task: Task, record: Record) -> None:
    """The same equation of state by a potential."""
    from lodestone.tools.properties.eos import equation_of_state

    distribution, calculator = POTENTIALS[name]
    key = f"{distribution} {importlib.metadata.version(distribution)}"
    if record.has(name, task.name, key):
        return
    began = time.process_time()
    curve = equation_of_state(task.crystal, calculator())
    values = {quantity: found.value for quantity, found in curve.quantities.items()}
    if "volume_per_atom" in values:
        values["equilibrium_volume_per_atom"] = values.pop("volume_per_atom")
    core_s = time.process_time() - began
    problems = "; ".join(curve.problems)
    record.write(name, task.name, key, values=values, failure=problems, method=curve.method, core_s=core_s)


def run(
    evaluator_with: Callable[[dict[str, Any]], ProcessEvaluator[Any]],
    chosen: Sequence[Task],
    record: Record,
    potentials: Sequence[str],
) -> None:
    """Everything that the record lacks: the potentials first, which take seconds."""
    for task in chosen:
        if task.section == "solids":
            for name in potentials:
                predict(name, task, record)
    for task in chosen:
        calculate(evaluator_with(task.settings), task, record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Calculate what is lacking, and print the table and its sources; 1 when a bar is missed or a value is lacking."""
    parser = argparse.ArgumentParser(prog="benchmarks.published", description=__doc__)
    parser.add_argument("--engine", choices=("gpaw", "espresso"), default="gpaw")
    parser.add_argument("--protocol", choices=("fast", "moderate", "precise"), default="moderate")
    parser.add_argument("--pseudo-dir", type=Path, help="folder of one UPF file an element, for espresso")
    parser.add_argument("--cutoff-ry", type=float, default=50.0, help="of these, for espresso")
    parser.add_argument("--record", type=Path, default=Path("published.jsonl"), help="finished calculations")
    parser.add_argument("--only", nargs="+", default=[], metavar="FORMULA", help="rows of the table to calculate")
    parser.add_argument("--potentials", nargs="*", choices=tuple(POTENTIALS), default=list(POTENTIALS))
    parser.add_argument("--table-only", action="store_true", help="print the table of the record, calculate nothing")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    record = Record(given.record, given.engine, given.protocol)
    if not given.table_only:
        settings: dict[str, Any] = {"protocol": given.protocol, "threads": 1}
        if given.engine == "espresso":
            settings |= {"pseudo_dir": str(given.pseudo_dir or ""), "cutoff_ry": given.cutoff_ry}

        def evaluator_with(more: dict[str, Any]) -> ProcessEvaluator[Any]:
            jobs = given.record.with_name(f"{given.record.stem}-jobs")
            return create_evaluator(given.engine, jobs, {**settings, **(more if given.engine == "gpaw" else {})})

        if (missing := evaluator_with({}).available()) is not None:
            parser.error(missing)
        known = {formula for task in tasks() for formula in task.formulas}
        if strangers := sorted(set(given.only) - known):
            parser.error(f"no published values of {', '.join(strangers)}; there are: {', '.join(sorted(known))}")
        chosen = [task for task in tasks() if not given.only or task.formulas & set(given.only)]
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a worker ends with this process
        run(evaluator_with, chosen, record, given.potentials)
    return published_table.show(record, tuple(POTENTIALS))


if __name__ == "__main__":
    sys.exit(main())
