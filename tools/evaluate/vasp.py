"""VASP: plane waves with the PAW data sets of the user's own licence, as the Materials Project chooses them.

pymatgen writes INCAR and KPOINTS, ASE writes POSCAR and reads vasprun.xml; POTCAR is put together from the user's
folder. G. Kresse, J. Furthmüller, Phys. Rev. B 54, 11169 (1996). Tags: https://www.vasp.at/wiki
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from ..core.structure import from_ase
from ..core.types import Crystal, EvaluationRequest, Quantity
from .base import CalculationFailed, Outcome
from .corrections import CorrectionChoice, correction_words, mp2020_correction
from .electrons import DENSITY_OF_STATES, ENERGIES, kmesh, starting_moments
from .hubbard import hubbard_values, hubbard_words
from .magnetism import order_words
from .program import ProgramEvaluator, ProgramSettings, ask_version, run_program
from .vasp_output import check_run, read_run

if TYPE_CHECKING:
    from ase import Atoms

_COMMAND = 'Set [evaluators.vasp] command to your VASP, e.g. ["mpirun", "-n", "16", "vasp_std"]; it needs a licence.'
_POTCAR_DIR = "Set [evaluators.vasp] potcar_dir to the folder of your PBE data sets (Si/POTCAR, Fe_pv/POTCAR, …)."

_MAX_POTCAR_BYTES = 50_000_000
_HEAD_BYTES = 20_000
_L_OF = {"s": 0, "p": 1, "d": 2, "f": 3}
_AMIX = 0.4
"""VASP's own share of the new density; of the spin density it takes four times as much."""


class VaspSettings(ProgramSettings):
    """Settings of the `vasp` evaluator."""

    potcar_dir: str = ""
    """Folder with a folder for each PAW data set, in which there is its POTCAR."""
    potcars: dict[str, str] = Field(default={}, max_length=120)
    """Element to the name of its data set, where it is not the one of the Materials Project (`Fe_pv`, `W_sv`, …)."""
    cutoff_ev: float = Field(default=520.0, ge=150.0, le=2000.0)
    """For the wave functions: it belongs to the data sets, so it is set here rather than by the protocol; the Materials
    Project's is 520 eV."""
    corrections: CorrectionChoice = "none"
    """`mp2020`: the Materials Project's corrections by composition (`corrections.py`). Energies with U and without U
    compare then, so that it gives formation energies and a hull; needs hubbard `mp`."""

    @model_validator(mode="after")
    def _corrections_belong(self) -> VaspSettings:
        if self.corrections != "none" and self.hubbard != "mp":
            raise ValueError("corrections 'mp2020' were fitted to energies with the U of the Materials Project: "
                             "set hubbard to 'mp', or leave them out")  # fmt: skip
        return self


class VaspEvaluator(ProgramEvaluator[VaspSettings]):
    """PBE energies, gaps and bulk moduli by VASP."""

    name = "vasp"
    settings_type = VaspSettings
    packages: ClassVar[tuple[str, ...]] = ("ase", "pymatgen", "moyopy")
    cost_prior = 0.0
    """As of the others; there was no VASP to learn it from."""
    files: ClassVar[dict[str, str]] = {
        "input": "INCAR",
        "k-points": "KPOINTS",
        "positions": "POSCAR",
        "output": "vasprun.xml",
        "log": "vasp.out",
    }

    def __init__(self, root: Path, settings: VaspSettings | None = None) -> None:
        super().__init__(root, settings)
        if self.settings.corrections != "none":
            self.properties = self.properties | ENERGIES

    @property
    def version(self) -> str:
        """Version of VASP as it prints it when it is started without an input, `unknown` or `missing`."""
        command = self.settings.command
        if not command or shutil.which(command[0]) is None:
            return "missing"
        return _vasp_version(command)

    @property
    def cutoff_ev(self) -> float:
        """Of the wave functions."""
        return self.settings.cutoff_ev

    @property
    def method(self) -> str:
        """What it is, in words."""
        s, spacing = self.settings, self.accuracy.kspacing
        words = (
            f"plane waves {s.cutoff_ev:g} eV, k-spacing {spacing:g} 1/Å (VASP {self.version}), {self.geometry_words}"
        )
        parts = ("PBE", hubbard_words(s.hubbard), words, order_words(self.orders_at_most))
        return ", ".join(filter(None, (*parts, correction_words(s.corrections))))

    def available(self) -> str | None:
        """None, or what is missing and what to do."""
        if not self.settings.command or shutil.which(self.settings.command[0]) is None:
            return _COMMAND
        folder = Path(self.settings.potcar_dir)
        if not self.settings.potcar_dir or not folder.is_dir() or not any(folder.glob("*/POTCAR")):
            return _POTCAR_DIR
        return None

    def parameters(self, request: EvaluationRequest) -> dict[str, Any]:
        """Accuracy, settings, program version, moments and the digest of each data set."""
        chosen = {"max_iterations", "symprec"}
        extra = {"corrections": self.settings.corrections} if self.settings.corrections != "none" else {}
        return {
            "xc": "PBE",
            "accuracy": self.accuracy.model_copy(update={"cutoff_ev": self.settings.cutoff_ev}).model_dump(),
            "settings": self.settings.model_dump(include=chosen),
            "version": self.version,
            "moments": starting_moments(request.crystal, request.properties),
            "potcars": {el: _digest(self._potcar(el)) for el in sorted(set(request.crystal.species))},
            **self.choices(request),
            **extra,
        }

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """As of every program; then the correction of the energy, where it was chosen."""
        outcome = super().calculate(request, scratch)
        if self.settings.corrections == "none" or request.purpose == "label":
            return outcome
        crystal = outcome.crystal or request.crystal
        plain = outcome.values["energy_per_atom"].value
        applied = hubbard_values(request.crystal, self.settings.hubbard)
        found = mp2020_correction(crystal, plain * len(crystal), applied)
        per_atom, std = found.value / len(crystal), found.std / len(crystal)
        values = outcome.values | {
            "energy_per_atom": Quantity(value=plain + per_atom, unit="eV/atom"),
            "energy_correction_per_atom": Quantity(value=per_atom, unit="eV/atom", std=std),
        }
        return outcome.model_copy(update={"values": values})

    def shown(self, folder: Path) -> str:
        """INCAR, KPOINTS and POSCAR; POTCAR belongs to a licence and is named only."""
        parts = [f"{name}\n{(folder / name).read_text().strip()}" for name in ("INCAR", "KPOINTS", "POSCAR")]
        symbols = dict.fromkeys((folder / "POSCAR").read_text().splitlines()[5].split())
        return "\n\n".join([*parts, f"POTCAR\n{' '.join(self._name(symbol) for symbol in symbols)}"])

    def start(self, folder: Path) -> int:
        """Run VASP; the licensed data sets, wave functions and densities are not kept."""
        for name in ("OSZICAR", "OUTCAR", "CONTCAR"):
            (folder / name).unlink(missing_ok=True)
        code = run_program(self.settings.command, folder, "vasp.out")
        for name in ("POTCAR", "WAVECAR", "CHG", "CHGCAR", "DOSCAR", "PROCAR", "EIGENVAL", "vaspout.h5"):
            (folder / name).unlink(missing_ok=True)
        return code

    def read(self, folder: Path, atoms: Atoms, code: int) -> Atoms:
        """What VASP has written, in the order of the atoms."""
        check_run(folder, code, self.settings.max_iterations)
        order = grouped(atoms)
        found = read_run(folder, atoms[order])
        back = [order.index(i) for i in range(len(atoms))]
        calc = found.calc
        for name in ("forces", "magmoms"):
            if name in calc.results:
                calc.results[name] = calc.results[name][back]
        given = atoms.copy()
        calc.atoms = given.copy()
        given.calc = calc
        return given

    def write_input(self, atoms: Atoms, crystal: Crystal, request: EvaluationRequest, folder: Path) -> None:
        """Write INCAR, KPOINTS, POSCAR and POTCAR. Raises CalculationFailed without a data set."""
        from ase.io.vasp import write_vasp
        from pymatgen.io.vasp.inputs import Incar, Kpoints

        accuracy = self.accuracy
        together = atoms[grouped(atoms)]
        symbols = list(dict.fromkeys(together.get_chemical_symbols()))
        data = [self._read_potcar(symbol) for symbol in symbols]
        electrons = sum(_valence(text, symbol) * together.get_chemical_symbols().count(symbol)
                        for symbol, text in zip(symbols, data, strict=True))  # fmt: skip
        mesh = kmesh(crystal, accuracy.kspacing * self.ladder.numerics.kspacing)
        Incar(self._tags(together, request, electrons)).write_file(str(folder / "INCAR"))
        Kpoints.gamma_automatic(mesh).write_file(str(folder / "KPOINTS"))
        write_vasp(folder / "POSCAR", together, direct=True, vasp5=True, sort=False)
        (folder / "POTCAR").write_bytes(b"".join(data))

    def _tags(self, atoms: Atoms, request: EvaluationRequest, electrons: float) -> dict[str, Any]:
        """INCAR, with what the ladder has changed; the atoms are in the order of POSCAR."""
        accuracy, numerics = self.accuracy, self.ladder.numerics
        tags: dict[str, Any] = {
            "PREC": "Accurate",
            "ENCUT": self.settings.cutoff_ev,
            "EDIFF": float(f"{accuracy.energy_convergence_ev / 10:.2g}"),
            "NELM": self.settings.max_iterations,
            "ISMEAR": 0,
            "SIGMA": accuracy.smearing_ev * numerics.smearing,
            "IBRION": -1,
            "NSW": 0,
            "ISIF": 2,
            "LASPH": True,
            "LREAL": False,
            "LWAVE": False,
            "LCHARG": False,
            "ISPIN": 1,
        }
        moments = [float(m) for m in atoms.get_initial_magnetic_moments()]
        if any(moments):
            tags |= {"ISPIN": 2, "MAGMOM": moments, "LORBIT": 11}
        if numerics.mixing != 1.0:
            tags |= {"AMIX": _AMIX * numerics.mixing, "AMIX_MAG": 4 * _AMIX * numerics.mixing}
        if numerics.careful:
            tags["ALGO"] = "All"
        if numerics.lean:
            tags |= {"NSIM": 1, "MAXMIX": 4}
        if not numerics.symmetry:
            tags["ISYM"] = 0
        if numerics.empty_bands or DENSITY_OF_STATES in request.properties:
            tags["NBANDS"] = math.ceil((electrons + sum(map(abs, moments))) / 2) + 8 + 4 * len(atoms)
        hubbard = hubbard_values(from_ase(atoms), self.settings.hubbard)
        if hubbard:
            symbols = list(dict.fromkeys(atoms.get_chemical_symbols()))
            shells = [_L_OF[hubbard[el].shell[-1]] if el in hubbard else -1 for el in symbols]
            tags |= {
                "LDAU": True,
                "LDAUTYPE": 2,
                "LDAUL": shells,
                "LDAUU": [hubbard[el].value if el in hubbard else 0.0 for el in symbols],
                "LDAUJ": [0.0] * len(symbols),
                "LMAXMIX": 4,
            }
        return tags

    def _name(self, element: str) -> str:
        """Of the data set of an element: the user's, or the Materials Project's."""
        return self.settings.potcars.get(element) or _mp_names().get(element, element)

    def _potcar(self, element: str) -> Path:
        return Path(self.settings.potcar_dir) / self._name(element) / "POTCAR"

    def _read_potcar(self, element: str) -> bytes:
        path, name = self._potcar(element), self._name(element)
        if not self.settings.potcar_dir or not path.is_file():
            words = f"no data set {name}/POTCAR for {element} in potcar_dir; another one can be named in `potcars`"
            raise CalculationFailed(words, "pseudopotential")
        if path.stat().st_size > _MAX_POTCAR_BYTES:
            raise CalculationFailed(f"{name}/POTCAR is larger than {_MAX_POTCAR_BYTES} bytes", "pseudopotential")
        data = path.read_bytes()
        head = data[:_HEAD_BYTES].decode(errors="replace")
        owner = re.search(r"VRHFIN\s*=\s*([A-Z][a-z]?)", head)
        functional = re.search(r"LEXCH\s*=\s*(\S+)", head)
        if owner is None or owner[1] != element:
            words = f"{name}/POTCAR is of {owner[1] if owner else 'no element'}, not of {element}"
            raise CalculationFailed(words, "pseudopotential")
        if functional is None or functional[1] != "PE":
            words = f"{name}/POTCAR was made with LEXCH {functional[1] if functional else '?'}, not with PBE (PE)"
            raise CalculationFailed(words, "pseudopotential")
        return data


def grouped(atoms: Atoms) -> list[int]:
    """The atoms in VASP's order: all of one element together, elements as they first occur."""
    symbols = atoms.get_chemical_symbols()
    first = list(dict.fromkeys(symbols))
    return sorted(range(len(symbols)), key=lambda i: (first.index(symbols[i]), i))


def _valence(potcar: bytes, element: str) -> float:
    found = re.search(r"ZVAL\s*=\s*([\d.]+)", potcar[:_HEAD_BYTES].decode(errors="replace"))
    if found is None:
        raise CalculationFailed(f"the POTCAR of {element} does not say how many electrons it has", "pseudopotential")
    return float(found[1])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


@cache
def _mp_names() -> dict[str, str]:
    """Element to the data set of the Materials Project (pymatgen's MPRelaxSet)."""
    from pymatgen.io.vasp.sets import MPRelaxSet

    return {str(element): str(name) for element, name in MPRelaxSet.CONFIG["POTCAR"].items()}


@cache
def _vasp_version(command: tuple[str, ...]) -> str:
    """Asked once a process, in an empty folder, where VASP complains after printing its name."""
    found = ask_version(command, (), r"vasp\.(\d[\w.-]*)")
    return "unknown" if found == "missing" else found
