"""What happens inside a crucible: two small protocols that chemistry and diffraction fill in, and how they are found.

What is not here: where the crucible stands and whether it may be heated (`world.py`, `guards.py`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import Field

from ...core.errors import LabError, ToolError
from ...core.synthesis import Atmosphere, Pattern, Phase
from ...core.types import Frozen


class Contents(Frozen):
    """What is truly in a crucible."""

    masses_g: dict[str, float] = {}
    """Compound, by reduced formula or id of a phase, to mass."""
    milled_min: float = Field(default=0.0, ge=0.0)
    """Since the last firing."""
    amorphous_g: float = Field(default=0.0, ge=0.0)
    inner: dict[str, float | dict[str, float]] = {}
    """What a chemistry wants to remember of it: grain size, how far its reactions are."""
    history: tuple[str, ...] = ()
    """What happened to it, in words."""


class Heat(Frozen):
    """One piece of a firing."""

    temperature_k: float
    """Mean over the piece."""
    duration_h: float = Field(ge=0.0)
    atmosphere: Atmosphere


class Chemistry(Protocol):
    """What heat makes of powders."""

    def heat(self, contents: Contents, segments: Sequence[Heat]) -> Contents:
        """The contents after a firing; mass may leave as gas, and none may come from nowhere but the gas."""
        ...


class Diffraction(Protocol):
    """What a diffractometer counts."""

    def measure(
        self, contents: Contents, start_deg: float, end_deg: float, step_deg: float, time_per_step_s: float, seed: int
    ) -> Pattern:
        """The pattern of a crucible's contents; the same seed gives the same counts."""
        ...


class Inert:
    """Nothing reacts, whatever the temperature: for a laboratory whose movements and interlocks are to be tried."""

    def heat(self, contents: Contents, segments: Sequence[Heat]) -> Contents:
        """The same compounds; the grinding is used up."""
        hottest = max((piece.temperature_k for piece in segments), default=0.0)
        note = f"fired at up to {hottest:.0f} K, nothing reacts in this twin"
        return contents.model_copy(update={"milled_min": 0.0, "history": (*contents.history, note)})


class SolidState:
    """Powders react as the twin's hidden truth has it (`chemistry.py`).

    Args:
        seed: of the constants that no recipe is told.
    """

    def __init__(self, seed: int) -> None:
        from .chemistry import Chemistry as Truth

        self._truth = Truth(seed)

    def heat(self, contents: Contents, segments: Sequence[Heat]) -> Contents:
        """What reacted, melted and left. A powder without data keeps the whole crucible as it is, and says so."""
        from ..recipes.formulas import molar_mass
        from . import chemistry

        try:
            self._truth.known(contents.masses_g)
        except ToolError as error:
            return contents.model_copy(update={"milled_min": 0.0, "history": (*contents.history, error.problem)})
        amounts = {name: mass / float(molar_mass(name)) for name, mass in contents.masses_g.items() if mass > 0.0}
        inside = chemistry.Contents(amounts_mol=amounts, **contents.inner)  # type: ignore[arg-type]
        if contents.milled_min > 0.0:
            inside = chemistry.reground(inside) if contents.inner else inside
            inside = chemistry.milled(inside, contents.milled_min)
        pieces = [chemistry.Segment(p.temperature_k, p.duration_h, p.atmosphere) for p in segments]
        after = chemistry.heated(self._truth, inside, pieces)
        hottest = max((p.temperature_k for p in segments), default=0.0)
        return Contents(
            masses_g={name: n * float(molar_mass(name)) for name, n in after.amounts_mol.items() if n > 0.0},
            inner={
                "mixing": after.mixing,
                "particle_um": after.particle_um,
                "gases_mol": dict(after.gases_mol),
                "progress": dict(after.progress),
                "liquid_h": after.liquid_h,
            },
            history=(*contents.history, f"fired at up to {hottest:.0f} K"),
        )


class Background:
    """Counts of an empty beam: what a diffractometer sees of contents whose structures nobody gave.

    Args:
        counts_per_s: mean rate.
    """

    def __init__(self, counts_per_s: float = 40.0) -> None:
        self._rate = counts_per_s

    def measure(
        self,
        contents: Contents,  # noqa: ARG002 (without structures it does not matter)
        start_deg: float,
        end_deg: float,
        step_deg: float,
        time_per_step_s: float,
        seed: int,
    ) -> Pattern:
        """Poisson counts (as normal deviates, rounded) around the mean rate."""
        draw = random.Random(seed)
        mean = self._rate * time_per_step_s
        angles = steps(start_deg, end_deg, step_deg)
        counts = tuple(max(0.0, float(round(draw.gauss(mean, mean**0.5)))) for _ in angles)
        return Pattern(two_theta_deg=angles, counts=counts)


class Simulated:
    """Patterns from crystal structures, by the kinematic simulation of this package.

    Args:
        phases: formula or id to the phase that diffracts; what is missing gives no peaks.
    """

    def __init__(self, phases: Mapping[str, Phase]) -> None:
        self._phases = phases

    def measure(
        self, contents: Contents, start_deg: float, end_deg: float, step_deg: float, time_per_step_s: float, seed: int
    ) -> Pattern:
        """Peaks of every phase with a known structure; the rest of the mass as an amorphous hump."""
        import numpy as np

        from ..diffraction import simulate

        known = {name: mass for name, mass in contents.masses_g.items() if name in self._phases and mass > 0.0}
        if not known:
            return Background().measure(contents, start_deg, end_deg, step_deg, time_per_step_s, seed)
        crystalline = sum(known.values())
        total = sum(contents.masses_g.values()) + contents.amorphous_g
        specimen = simulate.Specimen(
            phases=[self._phases[name] for name in known],
            states=[simulate.State(weight_fraction=mass / crystalline) for mass in known.values()],
        )
        measurement = simulate.Measurement(
            start_deg=start_deg, stop_deg=end_deg, step_deg=step_deg, peak_counts=10_000.0 * time_per_step_s
        )
        background = simulate.Background(amorphous_fraction=min(0.99, max(0.0, 1.0 - crystalline / total)))
        return simulate.simulate(
            specimen, background=background, measurement=measurement, rng=np.random.default_rng(seed)
        )


def steps(start_deg: float, end_deg: float, step_deg: float) -> tuple[float, ...]:
    """The angles of a measurement."""
    count = int((end_deg - start_deg) / step_deg + 1e-9) + 1
    return tuple(start_deg + step_deg * i for i in range(count))


def find_chemistry(name: str, seed: int) -> Chemistry:
    """A chemistry by its name in the twin's settings.

    Raises:
        LabError: there is none of that name.
    """
    if name == "inert":
        return Inert()
    if name == "solid_state":
        return SolidState(seed)
    raise LabError(f"the twin knows no chemistry '{name}'", "Use 'solid_state' or 'inert'.")
