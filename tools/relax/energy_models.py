"""Models that know energies alone: the protocol, and what makes one of an ASE calculator or of a `BatchModel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..core.errors import ToolError
from ..core.types import PotentialRecord
from .models import BatchModel, ask, refusal

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


@runtime_checkable
class EnergyModel(Protocol):
    """Total energies of several crystals in one call; no forces, no stress."""

    @property
    def record(self) -> PotentialRecord:
        """Name, version, checksum, licence and elements."""
        ...

    def total_energies(self, atoms: Sequence[Atoms]) -> list[float | str]:
        """eV for the cell of each crystal, in order; a reason (str) for one that the model cannot take.

        Elements that are not in `record` may arrive here, and get a reason.
        """
        ...


class BatchEnergies:
    """A `BatchModel` as an `EnergyModel`: what it says of forces and stress is not looked at."""

    def __init__(self, model: BatchModel) -> None:
        self.record = model.record
        self._model = model

    def total_energies(self, atoms: Sequence[Atoms]) -> list[float | str]:
        """See `EnergyModel.total_energies`."""
        return [output if isinstance(output, str) else output.energy for output in ask(self._model, atoms)]


class AseEnergies:
    """An ASE calculator as an `EnergyModel`; it is never asked for anything but energies.

    Args:
        calculator: must give energies.
        record: what it is, and which elements it knows.

    Raises:
        ToolError: for a calculator that gives no energy.
    """

    def __init__(self, calculator: Calculator, record: PotentialRecord) -> None:
        if "energy" not in calculator.implemented_properties:
            raise ToolError(f"The calculator of {record.name} gives no energy.", "Relaxation needs one.")
        self.record = record
        self._calculator = calculator

    def total_energies(self, atoms: Sequence[Atoms]) -> list[float | str]:
        """See `EnergyModel.total_energies`. What the calculator raises for one crystal is that crystal's reason."""
        return [refusal(self.record, one) or self._one(one) for one in atoms]

    def _one(self, atoms: Atoms) -> float | str:
        bare = atoms.copy()
        bare.calc = self._calculator
        try:
            return float(bare.get_potential_energy())
        except Exception as error:  # noqa: BLE001 - calculators raise anything for a crystal that they cannot take
            return f"{self.record.name} failed: {type(error).__name__}: {error}"
