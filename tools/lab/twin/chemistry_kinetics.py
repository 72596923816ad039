"""Rate laws of the twin's powders, and the constants that are hidden from whoever plans.

All numbers here state the twin; a seed turns them into one laboratory's truth. What is not here: thermodynamics and the
march through a programme (`chemistry.py`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from math import exp, log
from typing import Final, Literal, TypeAlias

import numpy as np

from ..recipes.gases import GAS_CONSTANT
from .chemistry_data import SolidData

FASTEST_UM2_PER_H: Final = 3.6e9
"""Rate constant of growth without a barrier: a diffusivity of 0.01 cm2/s."""
ONSET_UM2_PER_H: Final = 0.125
"""Rate constant at the temperature of onset: half of a grain of 5 µm reacts in a night of 8 h."""
TAMMANN: Final = 0.55
"""Onset over the (geometric) mean melting point of the reactants: ions start to move between a half and two thirds of
it (Merkle & Maier, Z. Anorg. Allg. Chem. 631, 1163 (2005))."""
ONSET_SPREAD_K: Final = 80.0
"""Deviation of a pair's own onset from that rule."""
MANY_BODIES: Final = 1.06
"""Factor on the onset where three solids have to meet: through a layer of one of them."""
LIQUID_FACTOR: Final = 10.0
"""How much faster a pair reacts of which one is molten."""
NUCLEATION_EV: Final = 0.012
"""Median driving force per atom at which nucleation slows a reaction by e at 1000 K."""
NUCLEATION_SPREAD: Final = 0.5
"""Deviation of its logarithm over pairs."""
TEMPLATE_EV: Final = 0.015
"""Deviation per atom of how much a product that fits its parents badly is held back at one interface."""
Alone: TypeAlias = Literal["release", "uptake", "disproportion"]
ALONE: Final[dict[Alone, float]] = {"release": 0.40, "uptake": 0.60, "disproportion": 0.65}
"""Onset over melting point of what a solid does alone. A front that lets gas out, or lets oxygen into a lattice that
stays, moves early; oxygen that makes a new lattice comes late, as do solids that fall apart into solids."""
RELEASE_SPREAD_K: Final = 50.0
RELEASE_BARRIER_EV: Final = 1.8
RELEASE_ONSET_PER_H: Final = 1.0
"""Rate constant of a front at its onset."""


@dataclass(frozen=True)
class Barrier:
    """Hidden constants of one contact."""

    activation_ev: float
    fastest: float
    """µm2/h of growth, or 1/h of a front."""
    nucleation_ev: float

    def constant(self, temperature_k: float, drive_ev: float) -> float:
        """Rate constant at a driving force (eV/atom, positive); grows with temperature.

        The nucleation factor has the form of the classical barrier, which goes with the inverse square of the driving
        force (Aykol, Montoya & Hummelshøj, J. Am. Chem. Soc. 143, 9244 (2021)).
        """
        nucleation = exp(-min((self.nucleation_ev / drive_ev) ** 2 * 1000.0 / temperature_k, 700.0))
        return self.fastest * exp(-self.activation_ev / (GAS_CONSTANT * temperature_k)) * nucleation


def grown(reduced_time: float) -> float:
    """Reacted fraction of a sphere whose product layer grows by diffusion: Ginstling & Brounshtein, J. Appl. Chem.
    USSR 23, 1327 (1950), 1 - 2a/3 - (1 - a)^(2/3) = K t / r^2; complete at 1/3."""
    times, fractions = _growth_table()
    return float(np.interp(reduced_time, times, fractions))


def shrunk(reduced_time: float) -> float:
    """Reacted fraction of a sphere whose front moves at constant speed: 1 - (1 - a)^(1/3) = k t; complete at 1."""
    return 1.0 - (1.0 - min(reduced_time, 1.0)) ** 3


@cache
def _growth_table() -> tuple[np.ndarray, np.ndarray]:
    # Dense at both ends, where the curve is steep and where it is flat.
    fractions = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, 2001))
    return 1.0 - 2.0 * fractions / 3.0 - (1.0 - fractions) ** (2.0 / 3.0), fractions


@lru_cache(maxsize=100_000)
def contact_barrier(seed: int, parts: tuple[SolidData, ...]) -> Barrier:
    """Of two or more solids that touch."""
    rng = hidden(seed, "contact", *(part.formula for part in parts))
    mean = float(np.exp(np.mean([log(part.stiffness_k) for part in parts])))
    onset = TAMMANN * mean * (MANY_BODIES if len(parts) > 2 else 1.0) + ONSET_SPREAD_K * float(rng.normal())
    return Barrier(
        activation_ev=GAS_CONSTANT * max(onset, 350.0) * log(FASTEST_UM2_PER_H / ONSET_UM2_PER_H),
        fastest=FASTEST_UM2_PER_H,
        nucleation_ev=NUCLEATION_EV * float(np.exp(NUCLEATION_SPREAD * rng.normal())),
    )


@lru_cache(maxsize=100_000)
def single_barrier(seed: int, solid: SolidData, kind: Alone) -> Barrier:
    """Of one solid alone: 1/h where gas moves, else µm2/h."""
    rng = hidden(seed, "alone", solid.formula, kind)
    shift = float(rng.normal())
    nucleation = NUCLEATION_EV * float(np.exp(NUCLEATION_SPREAD * rng.normal()))
    onset = ALONE[kind] * solid.stiffness_k
    if kind == "disproportion":
        onset = max(onset + ONSET_SPREAD_K * shift, 350.0)
        barrier = GAS_CONSTANT * onset * log(FASTEST_UM2_PER_H / ONSET_UM2_PER_H)
        return Barrier(barrier, FASTEST_UM2_PER_H, nucleation)
    onset = max(onset + RELEASE_SPREAD_K * shift, 330.0)
    fastest = RELEASE_ONSET_PER_H * exp(RELEASE_BARRIER_EV / (GAS_CONSTANT * onset))
    # Gas needs no nucleus in a bed of powder: only very small driving forces are slow.
    return Barrier(RELEASE_BARRIER_EV, fastest, 0.1 * nucleation)


@lru_cache(maxsize=100_000)
def held_back_ev(seed: int, parts: tuple[str, ...], product: str) -> float:
    """How much worse a product nucleates between these parents than its free energy says, eV/atom, never negative."""
    return TEMPLATE_EV * abs(float(hidden(seed, "template", *parts, product).normal()))


def hidden(seed: int, *names: str) -> np.random.Generator:
    """The same random numbers for the same names in the same laboratory, whatever was asked before."""
    digest = hashlib.sha256("\n".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
