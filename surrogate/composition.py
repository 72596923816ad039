"""Composition to numbers: statistics of elemental properties, in the manner of Magpie.

What is not here: scaling to a data set and the join with other features (`features.py`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..tools.core.errors import ToolError

if TYPE_CHECKING:
    import torch
    from pymatgen.core.periodic_table import Element

ELEMENT_PROPERTIES = (
    "electronegativity",
    "atomic_radius",
    "mendeleev_number",
    "group",
    "row",
    "atomic_mass",
    "valence_electrons",
    "ionization_energy",
    "electron_affinity",
    "melting_point",
    "molar_volume",
)
"""Pauling electronegativity, empirical radius (Slater 1964), Mendeleev number, group and row of the periodic table,
mass, electrons outside the closed shells, first ionisation energy, electron affinity, melting point, molar volume."""

STATISTICS = ("mean", "min", "max", "range", "std")

COMPOSITION_FEATURES = tuple(f"{p}_{s}" for p in ELEMENT_PROPERTIES for s in STATISTICS)
"""Names of the columns of `composition_features`."""

LAST_ELEMENT = 103
"""Heaviest element in the table (Lr); pymatgen has hardly any data beyond it."""

_PYMATGEN_NAMES = {
    "electronegativity": "X",
    "atomic_radius": "atomic_radius",
    "mendeleev_number": "mendeleev_no",
    "group": "group",
    "row": "row",
    "atomic_mass": "atomic_mass",
    "ionization_energy": "ionization_energy",
    "electron_affinity": "electron_affinity",
    "melting_point": "melting_point",
    "molar_volume": "molar_volume",
}
_NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86)


def composition_features(amounts: Sequence[Mapping[str, float]]) -> torch.Tensor:
    """Statistics over the elements of each composition, of elemental properties.

    After Ward et al., npj Comput. Mater. 2, 16028 (2016): mean and standard deviation are weighted by atomic
    fraction; minimum, maximum and range are not. Elemental values come from pymatgen and are first brought to zero
    mean and unit variance over the elements H to Lr, so every column is of order one whatever the data set. A value
    that pymatgen lacks is taken as the mean over its group, or over the whole table where the group has none.

    Args:
        amounts: n compositions, element symbol to amount (> 0; only ratios matter).

    Returns:
        `n x k` (float64), columns as in `COMPOSITION_FEATURES`.

    Raises:
        ToolError: a symbol is not an element up to Lr, or an amount is not positive and finite.
    """
    import torch

    table = _element_table()
    known: dict[tuple[tuple[str, float], ...], np.ndarray] = {}
    rows = np.empty((len(amounts), len(COMPOSITION_FEATURES)))
    for index, composition in enumerate(amounts):
        key = composition_key(composition)
        if key not in known:
            known[key] = _statistics(key, table)
        rows[index] = known[key]
    return torch.from_numpy(rows)


def composition_key(amounts: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Symbols with their atomic fractions, sorted: equal for equal compositions, whatever the common factor.

    Raises:
        ToolError: no element, or an amount that is not positive and finite.
    """
    total = sum(amounts.values())
    if not amounts or any(not (math.isfinite(v) and v > 0) for v in amounts.values()):
        raise ToolError(f"'{dict(amounts)}' is not a composition.", "Give a positive amount for each element.")
    return tuple((symbol, round(amounts[symbol] / total, 9)) for symbol in sorted(amounts))


def _statistics(key: tuple[tuple[str, float], ...], table: dict[str, np.ndarray]) -> np.ndarray:
    """Columns of one composition; `k`."""
    unknown = [symbol for symbol, _ in key if symbol not in table]
    if unknown:
        raise ToolError(f"No elemental data for {', '.join(unknown)}.", "Use elements from H to Lr.")
    values = np.array([table[symbol] for symbol, _ in key])
    weights = np.array([fraction for _, fraction in key])[:, None]
    mean = (weights * values).sum(axis=0)
    low, high = values.min(axis=0), values.max(axis=0)
    std = np.sqrt((weights * (values - mean) ** 2).sum(axis=0))
    return np.stack([mean, low, high, high - low, std], axis=1).ravel()


@cache
def _element_table() -> dict[str, np.ndarray]:
    """Symbol to its standardised properties, in the order of `ELEMENT_PROPERTIES`."""
    from pymatgen.core.periodic_table import Element

    elements = [Element.from_Z(z) for z in range(1, LAST_ELEMENT + 1)]
    columns = []
    with warnings.catch_warnings():
        # pymatgen warns for each value that it lacks; here that is expected and has a rule.
        warnings.simplefilter("ignore")
        for name in ELEMENT_PROPERTIES:
            columns.append(_filled([_elemental(e, name) for e in elements], [int(e.group) for e in elements]))
    values = np.stack(columns, axis=1)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    return {e.symbol: row for e, row in zip(elements, values, strict=True)}


def _elemental(element: Element, name: str) -> float:
    """One elemental value, NaN where pymatgen has none."""
    if name == "valence_electrons":
        return _valence_electrons(element.Z, element.group)
    value = getattr(element, _PYMATGEN_NAMES[name])
    return math.nan if value is None else float(value)


def _valence_electrons(number: int, group: int) -> float:
    """Electrons outside the noble-gas core; filled d and f shells below a p shell do not count."""
    if group > 12:
        return float(group - 10) if number > 2 else 2.0
    core = max(z for z in _NOBLE_GASES if z < number)
    outside = number - core
    # From Hf (72) and Rf (104) on, the f shell is closed.
    return float(outside - 14) if outside > 17 else float(outside)


def _filled(values: list[float], groups: list[int]) -> np.ndarray:
    """Values with the gaps filled: the mean over the same group, else over the whole table."""
    array = np.array(values)
    missing = ~np.isfinite(array)
    groups_array = np.array(groups)
    for index in np.flatnonzero(missing):
        same = (groups_array == groups[index]) & ~missing
        array[index] = array[same if same.any() else ~missing].mean()
    return array
