"""ABINIT: plane waves with the user's own pseudopotentials or PAW data sets, one file an element.

ASE writes the input and reads the output. X. Gonze et al., Comput. Phys. Commun. 248, 107042 (2020). Input variables:
https://docs.abinit.org/variables/
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from ..core.types import Crystal, EvaluationRequest
from .abinit_output import check_run, read_run
from .base import CalculationFailed
from .electrons import DENSITY_OF_STATES, kmesh, starting_moments
from .hubbard import HubbardU, hubbard_values, hubbard_words
from .magnetism import order_words
from .program import ProgramEvaluator, ProgramSettings, ask_version, run_program

if TYPE_CHECKING:
    from ase import Atoms

_INSTALL = "Install ABINIT with `apt-get install abinit`, or set [evaluators.abinit] command."
_PSEUDO_DIR = (
    "Set [evaluators.abinit] pseudo_dir to a folder of pseudopotentials, one an element (Si.psp8, O.GGA_PBE-JTH.xml, …)"
    ", e.g. of PseudoDojo: https://www.pseudo-dojo.org."
)

_EV_PER_HARTREE = 27.211386245988

_HEADER_BYTES = 4000
_L_OF = {"s": 0, "p": 1, "d": 2, "f": 3}
_MIXING = {False: 1.0, True: 0.7}
"""ABINIT's own `diemix`, without and with PAW."""
_FORMATS = (".psp8", ".fhi", ".pspnc", ".hgh", ".xml")
_LIBXC = {-101130: "PBE", -1012: "LDA", -116133: "PBEsol"}
_INTERNAL = {1: "LDA", 7: "LDA", 11: "PBE", 23: "WC"}
"""Functional to ABINIT's `ixc`: its own numbers, and those of libxc (https://docs.abinit.org/variables/basic/#ixc)."""


class AbinitSettings(ProgramSettings):
    """Settings of the `abinit` evaluator."""

    pseudo_dir: str = ""
    """Folder with the pseudopotentials, matched by the element symbol that a file name begins with."""
    command: tuple[str, ...] = Field(default=("abinit",), min_length=1)
    """Program and arguments, e.g. `["mpirun", "-n", "4", "abinit"]`; no shell reads it."""
    cutoff_ha: float = Field(default=30.0, ge=5.0, le=200.0)
    """For the wave functions, in Hartree: it belongs to the pseudopotentials, so it is set here rather than by the
    protocol."""
    density_cutoff_ratio: float = Field(default=2.0, ge=1.0, le=8.0)
    """Cutoff of the fine grid of PAW over that of the wave functions; norm-conserving pseudopotentials have none."""


class AbinitEvaluator(ProgramEvaluator[AbinitSettings]):
    """Energies, gaps and bulk moduli by ABINIT, with the functional of the pseudopotentials."""

    name = "abinit"
    settings_type = AbinitSettings
    packages: ClassVar[tuple[str, ...]] = ("ase", "moyopy")
    cost_prior = 0.6
    """From Si, Al, Fe and NiO at coarse meshes, one core of 2023."""
    files: ClassVar[dict[str, str]] = {"input": "abinit.in", "output": "abinit.abo", "log": "abinit.log"}

    @property
    def version(self) -> str:
        """Version of ABINIT as the program prints it, or `missing`."""
        return _abinit_version(self.settings.command)

    @property
    def cutoff_ev(self) -> float:
        """Of the wave functions."""
        return self.settings.cutoff_ha * _EV_PER_HARTREE

    @property
    def method(self) -> str:
        """What it is, in words."""
        s, spacing = self.settings, self.accuracy.kspacing
        words = (
            f"plane waves {s.cutoff_ha:g} Ha, k-spacing {spacing:g} 1/Å, functional of the pseudopotentials "
            f"(ABINIT {self.version}), {self.geometry_words}"
        )
        return ", ".join(filter(None, (hubbard_words(s.hubbard), words, order_words(self.orders_at_most))))

    def available(self) -> str | None:
        """None, or how to get ABINIT and pseudopotentials."""
        if shutil.which(self.settings.command[0]) is None:
            return _INSTALL
        if not self._files():
            return _PSEUDO_DIR
        return None if self.version != "missing" else f"'{' '.join(self.settings.command)}' does not run ABINIT."

    def parameters(self, request: EvaluationRequest) -> dict[str, Any]:
        """Accuracy, settings, program version, moments and the digest of each pseudopotential."""
        files = self._pseudopotentials(request.crystal)
        return {
            "accuracy": self.accuracy.model_dump(exclude={"cutoff_ev"}),
            "settings": self.settings.model_dump(
                include={"cutoff_ha", "density_cutoff_ratio", "max_iterations", "symprec"}
            ),
            "version": self.version,
            "moments": starting_moments(request.crystal, request.properties),
            "pseudopotentials": {
                el: [hashlib.sha256(file.read_bytes()).hexdigest() for file in found] for el, found in files.items()
            },
            **self.choices(request),
        }

    def start(self, folder: Path) -> int:
        """Run ABINIT; what it leaves besides its output and its levels is not kept."""
        for old in folder.glob("abinito_*"):
            old.unlink()
        code = run_program([*self.settings.command, "abinit.in"], folder, "abinit.log")
        for left in folder.glob("abinito_*"):
            if left.name != "abinito_EIG":
                left.unlink()
        return code

    def read(self, folder: Path, atoms: Atoms, code: int) -> Atoms:
        """What ABINIT has printed."""
        check_run(folder, code, self.settings.max_iterations)
        return read_run(folder, atoms)

    def write_input(self, atoms: Atoms, crystal: Crystal, request: EvaluationRequest, folder: Path) -> None:
        """Write `abinit.in`, with what the ladder has changed. Raises CalculationFailed without pseudopotentials."""
        from ase.io.abinit import write_abinit_in

        accuracy, numerics = self.accuracy, self.ladder.numerics
        chosen = self._chosen_pseudopotentials(crystal)
        electrons = sum(chosen[symbol].electrons for symbol in crystal.species)
        projected = chosen[crystal.species[0]].paw
        many = numerics.empty_bands or DENSITY_OF_STATES in request.properties
        moment = sum(abs(float(m)) for m in atoms.get_initial_magnetic_moments())
        empty = 8 + 4 * len(crystal) if many else 4 + len(crystal)
        parameters: dict[str, Any] = {
            "pps": "pawxml",  # ASE then leaves the functional to the files, for every format
            "ecut": self.cutoff_ev,
            "nband": math.ceil((electrons + moment) / 2) + empty,
            "occopt": 4,  # cold smearing: N. Marzari et al., Phys. Rev. Lett. 82, 3296 (1999)
            "tsmear": accuracy.smearing_ev * numerics.smearing,
            "toldfe": accuracy.energy_convergence_ev / 10,
            "nstep": self.settings.max_iterations,
            "ngkpt": list(kmesh(crystal, accuracy.kspacing * numerics.kspacing)),
            "nshiftk": 1,
            "shiftk": [0.0, 0.0, 0.0],
            "kptopt": 1,
            "prtden": 0,
            "prtwf": 0,
            "prteig": 1,
            "prtdensph": 1,
            "optstress": 1,
        }
        if projected:
            parameters["pawecutdg"] = self.cutoff_ev * self.settings.density_cutoff_ratio
        if numerics.mixing != 1.0:
            parameters["diemix"] = _MIXING[projected] * numerics.mixing
        if numerics.careful:
            parameters |= {"nline": 8, "nnsclo": 2}
        if numerics.lean:
            parameters["npulayit"] = 2
        if not numerics.symmetry:
            parameters["nsym"] = 1
        hubbard = hubbard_values(crystal, self.settings.hubbard)
        if hubbard:
            parameters |= _hubbard_input(hubbard, atoms, projected)
        species = sorted(set(atoms.numbers))
        paths = {atoms.numbers[i]: str(chosen[symbol].path) for i, symbol in enumerate(crystal.species)}
        with (folder / "abinit.in").open("w") as stream:
            write_abinit_in(stream, atoms, parameters, species, [paths[number] for number in species])

    def _chosen_pseudopotentials(self, crystal: Crystal) -> dict[str, Pseudopotential]:
        """The one file of each element, all of one kind and one functional."""
        chosen = {}
        for element, found in self._pseudopotentials(crystal).items():
            if len(found) != 1:
                names = ", ".join(file.name for file in found) or "none"
                words = f"one pseudopotential for {element} is expected in pseudo_dir, found: {names}"
                raise CalculationFailed(words, "pseudopotential")
            chosen[element] = read_pseudopotential(found[0], element)
        for what, kinds in (
            ("functionals", {p.functional for p in chosen.values()}),
            ("kinds", {"PAW" if p.paw else "norm-conserving" for p in chosen.values()}),
        ):
            if len(kinds) > 1:
                words = f"the pseudopotentials are of {len(kinds)} {what}: {', '.join(sorted(kinds))}"
                raise CalculationFailed(words, "pseudopotential")
        return chosen

    def _pseudopotentials(self, crystal: Crystal) -> dict[str, list[Path]]:
        """Element to the files whose names begin with its symbol and go on with no other letter."""
        files = self._files()
        return {
            element: [file for file in files if re.match(rf"{element}(?![a-z])", file.name, re.IGNORECASE)]
            for element in sorted(set(crystal.species))
        }

    def _files(self) -> list[Path]:
        folder = Path(self.settings.pseudo_dir)
        if not self.settings.pseudo_dir or not folder.is_dir():
            return []
        found = (file for file in folder.iterdir() if file.suffix.lower() in _FORMATS and file.is_file())
        return sorted(file.resolve() for file in found)


class Pseudopotential(NamedTuple):
    """What the head of a file says."""

    path: Path
    electrons: float
    functional: str
    paw: bool


def read_pseudopotential(path: Path, element: str) -> Pseudopotential:
    """The head of a norm-conserving pseudopotential in ABINIT's formats, or of a PAW data set in XML.

    Raises:
        CalculationFailed: for a file that is none, or of another element.
    """
    from ase.data import atomic_numbers

    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES).decode(errors="replace")
    number: float | None = None
    if path.suffix.lower() == ".xml":
        atom = re.search(r"<atom [^>]*Z=\"([\d.]+)\"[^>]*valence=\"([\d.]+)\"", head)
        functional = re.search(r"<xc_functional [^>]*name=\"([^\"]+)\"", head)
        if atom and functional:
            number, electrons, name, paw = float(atom[1]), float(atom[2]), _xml_functional(functional[1]), True
    else:
        second, third = ((*head.splitlines(), "", "", "")[i].split() for i in (1, 2))
        try:
            number, electrons, code, paw = float(second[0]), float(second[1]), int(third[1]), False
            name = _INTERNAL.get(code) or _LIBXC.get(code) or f"ixc {code}"
        except (IndexError, ValueError):
            number = None
    if number is None:
        raise CalculationFailed(f"{path.name} is no pseudopotential that ABINIT reads", "pseudopotential")
    if number != atomic_numbers[element]:
        words = f"{path.name} is of the element with number {number:g}, not of {element}"
        raise CalculationFailed(words, "pseudopotential")
    return Pseudopotential(path, electrons, name, paw)


def _xml_functional(name: str) -> str:
    return {"GGA_X_PBE+GGA_C_PBE": "PBE", "PW": "LDA", "LDA_X+LDA_C_PW": "LDA"}.get(name, name)


def _hubbard_input(values: dict[str, HubbardU], atoms: Atoms, projected: bool) -> dict[str, Any]:
    """The +U for each type of atom, which ASE numbers by atomic number; eV."""
    from ase.data import chemical_symbols

    if not projected:
        raise CalculationFailed("the +U of ABINIT needs PAW data sets (.xml) in pseudo_dir", "pseudopotential")
    order = [chemical_symbols[number] for number in sorted(set(atoms.numbers))]
    shells = [_L_OF[values[el].shell[-1]] if el in values else -1 for el in order]
    sizes = " ".join(f"{values[el].value if el in values else 0.0}" for el in order)
    return {"usepawu": 1, "lpawu": shells, "upawu": f"{sizes} eV"}


@cache
def _abinit_version(command: tuple[str, ...]) -> str:
    """Asked once a process."""
    return ask_version(command, ("--version",), r"(\d+\.\d+\S*)")
