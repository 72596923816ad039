"""Quantum ESPRESSO: `pw.x` single points with the user's own pseudopotentials, one UPF file an element.

ASE writes the input and reads the output; the process is started here, so that it ends with its parent.
P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017). Input: https://www.quantum-espresso.org/Doc/INPUT_PW.html
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..core.structure import to_ase
from ..core.types import Crystal, EvaluationRequest, Quantity
from .base import CalculationFailed, EvaluatorSettings, Outcome, ProcessEvaluator
from .elastic import birch_murnaghan, scan_volumes
from .electrons import ACCURACIES, band_gap, cell_values, force_and_stress, idealise, kmesh, starting_moments
from .process import die_with_parent

if TYPE_CHECKING:
    from ase import Atoms

_INSTALL = "Install pw.x with `apt-get install quantum-espresso` and set [evaluators.espresso] pseudo_dir."
_PSEUDO_DIR = "Set [evaluators.espresso] pseudo_dir to a folder of UPF files, one an element (Si.upf, Cl.pbe-n.UPF, …)."
_MAGNETIZATION_OF_MOMENT = 10.0
"""Bohr magnetons that start as a full starting_magnetization; ASE rescales its moments by the same factor."""

_EV_PER_RY = 13.605693122994
_MAX_OUTPUT_BYTES = 200_000_000


class EspressoSettings(EvaluatorSettings):
    """Settings of the `espresso` evaluator."""

    pseudo_dir: str = ""
    """Folder with the pseudopotentials (UPF), matched by the element symbol that a file name begins with."""
    command: tuple[str, ...] = Field(default=("pw.x",), min_length=1)
    """Program and arguments, e.g. `["mpirun", "-n", "4", "pw.x"]`; no shell reads it."""
    protocol: Literal["fast", "moderate", "precise"] = "fast"
    cutoff_ry: float = Field(default=50.0, ge=10.0, le=400.0)
    """For the wave functions: it belongs to the pseudopotentials, so it is set here rather than by the protocol."""
    density_cutoff_ratio: float = Field(default=8.0, ge=4.0, le=16.0)
    """Cutoff of the density over that of the wave functions; 4 is enough for norm-conserving pseudopotentials."""
    max_iterations: int = Field(default=200, ge=1, le=2000)
    symprec: float = Field(default=0.01, gt=0.0, le=0.1)
    """Å; the crystal is moved onto the symmetry found at this tolerance, in its primitive cell."""


class EspressoEvaluator(ProcessEvaluator[EspressoSettings]):
    """Energies, gaps and bulk moduli by pw.x, with the functional of the pseudopotentials."""

    name = "espresso"
    fidelity = "dft"
    properties = frozenset(
        {"formation_energy", "energy_above_hull", "density", "volume_per_atom", "bulk_modulus", "band_gap"}
    )
    settings_type = EspressoSettings
    packages: ClassVar[tuple[str, ...]] = ("ase", "moyopy")

    @property
    def version(self) -> str:
        """Version of pw.x as the program prints it, or `missing`."""
        return _pw_version(self.settings.command)

    @property
    def method(self) -> str:
        """What it is, in words."""
        s, spacing = self.settings, ACCURACIES[self.settings.protocol].kspacing
        return (
            f"plane waves {s.cutoff_ry:g} Ry, k-spacing {spacing:g} 1/Å, functional of the pseudopotentials "
            f"(Quantum ESPRESSO {self.version}), single point at the geometry given"
        )

    def available(self) -> str | None:
        """None, or how to get pw.x and pseudopotentials."""
        if shutil.which(self.settings.command[0]) is None:
            return _INSTALL
        folder = Path(self.settings.pseudo_dir)
        if not self.settings.pseudo_dir or not folder.is_dir() or not _upf_files(folder):
            return _PSEUDO_DIR
        return None if self.version != "missing" else f"'{' '.join(self.settings.command)}' does not run pw.x."

    def parameters(self, request: EvaluationRequest) -> dict[str, Any]:
        """Accuracy, settings, program version, moments and the digest of each pseudopotential."""
        files = self._pseudopotentials(request.crystal)
        return {
            "accuracy": ACCURACIES[self.settings.protocol].model_dump(exclude={"cutoff_ev"}),
            "settings": self.settings.model_dump(
                include={"cutoff_ry", "density_cutoff_ratio", "max_iterations", "symprec"}
            ),
            "version": self.version,
            "moments": starting_moments(request.crystal),
            "pseudopotentials": {el: [_digest(file) for file in found] for el, found in files.items()},
        }

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """Single point, then gap and energy curve where asked."""
        for element, found in self._pseudopotentials(request.crystal).items():
            if len(found) != 1:
                names = ", ".join(file.name for file in found) or "none"
                raise CalculationFailed(f"one pseudopotential for {element} is expected in pseudo_dir, found: {names}")
        crystal = idealise(request.crystal, self.settings.symprec)
        atoms = self._run(to_ase(crystal), crystal, scratch)
        values = cell_values(crystal, float(atoms.get_potential_energy()))
        values |= force_and_stress(atoms.get_forces(), atoms.get_stress())
        failure = ""
        if "band_gap" in request.properties:
            gap = _gap(atoms)
            if gap is None:
                failure = "band gap: pw.x printed no empty band"
            else:
                values["band_gap"] = Quantity(value=gap, unit="eV")
        if "bulk_modulus" in request.properties:
            try:
                values["bulk_modulus"] = Quantity(value=self._bulk_modulus(crystal, scratch), unit="GPa")
            except CalculationFailed as error:
                failure = str(error)  # the energy was paid for and is kept beside the reason
        return Outcome(values=values, artefacts={"input": "pw.in", "output": "pw.out"}, failure=failure)

    def _bulk_modulus(self, crystal: Crystal, scratch: Path) -> float:
        """GPa, with fractional positions held; the k-mesh is that of the unscaled cell."""
        atoms = to_ase(crystal)

        def energy_at(ratio: float) -> float:
            scaled = atoms.copy()
            scaled.set_cell(np.asarray(atoms.cell) * ratio ** (1 / 3), scale_atoms=True)
            folder = scratch / f"volume-{ratio:.2f}"
            folder.mkdir(exist_ok=True)
            return float(self._run(scaled, crystal, folder).get_potential_energy())

        ratios, energies = scan_volumes(energy_at)
        modulus, _, _ = birch_murnaghan(ratios * atoms.get_volume(), energies)
        return modulus

    def _run(self, atoms: Atoms, crystal: Crystal, folder: Path) -> Atoms:
        """One self-consistent run in `folder`; the atoms come back with their results."""
        from ase.io import read, write

        accuracy = ACCURACIES[self.settings.protocol]
        atoms.set_initial_magnetic_moments(starting_moments(crystal))
        files = self._pseudopotentials(crystal)
        data: dict[str, dict[str, Any]] = {
            "control": {
                "calculation": "scf",
                "pseudo_dir": str(Path(self.settings.pseudo_dir).resolve()),
                "outdir": str(folder / "out"),
                "disk_io": "none",
                "verbosity": "high",
                "tprnfor": True,
                "tstress": True,
            },
            "system": {
                "ecutwfc": self.settings.cutoff_ry,
                "ecutrho": self.settings.cutoff_ry * self.settings.density_cutoff_ratio,
                "occupations": "smearing",
                "smearing": "cold",
                "degauss": accuracy.smearing_ev / _EV_PER_RY,
            },
            "electrons": {
                "conv_thr": accuracy.energy_convergence_ev / _EV_PER_RY / 10,
                "electron_maxstep": self.settings.max_iterations,
                "mixing_beta": 0.4,
            },
        }
        write(
            folder / "pw.in",
            atoms,
            format="espresso-in",
            input_data=data,
            pseudopotentials={element: found[0].name for element, found in files.items()},
            kpts=kmesh(crystal, accuracy.kspacing),
        )
        with (folder / "pw.out").open("wb") as output:
            code = subprocess.run(
                [*self.settings.command, "-in", "pw.in"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                preexec_fn=die_with_parent,
                check=False,
            ).returncode
        shutil.rmtree(folder / "out", ignore_errors=True)
        check_output(folder / "pw.out", code, self.settings.max_iterations)
        result = read(folder / "pw.out", index=-1, format="espresso-out")
        if isinstance(result, list) or result.calc is None or "energy" not in result.calc.results:
            raise CalculationFailed("pw.x printed no total energy")
        return result

    def _pseudopotentials(self, crystal: Crystal) -> dict[str, list[Path]]:
        """Element to the files whose names begin with its symbol and go on with no other letter."""
        folder = Path(self.settings.pseudo_dir)
        files = _upf_files(folder) if self.settings.pseudo_dir and folder.is_dir() else []
        return {
            element: [file for file in files if re.match(rf"{element}(?![a-z])", file.name, re.IGNORECASE)]
            for element in sorted(set(crystal.species))
        }


def check_output(output: Path, code: int, max_iterations: int) -> None:
    """Raise CalculationFailed for a run that did not converge or did not end well."""
    if output.stat().st_size > _MAX_OUTPUT_BYTES:
        raise CalculationFailed(f"pw.x wrote more than {_MAX_OUTPUT_BYTES} bytes")
    text = output.read_text(errors="replace")
    if "convergence NOT achieved" in text:
        raise CalculationFailed(f"SCF not converged in {max_iterations} iterations")
    problem = re.search(r"Error in routine\s+(.+?)\s*:?\s*\n\s*(.+?)\s*\n", text)
    if problem:
        raise CalculationFailed(f"pw.x: error in routine {problem[1]}: {problem[2]}")
    if code != 0 or "JOB DONE" not in text:
        raise CalculationFailed(f"pw.x ended with status {code} before the job was done")


def _gap(atoms: Atoms) -> float | None:
    calc = atoms.calc
    spins = sorted({point.s for point in calc.kpts or ()})
    if not spins or calc.get_fermi_level() is None:
        return None
    return band_gap([[p.eps_n for p in calc.kpts if p.s == s] for s in spins], float(calc.get_fermi_level()))


def _upf_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() == ".upf" and file.is_file())


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@cache
def _pw_version(command: tuple[str, ...]) -> str:
    """Asked once a process, by giving pw.x an empty input, which it refuses after printing its name."""
    if shutil.which(command[0]) is None:
        return "missing"
    try:
        with tempfile.TemporaryDirectory() as folder:  # pw.x leaves files where it runs
            answer = subprocess.run(
                [*command], input="", capture_output=True, text=True, timeout=30, check=False, cwd=folder
            )
    except (OSError, subprocess.TimeoutExpired):
        return "missing"
    match = re.search(r"Program PWSCF\s+v\.(\S+)", answer.stdout)
    return match[1] if match else "missing"
