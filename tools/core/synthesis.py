"""The laboratory's nouns: phases, powders, recipes, powder patterns, and what was found in one.

What is not here: instruments and their commands (`lab/`), and how a pattern is computed or read (`lab/diffraction/`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .types import Crystal, Fraction, Frozen

CU_K_ALPHA_1_A = 1.5405929
"""Å; copper Kα1 of the X-ray transition energies database (Deslattes et al., Rev. Mod. Phys. 75, 35 (2003))."""

MAX_PATTERN_POINTS = 50_000
"""A pattern with more points is no powder pattern: 0.002 degrees over 100 degrees."""

Atmosphere = Literal["air", "oxygen", "argon", "nitrogen", "hydrogen_argon", "vacuum"]
Positive = Annotated[float, Field(gt=0.0)]


class Phase(Frozen):
    """A crystalline compound that may be in a crucible."""

    id: str
    """Stable and unique among the phases of a campaign, e.g. `BaTiO3-P4mm`, or the id of a candidate."""
    formula: str
    """Reduced, e.g. `BaTiO3`."""
    crystal: Crystal
    formation_energy_ev_per_atom: float | None = None
    """At 0 K, from the elements; None where nobody computed it."""


class Powder(Frozen):
    """So much of a compound, weighed or to be weighed."""

    formula: str
    mass_g: Positive


class Recipe(Frozen):
    """One solid-state synthesis: an approved template with its fields filled. Temperatures in K, times in hours."""

    template: str
    """Name of the approved template whose limits the fields were checked against."""
    target: str
    """Reduced formula."""
    powders: tuple[Powder, ...] = Field(min_length=1, max_length=8)
    temperature_k: Positive
    hold_h: Positive
    ramp_k_per_min: Positive
    atmosphere: Atmosphere
    mill_min: Annotated[float, Field(ge=0.0)] = 0.0
    regrinds: Annotated[int, Field(ge=0)] = 0
    """How often the product is cooled, ground and heated again as before."""


class Prediction(Frozen):
    """A crystal that a campaign computed, to be made."""

    phase: Phase
    origin: str
    """The campaign and the crystal's place in it, in words."""
    method: str
    """What computed it."""
    above_hull_ev_per_atom: float | None = None


class SynthesisGoal(Frozen):
    """What a laboratory is asked to make; frozen once accepted."""

    text: str
    target: str
    """Formula, as it was written."""
    purity: Fraction = 0.95
    """Weight fraction of the target, glass and unknown phases included in the rest, from which on it is reached."""
    experiments: int = Field(ge=1, le=10_000)
    """Samples that may be made, failed ones included."""
    wall_hours: float = Field(gt=0.0, le=24 * 366)
    seed: int = Field(default=0, ge=0, lt=2**31)
    predicted: Prediction | None = None
    """Where only this crystal counts; None: any of the composition."""


class Pattern(Frozen):
    """A measured or computed powder pattern: counts over the scattering angle."""

    two_theta_deg: tuple[float, ...] = Field(min_length=2, max_length=MAX_PATTERN_POINTS)
    """Increasing."""
    counts: tuple[Annotated[float, Field(ge=0.0)], ...]
    wavelength_a: Positive = CU_K_ALPHA_1_A

    @model_validator(mode="after")
    def _a_curve(self) -> Pattern:
        angles = self.two_theta_deg
        if len(angles) != len(self.counts):
            raise ValueError(f"{len(angles)} angles but {len(self.counts)} counts")
        if any(after <= before for before, after in pairwise(angles)):
            raise ValueError("angles do not increase")
        if angles[0] <= 0.0 or angles[-1] >= 180.0:
            raise ValueError(f"angles from {angles[0]} to {angles[-1]} degrees are not between 0 and 180")
        return self


class PhaseFound(Frozen):
    """One phase of an identification."""

    phase_id: str
    formula: str
    weight_fraction: Fraction
    """Of the crystalline part that was identified."""
    uncertainty: Annotated[float, Field(ge=0.0)]
    """One standard deviation of the weight fraction."""
    probability: Fraction
    """That this phase is there at all."""
    cell_change: float
    """Mean relative change of the cell's edges against the phase as it was known, e.g. 0.01."""


class Identification(Frozen):
    """What a powder pattern says."""

    phases: tuple[PhaseFound, ...]
    """The most abundant first; weight fractions sum to one unless there is none."""
    unknown_probability: Fraction
    """That peaks are there which no phase explains."""
    unexplained_peaks_deg: tuple[float, ...] = ()
    amorphous_fraction: Fraction | None = None
    """Weight fraction of the sample that gives no peaks; None where the pattern cannot say."""
    r_wp: Annotated[float, Field(ge=0.0)]
    """Weighted profile residual of the fit, as in Rietveld refinement (Toby, Powder Diffr. 21, 67, 2006), from 0 on."""
