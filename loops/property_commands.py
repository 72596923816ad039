"""`lodestone property`: one property of one crystal by a potential, without a campaign.

What lives here: names to functions of `tools.properties`, a potential as a calculator of ASE, and the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from ase.calculators.calculator import Calculator, all_changes
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..tools.core.errors import GoalError, ToolError
from ..tools.core.structure import read_structure, reduced_formula
from ..tools.core.types import Crystal
from ..tools.properties.base import PropertyFailed, PropertyResult
from ..tools.properties.defects import vacancy_formation_energy
from ..tools.properties.elastic import elastic_moduli
from ..tools.properties.eos import equation_of_state
from ..tools.properties.formation import formation_energy
from ..tools.properties.migration import migration_barrier
from ..tools.properties.phonons import phonons
from ..tools.properties.quasiharmonic import thermal_expansion
from ..tools.properties.surfaces import surface_energy
from ..tools.relax.models import BatchModel, ask
from ..tools.relax.registry import make_potential
from .commands import print_json

if TYPE_CHECKING:
    from ase import Atoms

Compute = Callable[[Crystal, Calculator, argparse.Namespace], PropertyResult]


class ModelCalculator(Calculator):
    """A model of `tools.relax` as a calculator of ASE. A crystal that the model cannot take is a PropertyFailed."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, model: BatchModel) -> None:
        super().__init__()
        self.model = model

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """See `ase.calculators.calculator.Calculator.calculate`."""
        super().calculate(atoms, properties, system_changes)
        output = ask(self.model, [self.atoms])[0]
        if isinstance(output, str):
            raise PropertyFailed("unsuitable", f"The potential cannot take this crystal: {output}.")
        stress = output.stress
        voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        self.results = {"energy": output.energy, "forces": output.forces, "stress": voigt}


def _vacancy(crystal: Crystal, calculator: Calculator, options: argparse.Namespace) -> PropertyResult:
    potential = _references(options).get(_element(options))
    return vacancy_formation_energy(
        crystal, calculator, _element(options), chemical_potential=potential, max_cost=options.max_cost
    )


def _surface(crystal: Crystal, calculator: Calculator, options: argparse.Namespace) -> PropertyResult:
    if options.plane is None:
        raise GoalError("Which surface?", "Give its Miller indices, e.g. `--plane 1 0 0`.")
    return surface_energy(crystal, calculator, tuple(options.plane), max_cost=options.max_cost)


PROPERTIES: dict[str, Compute] = {
    "equation of state": lambda c, calc, o: equation_of_state(c, calc, max_cost=o.max_cost),
    "elastic moduli": lambda c, calc, o: elastic_moduli(c, calc, max_cost=o.max_cost),
    "phonons": lambda c, calc, o: phonons(c, calc, folder=o.out, max_cost=o.max_cost),
    "thermal expansion": lambda c, calc, o: thermal_expansion(c, calc, temperature=o.temperature, max_cost=o.max_cost),
    "vacancy formation energy": _vacancy,
    "surface energy": _surface,
    "migration barrier": lambda c, calc, o: migration_barrier(c, calc, _element(o), max_cost=o.max_cost),
    "formation energy": lambda c, calc, o: formation_energy(c, calc, _references(o), max_cost=o.max_cost),
}


def compute(options: argparse.Namespace) -> int:
    """Compute, print, and return 0, or ToolError's code when there are no values."""
    run = PROPERTIES.get(" ".join(options.name.lower().replace("_", " ").split()))
    if run is None:
        raise GoalError(f"No property '{options.name}' is computed.", f"Known: {', '.join(PROPERTIES)}.")
    crystal = read_structure(options.cif)
    potential: Any = make_potential(options.potential)
    result = run(crystal, ModelCalculator(potential.model), options)
    if options.json:
        print_json({**result.model_dump(mode="json"), "potential": potential.name, "valid": result.valid})
    else:
        _show(result, potential.name)
    return 0 if result.failure is None else ToolError.exit_code


def _show(result: PropertyResult, potential: str) -> None:
    console = Console()
    head = f"{result.name.replace('_', ' ')} of {reduced_formula(result.crystal)} by {potential}"
    console.print(Text(head, style="bold"))
    if result.failure is not None:
        console.print(Text(result.failure.reason, style="red"))
        return
    console.print(Text(result.method))
    table = Table(box=None, pad_edge=False)
    for column in ("quantity", "value", "±", "unit"):
        table.add_column(column, justify="left" if column in ("quantity", "unit") else "right")
    for name, quantity in result.quantities.items():
        std = "" if quantity.std is None else f"{quantity.std:.2g}"
        table.add_row(name.replace("_", " "), f"{quantity.value:.5g}", std, quantity.unit)
    console.print(table)
    for check in result.checks:
        console.print(Text(("ok       " if check.passed else "NOT VALID") + f" {check.words}"))


def _element(options: argparse.Namespace) -> str:
    if not options.element:
        raise GoalError("Which element?", "Name it, e.g. `--element Li`.")
    return str(options.element)


def _references(options: argparse.Namespace) -> dict[str, float]:
    """`Na=-1.31` as element and eV/atom."""
    found: dict[str, float] = {}
    for text in options.reference:
        element, _, value = text.partition("=")
        try:
            found[element.strip()] = float(value)
        except ValueError:
            raise GoalError(
                f"Cannot read the reference '{text}'.", "Write e.g. `--reference Na=-1.31` (eV/atom)."
            ) from None
    return found
