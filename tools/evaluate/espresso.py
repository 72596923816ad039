"""Quantum ESPRESSO: `pw.x` single points with the user's own pseudopotentials, one UPF file an element.

ASE writes the input and reads the output; the process is started here, so that it ends with its parent.
P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017). Input: https://www.quantum-espresso.org/Doc/INPUT_PW.html
"""

from __future__ import annotations

import hashlib
import math
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
from ..core.types import Crystal, EvaluationRequest, FailureKind
from .base import CalculationFailed, EvaluatorSettings, Outcome, ProcessEvaluator
from .elastic import EquationOfState, birch_murnaghan, scan_volumes
from .electrons import (
    ACCURACIES,
    DENSITY_OF_STATES,
    ENERGIES,
    EXTRAS,
    cell_values,
    check_geometry,
    force_and_stress,
    idealise,
    kmesh,
    starting_moments,
)
from .espresso_output import check_output, read_output
from .hubbard import HubbardChoice, HubbardU, hubbard_values, hubbard_words
from .labelling import Labels
from .process import die_with_parent
from .size import Size, repeats, size_of
from .spectrum import read_spectrum

if TYPE_CHECKING:
    from ase import Atoms

_INSTALL = "Install pw.x with `apt-get install quantum-espresso` and set [evaluators.espresso] pseudo_dir."
_PSEUDO_DIR = "Set [evaluators.espresso] pseudo_dir to a folder of UPF files, one an element (Si.upf, Cl.pbe-n.UPF, …)."
_MAGNETIZATION_OF_MOMENT = 10.0
"""Bohr magnetons that start as a full starting_magnetization, which is a part of the valence electrons."""

_EV_PER_RY = 13.605693122994


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
    hubbard: HubbardChoice = "none"
    """`mp`: the Materials Project's U of transition metals in oxides and fluorides (`hubbard.py`). Energies with and
    without U do not compare, so it gives no formation energies and no hull."""


class EspressoEvaluator(ProcessEvaluator[EspressoSettings]):
    """Energies, gaps and bulk moduli by pw.x, with the functional of the pseudopotentials."""

    name = "espresso"
    fidelity = "dft"
    properties = frozenset(
        {"formation_energy", "energy_above_hull", "density", "volume_per_atom", "bulk_modulus", "band_gap"}
    )
    settings_type = EspressoSettings
    packages: ClassVar[tuple[str, ...]] = ("ase", "moyopy")
    revision = 2
    climbs = True
    cost_prior = -0.4
    """From Si and NiO at the fast protocol, one core of 2023."""
    extras = EXTRAS

    def __init__(self, root: Path, settings: EspressoSettings | None = None) -> None:
        super().__init__(root, settings)
        if self.settings.hubbard != "none":
            self.properties = self.properties - ENERGIES

    @property
    def version(self) -> str:
        """Version of pw.x as the program prints it, or `missing`."""
        return _pw_version(self.settings.command)

    @property
    def method(self) -> str:
        """What it is, in words."""
        s, spacing = self.settings, ACCURACIES[self.settings.protocol].kspacing
        words = (
            f"plane waves {s.cutoff_ry:g} Ry, k-spacing {spacing:g} 1/Å, functional of the pseudopotentials "
            f"(Quantum ESPRESSO {self.version}), single point at the geometry given"
        )
        return ", ".join(filter(None, (hubbard_words(s.hubbard), words)))

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
        hubbard = hubbard_values(request.crystal, self.settings.hubbard)
        return {
            "accuracy": ACCURACIES[self.settings.protocol].model_dump(exclude={"cutoff_ev"}),
            "settings": self.settings.model_dump(
                include={"cutoff_ry", "density_cutoff_ratio", "max_iterations", "symprec"}
            ),
            "version": self.version,
            "moments": starting_moments(request.crystal, request.properties),
            "pseudopotentials": {el: [_digest(file) for file in found] for el, found in files.items()},
            # Only where there is one: a campaign that began before there were any goes on with its keys.
            **({"hubbard": {el: list(u) for el, u in hubbard.items()}} if hubbard else {}),
        }

    def work(self, request: EvaluationRequest) -> float:
        """Size of all single points of a request (see `size.py`)."""
        return self.size(request).work * repeats(request.properties)

    def size(self, request: EvaluationRequest) -> Size:
        """Of one single point of the crystal as it is calculated."""
        crystal = idealise(request.crystal, self.settings.symprec)
        spins = 2 if any(starting_moments(crystal, request.properties)) else 1
        spacing = ACCURACIES[self.settings.protocol].kspacing
        return size_of(crystal, self.settings.cutoff_ry * _EV_PER_RY, spacing, spins)

    def deck(self, request: EvaluationRequest) -> str:
        """The input file of pw.x. Raises CalculationFailed without pseudopotentials."""
        crystal = idealise(request.crystal, self.settings.symprec)
        with tempfile.TemporaryDirectory() as folder:
            self._write_input(to_ase(crystal), crystal, request, Path(folder))
            return (Path(folder) / "pw.in").read_text().replace(folder, ".")

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """Single point, then what was asked for."""
        check_geometry(request.crystal)
        crystal = idealise(request.crystal, self.settings.symprec)
        folder = scratch / f"try-{len(self.ladder.steps)}" if self.ladder.steps else scratch
        folder.mkdir(exist_ok=True)
        atoms = self._run(to_ase(crystal), crystal, request, folder)
        values = cell_values(crystal, float(atoms.get_potential_energy()))
        values |= force_and_stress(atoms.get_forces(), atoms.get_stress())
        labels = Labels(request.candidate_id)
        labels.see(atoms)
        more, files, failure = read_spectrum(atoms, request.properties, scratch)
        values |= more
        kind: FailureKind = "output" if failure else ""
        if "bulk_modulus" in request.properties:
            try:
                values |= self._equation_of_state(crystal, request, folder).values(len(crystal))
            except CalculationFailed as error:
                if self.ladder.offers(error.kind):
                    raise  # all points anew, with the same numerics
                failure, kind = str(error), error.kind  # the energy was paid for and is kept beside the reason
        where = folder.relative_to(scratch)
        files |= labels.keep(scratch) | {"input": str(where / "pw.in"), "output": str(where / "pw.out")}
        return Outcome(values=values, artefacts=files, failure=failure, kind=kind)

    def _equation_of_state(self, crystal: Crystal, request: EvaluationRequest, scratch: Path) -> EquationOfState:
        """With fractional positions held; the k-mesh is that of the unscaled cell."""
        atoms = to_ase(crystal)
        energies_only = request.model_copy(update={"properties": ("bulk_modulus",)})

        def energy_at(ratio: float) -> float:
            scaled = atoms.copy()
            scaled.set_cell(np.asarray(atoms.cell) * ratio ** (1 / 3), scale_atoms=True)
            folder = scratch / f"volume-{ratio:.2f}"
            folder.mkdir(exist_ok=True)
            return float(self._run(scaled, crystal, energies_only, folder).get_potential_energy())

        ratios, energies = scan_volumes(energy_at)
        return birch_murnaghan(ratios * atoms.get_volume(), energies)

    def _run(self, atoms: Atoms, crystal: Crystal, request: EvaluationRequest, folder: Path) -> Atoms:
        """One self-consistent run in `folder`; the atoms come back with their results."""
        self._write_input(atoms, crystal, request, folder)
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
        return read_output(folder / "pw.out", len(atoms))

    def _write_input(self, atoms: Atoms, crystal: Crystal, request: EvaluationRequest, folder: Path) -> None:
        """Write `pw.in`, with what the ladder has changed. Raises CalculationFailed without pseudopotentials."""
        from ase.io import write

        accuracy, numerics = ACCURACIES[self.settings.protocol], self.ladder.numerics
        atoms.set_initial_magnetic_moments(starting_moments(crystal, request.properties))
        files = self._chosen_pseudopotentials(crystal)
        data: dict[str, dict[str, Any]] = {
            "control": {
                "calculation": "scf",
                "pseudo_dir": str(Path(self.settings.pseudo_dir).resolve()),
                "outdir": str(folder / "out"),
                "disk_io": "medium" if numerics.lean else "none",
                "verbosity": "high",
                "tprnfor": True,
                "tstress": True,
            },
            "system": {
                "ecutwfc": self.settings.cutoff_ry,
                "ecutrho": self.settings.cutoff_ry * self.settings.density_cutoff_ratio,
                "occupations": "smearing",
                "smearing": "cold",
                "degauss": accuracy.smearing_ev * numerics.smearing / _EV_PER_RY,
            },
            "electrons": {
                "conv_thr": accuracy.energy_convergence_ev / _EV_PER_RY / 10,
                "electron_maxstep": self.settings.max_iterations,
                "mixing_beta": 0.4 * numerics.mixing,
            },
        }
        if numerics.mixing != 1.0:
            data["electrons"]["mixing_mode"] = "local-TF"
        if numerics.careful or numerics.lean:
            data["electrons"]["diagonalization"] = "cg"
        if numerics.lean:
            data["electrons"]["mixing_ndim"] = 4
        if not numerics.symmetry:
            data["system"] |= {"nosym": True, "noinv": True}
        if numerics.empty_bands or DENSITY_OF_STATES in request.properties:
            electrons = sum(_valence(files[symbol]) for symbol in crystal.species)
            data["system"]["nbnd"] = math.ceil(electrons / 2) + 8 + 4 * len(crystal)
        hubbard = hubbard_values(crystal, self.settings.hubbard)
        cards = _hubbard_input(hubbard, crystal, data["system"], self.version)
        write(
            folder / "pw.in",
            atoms,
            format="espresso-in",
            input_data=data,
            pseudopotentials={element: file.name for element, file in files.items()},
            kpts=kmesh(crystal, accuracy.kspacing * numerics.kspacing),
            additional_cards=cards,
            rescale_magmom_fac=_MAGNETIZATION_OF_MOMENT,
        )

    def _chosen_pseudopotentials(self, crystal: Crystal) -> dict[str, Path]:
        """The one file of each element."""
        chosen = {}
        for element, found in self._pseudopotentials(crystal).items():
            if len(found) != 1:
                names = ", ".join(file.name for file in found) or "none"
                words = f"one pseudopotential for {element} is expected in pseudo_dir, found: {names}"
                raise CalculationFailed(words, "pseudopotential")
            chosen[element] = found[0]
        return chosen

    def _pseudopotentials(self, crystal: Crystal) -> dict[str, list[Path]]:
        """Element to the files whose names begin with its symbol and go on with no other letter."""
        folder = Path(self.settings.pseudo_dir)
        files = _upf_files(folder) if self.settings.pseudo_dir and folder.is_dir() else []
        return {
            element: [file for file in files if re.match(rf"{element}(?![a-z])", file.name, re.IGNORECASE)]
            for element in sorted(set(crystal.species))
        }


def _hubbard_input(values: dict[str, HubbardU], crystal: Crystal, system: dict[str, Any], version: str) -> list[str]:
    """The +U: a card from pw.x 7.1 on, and names in the namelist `system` (changed in place) before it.

    Atomic projectors, since forces and stress of orthogonalised ones came later than the oldest pw.x in use.
    """
    if not values:
        return []
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= (7, 1):
        return ["HUBBARD (atomic)", *(f"U {el}-{u.shell} {u.value}" for el, u in values.items())]
    order = list(dict.fromkeys(crystal.species))  # ASE numbers the species as they first occur
    system |= {"lda_plus_u": True, "u_projection_type": "atomic"}
    system |= {f"hubbard_u({order.index(el) + 1})": u.value for el, u in values.items()}
    return []


def _valence(upf: Path) -> float:
    """Electrons of a pseudopotential: `z_valence` in its header (UPF 2), or `Z valence` (UPF 1)."""
    text = upf.read_text(errors="replace")
    found = re.search(r"z_valence\s*=\s*[\"']\s*([\d.EeDd+-]+)", text) or re.search(r"([\d.]+)\s+Z valence", text)
    if found is None:
        raise CalculationFailed(f"{upf.name} does not say how many electrons it has", "pseudopotential")
    return float(found[1].replace("D", "E").replace("d", "e"))


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
