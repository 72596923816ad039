"""Phase identification: which candidates are in a powder, how much of each, and whether that is all.

Not here: patterns (`simulate.py`), the fit (`refine.py`), the search (`search.py`), probabilities (`judgement.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from ...core.errors import ToolError
from ...core.synthesis import Identification, Pattern, Phase, PhaseFound
from ...core.types import Frozen
from . import judgement
from .measured import Measured, prepare
from .profile import SINGLE_LINE, Lines, doublet
from .refine import Fit, refine
from .reflections import reflections
from .screening import Sighting, sight
from .search import Found, Search


class Drawn(Frozen):
    """A measured pattern and its fit, point by point."""

    two_theta_deg: tuple[float, ...]
    counts: tuple[float, ...]
    model: tuple[float, ...]
    background: tuple[float, ...]


# The matrices are small: with two threads of linear algebra everything took four times as much processor time.
MAX_CANDIDATES = 5000
"""More cannot be told apart by one pattern, and would take minutes."""


@threadpool_limits.wrap(limits=1)
def identify(
    pattern: Pattern,
    candidates: Sequence[Phase],
    elements: Collection[str] | None = None,
    k_alpha_2: bool | None = None,
) -> Identification:
    """What a powder pattern says about which of the candidates are in the sample.

    Cells may differ by 1 % from the candidates', each edge on its own; zero shift, sample height, texture, widths and
    background are refined. The order of the candidates and the choice of their cells do not matter. Candidates with the
    same powder pattern share the probability, and the one whose cell changes least is named.

    Args:
        pattern: counts over 2θ.
        candidates: phases that may be there, none or up to `MAX_CANDIDATES`; those without a peak in the range are
            passed over.
        elements: of the precursors and the atmosphere; candidates with others are left out. None: all are looked at.
        k_alpha_2: whether the radiation holds Kα2; None: found out from the pattern.

    Raises:
        ToolError: the pattern is empty or too short, or the candidates' ids repeat.
    """
    data, allowed = _prepared(pattern, candidates, elements)
    found, lines = _search(data, _sightings(data, allowed), k_alpha_2)
    return _report(data, found, lines, allowed)[0]


@threadpool_limits.wrap(limits=1)
def identify_and_draw(
    pattern: Pattern, candidates: Sequence[Phase], elements: Collection[str] | None = None
) -> tuple[Identification, Drawn]:
    """As `identify`, with the curves that a picture of the fit needs."""
    data, allowed = _prepared(pattern, candidates, elements)
    found, lines = _search(data, _sightings(data, allowed), None)
    result, fit = _report(data, found, lines, allowed)
    return result, Drawn(
        two_theta_deg=_rounded(data.angles, 4),
        counts=_rounded(data.counts, 1),
        model=_rounded(fit.model, 1),
        background=_rounded(fit.background, 1),
    )


def _prepared(
    pattern: Pattern, candidates: Sequence[Phase], elements: Collection[str] | None
) -> tuple[Measured, list[Phase]]:
    if len(candidates) > MAX_CANDIDATES:
        raise ToolError(
            f"{len(candidates)} candidates.", f"At most {MAX_CANDIDATES} are compared: restrict them by elements."
        )
    if len({p.id for p in candidates}) < len(candidates):
        raise ToolError("Two candidates have the same id.", "Give each phase an id of its own.")
    allowed = [p for p in candidates if elements is None or set(p.crystal.species) <= set(elements)]
    allowed.sort(key=lambda p: p.id)
    return prepare(pattern), allowed


def _rounded(values: np.ndarray, digits: int) -> tuple[float, ...]:
    return tuple(round(float(v), digits) for v in values)


@threadpool_limits.wrap(limits=1)
def search(data: Measured, phases: Sequence[Phase], k_alpha_2: bool | None = None) -> Found:
    """The fitted mixture behind an identification, for calibration and for plots."""
    return _search(data, _sightings(data, phases), k_alpha_2)[0]


def _sightings(data: Measured, phases: Sequence[Phase]) -> list[Sighting]:
    half = np.radians(min(float(data.angles[-1]) + 2.0, 178.0)) / 2.0
    # Rounded up, so that patterns of nearly the same range share the cached reflections.
    q_max = float(np.ceil(4.0 * np.sin(half) ** 2 / data.wavelength_a**2 * 1.05 * 20.0) / 20.0)
    looked = [sight(data, i, reflections(p.crystal, q_max)) for i, p in enumerate(phases)]
    return [s for s in looked if s is not None]


def _search(data: Measured, sightings: Sequence[Sighting], k_alpha_2: bool | None) -> tuple[Found, Lines]:
    pair = doublet(data.wavelength_a)
    if k_alpha_2 is not None or len(pair.relative) == 1:
        lines = pair if k_alpha_2 else SINGLE_LINE
        return Search(data, sightings, lines).run(), lines
    lines = min((SINGLE_LINE, pair), key=lambda choice: Search(data, sightings, choice).first_objective())
    return Search(data, sightings, lines).run(), lines


def _report(data: Measured, found: Found, lines: Lines, phases: Sequence[Phase]) -> tuple[Identification, Fit]:
    fit = found.fit
    left = judgement.unexplained(data, fit)
    unknown = float(judgement.sigmoid(judgement.unknown_features(left) @ np.array(judgement.UNKNOWN)))
    listed: list[PhaseFound] = []
    if fit.trials:
        width = np.log([0.9 * data.width_deg, 0.4 * data.width_deg])
        fit = refine(data, fit.trials, fit.shifts, fit.splines, width, lines, steps=12, covariance=True)
        fractions, errors = judgement.weight_fractions(fit)
        features = judgement.presence_features(np.array(found.gains), judgement.coherence(data, fit), left)
        present = judgement.sigmoid(features @ np.array(judgement.PRESENCE)) * judgement.rival_shares(found)
        for trial, fraction, error, probability in zip(fit.trials, fractions, errors, present, strict=True):
            phase = phases[trial.index]
            edges = (1.0 + trial.metric[: trial.found.edges]) ** -0.5 - 1.0
            if trial.found.edges == 2:
                edges = edges[[0, 0, 1]]
            listed.append(
                PhaseFound(
                    phase_id=phase.id,
                    formula=phase.formula,
                    weight_fraction=float(min(fraction, 1.0)),
                    uncertainty=float(error),
                    probability=float(probability),
                    cell_change=float(edges.mean()),
                )
            )
    listed.sort(key=lambda f: (-f.weight_fraction, f.phase_id))
    result = Identification(
        phases=tuple(listed),
        unknown_probability=unknown,
        unexplained_peaks_deg=left.peaks_deg,
        amorphous_fraction=judgement.amorphous_fraction(data, fit),
        r_wp=judgement.r_wp(data, fit),
    )
    return result, fit
