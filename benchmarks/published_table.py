"""The table of `benchmarks.published`: what was calculated beside what is published, and which bars are met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .published_values import (
    ATOMS_IN_CUBE,
    BOND_STEP,
    BONDS,
    EQUATIONS_OF_STATE,
    FORMATION,
    GAPS,
    SOLIDS,
    SOURCES,
    Published,
)

if TYPE_CHECKING:
    from .published import Record

LATTICE_BAR, VOLUME_BAR, MODULUS_BAR = 0.005, 0.01, 0.05
"""Relative errors."""
GAP_BAR, FORMATION_BAR = 0.1, 0.050
"""eV, and eV/atom."""
LATTICE_CRYSTALS = 12
"""As many crystals at least have to be within the bar of the lattice constant."""

VOLUME, MODULUS, ENERGY = "equilibrium_volume_per_atom", "bulk_modulus", "energy_per_atom"


class Score:
    """How many numbers of a section are within their bar."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.met = self.missed = self.lacking = 0
        self.used: set[str] = set()

    def judge(self, error: float | None, bar: float) -> str:
        """Count an error (None where there is no value), and say in a cell whether it is within the bar."""
        if error is None:
            self.lacking += 1
            return "not calculated"
        self.met, self.missed = self.met + (abs(error) <= bar), self.missed + (abs(error) > bar)
        return "yes" if abs(error) <= bar else "**no**"

    def cite(self, published: Published) -> str:
        """The key of a source, which is listed below the table."""
        self.used.add(published.source)
        return published.source

    def words(self) -> str:
        """For the end of the table."""
        lacking = f", {self.lacking} not calculated" if self.lacking else ""
        return f"{self.title}: {self.met} within the bar, {self.missed} outside{lacking}"


def show(record: Record, potentials: Sequence[str]) -> int:
    """Print all sections; 0 when every bar is met."""
    print(f"{record.method() or 'Nothing was calculated yet'}; {record.seconds() / 60:.0f} core minutes.\n")
    scores = [lattice(record, potentials), curves(record, potentials), gaps(record), formation(record)]
    for score in scores:
        print(f"- {score.words()}")
    print()
    for key in sorted(set().union(*(score.used for score in scores))):
        print(f"- {key}: {SOURCES[key]}")
    enough = scores[0].met >= LATTICE_CRYSTALS
    return 0 if enough and not any(score.missed or score.lacking for score in scores[1:]) else 1


def lattice(record: Record, potentials: Sequence[str]) -> Score:
    """Lattice constants of all solids."""
    score = Score(f"lattice constants, {LATTICE_BAR:.1%}")
    _head("crystal", "structure", "a published (Å)", "source", "a (Å)", "error", "within 0.5 %", *potentials)
    for formula, solid in SOLIDS.items():
        published = solid.a.value
        a, why = _lattice_constant(record, record.engine, formula)
        error = None if a is None else a / published - 1
        others = [_with_error(_lattice_constant(record, name, formula)[0], published) for name in potentials]
        cells = ("", "", why or "not calculated") if a is None or error is None else (f"{a:.4f}", f"{error:+.2%}", "")
        verdict = score.judge(error, LATTICE_BAR)
        _row(
            formula, solid.structure, f"{published:.4f}", score.cite(solid.a), *cells[:2], cells[2] or verdict, *others
        )
    print()
    return score


def curves(record: Record, potentials: Sequence[str]) -> Score:
    """Equilibrium volume and bulk modulus of those with a bar, then the bulk moduli of the others."""
    score = Score(f"equations of state, {VOLUME_BAR:.0%} in V0 and {MODULUS_BAR:.0%} in B0")
    _head("crystal", "property", "published", "source", "calculated", "error", "within the bar", *potentials)
    for formula in sorted(SOLIDS, key=lambda f: f not in EQUATIONS_OF_STATE):
        solid, barred = SOLIDS[formula], formula in EQUATIONS_OF_STATE
        wanted = []
        if barred:
            volume = Published(solid.a.value**3 / ATOMS_IN_CUBE[solid.structure], solid.a.source)
            wanted.append(("V0 (Å³/atom)", VOLUME, volume, VOLUME_BAR))
        if solid.bulk_modulus is not None:
            wanted.append(("B0 (GPa)", MODULUS, solid.bulk_modulus, MODULUS_BAR))
        for title, name, published, bar in wanted:
            value = record.values(record.engine, f"{formula}-eos")[0].get(name)
            error = None if value is None else value / published.value - 1
            verdict = score.judge(error, bar) if barred else "no bar"
            shown = ("", "") if value is None or error is None else (f"{value:.4g}", f"{error:+.1%}")
            others = [_with_error(record.values(n, f"{formula}-eos")[0].get(name), published.value) for n in potentials]
            _row(formula, title, f"{published.value:.4g}", score.cite(published), *shown, verdict, *others)
    print()
    return score


def gaps(record: Record) -> Score:
    """Fundamental gaps with a bar; direct ones beside them."""
    score = Score(f"gaps, {GAP_BAR} eV")
    _head(
        "crystal", "a (Å)", "gap published (eV)", "source", "gap (eV)", "error", "within 0.1 eV", "direct", "published"
    )
    for formula, gap in GAPS.items():
        values, why = record.values(record.engine, f"{formula}-gap")
        value = values.get("band_gap")
        error = None if value is None else value - gap.fundamental.value
        verdict = score.judge(error, GAP_BAR)
        shown = ("", why) if value is None or error is None else (f"{value:.3f}", f"{error:+.3f}")
        direct = f"{values['band_gap_direct']:.3f}" if "band_gap_direct" in values else ""
        known = f"{gap.direct.value:.2f} {score.cite(gap.direct)}"
        source = score.cite(gap.fundamental)
        _row(formula, f"{gap.a} ({gap.where})", f"{gap.fundamental.value:.2f}", source, *shown, verdict, direct, known)
    print()
    return score


def formation(record: Record) -> Score:
    """Formation energies from crystals at their published cells and molecules at their own bond length."""
    score = Score(f"formation energies, {FORMATION_BAR * 1000:.0f} meV/atom")
    _head("compound", "from", "published (eV/atom)", "source", "calculated", "error (meV)", "within 50 meV", "others")
    for formula, wanted in FORMATION.items():
        first, *others = wanted.published
        energies = [_energy(record, name) for name in (formula, *wanted.elements)]
        known = [energy for energy in energies if energy is not None]
        value = known[0] - (known[1] + known[2]) / 2 if len(known) == len(energies) else None
        error = None if value is None else value - first.value
        verdict = score.judge(error, FORMATION_BAR)
        shown = ("", "") if value is None or error is None else (f"{value:.3f}", f"{1000 * error:+.0f}")
        beside = ", ".join(f"{other.value:.3f} {score.cite(other)}" for other in others)
        elements = " + ".join(wanted.elements)
        _row(formula, elements, f"{first.value:.3f}", score.cite(first), *shown, verdict, beside)
    lengths = {molecule: _molecule(record, molecule) for molecule in BONDS}
    words = ", ".join(f"{molecule} {found[0]:.3f}" for molecule, found in lengths.items() if found)
    print(f"\nMolecules in a box, with one k-point. Their bond lengths (Å): {words or 'not calculated'}.\n")
    return score


# --- numbers --------------------------------------------------------------------------------------


def _lattice_constant(record: Record, engine: str, formula: str) -> tuple[float | None, str]:
    """Å, from the volume at the minimum of the equation of state, and why there is none."""
    values, why = record.values(engine, f"{formula}-eos")
    if VOLUME not in values:
        return None, why
    return (values[VOLUME] * ATOMS_IN_CUBE[SOLIDS[formula].structure]) ** (1 / 3), ""


def _energy(record: Record, name: str) -> float | None:
    """eV/atom of a crystal at its published cell, or of a molecule at its calculated bond length."""
    if name in BONDS:
        found = _molecule(record, name)
        return None if found is None else found[1]
    task = f"{name}-eos" if name in SOLIDS else f"{name}-energy"
    return record.values(record.engine, task)[0].get(ENERGY)


def _molecule(record: Record, molecule: str) -> tuple[float, float] | None:
    """Bond length (Å) and energy (eV/atom) at the lowest point of a parabola through three bond lengths."""
    energies = [record.values(record.engine, f"{molecule}-{number}")[0].get(ENERGY) for number in range(3)]
    if any(energy is None for energy in energies):
        return None
    lengths = BONDS[molecule] + np.array([-1.0, 0.0, 1.0]) * BOND_STEP
    parabola = np.polynomial.Polynomial.fit(lengths, np.array(energies, dtype=float), 2)
    lowest = float(parabola.deriv().roots().real[0])
    return lowest, float(parabola(lowest))


# --- cells ----------------------------------------------------------------------------------------


def _with_error(value: float | None, published: float) -> str:
    return "" if value is None else f"{value:.4g} ({value / published - 1:+.1%})"


def _head(*titles: str) -> None:
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)
