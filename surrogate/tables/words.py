"""Why a row was picked, in one line that a person can check."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .aims import Aim
from .compromise import OBJECTIVES
from .picker import Pick
from .several import SeveralPick

FAR, CLOSE = 3.0, 1.0
"""Distances to the nearest measured row, over the typical one between measured rows."""


def reason(pick: Pick, aim: Aim, best: float | None) -> str:
    """For example `34 % chance to pass 3.91; between measured rows`."""
    parts = []
    if pick.chance is not None:
        parts.append(f"{_percent(pick.chance)} chance {_of_what(aim, best)}")
    elif aim.kind == "boundary":
        parts.append(f"{aim.value:g} lies inside its interval" if pick.low <= (aim.value or 0.0) <= pick.high
                     else f"nearest to {aim.value:g} for what is known of it")  # fmt: skip
    elif aim.kind == "map":
        parts.append("its outcome is among the least known")
    parts.append(_novelty(pick))
    return "; ".join(parts)


def reason_several(pick: SeveralPick, aims: Iterable[Aim]) -> str:
    """For example `34 % chance to keep the limits and be beaten by no measured row; between measured rows`."""
    kinds = [aim.kind for aim in aims]
    wanted = ["keep the limits"] if "within" in kinds else []
    wanted += ["be beaten by no measured row"] if any(kind in OBJECTIVES for kind in kinds) else []
    first = [] if pick.chance is None else [f"{_percent(pick.chance)} chance to {' and '.join(wanted)}"]
    return "; ".join([*first, _novelty(pick)])


def _of_what(aim: Aim, best: float | None) -> str:
    if aim.kind == "within":
        if aim.lower is None:
            return f"to lie below {aim.upper:g}"
        return f"to lie above {aim.lower:g}" if aim.upper is None else f"to lie from {aim.lower:g} to {aim.upper:g}"
    if aim.kind == "target":
        return f"to come closer to {aim.value:g} than {best:.4g}"
    return f"to {'pass' if aim.kind == 'maximise' else 'fall below'} {best:.4g}"


def _novelty(pick: Pick | SeveralPick) -> str:
    if pick.outside:
        return "outside of what was measured: the interval is a guess there"
    if math.isinf(pick.distance):
        return "too little measured yet to say what is near"
    if pick.distance > FAR:
        return "far from anything measured"
    return "close to a measured row" if pick.distance < CLOSE else "some way from what was measured"


def _percent(probability: float) -> str:
    if probability < 0.01:
        return "< 1 %"
    return "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"
