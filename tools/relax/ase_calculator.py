"""Any ASE calculator as a model: MACE, ORB, MatterSim, or one of your own. One crystal after the other, same loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ToolError
from ..core.types import PotentialRecord
from .models import ModelOutput

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

NEIGHBOUR_CUTOFF = 3.0
"""Å; atoms that have collided are far closer."""


class AseModel:
    """An ASE calculator as a `BatchModel`.

    Args:
        calculator: must give energy, forces and stress.
        record: what it is, and which elements it knows.

    Raises:
        ToolError: for a calculator that does not give all three.
    """

    def __init__(self, calculator: Calculator, record: PotentialRecord) -> None:
        lacking = {"energy", "forces", "stress"} - set(calculator.implemented_properties)
        if lacking:
            raise ToolError(
                f"The calculator of {record.name} gives no {' and no '.join(sorted(lacking))}.",
                "Relaxation needs energy, forces and stress.",
            )
        self.record = record
        self._calculator = calculator

    def evaluate(self, atoms: Sequence[Atoms]) -> list[ModelOutput | str]:
        """See `BatchModel.evaluate`. What the calculator raises for one crystal is that crystal's reason."""
        return [self._one(one) for one in atoms]

    def _one(self, atoms: Atoms) -> ModelOutput | str:
        from ase import Atoms as Fresh
        from ase.neighborlist import primitive_neighbor_list

        # Without the constraints of the relaxation: those act on what the calculator says, not inside it.
        bare = Fresh(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        bare.calc = self._calculator
        try:
            energy, forces, stress = (
                float(bare.get_potential_energy()),
                np.asarray(bare.get_forces(), dtype=float),
                np.asarray(bare.get_stress(voigt=False), dtype=float),
            )
        except Exception as error:  # noqa: BLE001 - calculators raise anything for a crystal that they cannot take
            return f"{self.record.name} failed: {type(error).__name__}: {error}"
        distances = primitive_neighbor_list("d", bare.pbc, bare.cell, bare.positions, NEIGHBOUR_CUTOFF)
        nearest = float(distances.min()) if len(distances) else float("inf")
        return ModelOutput(energy=energy, forces=forces, stress=stress, min_distance=nearest)
