"""The bench makes a sample once, whoever dies meanwhile, and guesses nothing."""

from pathlib import Path

import pytest

from benchmarks.lab_scene import APPROVED, PEOPLE, PERSON, Scene
from lodestone.tools.core.errors import LabError
from lodestone.tools.core.synthesis import Powder, Recipe
from lodestone.tools.lab.approval import answer_subject, approve, clear_subject
from lodestone.tools.lab.bench import Bench, free_slots
from lodestone.tools.lab.instrument import ARCHIVE
from lodestone.tools.lab.interlocks import Interlocks
from lodestone.tools.lab.steps import Job, Scan, steps_of
from lodestone.tools.lab.templates import TemplateBook
from lodestone.tools.lab.twin.audit import audit
from lodestone.tools.lab.twin.guards import LABORATORY, Guards
from lodestone.tools.lab.twin.journal import read
from lodestone.tools.lab.twin.laboratory import Laboratory
from lodestone.tools.lab.twin.local import instruments
from lodestone.tools.lab.twin.operations import Operations
from lodestone.tools.lab.twin.process import Background, Inert

HOUR_S = 3600.0


def job(n: int = 0, **changed) -> Job:
    fields = {
        "template": "oxide_in_air", "target": "BaTiO3", "temperature_k": 1273.15, "hold_h": 6.0, "ramp_k_per_min": 5.0,
        "powders": (Powder(formula="BaCO3", mass_g=1.0), Powder(formula="TiO2", mass_g=0.4)), "atmosphere": "air",
        "mill_min": 20.0,
    }  # fmt: skip
    return Job(
        sample=f"s{n}", recipe=Recipe.model_validate(fields | changed), crucible="alumina", slot=f"rack_{n + 1}",
        furnace=f"furnace_{1 + n % 2}", scan=Scan(step_deg=0.5),
    )  # fmt: skip


class Side:
    """Bench and laboratory, either of which may die."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        self.folder, self.scene = folder, scene
        self.start_bench()

    def start_bench(self) -> None:
        interlocks = Interlocks(TemplateBook(APPROVED, PEOPLE), PEOPLE)
        clock = self.scene.clock.wall_s
        self.bench = Bench(self.folder, instruments(self.scene.laboratory), interlocks, clock=clock)

    def power_loss(self) -> None:
        self.scene.laboratory.close()
        self.scene.laboratory = Laboratory(
            self.scene.journal,
            Guards({a.template.name: a.template for a in APPROVED}, PEOPLE),
            Operations(Inert(), Background(), 0),
            self.scene.clock,
        )
        self.start_bench()

    def go(self, rounds: int, turn_s: float = 20.0) -> None:
        for _ in range(rounds):
            if not self.bench.open_jobs:
                return
            self.bench.round()
            self.scene.clock.turn(turn_s)

    def person(self) -> None:
        stop = self.bench.stop()
        if stop is not None:
            self.bench.clear("transport", approve(PERSON, "Ada", clear_subject(LABORATORY, stop.nonce)))
        world = self.scene.laboratory.world
        for question in self.bench.questions():
            answer = world.vessels[question.sample].place
            if "complete" in question.options:
                answer = "complete" if world.records[question.key].extra["complete"] else "discard"
            self.bench.answer(question, answer, approve(PERSON, "Ada", answer_subject(question.id, answer)))


@pytest.fixture
def side(tmp_path: Path, scene: Scene) -> Side:
    return Side(tmp_path / "bench", scene)


def clean(side: Side, firings: dict[str, int] | None = None) -> None:
    found = audit(read(side.scene.journal), firings)
    assert not found.unsafe
    assert not found.twice


def finish(side: Side) -> None:
    for _ in range(400):
        side.go(20, turn_s=60.0)
        side.person()
        if not side.bench.open_jobs:
            return
    raise AssertionError(side.bench.refusals)


def test_a_recipe_becomes_a_pattern_and_the_vial_is_archived(side: Side) -> None:
    side.bench.add(job())
    side.go(4000)
    outcome = side.bench.outcomes["s0"]
    assert outcome.state == "done"
    assert outcome.pattern is not None
    assert len(outcome.pattern.counts) == 161
    assert outcome.dosed_mg["BaCO3"] == pytest.approx(1000.0, abs=10.0)
    assert side.scene.laboratory.world.vessels["s0"].place == ARCHIVE
    clean(side)


def test_hydrogen_comes_after_argon_and_leaves_before_the_door_opens(side: Side) -> None:
    side.bench.add(job(template="reduction_in_hydrogen", atmosphere="hydrogen_argon", temperature_k=1073.15))
    side.go(4000)
    assert side.bench.outcomes["s0"].state == "done"
    gases = [
        e["data"]["parameters"]["atmosphere"]
        for e in read(side.scene.journal)
        if e["kind"] == "accepted" and e["data"]["name"] == "set_atmosphere"
    ]
    assert gases == ["argon", "hydrogen_argon", "argon"]
    clean(side)


def test_a_safe_state_that_took_the_hydrogen_away_does_not_hold_the_job_up(side: Side) -> None:
    side.bench.add(job(template="reduction_in_hydrogen", atmosphere="hydrogen_argon", temperature_k=1073.15))
    for _ in range(400):
        side.go(1, turn_s=60.0)
        side.scene.laboratory.tick()
        if side.scene.laboratory.world.chambers["furnace_1"].atmosphere == "hydrogen_argon":
            break
    side.scene.laboratory.safe_state("an exercise")
    assert side.scene.laboratory.world.chambers["furnace_1"].atmosphere == "argon"
    side.start_bench()
    finish(side)
    assert side.bench.outcomes["s0"].state == "done"
    assert side.scene.laboratory.world.vessels["s0"].place == ARCHIVE
    clean(side)


def test_six_jobs_share_the_stations_without_waiting_for_each_other_for_ever(side: Side) -> None:
    for n in range(6):
        side.bench.add(job(n, regrinds=n % 2))
    side.go(20_000, turn_s=60.0)
    assert {o.state for o in side.bench.outcomes.values()} == {"done"}
    assert len(side.bench.outcomes) == 6
    clean(side, {f"s{n}": 1 + n % 2 for n in range(6)})


@pytest.mark.parametrize("rounds", [1, 3, 5, 7, 9, 12, 15, 25, 60])
def test_power_loss_on_both_sides_at_any_step_ends_in_one_sample(side: Side, rounds: int) -> None:
    side.bench.add(job())
    side.bench.add(job(1))
    side.go(rounds, turn_s=7.0)
    side.power_loss()
    finish(side)
    assert set(side.bench.outcomes) == {"s0", "s1"}
    assert {v.place for v in side.scene.laboratory.world.vessels.values()} == {ARCHIVE}
    clean(side)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_bench_that_keeps_dying_gives_no_station_to_two_jobs(side: Side, every: int) -> None:
    for n in range(4):
        side.bench.add(job(n, regrinds=n % 2, atmosphere="oxygen" if n > 1 else "air"))
    for _ in range(120):
        side.go(2 * every, turn_s=3000.0)
        side.start_bench()
        inside = {f: side.scene.laboratory.world.at(f) for f in ("furnace_1", "furnace_2")}
        side.bench.round()
        for furnace, sample in inside.items():
            assert sample is None or side.bench._held.get(furnace) == sample
    assert {o.state for o in side.bench.outcomes.values()} == {"done"}
    assert len(side.bench.outcomes) == 4
    clean(side, {f"s{n}": 1 + n % 2 for n in range(4)})


def test_nothing_goes_on_in_an_emergency_stop_until_a_person_has_signed(side: Side) -> None:
    side.bench.add(job())
    side.go(5)
    side.scene.ask("transport", "emergency_stop", reason="a person pressed the button")
    count = len(side.scene.laboratory.world.records)
    side.go(50)
    assert side.bench.stop() is not None
    assert len(side.scene.laboratory.world.records) == count
    side.person()
    assert side.bench.stop() is None
    finish(side)
    assert side.bench.outcomes["s0"].state in ("done", "failed")


def test_a_recipe_outside_its_template_is_not_fired_and_says_why(side: Side) -> None:
    side.bench.add(job(temperature_k=1723.15))
    side.go(600, turn_s=60.0)
    assert "outside" in side.bench.refusals["s0"] or "allows temperature_k" in side.bench.refusals["s0"]
    assert side.scene.laboratory.world.vessels["s0"].firings == 0


def test_a_sample_and_a_slot_belong_to_one_job(side: Side) -> None:
    side.bench.add(job())
    side.bench.add(job())
    with pytest.raises(LabError, match="another job"):
        side.bench.add(job(hold_h=7.0))
    with pytest.raises(LabError, match="belongs to"):
        side.bench.add(job(1).model_copy(update={"slot": "rack_1"}))
    assert free_slots(side.bench.open_jobs, ("rack_1", "rack_2")) == ("rack_2",)


def test_keys_follow_from_recipe_sample_step_and_attempt() -> None:
    keys = [step.key(job(), attempt) for step in steps_of(job()) for attempt in range(3)]
    keys += [step.key(job(1), 0) for step in steps_of(job(1))]
    keys += [step.key(job(hold_h=7.0), 0) for step in steps_of(job(hold_h=7.0))]
    assert len(set(keys)) == len(keys)
    assert [s.key(job(), 0) for s in steps_of(job())] == [s.key(job(), 0) for s in steps_of(job())]
