"""Quantum ESPRESSO: `pw.x` single points with the user's own pseudopotentials, one UPF file an element.

ASE writes the input and reads the output; the process is started here, so that it ends with its parent.
P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017). Input: https://www.quantum-espresso.org/Doc/INPUT_PW.html
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ..core.types import Crystal, EvaluationRequest
from .base import CalculationFailed
from .electrons import DENSITY_OF_STATES, kmesh, starting_moments
from .espresso_output import check_output, read_output
from .hubbard import HubbardU, hubbard_values, hubbard_words
from .magnetism import order_words
from .program import ProgramEvaluator, ProgramSettings, ask_version, run_program

if TYPE_CHECKING:
    from ase import Atoms

_INSTALL = "Install pw.x with `apt-get install quantum-espresso` and set [evaluators.espresso] pseudo_dir."
_PSEUDO_DIR = "Set [evaluators.espresso] pseudo_dir to a folder of UPF files, one an element (Si.upf, Cl.pbe-n.UPF, …)."
_MAGNETIZATION_OF_MOMENT = 10.0
"""Bohr magnetons that start as a full starting_magnetization, which is a part of the valence electrons."""

_EV_PER_RY = 13.605693122994


class EspressoSettings(ProgramSettings):
    """Settings of the `espresso` evaluator."""

    pseudo_dir: str = ""
    """Folder with the pseudopotentials (UPF), matched by the element symbol that a file name begins with."""
    command: tuple[str, ...] = Field(default=("pw.x",), min_length=1)
    """Program and arguments, e.g. `["mpirun", "-n", "4", "pw.x"]`; no shell reads it."""
    cutoff_ry: float = Field(default=50.0, ge=10.0, le=400.0)
    """For the wave functions: it belongs to the pseudopotentials, so it is set here rather than by the protocol."""
    density_cutoff_ratio: float = Field(default=8.0, ge=4.0, le=16.0)
    """Cutoff of the density over that of the wave functions; 4 is enough for norm-conserving pseudopotentials."""


class EspressoEvaluator(ProgramEvaluator[EspressoSettings]):
    """Energies, gaps and bulk moduli by pw.x, with the functional of the pseudopotentials."""

    name = "espresso"
    settings_type = EspressoSettings
    packages: ClassVar[tuple[str, ...]] = ("ase", "moyopy")
    revision = 2
    cost_prior = -0.4
    """From Si and NiO at the fast protocol, one core of 2023."""
    files: ClassVar[dict[str, str]] = {"input": "pw.in", "output": "pw.out"}

    @property
    def version(self) -> str:
        """Version of pw.x as the program prints it, or `missing`."""
        return _pw_version(self.settings.command)

    @property
    def cutoff_ev(self) -> float:
        """Of the wave functions."""
        return self.settings.cutoff_ry * _EV_PER_RY

    @property
    def method(self) -> str:
        """What it is, in words."""
        s, spacing = self.settings, self.accuracy.kspacing
        words = (
            f"plane waves {s.cutoff_ry:g} Ry, k-spacing {spacing:g} 1/Å, functional of the pseudopotentials "
            f"(Quantum ESPRESSO {self.version}), {self.geometry_words}"
        )
        return ", ".join(filter(None, (hubbard_words(s.hubbard), words, order_words(self.orders_at_most))))

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
            "accuracy": self.accuracy.model_dump(exclude={"cutoff_ev"}),
            "settings": self.settings.model_dump(
                include={"cutoff_ry", "density_cutoff_ratio", "max_iterations", "symprec"}
            ),
            "version": self.version,
            "moments": starting_moments(request.crystal, request.properties),
            "pseudopotentials": {el: [_digest(file) for file in found] for el, found in files.items()},
            **self.choices(request),
        }

    def start(self, folder: Path) -> int:
        """Run pw.x; its wave functions and densities are not kept."""
        code = run_program([*self.settings.command, "-in", "pw.in"], folder, "pw.out")
        shutil.rmtree(folder / "out", ignore_errors=True)
        return code

    def read(self, folder: Path, atoms: Atoms, code: int) -> Atoms:
        """What pw.x has printed."""
        check_output(folder / "pw.out", code, self.settings.max_iterations)
        return read_output(folder / "pw.out", len(atoms))

    def write_input(self, atoms: Atoms, crystal: Crystal, request: EvaluationRequest, folder: Path) -> None:
        """Write `pw.in`, with what the ladder has changed. Raises CalculationFailed without pseudopotentials."""
        from ase.io import write

        accuracy, numerics = self.accuracy, self.ladder.numerics
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
        cards = _hubbard_input(hubbard, atoms, data["system"], self.version)
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


def _hubbard_input(values: dict[str, HubbardU], atoms: Atoms, system: dict[str, Any], version: str) -> list[str]:
    """The +U: a card from pw.x 7.1 on, and names in the namelist `system` (changed in place) before it.

    Atomic projectors, since forces and stress of orthogonalised ones came later than the oldest pw.x in use. ASE
    makes a species of each element with each starting moment, in the order in which they occur: Ni, Ni1, ...
    """
    if not values:
        return []
    moments = atoms.get_initial_magnetic_moments().tolist()
    kinds = list(dict.fromkeys(zip(atoms.get_chemical_symbols(), moments, strict=True)))
    symbols = [symbol for symbol, _ in kinds]
    labels = [f"{symbol}{symbols[:i].count(symbol) or ''}" for i, symbol in enumerate(symbols)]
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= (7, 1):
        chosen = [(label, values[el]) for label, el in zip(labels, symbols, strict=True) if el in values]
        return ["HUBBARD (atomic)", *(f"U {label}-{u.shell} {u.value}" for label, u in chosen)]
    system |= {"lda_plus_u": True, "u_projection_type": "atomic"}
    system |= {f"hubbard_u({i + 1})": values[el].value for i, el in enumerate(symbols) if el in values}
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
    return ask_version(command, (), r"Program PWSCF\s+v\.(\S+)")
