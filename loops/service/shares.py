"""Who works, and on how many cores: weighted fair sharing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def chosen(usage: Mapping[str, float], weights: Mapping[str, int], running: Sequence[str], cores: int) -> list[str]:
    """Which campaigns work next: at most one a core, those that have had least for their weight first.

    Args:
        usage: core seconds that each has had so far; those named here want to work.
        weights: priorities.
        running: those whose turn is not over; they stay.
        cores: to be shared.
    """
    stay = [name for name in running if name in usage][:cores]
    order = sorted((n for n in usage if n not in stay), key=lambda n: (usage[n] / weights[n], n))
    return stay + order[: cores - len(stay)]


def shares(names: Sequence[str], weights: Mapping[str, int], cores: int) -> dict[str, int]:
    """Whole cores for each, at least one, in proportion to the weights (largest remainder); `len(names) <= cores`."""
    if not names:
        return {}
    spare = cores - len(names)
    total = sum(weights[n] for n in names)
    exact = {n: spare * weights[n] / total for n in names}
    counts = {n: int(exact[n]) for n in names}
    rest = sorted(names, key=lambda n: (counts[n] - exact[n], -weights[n], n))[: spare - sum(counts.values())]
    return {n: 1 + counts[n] + (n in rest) for n in names}


def core_sets(counts: Mapping[str, int], available: Sequence[int]) -> dict[str, set[int]]:
    """Which cores: disjoint sets, in the order of the names."""
    found = {}
    rest = list(available)
    for name, count in sorted(counts.items()):
        found[name], rest = set(rest[:count]), rest[count:]
    return found
