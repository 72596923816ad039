"""GPAW: PBE in plane waves with PAW data sets from the `gpaw-data` package; nothing is downloaded.

One single point at the given geometry (or a relaxation, if set), the Kohn-Sham gap, and the bulk modulus from an
energy curve. J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024); PBE: Phys. Rev. Lett. 77, 3865 (1996).
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ..core.structure import from_ase, to_ase
from ..core.types import Crystal, EvaluationRequest, FailureKind
from .base import CalculationFailed, Outcome, ProcessEvaluator
from .dft_settings import DftSettings
from .elastic import EquationOfState, birch_murnaghan, relax_cell, scan_volumes
from .electrons import (
    ACCURACIES,
    DENSITY_OF_STATES,
    ENERGIES,
    EXTRAS,
    Accuracy,
    at_symmetry_origin,
    cell_values,
    check_geometry,
    force_and_stress,
    idealise,
    kmesh,
    starting_moments,
)
from .hubbard import hubbard_values, hubbard_words
from .labelling import Labels
from .magnetism import MagneticOrder, lowest_order, magnetic_orders, order_words
from .size import Size, repeats, size_of
from .spectrum import EMPTY_STATES_EV, read_spectrum

if TYPE_CHECKING:
    from ase import Atoms

_INSTALL = (
    "Install GPAW with `apt install libxc-dev libopenblas-dev` and `pip install 'lodestone[dft]'` "
    "(gpaw with the PAW data sets of gpaw-data)."
)

CHECKPOINT_ITERATIONS = 5
"""SCF iterations between two checkpoints of the density; writing one takes about as long as an iteration."""

_MIXING = 0.05
"""GPAW's own share of the new density in a periodic cell."""


class GpawSettings(DftSettings):
    """Settings of the `gpaw` evaluator."""

    cutoff_ev: float | None = Field(default=None, ge=200.0, le=2000.0)
    """Takes the place of the protocol's cutoff."""


class GpawEvaluator(ProcessEvaluator[GpawSettings]):
    """PBE energies, gaps and bulk moduli by GPAW."""

    name = "gpaw"
    fidelity = "dft"
    properties = frozenset(
        {"formation_energy", "energy_above_hull", "density", "volume_per_atom", "bulk_modulus", "band_gap"}
    )
    settings_type = GpawSettings
    packages: ClassVar[tuple[str, ...]] = ("gpaw", "gpaw-data", "ase", "moyopy")
    revision = 2
    climbs = True
    cost_prior = 1.0
    """From Si (2 to 16 atoms), MgO and NaCl at the fast and moderate protocols, one core of 2023."""
    extras = EXTRAS

    def __init__(self, root: Path, settings: GpawSettings | None = None) -> None:
        super().__init__(root, settings)
        if self.settings.hubbard != "none":
            self.properties = self.properties - ENERGIES

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
        code = f"plane waves {a.cutoff_ev:g} eV, k-spacing {a.kspacing:g} 1/Å (GPAW {self.version})"
        words = ("PBE", hubbard_words(self.settings.hubbard), code, geometry, order_words(self.orders_at_most))
        return ", ".join(filter(None, words))

    @property
    def orders_at_most(self) -> int:
        """Magnetic orders that are tried."""
        return 1 if self.settings.protocol == "fast" else self.settings.magnetic_orders

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
        hubbard = hubbard_values(request.crystal, self.settings.hubbard)
        return {
            "xc": "PBE",
            "accuracy": self.accuracy.model_dump(),
            "settings": self.settings.model_dump(include=changing),
            "moments": starting_moments(request.crystal, request.properties),
            "setups": _setup_digests(request.crystal),
            # Only where there is one: a campaign that began before there were any goes on with its keys.
            **({"hubbard": {el: list(u) for el, u in hubbard.items()}} if hubbard else {}),
            **({"magnetic_orders": self.orders_at_most} if self.orders_at_most > 1 else {}),
        }

    def work(self, request: EvaluationRequest) -> float:
        """Size of all single points of a request (see `size.py`)."""
        sizes = [self._size(order).work for order in self._orders(request)]
        return sum(sizes) + max(sizes) * (repeats(request.properties, self.settings.relax) - 1)

    def size(self, request: EvaluationRequest) -> Size:
        """Of one single point of the crystal as it is calculated, in its first magnetic order."""
        return self._size(self._orders(request)[0])

    def _size(self, order: MagneticOrder) -> Size:
        return size_of(order.crystal, self.accuracy.cutoff_ev, self.accuracy.kspacing, 2 if any(order.moments) else 1)

    def deck(self, request: EvaluationRequest) -> str:
        """The call of GPAW, and what is set on the atoms, as Python; of the first magnetic order."""
        order = self._orders(request)[0]
        lines = [f"    {name}={value!r}," for name, value in self._keywords(order.crystal, request).items()]
        call = "\n".join(["atoms.calc = GPAW(", *lines, ")"])
        moments = f"atoms.set_initial_magnetic_moments({list(order.moments)})\n"
        return f"{moments}{call}" if any(order.moments) else call

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """Single point (or relaxation) of each magnetic order, then what was asked for of the lowest one."""
        lacking = sorted(el for el, digest in _setup_digests(request.crystal).items() if digest == "missing")
        if lacking:
            raise CalculationFailed(f"no PBE PAW data set for {', '.join(lacking)} in gpaw-data", "pseudopotential")
        check_geometry(request.crystal)
        with _typed(self.settings.max_iterations):
            return self._calculate(request, scratch)

    def _orders(self, request: EvaluationRequest) -> tuple[MagneticOrder, ...]:
        """The crystal as it is calculated, in each magnetic order that is tried: on its symmetry, and with an origin
        that GPAW finds most of it about."""
        at_most = 1 if request.purpose == "label" else self.orders_at_most
        crystal = idealise(request.crystal, self.settings.symprec)
        found = magnetic_orders(crystal, request.properties, at_most)
        return tuple(order.model_copy(update={"crystal": at_symmetry_origin(order.crystal)}) for order in found)

    def _calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        height = f"-{len(self.ladder.steps)}" if self.ladder.steps else ""
        keeps = self.checkpoint is not None and not self.settings.relax
        orders = self._orders(request)
        outputs = [f"gpaw{height}{f'-order-{n}' if n else ''}.txt" for n in range(len(orders))]

        def single_point(number: int, order: MagneticOrder) -> Atoms:
            kept = f"scf{height}{f'-order-{number}' if number else ''}.gpw"
            saved = self.checkpoint / kept if keeps and self.checkpoint else None
            atoms = to_ase(order.crystal)
            if any(order.moments):
                atoms.set_initial_magnetic_moments(order.moments)
            self._with_calculator(atoms, order.crystal, request, scratch / outputs[number], saved)
            if len(orders) > 1:
                with _typed(self.settings.max_iterations):
                    atoms.get_potential_energy()
            return atoms

        found = lowest_order(orders, single_point, self.ladder.offers, scratch)
        crystal, atoms = found.order.crystal, found.atoms
        artefacts = found.artefacts | {"output": outputs[orders.index(found.order)]}
        labels = Labels(request.candidate_id)
        relaxing = self.settings.relax and request.purpose != "label"
        if relaxing:
            log = str(scratch / "relax.log")
            relax_cell(atoms, self.settings.fmax, self.settings.max_steps, log, self.checkpoint, labels.see)
            crystal = from_ase(atoms)
            artefacts["relaxation"] = "relax.log"
        values = found.values | cell_values(crystal, float(atoms.get_potential_energy()))
        values |= force_and_stress(atoms.get_forces(), atoms.get_stress())
        if not relaxing:
            labels.see(atoms)
        artefacts |= labels.keep(scratch)
        more, files, failure = read_spectrum(atoms, request.properties, scratch)
        values |= more
        artefacts |= files
        kind: FailureKind = "output" if failure else ""
        if found.failure:
            failure, kind = found.failure, found.kind
        if "bulk_modulus" in request.properties:
            try:
                with _typed(self.settings.max_iterations):
                    values |= self._equation_of_state(atoms, crystal, request, scratch).values(len(crystal))
            except CalculationFailed as error:
                if self.ladder.offers(error.kind):
                    raise  # all points anew, with the same numerics
                failure, kind = str(error), error.kind  # the energy was paid for and is kept beside the reason
        relaxed = crystal if relaxing else None
        return Outcome(values=values, crystal=relaxed, artefacts=artefacts, failure=failure, kind=kind)

    def _keywords(self, crystal: Crystal, request: EvaluationRequest) -> dict[str, Any]:
        """The arguments of GPAW, with what the ladder has changed."""
        accuracy, numerics = self.accuracy, self.ladder.numerics
        mode = {"name": "pw", "ecut": accuracy.cutoff_ev}
        keywords: dict[str, Any] = {
            "mode": mode,
            "xc": "PBE",
            "kpts": {"size": kmesh(crystal, accuracy.kspacing * numerics.kspacing), "gamma": True},
            "occupations": {"name": "fermi-dirac", "width": accuracy.smearing_ev * numerics.smearing},
            "convergence": {"energy": accuracy.energy_convergence_ev},
            "maxiter": self.settings.max_iterations,
        }
        above = EMPTY_STATES_EV if DENSITY_OF_STATES in request.properties else 0.3
        if {"band_gap", DENSITY_OF_STATES} & set(request.properties):
            keywords["convergence"]["bands"] = f"CBM+{above}"
        values = hubbard_values(crystal, self.settings.hubbard)
        if values:
            keywords["setups"] = {el: f":{u.shell[-1]},{u.value}" for el, u in values.items()}
        if numerics.mixing != 1.0:
            keywords["mixer"] = {"beta": _MIXING * numerics.mixing, "nmaxold": 8, "weight": 100.0}
        if numerics.careful or numerics.lean:
            keywords["eigensolver"] = {"name": "rmm-diis"} if numerics.lean else {"name": "dav", "niter": 4}
        # GPAW itself takes no more bands than valence orbitals of the atoms, which leaves calcium without an empty one.
        many = numerics.empty_bands or DENSITY_OF_STATES in request.properties
        keywords["nbands"] = -(8 + 4 * len(crystal)) if many else -(3 + math.ceil(len(crystal) / 2))
        if not numerics.symmetry:
            keywords["symmetry"] = "off"
        return keywords

    def _with_calculator(
        self, atoms: Atoms, crystal: Crystal, request: EvaluationRequest, output: Path, saved: Path | None = None
    ) -> Atoms:
        """The same atoms, which have their moments, with a GPAW.

        With `saved` the density is kept in that file every few iterations, and one that is there is gone on from.
        """
        from gpaw import GPAW

        if saved is not None and saved.is_file() and (calc := _restarted(saved, output)) is not None:
            calc.attach(_save, CHECKPOINT_ITERATIONS, calc, saved)
            atoms.calc = calc
            return atoms
        atoms.calc = GPAW(**self._keywords(crystal, request), txt=str(output))
        if saved is not None:
            atoms.calc.attach(_save, CHECKPOINT_ITERATIONS, atoms.calc, saved)
        return atoms

    def _equation_of_state(
        self, atoms: Atoms, crystal: Crystal, request: EvaluationRequest, scratch: Path
    ) -> EquationOfState:
        """With fractional positions held; the k-mesh is that of the unscaled cell."""
        energies_only = request.model_copy(update={"properties": ("bulk_modulus",)})

        def energy_at(ratio: float) -> float:
            if ratio == 1.0 and not self.settings.relax:  # a relaxation keeps the plane waves of the cell it began in
                return float(atoms.get_potential_energy())
            scaled = atoms.copy()
            scaled.set_cell(np.asarray(atoms.cell) * ratio ** (1 / 3), scale_atoms=True)
            self._with_calculator(scaled, crystal, energies_only, scratch / f"gpaw-volume-{ratio:.2f}.txt")
            return float(scaled.get_potential_energy())

        ratios, energies = scan_volumes(energy_at)
        return birch_murnaghan(ratios * atoms.get_volume(), energies)


@contextmanager
def _typed(max_iterations: int) -> Iterator[None]:
    """What GPAW raises for an expected failure, as CalculationFailed with its kind."""
    import gpaw
    from gpaw.utilities import AtomsTooClose

    try:
        yield
    except (gpaw.KohnShamConvergenceError, gpaw.PoissonConvergenceError) as error:
        raise CalculationFailed(f"SCF not converged in {max_iterations} iterations", "scf") from error
    except np.linalg.LinAlgError as error:
        raise CalculationFailed(f"SCF: the eigensolver broke down ({error})", "scf") from error
    except MemoryError as error:
        raise CalculationFailed(f"out of memory: {error}", "memory") from error
    except AtomsTooClose as error:
        raise CalculationFailed(f"atoms overlap: {error}", "geometry") from error
    except (ValueError, RuntimeError, AssertionError, gpaw.KPointError) as error:
        if "symmetr" not in str(error).lower():
            raise
        raise CalculationFailed(f"GPAW: {error}", "symmetry") from error


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
