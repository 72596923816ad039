"""Relaxation of many crystals in lock-step: ASE optimisers and cell filters, one batched model call a step.

What lives here: the loop, and the `Potential` that it makes of any `BatchModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from ..core.errors import ToolError
from ..core.protocols import Progress
from ..core.structure import to_ase
from ..core.types import Crystal, PotentialRecord, Relaxation
from .models import BatchModel, ask, pieces
from .settings import RelaxationSettings
from .walker import Walker


def relax_batched(
    model: BatchModel,
    crystals: Sequence[tuple[str, Crystal]],
    settings: RelaxationSettings,
    progress: Progress | None = None,
) -> list[Relaxation]:
    """Relax positions and (unless `settings.cell` holds it) the cell of every crystal.

    At most `settings.batch_size` crystals of `settings.max_batch_atoms` atoms together are under way. Each step is one
    model call for all of them; one that ends leaves and the next takes its place, so calls stay full. Crystals are
    independent but for round-off inside the model.

    Args:
        model: evaluates a batch.
        crystals: (id, crystal) pairs.
        settings: thresholds, cell, pressure, symmetry.
        progress: called with (finished, total) after each crystal.

    Returns:
        One result for each crystal, in order. A bad end carries a `Failure` and the last sane geometry.
    """
    walkers = [Walker(identity, crystal, settings) for identity, crystal in crystals]
    waiting = list(walkers)
    active: list[Walker] = []
    done = 0
    while waiting or active:
        while waiting and _fits(waiting[0], active, settings):
            active.append(waiting.pop(0))
        for walker in active:
            walker.check_geometry()
        running = [walker for walker in active if not walker.ended]
        outputs = ask(model, [walker.atoms for walker in running]) if running else []
        for walker, output in zip(running, outputs, strict=True):
            walker.advance(output)
        for walker in active:
            if walker.ended:
                done += 1
                if progress is not None:
                    progress(done, len(walkers))
        active = [walker for walker in active if not walker.ended]
    return [walker.result(model.record.name) for walker in walkers]


def _fits(walker: Walker, active: Sequence[Walker], settings: RelaxationSettings) -> bool:
    atoms = sum(len(one.atoms) for one in active)
    return not active or (len(active) < settings.batch_size and atoms + len(walker.atoms) <= settings.max_batch_atoms)


class BatchedPotential:
    """Any `BatchModel` as a `Potential`.

    Args:
        name: with version; the same as in the model's record.
        load: makes the model, at first use, because that takes a second.
        settings: of the relaxations.
    """

    def __init__(self, name: str, load: Callable[[], BatchModel], settings: RelaxationSettings | None = None) -> None:
        self.name = name
        self.settings = settings or RelaxationSettings()
        self._load = load

    @cached_property
    def model(self) -> BatchModel:
        """The model, loaded."""
        return self._load()

    @property
    def record(self) -> PotentialRecord:
        """See `Potential.record`."""
        return self.model.record

    def relax(self, crystals: Sequence[tuple[str, Crystal]], progress: Progress | None = None) -> list[Relaxation]:
        """See `Potential.relax`. Ends at `settings.fmax` or `settings.max_steps`."""
        return relax_batched(self.model, crystals, self.settings, progress)

    def energies(self, crystals: Sequence[Crystal]) -> list[float]:
        """Single-point energies in eV/atom, in order. Raises ToolError for a crystal that the model cannot take."""
        energies: list[float] = []
        sizes = map(len, crystals)
        for piece in pieces(sizes, self.settings.batch_size, self.settings.max_batch_atoms):
            outputs = ask(self.model, [to_ase(crystal) for crystal in crystals[piece]])
            for crystal, output in zip(crystals[piece], outputs, strict=True):
                if isinstance(output, str):
                    raise ToolError(f"Crystal {len(energies)}: {output}.", "Relax it, or leave it out.")
                energies.append(output.energy / len(crystal))
        return energies
