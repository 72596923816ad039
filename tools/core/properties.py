"""The property catalogue: one table that the parser, the planner, the evaluators and the report all read.

Ranges are physical limits for inorganic solids, wide enough never to cut a real crystal; a value outside
is an error of the request or of a model, not a discovery.
"""

from __future__ import annotations

from typing import Literal

from .errors import GoalError
from .types import Frozen


class PropertyDefinition(Frozen):
    """One row of the catalogue."""

    name: str
    label: str
    unit: str
    """The unit that values are stored in; any unit of the same dimension is accepted (pint)."""
    lower: float
    upper: float
    synonyms: tuple[str, ...]
    better: Literal["lower", "higher", "neither"]
    """What `improve` means when the request does not say."""
    cheap: bool
    """Whether the relaxation potential predicts it (else only an evaluator does)."""
    meaning: str


_ROWS = (
    PropertyDefinition(
        name="energy_above_hull",
        label="energy above hull",
        unit="eV/atom",
        lower=0.0,
        upper=20.0,
        synonyms=(
            "energy above hull",
            "energy above the hull",
            "above the hull",
            "hull distance",
            "e_hull",
            "ehull",
            "e_above_hull",
            "stability",
            "decomposition energy",
        ),
        better="lower",
        cheap=True,
        meaning="energy per atom above the convex hull of all phases known to the campaign, same method",
    ),
    PropertyDefinition(
        name="formation_energy",
        label="formation energy",
        unit="eV/atom",
        lower=-10.0,
        upper=20.0,
        synonyms=(
            "formation energy",
            "energy of formation",
            "heat of formation",
            "formation enthalpy",
            "enthalpy of formation",
        ),
        better="lower",
        cheap=True,
        meaning="energy per atom relative to the elements in their lowest known form, same method",
    ),
    PropertyDefinition(
        name="density",
        label="density",
        unit="g/cm^3",
        lower=0.0,
        upper=40.0,
        synonyms=("density", "mass density"),
        better="neither",
        cheap=True,
        meaning="mass over volume of the relaxed cell",
    ),
    PropertyDefinition(
        name="volume_per_atom",
        label="volume per atom",
        unit="angstrom^3/atom",
        lower=1.0,
        upper=500.0,
        synonyms=("volume per atom", "atomic volume", "volume/atom"),
        better="neither",
        cheap=True,
        meaning="volume of the relaxed cell over its number of atoms",
    ),
    PropertyDefinition(
        name="bulk_modulus",
        label="bulk modulus",
        unit="GPa",
        lower=0.0,
        upper=1000.0,
        synonyms=("bulk modulus", "incompressibility"),
        better="higher",
        cheap=True,
        meaning="Birch-Murnaghan fit to energies of strained cells around the minimum",
    ),
    PropertyDefinition(
        name="band_gap",
        label="band gap",
        unit="eV",
        lower=0.0,
        upper=30.0,
        synonyms=("band gap", "bandgap", "energy gap", "gap", "electronic gap"),
        better="higher",
        cheap=False,
        meaning="Kohn-Sham gap between highest occupied and lowest empty level on the evaluator's k-mesh",
    ),
)

CATALOGUE: dict[str, PropertyDefinition] = {row.name: row for row in _ROWS}


def get_property(name: str) -> PropertyDefinition:
    """The catalogue row for a name. Raises GoalError that lists the known names."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise GoalError(f"Unknown property '{name}'.", f"Known: {', '.join(CATALOGUE)}.") from None


def check_range(name: str, value: float) -> None:
    """Raise GoalError when a value (in the catalogue's unit) is not physical."""
    row = get_property(name)
    if not row.lower <= value <= row.upper:
        raise GoalError(
            f"{row.label} of {value:g} {row.unit} is outside the physical range.",
            f"Give a value from {row.lower:g} to {row.upper:g} {row.unit}.",
        )
