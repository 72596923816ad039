"""GPAW: PBE in plane waves with PAW data sets from the `gpaw-data` package; nothing is downloaded.

One single point at the given geometry (or a relaxation, if set), the Kohn-Sham gap, and the bulk modulus from an
energy curve. J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024); PBE: Phys. Rev. Lett. 77, 3865 (1996).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..core.structure import from_ase, to_ase
from ..core.types import Crystal, EvaluationRequest, Quantity
from .base import CalculationFailed, EvaluatorSettings, Outcome, ProcessEvaluator
from .elastic import birch_murnaghan, relax_cell, scan_volumes
from .electrons import ACCURACIES, Accuracy, band_gap, cell_values, force_and_stress, idealise, kmesh, starting_moments

if TYPE_CHECKING:
    from ase import Atoms

_INSTALL = (
    "Install GPAW with `apt install libxc-dev libopenblas-dev` and `pip install 'lodestone[dft]'` "
    "(gpaw with the PAW data sets of gpaw-data)."
)


CHECKPOINT_ITERATIONS = 5
"""SCF iterations between two checkpoints of the density; writing one takes about as long as an iteration."""


class GpawSettings(EvaluatorSettings):
    """Settings of the `gpaw` evaluator."""

    protocol: Literal["fast", "moderate", "precise"] = "fast"
    cutoff_ev: float | None = Field(default=None, ge=200.0, le=2000.0)
    """Takes the place of the protocol's cutoff."""
    kspacing: float | None = Field(default=None, ge=0.05, le=2.0)
    """1/Å; takes the place of the protocol's spacing."""
    max_iterations: int = Field(default=200, ge=1, le=2000)
    """Of the self-consistency cycle."""
    relax: bool = False
    """Relax cell and positions first; otherwise all values belong to the geometry as given."""
    fmax: float = Field(default=0.05, gt=0.0, le=0.5)
    max_steps: int = Field(default=60, ge=1, le=1000)
    symprec: float = Field(default=0.01, gt=0.0, le=0.1)
    """Å; the crystal is moved onto the symmetry found at this tolerance, in its primitive cell."""


class GpawEvaluator(ProcessEvaluator[GpawSettings]):
    """PBE energies, gaps and bulk moduli by GPAW."""

    name = "gpaw"
    fidelity = "dft"
    properties = frozenset(
        {"formation_energy", "energy_above_hull", "density", "volume_per_atom", "bulk_modulus", "band_gap"}
    )
    settings_type = GpawSettings
    packages: ClassVar[tuple[str, ...]] = ("gpaw", "gpaw-data", "ase", "moyopy")

    @property
    def accuracy(self) -> Accuracy:
        """The protocol, with what the settings put in its place."""
        override = {"cutoff_ev": self.settings.cutoff_ev, "kspacing": self.settings.kspacing}
        given = {name: value for name, value in override.items() if value is not None}
        return ACCURACIES[self.settings.protocol].model_copy(update=given)

    @property
    def method(self) -> str:
        """What it is, in words."""
        a = self.accuracy
        geometry = "relaxed" if self.settings.relax else "single point at the geometry given"
        return f"PBE, plane waves {a.cutoff_ev:g} eV, k-spacing {a.kspacing:g} 1/Å (GPAW {self.version}), {geometry}"

    def available(self) -> str | None:
        """None, or how to get GPAW and its data sets."""
        if importlib.util.find_spec("gpaw") is None:
            return _INSTALL
        if not any(any(folder.glob("*.PBE*")) for folder in _setup_folders()):
            return "GPAW has no PAW data sets: `pip install gpaw-data`, or set GPAW_SETUP_PATH."
        return None

    def parameters(self, request: EvaluationRequest) -> dict[str, Any]:
        """Accuracy, settings, k-mesh rule, moments and the digest of each element's PAW data set."""
        changing = {"max_iterations", "relax", "fmax", "max_steps", "symprec"}
        return {
            "xc": "PBE",
            "accuracy": self.accuracy.model_dump(),
            "settings": self.settings.model_dump(include=changing),
            "moments": starting_moments(request.crystal),
            "setups": _setup_digests(request.crystal),
        }

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """Single point (or relaxation), then gap and energy curve where asked."""
        import gpaw

        lacking = sorted(el for el, digest in _setup_digests(request.crystal).items() if digest == "missing")
        if lacking:
            raise CalculationFailed(f"no PBE PAW data set for {', '.join(lacking)} in gpaw-data")
        crystal = idealise(request.crystal, self.settings.symprec)
        wants_gap = "band_gap" in request.properties
        saved = None if self.checkpoint is None or self.settings.relax else self.checkpoint / "scf.gpw"
        atoms = self._with_calculator(to_ase(crystal), crystal, scratch / "gpaw.txt", wants_gap, saved)
        artefacts = {"output": "gpaw.txt"}
        failure = ""
        try:
            if self.settings.relax:
                relax_cell(
                    atoms, self.settings.fmax, self.settings.max_steps, str(scratch / "relax.log"), self.checkpoint
                )
                crystal = from_ase(atoms)
                artefacts["relaxation"] = "relax.log"
            values = cell_values(crystal, float(atoms.get_potential_energy()))
            values |= force_and_stress(atoms.get_forces(), atoms.get_stress())
            if wants_gap:
                gap = _gap(atoms)
                failure = "" if gap is not None else "band gap: no empty band was calculated"
                values |= {"band_gap": Quantity(value=gap, unit="eV")} if gap is not None else {}
            if "bulk_modulus" in request.properties:
                try:
                    values["bulk_modulus"] = Quantity(value=self._bulk_modulus(atoms, crystal, scratch), unit="GPa")
                except CalculationFailed as error:
                    failure = str(error)  # the energy was paid for and is kept beside the reason
        except gpaw.KohnShamConvergenceError as error:
            limit = self.settings.max_iterations
            raise CalculationFailed(f"SCF not converged in {limit} iterations") from error
        return Outcome(
            values=values, crystal=crystal if self.settings.relax else None, artefacts=artefacts, failure=failure
        )

    def _with_calculator(
        self, atoms: Atoms, crystal: Crystal, output: Path, bands: bool = False, saved: Path | None = None
    ) -> Atoms:
        """The same atoms with moments and a GPAW; `bands` also converges the lowest empty ones.

        With `saved` the density is kept in that file every few iterations, and one that is there is gone on from.
        """
        from gpaw import GPAW

        if saved is not None and saved.is_file() and (calc := _restarted(saved, output)) is not None:
            calc.attach(_save, CHECKPOINT_ITERATIONS, calc, saved)
            atoms.calc = calc
            return atoms

        accuracy = self.accuracy
        moments = starting_moments(crystal)
        if any(moments):
            atoms.set_initial_magnetic_moments(moments)
        convergence: dict[str, float | str] = {"energy": accuracy.energy_convergence_ev}
        if bands:
            convergence["bands"] = "CBM+0.3"
        atoms.calc = GPAW(
            mode={"name": "pw", "ecut": accuracy.cutoff_ev},
            xc="PBE",
            kpts={"size": kmesh(crystal, accuracy.kspacing), "gamma": True},
            occupations={"name": "fermi-dirac", "width": accuracy.smearing_ev},
            convergence=convergence,
            maxiter=self.settings.max_iterations,
            txt=str(output),
        )
        if saved is not None:
            atoms.calc.attach(_save, CHECKPOINT_ITERATIONS, atoms.calc, saved)
        return atoms

    def _bulk_modulus(self, atoms: Atoms, crystal: Crystal, scratch: Path) -> float:
        """GPa, with fractional positions held; the k-mesh is that of the unscaled cell."""

        def energy_at(ratio: float) -> float:
            scaled = atoms.copy()
            scaled.set_cell(np.asarray(atoms.cell) * ratio ** (1 / 3), scale_atoms=True)
            self._with_calculator(scaled, crystal, scratch / f"gpaw-volume-{ratio:.2f}.txt")
            return float(scaled.get_potential_energy())

        ratios, energies = scan_volumes(energy_at)
        modulus, _, _ = birch_murnaghan(ratios * atoms.get_volume(), energies)
        return modulus


def _save(calc: Any, path: Path) -> None:
    """Keep the density so far; readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new.gpw")
    calc.write(str(fresh))
    fresh.replace(path)


def _restarted(path: Path, output: Path) -> Any:
    """A calculator that goes on from a kept density; None, and no file any more, when it cannot be read."""
    from gpaw import GPAW

    try:
        return GPAW(str(path), txt=str(output))
    except Exception as error:  # noqa: BLE001 (a damaged file may make the reader raise anything: start afresh)
        print(f"The checkpoint {path.name} cannot be read ({error}); the calculation starts afresh.", flush=True)
        path.unlink()
        return None


def _gap(atoms: Atoms) -> float | None:
    calc = atoms.calc
    spins, points = range(calc.get_number_of_spins()), range(len(calc.get_ibz_k_points()))
    bands = [[calc.get_eigenvalues(kpt=k, spin=s) for k in points] for s in spins]
    return band_gap(bands, float(calc.get_fermi_level()))


def _setup_folders() -> list[Path]:
    """Where GPAW looks for data sets, first match wins (`GPAW_SETUP_PATH`, then the gpaw-data package)."""
    given = os.environ.get("GPAW_SETUP_PATH", "")
    folders = [Path(part) for part in given.split(os.pathsep) if part]
    spec = importlib.util.find_spec("gpaw_data")
    if spec is not None and spec.origin:
        folders.append(Path(spec.origin).parent / "setups")
    return folders


def _setup_digests(crystal: Crystal) -> dict[str, str]:
    """Element to the sha256 of its PBE data set, or `missing`."""
    return {symbol: _digest_of(symbol, tuple(_setup_folders())) for symbol in sorted(set(crystal.species))}


@cache
def _digest_of(symbol: str, folders: tuple[Path, ...]) -> str:
    for folder in folders:
        for file in (folder / f"{symbol}.PBE", folder / f"{symbol}.PBE.gz"):
            if file.is_file():
                return hashlib.sha256(file.read_bytes()).hexdigest()
    return "missing"
