"""What `lodestone calc` says: the crystal, the values, and what to beware of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..tools.core.structure import to_pymatgen, volume
from ..tools.core.types import Crystal, EvaluationRequest, Observation, Quantity
from ..tools.evaluate.hubbard import HubbardChoice, hubbard_values

SYMPREC = 0.01
STRESSED_GPA = 2.0
"""A larger stress says that the geometry is not near the code's own minimum."""

_NOISE = 1e-6
"""Below this a value is the rounding of a machine."""
_UNITS = (("angstrom^3", "Å³"), ("angstrom", "Å"), ("cm^3", "cm³"), ("dimensionless", ""), ("bohr_magneton", "μB"))
_SAME_EV = 1e-3
"""Gaps that differ by less are the same one."""

_ALONE = {"energy_per_atom", "volume_per_atom", "density", "fmax", "stress_max"}
"""Values that every calculation gives, and that are shown below what was asked for."""


def cell_words(crystal: Crystal) -> str:
    """Atoms, space group and conventional lattice constants."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    found = SpacegroupAnalyzer(to_pymatgen(crystal), symprec=SYMPREC)
    lattice = found.get_conventional_standard_structure().lattice
    a, b, c = lattice.abc
    constants = f"a = {a:.3f} Å"
    if abs(b - a) > 1e-3:
        constants += f", b = {b:.3f} Å"
    if abs(c - a) > 1e-3:
        constants += f", c = {c:.3f} Å"
    atoms = f"{len(crystal)} atom{'s' if len(crystal) > 1 else ''}"
    return f"{atoms}, {found.get_space_group_symbol()} ({found.get_space_group_number()}), {constants}"


def lattice_constant(crystal: Crystal, per_atom: Quantity) -> Quantity | None:
    """The lattice constant a of a cubic crystal at a volume per atom (Å³); None for any other system.

    Its standard deviation is that of the volume: da/a = dV/(3V).
    """
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    found = SpacegroupAnalyzer(to_pymatgen(crystal), symprec=SYMPREC)
    if found.get_crystal_system() != "cubic":
        return None
    now = volume(crystal) / len(crystal)
    a = float(found.get_conventional_standard_structure().lattice.a) * (per_atom.value / now) ** (1 / 3)
    std = None if per_atom.std is None else a * per_atom.std / per_atom.value / 3
    return Quantity(value=a, unit="angstrom", std=std)


def warnings_of(observation: Observation, request: EvaluationRequest, evaluator: Any) -> list[str]:
    """What a reader of the numbers should know."""
    values, found = observation.values, []
    found += [f"Obtained with changed physics: {step.physics}." for step in observation.ladder if step.physics]
    if getattr(evaluator.settings, "protocol", "") == "fast":
        found.append("The fast protocol is for screening; `--protocol moderate` is nearer to convergence.")
    if "band_gap" in values and evaluator.fidelity == "dft":
        gap, direct = values["band_gap"].value, values.get("band_gap_direct", values["band_gap"]).value
        if gap > 0.0:
            kind = "direct" if direct - gap < _SAME_EV else "indirect"
            found.append(f"The gap is {kind} on the k-mesh of the run. Gaps of PBE lie below measured ones as a rule.")
    stress = values.get("stress_max")
    if stress is not None and stress.value > STRESSED_GPA:
        found.append(
            f"A stress of {stress.value:.1f} GPa: the cutoff is low, or the geometry is not the code's own minimum."
        )
    hubbard: HubbardChoice = getattr(evaluator.settings, "hubbard", "none")
    if hubbard != "none" and hubbard_values(request.crystal, hubbard):
        own = evaluator.name == "vasp"
        found += [] if own else ["U was fitted with VASP's projectors; with those of another code it is a convention."]
        if getattr(evaluator.settings, "corrections", "none") == "none":
            found.append("Energies with and without U do not compare.")
    elif hubbard != "none":
        found.append("No element of this crystal has a U in the table: the result is plain PBE.")
    if "magnetic_orders" in values:
        found.append(_order_words(values))
    elif "magnetization" in values:
        more = "" if getattr(evaluator.settings, "magnetic_orders", 1) == 1 else " (none apply here, or fast was asked)"
        found.append(f"Started ferromagnetic; other magnetic orders were not tried{more}.")
    if "density_of_states" in request.properties:
        found.append("The density of states is of the k-mesh of the run, broadened by 0.2 eV.")
    if "bulk_modulus" in values:
        found.append("The energy curve holds fractional positions and the shape of the cell; ± is of the fit alone.")
    return found


def _order_words(values: dict[str, Quantity]) -> str:
    """How many magnetic orders were calculated, and how the lowest one lies to the ferromagnetic."""
    words = f"The lowest of {values['magnetic_orders'].value:.0f} collinear magnetic orders"
    gain = values.get("magnetic_order_energy")
    if gain is None:
        return f"{words}; the ferromagnetic one could not be calculated."
    if gain.value >= 0.0:
        return f"{words}: the ferromagnetic one."
    return f"{words}, {-1000 * gain.value:.0f} meV/atom below the ferromagnetic one; longer periods were not tried."


def describe_result(
    console: Console, observation: Observation, wanted: tuple[str, ...], warnings: list[str], directory: Path
) -> None:
    """Print values, method, warnings and files; of a failure, its reason and what was tried."""
    if observation.failure is not None:
        kind = f" ({observation.failure.kind})" if observation.failure.kind else ""
        console.print(Text(f"Failed{kind}: {observation.failure.reason}", style="red"))
    if observation.values:
        table = Table(box=None, pad_edge=False)
        for column in ("quantity", "value", "±", "unit"):
            table.add_column(column, justify="left" if column in ("quantity", "unit") else "right")
        first = [name for name in wanted if name in observation.values]
        rest = [name for name in observation.values if name not in first and name not in _ALONE]
        last = [name for name in observation.values if name not in first and name in _ALONE]
        for name in (*first, *rest, *last):
            quantity = observation.values[name]
            std = "" if quantity.std is None else f"{quantity.std:.2g}"
            style = "bold" if name in wanted else ""
            unit = quantity.unit
            for ours, shown in _UNITS:
                unit = unit.replace(ours, shown)
            table.add_row(Text(name.replace("_", " "), style=style), _number(quantity.value), std, unit)
        console.print(table)
    console.print()
    lines = [("method", observation.method), ("cost", f"{observation.cost_core_s:.0f} core-seconds")]
    lines += [("tried", f"{step.change} (because of {step.because})") for step in observation.ladder]
    lines += [("note", warning) for warning in warnings]
    lines += [("file", f"{directory / 'jobs' / path} ({what})") for what, path in observation.artefacts.items()]
    lines += [("file", f"{directory / name} ({what})") for name, what in _FILES]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(Text(name), Text(text))
    console.print(table)


def _number(value: float) -> str:
    return f"{value:.5g}" if abs(value) >= _NOISE else "0"


_FILES = (("result.json", "all values"), ("input.txt", "input"), ("start.cif", "crystal"))
