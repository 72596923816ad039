"""A recipe as commands to instruments, in order, with keys that follow from recipe, sample, step and attempt.

What is not here: sending them (`bench.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from ..core.synthesis import Recipe
from ..core.types import Frozen
from .instrument import ARCHIVE, Crucible, Name, Place, Sample, Value, key_of

CELSIUS_ZERO_K = 273.15
LEAST_MILLING_MIN = 5.0
"""Of a product that is ground again."""
AGAIN = frozenset({"open_door", "close_door", "set_atmosphere", "cool", "measure", "mix", "move", "take_crucible"})
"""Commands that may be tried again under a new key once one is known to have failed: their failure leaves the sample
as it was. A dose that went wrong and a firing that was broken off cannot be taken back."""


class Scan(Frozen):
    """Angles and counting time of the measurement at the end."""

    start_deg: float = 10.0
    end_deg: float = 90.0
    step_deg: float = 0.02
    time_per_step_s: float = 0.5


class Job(Frozen):
    """One sample to be made, with the places it uses: chosen before anything moves, and kept."""

    sample: Sample
    recipe: Recipe
    crucible: Crucible
    slot: Place
    """Its place in the rack, where it waits between stations, so that no two jobs wait for each other's station."""
    furnace: Name
    scan: Scan = Scan()


class Step(Frozen):
    """One command of a job."""

    number: Annotated[int, Field(ge=0)]
    instrument: Name
    command: Name
    parameters: dict[Name, Value]
    station: str = ""
    """What the job has to hold for itself meanwhile; empty for the rack and the arm alone."""

    def key(self, job: Job, attempt: int) -> str:
        """The same after a restart."""
        return key_of(job.recipe.digest(), job.sample, self.number, self.command, attempt)


def steps_of(job: Job) -> tuple[Step, ...]:
    """Everything that a job does if nothing goes wrong."""
    return tuple(
        Step(number=n, instrument=instrument, command=command, parameters=parameters, station=station)
        for n, (instrument, command, parameters, station) in enumerate(_whole(job))
    )


Raw = tuple[str, str, dict[str, Value], str]


def _whole(job: Job) -> Iterator[Raw]:
    recipe, sample = job.recipe, job.sample
    take: dict[str, Value] = {"sample": sample, "crucible": job.crucible, "destination": job.slot}
    yield "transport", "take_crucible", take, ""
    yield _move(job, job.slot, "balance", "balance")
    for powder in recipe.powders:
        yield (
            "dosing",
            "dose",
            {"sample": sample, "formula": powder.formula, "mass_mg": round(powder.mass_g * 1000.0, 3)},
            "balance",
        )
    yield _move(job, "balance", job.slot, "balance")
    if recipe.mill_min:
        yield from _mill(job, recipe.mill_min)
    for firing in range(1 + recipe.regrinds):
        if firing:
            yield from _mill(job, max(recipe.mill_min, LEAST_MILLING_MIN))
        yield from _fire(job)
    yield _move(job, job.slot, "goniometer", "goniometer")
    yield "diffractometer", "measure", {"sample": sample, **job.scan.model_dump()}, "goniometer"
    yield _move(job, "goniometer", ARCHIVE, "goniometer")


def _move(job: Job, source: str, destination: str, station: str) -> Raw:
    return "transport", "move", {"sample": job.sample, "source": source, "destination": destination}, station


def _mill(job: Job, minutes: float) -> Iterator[Raw]:
    yield _move(job, job.slot, "mill", "mill")
    yield "mixing", "mix", {"sample": job.sample, "duration_min": minutes}, "mill"
    yield _move(job, "mill", job.slot, "mill")


def _fire(job: Job) -> Iterator[Raw]:
    recipe, furnace = job.recipe, job.furnace
    yield furnace, "open_door", {}, furnace
    yield _move(job, job.slot, furnace, furnace)
    yield furnace, "close_door", {}, furnace
    if recipe.atmosphere == "hydrogen_argon":
        yield furnace, "set_atmosphere", {"atmosphere": "argon"}, furnace
    if recipe.atmosphere != "air":
        yield furnace, "set_atmosphere", {"atmosphere": recipe.atmosphere}, furnace
    heat: dict[str, Value] = {
        "sample": job.sample,
        "template": recipe.template,
        "temperature_k": recipe.temperature_k,
        "temperature_c": recipe.temperature_k - CELSIUS_ZERO_K,
        "ramp_k_per_min": recipe.ramp_k_per_min,
        "hold_h": recipe.hold_h,
        "atmosphere": recipe.atmosphere,
    }
    yield furnace, "heat", heat, furnace
    yield from _empty(job, job.slot, recipe.atmosphere in ("hydrogen_argon", "vacuum"))


def _empty(job: Job, destination: str, purge: bool) -> Iterator[Raw]:
    furnace = job.furnace
    yield furnace, "cool", {"sample": job.sample}, furnace
    if purge:
        yield furnace, "set_atmosphere", {"atmosphere": "argon"}, furnace
    yield furnace, "open_door", {}, furnace
    yield _move(job, furnace, destination, furnace)
    yield furnace, "close_door", {}, furnace


DISPOSAL = 10_000
"""Numbers of steps that take a failed sample away begin here."""


def disposal_of(job: Job, place: str, door_open: bool) -> tuple[Step, ...]:
    """How a failed sample comes to the archive from where it is.

    Args:
        job: whose sample.
        place: where it is.
        door_open: of the furnace, where it is in one.
    """
    if place in ("", ARCHIVE):
        return ()
    if place != job.furnace:
        raw: list[Raw] = [_move(job, place, ARCHIVE, "" if place == job.slot else place)]
    elif door_open:
        raw = [_move(job, place, ARCHIVE, place), (place, "close_door", {}, place)]
    else:
        raw = list(_empty(job, ARCHIVE, purge=job.recipe.atmosphere in ("hydrogen_argon", "vacuum")))
    return tuple(
        Step(number=DISPOSAL + n, instrument=instrument, command=command, parameters=parameters, station=station)
        for n, (instrument, command, parameters, station) in enumerate(raw)
    )
