"""Who works, and on how many cores: weighted fair sharing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set


def chosen(turns: Mapping[str, float], running: Sequence[str], cores: int) -> list[str]:
    """Which campaigns work next: at most one a core, those that have had least for their weight first.

    Args:
        turns: core seconds over priority that each has had so far; those named here want to work.
        running: those whose turn is not over; they stay.
        cores: to be shared.
    """
    stay = [name for name in running if name in turns][:cores]
    order = sorted((n for n in turns if n not in stay), key=lambda n: (turns[n], n))
    return stay + order[: cores - len(stay)]


def caught_up(mine: float, others: Sequence[float]) -> float:
    """What one that joins has had: no less than any of those that were there.

    Otherwise a new campaign, or one that comes back after a week's pause, would have the cores to itself until it has
    had as much as the others, and they would starve meanwhile.
    """
    return max(mine, min(others, default=mine))


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


def core_sets(
    counts: Mapping[str, int], available: Sequence[int], current: Mapping[str, Set[int]] | None = None
) -> dict[str, set[int]]:
    """Which cores: disjoint sets. Each keeps what it has now as far as it may: its evaluations stay there."""
    free = set(available)
    found: dict[str, set[int]] = {}
    for name, count in sorted(counts.items()):
        found[name] = set(sorted(free & set((current or {}).get(name, ())))[:count])
        free -= found[name]
    for name, count in sorted(counts.items()):
        more = sorted(free)[: count - len(found[name])]
        found[name] |= set(more)
        free -= set(more)
    return found
