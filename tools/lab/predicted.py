"""A crystal that a campaign computed, among the crystals that a laboratory knows.

What is not here: making it (`loops/synthesis`), and the campaign that found it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.structure import to_pymatgen
from ..core.synthesis import Phase
from .recipes.energies import compound_of
from .recipes.formulas import same_ratios
from .site import Site


def known_as(phase: Phase, known: Sequence[Phase]) -> tuple[str, ...]:
    """Ids of the crystals of its composition that are the same, by pymatgen's matcher with its own tolerances.

    Cells are scaled, since calculations are off by some per cent, and a crystal that is another one with small
    displacements in a larger cell counts as that one: at 0 K perovskites are tilted that are not at 300 K.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    wanted, matcher = same_ratios(phase.formula), StructureMatcher(attempt_supercell=True)
    mine = to_pymatgen(phase.crystal)
    return tuple(p.id for p in known if same_ratios(p.formula) == wanted and matcher.fit(mine, to_pymatgen(p.crystal)))


def expecting(site: Site, phase: Phase) -> tuple[Site, frozenset[str]]:
    """A laboratory that looks for a computed crystal as well, and the ids of the phases that it may be found as.

    Where the laboratory knows the crystal, its own measured cell is looked for; where it has an energy of the
    composition, that is kept, because energies of two sources make no driving force.

    Raises:
        ToolError: the laboratory has no energy of the composition, and neither has the campaign.
    """
    update: dict[str, object] = {}
    if not site.has_energy(phase.formula):
        update["compounds"] = (*site.compounds, compound_of(phase))
    names = known_as(phase, site.phases)
    if not names:
        update["phases"] = (*site.phases, phase)
        names = (phase.id,)
    return site.model_copy(update=update), frozenset(names)
