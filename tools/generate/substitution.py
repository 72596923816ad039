"""Data-mined ionic substitution: known crystals with their ions replaced by ones that replace them in nature.

Probabilities: Hautier et al., Inorg. Chem. 50, 656 (2011), as shipped with pymatgen. Parents are charge-balanced
AFLOW prototypes in their own elements, and the best crystals of the campaign.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.structure import to_pymatgen
from ..core.types import Candidate, ChemicalSpace, Provenance
from .aflow import prototypes
from .common import Collector, composition_weights, separation
from .compositions import CompositionChoice, compositions
from .volumes import volume_per_atom

if TYPE_CHECKING:
    from pymatgen.core import Structure

THRESHOLD = 1e-6
"""Substitutions less probable than this are not made; pymatgen's own default is 1e-3 for a single exchange."""

STRAIN = 0.04
"""Largest relative change of a cell edge put on repeated proposals, so that a lower-symmetry minimum can be found."""

DISPLACEMENT = 0.05
"""Å; how far each atom of such a proposal is moved, in a random direction."""


@dataclass(frozen=True)
class Parent:
    """A crystal whose ions can be replaced."""

    identity: str
    structure: Structure
    ions: tuple[tuple[str, int, int], ...]
    """Element, oxidation state, number in the reduced formula."""


@dataclass(frozen=True)
class Substitution:
    """A parent, a composition, and which element replaces which."""

    parent: Parent
    choice: CompositionChoice
    mapping: tuple[tuple[str, str], ...]
    probability: float


@dataclass(frozen=True)
class Distortion:
    """How a repeated proposal differs from its ideal parent; the whole of it goes into the provenance."""

    strain: tuple[float, float, float]
    """Relative change of each cell edge."""
    seed: int
    """Of the directions in which the atoms move."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Distortion:
        """A random one."""
        a, b, c = rng.uniform(-STRAIN, STRAIN, size=3).tolist()
        return cls((a, b, c), int(rng.integers(2**31)))


class SubstitutionGenerator:
    """Crystals by ionic substitution; see `Generator`. Gives nothing for spaces without charges (metals)."""

    name = "substitution"

    def __init__(self) -> None:
        self.parents: tuple[Candidate, ...] = ()
        """Good crystals of the campaign; set by the loop."""
        self.known: Container[str] = frozenset()
        """Ids that are not worth proposing again; set by the loop."""

    def propose(self, space: ChemicalSpace, n: int, rng: np.random.Generator) -> list[Candidate]:
        """See `Generator.propose`. The likely substitutions come first; an ideal parent is offered as it is, later
        ones slightly strained."""
        choices = [c for c in compositions(space) if c.oxidation_states is not None]
        if not choices:
            return []
        shares = composition_weights(choices)
        options: list[tuple[Substitution, float]] = []
        for choice, share in zip(choices, shares, strict=True):
            found = [*_natural(choice, space.max_atoms), *self._own(choice, space.max_atoms)]
            total = sum(s.probability for s in found)
            options += [(s, float(share) * s.probability / total) for s in found]
        collector = Collector(space, n, self.known)
        if not options:
            return []
        weights = np.array([w for _, w in options])
        order = np.argsort(-(np.log(weights) + rng.gumbel(size=len(options))), kind="stable")
        for strained in (False, True):
            for index in order:
                if collector.full:
                    break
                substitution = options[int(index)][0]
                distortion = Distortion.draw(rng) if strained else None
                structure = substitute(substitution, distortion)
                if structure is not None:
                    collector.offer(structure, self._provenance(substitution, distortion))
        return collector.candidates

    def _own(self, choice: CompositionChoice, max_atoms: int) -> list[Substitution]:
        parents = [p for c in self.parents if (p := _parent(c.id, to_pymatgen(c.crystal))) is not None]
        return [s for p in parents for s in _of(p, choice, max_atoms) if any(a != b for a, b in s.mapping)]

    def _provenance(self, substitution: Substitution, distortion: Distortion | None) -> Provenance:
        parameters: dict[str, str | int | float | bool] = {
            "exchange": ", ".join(f"{a} by {b}" for a, b in substitution.mapping if a != b) or "none",
            "probability": float(f"{substitution.probability:.3g}"),
            "strained": distortion is not None,
        }
        if distortion is not None:
            parameters |= dict(zip(("strain_a", "strain_b", "strain_c"), distortion.strain, strict=True))
        return Provenance(
            generator=self.name,
            parameters=parameters,
            parents=(substitution.parent.identity,),
            seed=0 if distortion is None else distortion.seed,
        )


def substitute(substitution: Substitution, distortion: Distortion | None) -> Structure | None:
    """The substituted crystal at its expected volume, distorted where one is given; None if too dense."""
    structure = substitution.parent.structure.copy()
    structure.replace_species(dict(substitution.mapping))
    if distortion is not None:
        structure.apply_strain(list(distortion.strain))
        structure.perturb(DISPLACEMENT, seed=distortion.seed)
    structure.scale_lattice(volume_per_atom(substitution.choice) * len(structure))
    ratio = separation(structure, substitution.choice)
    if ratio < 1.0:
        structure.scale_lattice(structure.volume * min(2.0, (1.0 / ratio) ** 3 * 1.001))
    return structure if separation(structure, substitution.choice) >= 1.0 else None


def _natural(choice: CompositionChoice, max_atoms: int) -> tuple[Substitution, ...]:
    return tuple(s for p in _aflow_parents() for s in _of(p, choice, max_atoms))


@cache
def _aflow_parents() -> tuple[Parent, ...]:
    found = (_parent(p.label, p.structure) for p in prototypes() if len(p.counts) > 1)
    return tuple(p for p in found if p is not None)


def _parent(identity: str, structure: Structure) -> Parent | None:
    """A parent with guessed oxidation states; None where no neutral guess exists."""
    reduced = structure.composition.reduced_composition
    guesses = reduced.oxi_state_guesses(max_sites=-1)
    if not guesses or any(abs(v - round(v)) > 1e-6 or round(v) == 0 for v in guesses[0].values()):
        return None
    ions = tuple((e, round(s), round(reduced[e])) for e, s in sorted(guesses[0].items()))
    return Parent(identity, structure, ions)


def _of(parent: Parent, choice: CompositionChoice, max_atoms: int) -> list[Substitution]:
    """Every exchange that gives the composition and is probable enough."""
    if len(parent.structure) > max_atoms or len(parent.ions) != len(choice.amounts):
        return []
    found = []
    for ours in permutations(choice.amounts):
        if any(choice.amounts[o] != n for o, (_, _, n) in zip(ours, parent.ions, strict=True)):
            continue
        states = choice.oxidation_states or {}
        probability = 1.0
        for o, (element, state, _) in zip(ours, parent.ions, strict=True):
            probability *= _probability(element, state, o, states[o])
        if probability >= THRESHOLD:
            mapping = tuple((e, o) for o, (e, _, _) in zip(ours, parent.ions, strict=True))
            found.append(Substitution(parent, choice, mapping, probability))
    return found


@lru_cache(maxsize=20_000)
def _probability(first: str, first_state: int, second: str, second_state: int) -> float:
    """Chance that one ion stands for another; 1 for the same ion, 0 for one that the data do not hold."""
    from pymatgen.core import Species

    if (first, first_state) == (second, second_state):
        return 1.0
    old, new = Species(first, first_state), Species(second, second_state)
    if not _model().get_px(old):
        return 0.0
    return float(_model().cond_prob(new, old))


@cache
def _model() -> Any:
    from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability

    return SubstitutionProbability()
