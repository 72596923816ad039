"""The picture of compromises shows those that no other crystal beats, and only where there are two aims."""

from __future__ import annotations

from lodestone.loops.record import CampaignRecord
from lodestone.loops.report.page import cif_texts, render_page
from lodestone.loops.report.results import make_results
from lodestone.loops.report.tradeoffs import tradeoff
from lodestone.tools.core.types import Objective, Quantity

AIMS = (
    Objective(property="energy_above_hull", direction="minimise"),
    Objective(property="density", direction="target", target=3.0),
)


def with_two_aims(record: CampaignRecord) -> CampaignRecord:
    densities = iter((2.0, 3.5, 2.9, 3.0, 5.0, 1.0, 3.2, 2.7, 4.0, 2.2, 3.1, 2.8))
    crystals = tuple(
        c.model_copy(update={"values": {**c.values, "density": Quantity(value=next(densities), unit="g/cm^3")}})
        if c.values
        else c
        for c in record.evaluated
    )
    goal = record.goal.model_copy(update={"objectives": AIMS, "tradeoff": "pareto"})
    return record.model_copy(update={"goal": goal, "evaluated": crystals})


def test_one_aim_has_no_compromises(binary: CampaignRecord) -> None:
    assert tradeoff(binary) is None


def test_no_drawn_compromise_is_beaten(binary: CampaignRecord) -> None:
    record = with_two_aims(binary)
    found = tradeoff(record)
    assert found is not None
    rows = [c for c in record.evaluated if c.values and not c.failure]
    losses = {c.key: tuple(o.loss(c.values[o.property].value) for o in AIMS) for c in rows}
    for crystal in found["crystals"]:
        mine = losses[crystal.key]
        assert not any(all(a <= b for a, b in zip(o, mine, strict=True)) and o != mine for o in losses.values())
    kept = {c.key for c in found["crystals"]}
    for key, mine in losses.items():
        if key not in kept:
            assert any(all(a <= b for a, b in zip(losses[k], mine, strict=True)) for k in kept)


def test_the_page_shows_them_with_the_reasons_for_every_choice(binary: CampaignRecord) -> None:
    record = with_two_aims(binary)
    chosen = tuple(c.model_copy(update={"why": f"<b>reason {c.order}</b>"}) for c in record.evaluated)
    record = record.model_copy(update={"evaluated": chosen})
    page = render_page(record, make_results(record), cif_texts(record))
    assert "Compromises" in page
    assert "&lt;b&gt;reason 1&lt;/b&gt;" in page
    assert "<b>reason" not in page
