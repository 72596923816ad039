"""Picking a batch from a stream of rows that is never held whole."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from .aims import HOPEFUL, Aim, optimism, worth
from .columns import Space, Value
from .ensemble import Ensemble

if TYPE_CHECKING:
    import torch

Row = tuple[Value, ...]

Score = Callable[[Sequence[Row]], "torch.Tensor"]
"""`m` rows to what each is worth, the higher the better; `m`, finite."""

CHUNK = 4096
"""Rows scored at a time."""

SCOUTS = 8
"""Particles of each member that look at every row, fewer where more is measured; all of them look at the shortlist."""

SHORTLIST = 256
"""Rows, the best by first score, among which a batch is composed (at least 16 for each pick)."""


@dataclass(frozen=True)
class Chosen:
    """A row, its place in the stream (from 0), and what it was worth at its turn."""

    row: Row
    place: int
    score: float


class Judge(Protocol):
    """Says what a measurement of a row is worth."""

    def thinned(self) -> Judge:
        """A quicker and rougher one, for every row of a stream."""

    def among(self, candidates: int) -> Judge:
        """The one for so many candidates."""

    def score(self, rows: Sequence[Row]) -> torch.Tensor:
        """As `Score`."""

    def believe(self, row: Row) -> Judge:
        """As if the row had been measured and gave what was expected."""


def choose(
    ensemble: Ensemble, stream: Iterable[Sequence[Value]], q: int, aim: Aim, best: float | None, done: set[Row]
) -> list[Chosen]:
    """At most q different rows, the most deserving first.

    The stream is scored in chunks and only a shortlist is kept, so that its length costs time and no memory. The batch
    is greedy: after each pick the ensemble believes its expectation, so that the next one is chosen for what would then
    still be unknown. Ties go to the earlier row.

    Args:
        ensemble: what is believed.
        stream: rows with the cells of the ensemble's space.
        q: size of the batch.
        aim: what is wanted.
        best: the measured value that serves it best.
        done: rows that must not be picked.
    """
    return compose(_Single(ensemble, aim, best), stream, q, done)


def compose(judge: Judge, stream: Iterable[Sequence[Value]], q: int, done: set[Row]) -> list[Chosen]:
    """Likewise for any judge of rows."""
    listed, candidates = shortlist(judge.thinned().score, stream, max(SHORTLIST, 16 * q), done)
    judge = judge.among(candidates)
    rows = [c.row for c in listed]
    left = list(range(len(rows)))
    picks: list[Chosen] = []
    while left and len(picks) < q:
        scores = judge.score([rows[i] for i in left])
        at = int(scores.argmax())
        picks.append(Chosen(rows[left[at]], listed[left[at]].place, float(scores[at])))
        judge = judge.believe(rows[left[at]])
        del left[at]
    return picks


@dataclass(frozen=True)
class _Single:
    """Judges rows by one outcome."""

    ensemble: Ensemble
    aim: Aim
    best: float | None
    hope: float = HOPEFUL[1]

    def thinned(self) -> _Single:
        return replace(self, ensemble=self.ensemble.thinned(SCOUTS))

    def among(self, candidates: int) -> _Single:
        return replace(self, hope=optimism(candidates))

    def score(self, rows: Sequence[Row]) -> torch.Tensor:
        return worth(self.ensemble, self.ensemble.latent(rows), self.aim, self.best, self.hope)

    def believe(self, row: Row) -> _Single:
        return replace(self, ensemble=self.ensemble.believe(row))


def spread(space: Space, stream: Iterable[Sequence[Value]], q: int) -> list[Chosen]:
    """Rows to begin with, where nothing is measured: one near the middle, then each as far as can be from the others.

    Of a long stream an even sample is looked at.
    """
    from ..processes.member import farthest

    kept: list[tuple[int, Row]] = []
    held: set[Row] = set()
    stride = 1
    for place, cells in enumerate(stream):
        row = tuple(cells)
        if place % stride == 0 and row not in held:
            kept.append((place, row))
            held.add(row)
            if len(kept) > 2 * CHUNK:
                kept, stride = kept[::2], 2 * stride
                held = {row for _, row in kept}
    if not kept:
        return []
    order = farthest(space.encode([row for _, row in kept]), q).tolist()
    return [Chosen(kept[i][1], kept[i][0], -float(rank)) for rank, i in enumerate(order)]


def shortlist(score: Score, stream: Iterable[Sequence[Value]], size: int, done: set[Row]) -> tuple[list[Chosen], int]:
    """The best rows of a stream by a first score, best first, each once and none that is done; and how many there are
    (one that comes again in a long stream may count again)."""
    heap: list[tuple[float, int, Row]] = []
    held: set[Row] = set()
    place = candidates = 0
    for chunk in _chunks(stream):
        fresh: list[tuple[int, Row]] = []
        seen: set[Row] = set()
        for row in chunk:
            if row not in done and row not in held and row not in seen:
                seen.add(row)
                fresh.append((place, row))
            place += 1
        if not fresh:
            continue
        candidates += len(fresh)
        scores = score([row for _, row in fresh])
        for index in _top(scores, size):
            where, row = fresh[index]
            item = (float(scores[index]), -where, row)
            if len(heap) < size:
                heapq.heappush(heap, item)
                held.add(row)
            elif item[:2] > heap[0][:2]:
                held.discard(heapq.heappushpop(heap, item)[2])
                held.add(row)
    best = sorted(heap, key=lambda i: i[:2], reverse=True)
    return [Chosen(row, -where, score) for score, where, row in best], candidates


def _top(scores: torch.Tensor, size: int) -> list[int]:
    return scores.argsort(descending=True, stable=True)[:size].tolist()


def _chunks(stream: Iterable[Sequence[Value]]) -> Iterator[list[Row]]:
    rows = iter(stream)
    while chunk := [tuple(row) for row in islice(rows, CHUNK)]:
        yield chunk
