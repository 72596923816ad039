"""What a round knows stays bounded, and up to that bound it is everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load import build
from lodestone.loops.briefing import best_by_round, make_brief, yields
from lodestone.loops.chronometer import active_seconds
from lodestone.loops.geometry import geometry_values
from lodestone.loops.knowledge import Knowledge
from lodestone.loops.ledger import Ledger, chain
from lodestone.loops.summary import summarise, summary_text
from lodestone.tools.core.structure import to_pymatgen


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thousand candidates, two hundred of them evaluated."""
    folder = tmp_path_factory.mktemp("big")
    build(folder, 2000)
    return folder


def test_a_small_working_set_holds_the_crystals_nearest_to_the_hull_and_all_that_is_learned_from(big: Path) -> None:
    everything = Knowledge.read(Ledger.open(big), 10**6, 10**6)
    bounded = Knowledge.read(Ledger.open(big), 50, 40)
    assert bounded.size == everything.size > 500
    assert len(everything.pool) == everything.size
    waiting = [m.candidate.id for m in bounded.pool if m.candidate.id not in bounded.evaluated_ids]
    above = {i: v["energy_above_hull"] for i, v in everything.cheap.items() if i not in everything.evaluated_ids}
    assert set(waiting) == set(sorted(above, key=lambda i: above[i])[:50])
    assert len(bounded.training) == 40
    assert {m.id for m in bounded.training} <= {m.candidate.id for m in bounded.pool}
    # What is said of the whole campaign does not depend on how much of it a round works on.
    assert bounded.best().id == everything.best().id  # type: ignore[union-attr]
    assert {m.id for m in bounded.hits()} == {m.id for m in everything.hits()}
    assert yields(bounded) == yields(everything)
    assert bounded.waiting == everything.waiting
    for m in bounded.pool:
        assert bounded.cheap[m.candidate.id] == pytest.approx(everything.cheap[m.candidate.id])


def test_the_best_and_the_latest_measurements_are_learned_from(big: Path) -> None:
    everything = Knowledge.read(Ledger.open(big), 10**6, 10**6)
    bounded = Knowledge.read(Ledger.open(big), 50, 40)
    latest = [m.id for m in everything.training[-20:]]
    best = [m.id for m in everything.ranked(5)]
    assert {*latest, *best} <= {m.id for m in bounded.training}


def test_a_second_read_in_a_process_sees_what_a_first_one_in_a_new_process_sees(big: Path) -> None:
    ledger = Ledger.open(big)
    first = Knowledge.read(ledger)
    again, fresh = Knowledge.read(ledger), Knowledge.read(Ledger.open(big))
    assert again.cheap == fresh.cheap == first.cheap
    assert [m.values for m in again.measured] == [m.values for m in fresh.measured]
    number = 21
    assert make_brief(again, number, 1.0, None) == make_brief(fresh, number, 1.0, None)
    assert len(best_by_round(again, 20)) == 20


def test_look_alikes_are_found_by_composition_and_energy(big: Path) -> None:
    knowledge = Knowledge.read(Ledger.open(big), 10**6, 10**6)
    target = knowledge.pool[7]
    energy = target.relaxation.energy_per_atom
    found = knowledge.look_alikes({target.candidate.formula}, [energy, -99.0], 0.01)
    expected = {
        m.candidate.id
        for m in knowledge.pool
        if m.candidate.formula == target.candidate.formula and abs(m.relaxation.energy_per_atom - energy) <= 0.01
    }
    assert {m.candidate.id for m in found} == expected
    assert target.candidate.id in expected


def test_density_and_volume_are_those_of_pymatgen(big: Path) -> None:
    for m in Knowledge.read(Ledger.open(big)).pool[:20]:
        structure = to_pymatgen(m.relaxation.crystal)
        values = geometry_values(m.relaxation.crystal)
        assert values["density"] == pytest.approx(float(structure.density), rel=1e-6)
        assert values["volume_per_atom"] == pytest.approx(structure.volume / len(structure))


def test_the_summary_counts_without_reading_crystals(big: Path) -> None:
    found = summarise(big)
    assert found.candidates == 2000
    accounts = {a.resource: a for a in found.accounts}
    assert accounts["evaluations"].spent == 203
    assert len(found.best) == 5
    assert found.best[0].values["energy_above_hull"] == 0.0
    assert "203 spent" in summary_text(found)


class JumpingClock:
    """A wall clock that somebody sets back and forth by a day, over a kernel clock that does not care."""

    CLOCK_BOOTTIME = 7

    def __init__(self, jumps: list[float]) -> None:
        self.jumps = jumps
        self.up = 100.0

    def time(self) -> float:
        """A wall time."""
        return 1.7e9 + (self.jumps.pop(0) if self.jumps else 0.0)

    def clock_gettime(self, _: int) -> float:
        """Ten seconds later each time."""
        self.up += 10.0
        return self.up


@pytest.mark.parametrize("jumps", [[0, 0, 86400, -86400, 0, 86400], [0] * 6, [86400, -86400] * 3])
def test_the_time_that_a_campaign_has_used_does_not_jump_with_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jumps: list[float]
) -> None:
    monkeypatch.setattr(chain, "time", JumpingClock(list(jumps)))
    ledger = Ledger.create(tmp_path, {})
    ledger.set_meta("status", "running", "session started")
    ledger.note("something", 1, {})
    ledger.note("something", 1, {})
    ledger.take_over(1, "here")  # the next session: the time before it is nobody's
    ledger.set_meta("status", "running", "session started")
    ledger.note("something", 1, {})
    assert active_seconds(ledger) == pytest.approx(20.0 + 10.0)
    assert ledger.verify() == 7
