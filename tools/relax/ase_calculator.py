"""Any ASE calculator as a model: MACE, ORB, MatterSim, or one of your own. One crystal after the other, same loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ToolError
from ..core.types import PotentialRecord
from .models import ModelOutput
from .sanity import shortest_distance

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


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
                "Relaxation along forces needs energy, forces and stress; [relax] method = 'bowsr' energies alone.",
            )
        self.record = record
        self._calculator = calculator

    def evaluate(self, atoms: Sequence[Atoms]) -> list[ModelOutput | str]:
        """See `BatchModel.evaluate`. What the calculator raises for one crystal is that crystal's reason."""
        return [self._one(one) for one in atoms]

    def _one(self, atoms: Atoms) -> ModelOutput | str:
        from ase import Atoms as Fresh

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
        return ModelOutput(energy=energy, forces=forces, stress=stress, min_distance=shortest_distance(bare))
