"""What Kohn-Sham levels and the spin density say, for any code that ASE reads: gaps, density of states, moments.

The codes themselves are in `gpaw.py` and `espresso.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..core.types import Quantity
from .electrons import DENSITY_OF_STATES

if TYPE_CHECKING:
    from ase import Atoms

DOS_WIDTH_EV = 0.2
"""Width of the Gaussians that levels are broadened by, eV."""
_DOS_STEP_EV = 0.05
EMPTY_STATES_EV = 3.0
"""Up to here above the lowest empty level the states of a density of states are converged, eV."""


class Gaps(NamedTuple):
    """Kohn-Sham gaps on the given k-points, eV; both are 0 for a metal."""

    fundamental: float
    """Between the highest occupied and the lowest empty level, wherever they lie."""
    direct: float
    """The smallest one between levels of the same k-point and spin."""


def band_gaps(eigenvalues: ArrayLike, fermi_level: float) -> Gaps | None:
    """The gaps in a spectrum.

    Args:
        eigenvalues: spins x k-points x bands, eV.
        fermi_level: eV, anywhere inside the gap of an insulator.

    Returns:
        0 for a metal, which is a crystal with a band that crosses the Fermi level; None when no empty band was
        calculated.
    """
    bands = np.sort(np.asarray(eigenvalues, dtype=float), axis=2)
    occupied = (bands < fermi_level).sum(axis=2)
    if (occupied.max(axis=1) != occupied.min(axis=1)).any():
        return Gaps(0.0, 0.0)
    if (occupied >= bands.shape[2]).any():
        return None
    tops = [bands[s, :, n - 1] for s, n in enumerate(occupied[:, 0]) if n > 0]
    bottoms = [bands[s, :, n] for s, n in enumerate(occupied[:, 0])]
    if not tops:
        return None
    fundamental = max(0.0, float(min(b.min() for b in bottoms) - max(top.max() for top in tops)))
    direct = min(float((bands[s, :, n] - bands[s, :, n - 1]).min()) for s, n in enumerate(occupied[:, 0]) if n > 0)
    return Gaps(fundamental, direct) if fundamental > 0.0 else Gaps(0.0, 0.0)


def gaps_of(calc: Any) -> Gaps | None:
    """The gaps in what a calculator of ASE has calculated; None when it tells no empty band or no Fermi level."""
    level = calc.get_fermi_level()
    weights = calc.get_k_point_weights()
    if level is None or weights is None or not len(weights):
        return None
    spins, points = range(calc.get_number_of_spins()), range(len(weights))
    return band_gaps([[calc.get_eigenvalues(kpt=k, spin=s) for k in points] for s in spins], float(level))


def with_levels(
    atoms: Atoms, results: dict[str, Any], eigenvalues: ArrayLike, weights: ArrayLike, fermi_level: float
) -> Atoms:
    """A copy of the atoms with a calculator that holds results and levels, for codes whose reader keeps no levels.

    Args:
        atoms: as they were calculated.
        results: in ASE's names and units.
        eigenvalues: spins x k-points x bands, eV.
        weights: of the k-points.
        fermi_level: eV.
    """
    from ase.calculators.singlepoint import SinglePointDFTCalculator, SinglePointKPoint

    found = atoms.copy()
    calc = SinglePointDFTCalculator(found, efermi=float(fermi_level), **results)
    calc.kpts = [
        SinglePointKPoint(float(weight), spin, k, eps_n=np.asarray(levels, dtype=float))
        for spin, of_spin in enumerate(np.asarray(eigenvalues))
        for k, (weight, levels) in enumerate(zip(np.asarray(weights), of_spin, strict=True))
    ]
    found.calc = calc
    return found


def write_dos(calc: Any, path: Path) -> None:
    """Density of states of the k-mesh of the run, Gaussian-broadened, as CSV with units in its head.

    Energies are relative to the Fermi level; states are those of the cell and count both spins where the run had none.
    """
    from ase.dft.dos import DOS

    levels = np.concatenate(
        [
            calc.get_eigenvalues(kpt=k, spin=s)
            for s in range(calc.get_number_of_spins())
            for k in range(len(calc.get_k_point_weights()))
        ]
    )
    points = int((levels.max() - levels.min() + 10 * DOS_WIDTH_EV) / _DOS_STEP_EV) + 1
    dos = DOS(calc, width=DOS_WIDTH_EV, npts=points)
    dos.w_k = np.asarray(dos.w_k) / np.sum(dos.w_k)  # those of pw.x add up to two where there is no spin
    spins = calc.get_number_of_spins()
    # ASE counts two electrons a level when it is asked for no spin, and one when it is asked for the only one.
    columns = [dos.get_dos()] if spins == 1 else [dos.get_dos(spin) for spin in (0, 1)]
    names = ("total",) if spins == 1 else ("spin up", "spin down")
    head = ",".join(["energy above Fermi level (eV)", *(f"{name} (states/eV/cell)" for name in names)])
    rows = np.column_stack([dos.get_energies(), *columns])
    np.savetxt(path, rows, fmt="%.6g", delimiter=",", header=head, comments="")


def read_spectrum(
    atoms: Atoms, properties: Iterable[str], folder: Path
) -> tuple[dict[str, Quantity], dict[str, str], str]:
    """What a finished run says besides energy, forces and stress.

    Args:
        atoms: with a calculator that has its results.
        properties: what is asked for.
        folder: where files are written.

    Returns:
        Values, files by what they are, and what could not be had, in words.
    """
    values: dict[str, Quantity] = {}
    files: dict[str, str] = {}
    failure = ""
    asked = set(properties)
    if "band_gap" in asked:
        gaps = gaps_of(atoms.calc)
        failure = "band gap: no empty band was calculated" if gaps is None else ""
        if gaps is not None:
            values["band_gap"] = Quantity(value=gaps.fundamental, unit="eV")
            values["band_gap_direct"] = Quantity(value=gaps.direct, unit="eV")
    if DENSITY_OF_STATES in asked:
        write_dos(atoms.calc, folder / "dos.csv")
        files["density of states"] = "dos.csv"
    if atoms.calc is not None and atoms.calc.get_number_of_spins() == 2:
        moments = [float(m) for m in atoms.get_magnetic_moments()]
        total = float(atoms.get_magnetic_moment())
        values["magnetization"] = Quantity(value=total, unit="bohr_magneton")
        values["magnetization_per_atom"] = Quantity(value=total / len(moments), unit="bohr_magneton")
        values["magnetic_moment_max"] = Quantity(value=max(abs(m) for m in moments), unit="bohr_magneton")
        rows = [
            f"{i},{el},{m:.4f}" for i, (el, m) in enumerate(zip(atoms.get_chemical_symbols(), moments, strict=True))
        ]
        head = "atom,element,moment inside its sphere (Bohr magnetons)"
        (folder / "moments.csv").write_text("\n".join([head, *rows]) + "\n")
        files["magnetic moments"] = "moments.csv"
    return values, files, failure
