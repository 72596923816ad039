"""Example campaign records: a binary (Na–Cl), a ternary (Sr–Ti–O), one composition, and campaigns that found nothing.

Energies are invented but of the right size; nothing is computed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from lodestone.loops.record import (
    CampaignRecord,
    EvaluatedCrystal,
    FailureRow,
    HullPhase,
    PoolEntry,
    StageTime,
)
from lodestone.tools.core.plans import RoundPlan
from lodestone.tools.core.structure import fingerprint, from_pymatgen, reduced_formula
from lodestone.tools.core.types import Budget, ChemicalSpace, Constraint, Crystal, GoalSpec, Objective, Quantity

METHOD = "SevenNet 7net-l3i5 (machine-learned potential, not DFT)"


def rock_salt(a: float, cation: str, anion: str) -> Crystal:
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return from_pymatgen(cell.get_primitive_structure())


def caesium_chloride(a: float, cation: str, anion: str) -> Crystal:
    return from_pymatgen(Structure(Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]))


def zinc_blende(a: float, cation: str, anion: str) -> Crystal:
    cell = Structure.from_spacegroup("F-43m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.25, 0.25, 0.25]])
    return from_pymatgen(cell)


def nickel_arsenide(a: float, c: float, cation: str, anion: str) -> Crystal:
    cell = Structure.from_spacegroup(
        "P6_3/mmc", Lattice.hexagonal(a, c), [cation, anion], [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]
    )
    return from_pymatgen(cell)


def perovskite(a: float) -> Crystal:
    return from_pymatgen(
        Structure.from_spacegroup(
            "Pm-3m", Lattice.cubic(a), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
        )
    )


def ruddlesden_popper() -> Crystal:
    return from_pymatgen(
        Structure.from_spacegroup(
            "I4/mmm",
            Lattice.tetragonal(3.90, 12.6),
            ["Sr", "Ti", "O", "O"],
            [[0, 0, 0.355], [0, 0, 0], [0, 0.5, 0], [0, 0, 0.16]],
        )
    )


def triclinic(symbols: tuple[str, ...], seed: int) -> Crystal:
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(5.6, 6.1, 6.7, 82, 76, 88)
    grid = np.array([[i, j, k] for i in (0, 0.5) for j in (0, 0.5) for k in (0, 0.5)])[: len(symbols)]
    return from_pymatgen(Structure(lattice, symbols, grid + rng.uniform(0.02, 0.12, (len(symbols), 3))))


def evaluated(
    order: int,
    crystal: Crystal,
    group: tuple[int, str],
    prototype: str,
    formation: float,
    above: float,
    *,
    generator: str = "prototypes",
    failure: str = "",
    limit: float = 0.0005,
) -> EvaluatedCrystal:
    rng = np.random.default_rng(order)
    values = {
        "formation_energy": Quantity(value=formation, unit="eV/atom"),
        "energy_above_hull": Quantity(value=above, unit="eV/atom"),
        "density": Quantity(value=2.1 + 0.01 * order, unit="g/cm^3"),
    }
    return EvaluatedCrystal(
        key=f"key{order:04d}",
        candidate_id=fingerprint(crystal),
        order=order,
        round=1 + (order - 1) // 4,
        formula=reduced_formula(crystal),
        crystal=crystal,
        space_group=group[0],
        space_group_symbol=group[1],
        prototype=prototype,
        dimensionality=3,
        generator=generator,
        values={} if failure else values,
        predicted={
            "energy_above_hull": Quantity(
                value=above + float(rng.normal(0, 0.018)), unit="eV/atom", std=float(rng.uniform(0.008, 0.022))
            )
        },
        cheap={"energy_above_hull": above + 0.012 + float(rng.normal(0, 0.03))},
        meets_goal=not failure and above <= limit,
        evaluator="sevennet-0.13.0",
        method=METHOD,
        cost_core_s=12.0,
        wall_s=6.3,
        failure=failure,
        novel=prototype == "",
    )


def phase(
    formula: str, amounts: dict[str, float], energy: float, formation: float, above: float, source: str
) -> HullPhase:
    return HullPhase(
        formula=formula,
        amounts=amounts,
        energy_per_atom=energy,
        formation_energy=formation,
        energy_above_hull=above,
        method=METHOD,
        source=source,
    )


def pool(crystals: list[EvaluatedCrystal], extra: int, seed: int) -> tuple[PoolEntry, ...]:
    rng = np.random.default_rng(seed)
    rows = [
        PoolEntry(
            candidate_id=row.candidate_id,
            formula=row.formula,
            round=row.round,
            generator=row.generator,
            space_group=row.space_group,
            cheap=row.cheap,
            predicted=row.predicted,
            evaluated=True,
        )
        for row in crystals
    ]
    for index in range(extra):
        value = float(0.03 + rng.gamma(2.0, 0.09))
        guess = {"energy_above_hull": Quantity(value=value, unit="eV/atom", std=0.02)}
        rows.append(
            PoolEntry(
                candidate_id=f"pool{index:04d}",
                formula="NaCl",
                round=1 + index % 4,
                generator="random_symmetric",
                space_group=1 + index % 230,
                cheap={"energy_above_hull": value + 0.01},
                predicted=guess if index % 3 else {},
                evaluated=False,
            )
        )
    return tuple(rows)


def goal(text: str, space: ChemicalSpace, constraints: tuple[Constraint, ...] = ()) -> GoalSpec:
    return GoalSpec(
        text=text,
        objectives=(Objective(property="energy_above_hull", direction="minimise"),),
        constraints=constraints,
        space=space,
        budget=Budget(evaluations=20, wall_hours=2.0, rounds=8),
        seed=7,
    )


def plans() -> tuple[RoundPlan, ...]:
    shares = (
        {"prototypes": 0.5, "substitution": 0.2, "random_symmetric": 0.3},
        {"prototypes": 0.7, "random_symmetric": 0.3},
    )
    reasons = (
        "Nothing is known yet: all three generators, mostly prototypes, and a wide batch.",
        "Prototypes gave 6 of 7 crystals within 25 meV/atom of the hull; intervals held 92 %, so exploit.",
        "No better crystal for one round: explore more before stopping.",
    )
    made = [
        RoundPlan(
            round=k + 1,
            shares=shares[min(k, 1)],
            proposals=40,
            batch=4,
            exploration=(0.6, 0.2, 0.45)[k],
            reason=reason,
            decided_by="built-in planner",
        )
        for k, reason in enumerate(reasons)
    ]
    made.append(
        RoundPlan(
            round=4,
            shares={},
            proposals=0,
            batch=0,
            exploration=0.0,
            stop=True,
            reason="The goal is met.",
            decided_by="built-in planner",
        )
    )
    return tuple(made)


def campaign(
    the_goal: GoalSpec, crystals: list[EvaluatedCrystal], hull: tuple[HullPhase, ...], **extra: object
) -> CampaignRecord:
    base: dict[str, object] = {
        "directory": "campaigns/na-cl-7",
        "goal": the_goal,
        "assumptions": ("Stable means at most 25 meV/atom above the hull.", "No budget was given for time: 2 h."),
        "unused": ("please", "cheap"),
        "status": "finished",
        "stop_reason": "The planner stopped: the goal is met and no better crystal was found for 2 rounds.",
        "started_at": "2026-11-20T09:14:05+00:00",
        "finished_at": "2026-11-20T09:24:47+00:00",
        "wall_s": 642.0,
        "evaluator": "sevennet",
        "method": METHOD,
        "potential": "chgnet-0.3.0",
        "plans": plans(),
        "evaluated": tuple(crystals),
        "pool": pool(crystals, 110, 3),
        "hull": hull,
        "hull_statement": "All phases relaxed by the same potential; elements in their lowest known forms.",
        "failures": (
            FailureRow(
                round=1,
                stage="screen",
                what="random_symmetric",
                reason="Na–Cl distance 1.41 Å is below 1.89 Å",
                count=14,
            ),
            FailureRow(
                round=2, stage="relax", what="Na3Cl (random_symmetric)", reason="fmax still 0.21 eV/Å after 500 steps"
            ),
            FailureRow(round=2, stage="evaluate", what="NaCl3", reason="energy not finite after 12 steps"),
        ),
        "times": (
            StageTime(stage="relax", wall_s=388.0, tool=True),
            StageTime(stage="evaluate", wall_s=171.0, tool=True),
            StageTime(stage="generate", wall_s=38.0, tool=True),
            StageTime(stage="recognise", wall_s=14.0, tool=True),
            StageTime(stage="fit", wall_s=11.0, tool=True),
            StageTime(stage="ledger", wall_s=6.1, tool=False),
            StageTime(stage="plan", wall_s=2.2, tool=False),
        ),
        "evaluations_spent": len(crystals) + 2,
        "evaluations_reference": 2,
        "evaluations_failed": sum(1 for row in crystals if row.failure),
        "coverage_90": 0.88,
        "versions": {
            "lodestone": "0.1.0",
            "chgnet": "0.4.2",
            "sevenn": "0.13.0",
            "torch": "2.13.0",
            "pymatgen": "2026.10",
        },
    }
    return CampaignRecord.model_validate(base | extra)


def make_binary(text: str = "find the most stable sodium chloride, 20 evaluations, 2 hours please") -> CampaignRecord:
    space = ChemicalSpace(required=("Cl", "Na"), allowed=("Cl", "Na"), n_elements=(2, 2))
    crystals = [
        evaluated(1, triclinic(("Na", "Na", "Cl", "Cl"), 1), (1, "P1"), "", -1.62, 0.352, generator="random_symmetric"),
        evaluated(2, zinc_blende(6.4, "Na", "Cl"), (216, "F-43m"), "AB_cF8_216_c_a", -1.83, 0.142),
        evaluated(3, triclinic(("Na", "Cl", "Cl", "Cl"), 2), (1, "P1"), "", -0.55, 0.437, generator="random_symmetric"),
        evaluated(4, triclinic(("Na", "Na", "Na", "Cl"), 3), (1, "P1"), "", -0.61, 0.377, generator="random_symmetric"),
        evaluated(5, caesium_chloride(3.5, "Na", "Cl"), (221, "Pm-3m"), "AB_cP2_221_b_a", -1.868, 0.104),
        evaluated(6, nickel_arsenide(3.9, 6.4, "Na", "Cl"), (194, "P6_3/mmc"), "AB_hP4_194_c_a", -1.93, 0.042),
        evaluated(
            7, triclinic(("Na", "Cl", "Cl", "Cl"), 4), (1, "P1"), "", 0, 0, failure="energy not finite after 12 steps"
        ),
        evaluated(8, rock_salt(5.69, "Na", "Cl"), (225, "Fm-3m"), "AB_cF8_225_a_b", -1.972, 0.0),
        evaluated(9, triclinic(("Na", "Na", "Cl", "Cl"), 5), (2, "P-1"), "", -1.79, 0.182, generator="substitution"),
        evaluated(10, triclinic(("Na",) * 4 + ("Cl",) * 4, 6), (4, "P2_1"), "", -1.91, 0.062, generator="substitution"),
        evaluated(
            11, triclinic(("Na", "Na", "Na", "Cl"), 7), (1, "P1"), "", -0.74, 0.246, generator="random_symmetric"
        ),
        evaluated(12, triclinic(("Na", "Cl") * 3, 8), (1, "P1"), "", -1.85, 0.122, generator="random_symmetric"),
    ]
    hull = (
        phase("Na", {"Na": 1.0}, -1.31, 0.0, 0.0, "reference"),
        phase("Cl2", {"Cl": 1.0}, -1.84, 0.0, 0.0, "reference"),
        phase("Na", {"Na": 1.0}, -1.25, 0.06, 0.06, "reference"),
        phase("NaCl", {"Na": 1.0, "Cl": 1.0}, -3.39, -1.81, 0.162, "materials project"),
        *(
            phase(
                row.formula,
                {s: float(row.crystal.species.count(s)) for s in set(row.crystal.species)},
                -3.4 + row.values["energy_above_hull"].value,
                row.values["formation_energy"].value,
                row.values["energy_above_hull"].value,
                "campaign",
            )
            for row in crystals
            if not row.failure
        ),
    )
    return campaign(goal(text, space), crystals, hull)


def make_ternary() -> CampaignRecord:
    space = ChemicalSpace(required=("O", "Sr", "Ti"), allowed=("O", "Sr", "Ti"), n_elements=(3, 3))
    limit = Constraint(property="energy_above_hull", upper=0.025)
    crystals = [
        evaluated(1, triclinic(("Sr", "Ti", "O", "O", "O"), 1), (1, "P1"), "", -3.1, 0.41, limit=0.025),
        evaluated(2, ruddlesden_popper(), (139, "I4/mmm"), "A4B2C_tI14_139_ce_e_a", -3.36, 0.0, limit=0.025),
        evaluated(3, triclinic(("Sr", "Ti", "O", "O"), 3), (1, "P1"), "", -2.9, 0.27, limit=0.025),
        evaluated(4, perovskite(3.92), (221, "Pm-3m"), "AB3C_cP5_221_a_c_b", -3.51, 0.0, limit=0.025),
        evaluated(5, triclinic(("Sr", "Ti", "Ti", "O", "O", "O", "O", "O"), 5), (1, "P1"), "", -3.3, 0.09, limit=0.025),
    ]
    counts = [{s: float(row.crystal.species.count(s)) for s in ("Sr", "Ti", "O")} for row in crystals]
    hull = (
        phase("Sr", {"Sr": 1.0}, -1.6, 0.0, 0.0, "reference"),
        phase("Ti", {"Ti": 1.0}, -7.8, 0.0, 0.0, "reference"),
        phase("O2", {"O": 1.0}, -4.9, 0.0, 0.0, "reference"),
        phase("SrO", {"Sr": 1.0, "O": 1.0}, -6.0, -2.98, 0.0, "materials project"),
        phase("TiO2", {"Ti": 1.0, "O": 2.0}, -8.9, -3.26, 0.0, "materials project"),
        phase("Ti2O3", {"Ti": 2.0, "O": 3.0}, -8.9, -3.15, 0.0, "materials project"),
        phase("TiO", {"Ti": 1.0, "O": 1.0}, -8.9, -2.76, 0.03, "materials project"),
        phase("SrO2", {"Sr": 1.0, "O": 2.0}, -8.9, -2.18, 0.0, "materials project"),
        *(
            phase(
                row.formula,
                amounts,
                -8.0,
                row.values["formation_energy"].value,
                row.values["energy_above_hull"].value,
                "campaign",
            )
            for row, amounts in zip(crystals, counts, strict=True)
        ),
    )
    words = "a stable strontium titanate within 25 meV of the hull"
    return campaign(goal(words, space, (limit,)), crystals, hull, directory="campaigns/sr-ti-o")


def make_empty(**extra: object) -> CampaignRecord:
    space = ChemicalSpace(required=("Cl", "Na"), allowed=("Cl", "Na"))
    empty: dict[str, object] = {
        "status": "running",
        "stop_reason": "",
        "finished_at": "",
        "plans": (),
        "pool": (),
        "failures": (),
        "times": (),
        "wall_s": 0.0,
        "evaluations_spent": 0,
        "evaluations_reference": 0,
        "coverage_90": None,
        "hull_statement": "",
        "versions": {},
        "assumptions": (),
        "unused": (),
    }
    return campaign(goal("sodium chloride", space), [], (), **(empty | extra))


@pytest.fixture(scope="session")
def binary() -> CampaignRecord:
    """Na–Cl: twelve evaluations, one failed, rock salt best."""
    return make_binary()


@pytest.fixture(scope="session")
def hostile() -> CampaignRecord:
    """The binary campaign whose request and reasons try to be markup."""
    attack = "</script></q><script>alert('x')</script> <img src=https://evil.example/x onerror=alert(1)> NaCl"
    record = make_binary(attack)
    row = record.evaluated[0].model_copy(update={"prototype": attack, "formula": "<b>../../x", "generator": attack})
    bad = FailureRow(round=1, stage="relax", what=attack, reason=attack)
    return record.model_copy(
        update={
            "evaluated": (row, *record.evaluated[1:]),
            "failures": (bad,),
            "notes": (attack,),
            "stop_reason": attack,
        }
    )


@pytest.fixture(scope="session")
def ternary() -> CampaignRecord:
    """Sr–Ti–O: five evaluations, two on the hull."""
    return make_ternary()


@pytest.fixture
def empty() -> CampaignRecord:
    """A campaign that has just begun."""
    return make_empty()


@pytest.fixture
def all_failed(binary: CampaignRecord) -> CampaignRecord:
    """Three evaluations, each failed."""
    rows = tuple(
        row.model_copy(update={"failure": "SCF did not converge in 60 steps", "values": {}, "meets_goal": False})
        for row in binary.evaluated[:3]
    )
    return make_empty(evaluated=rows, evaluations_spent=3, evaluations_failed=3)


@pytest.fixture
def one_composition(binary: CampaignRecord) -> CampaignRecord:
    """Only polymorphs of NaCl on the hull diagram."""
    phases = tuple(row for row in binary.hull if row.formula == "NaCl")
    return binary.model_copy(update={"hull": phases})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "campaign"
