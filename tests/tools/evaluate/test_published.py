"""The benchmark of published answers: its values have sources, it pays once, its table judges; and a real run."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import published, published_table
from benchmarks.published import Record, main, tasks
from benchmarks.published_values import (
    ATOMS_IN_CUBE,
    BOND_STEP,
    BONDS,
    EQUATIONS_OF_STATE,
    FORMATION,
    GAPS,
    SOLIDS,
    SOURCES,
)

needs_gpaw = pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="GPAW is not installed")


def test_every_value_names_a_source_and_every_row_has_its_calculations() -> None:
    cited = [solid.a for solid in SOLIDS.values()]
    cited += [solid.bulk_modulus for solid in SOLIDS.values() if solid.bulk_modulus is not None]
    cited += [value for gap in GAPS.values() for value in (gap.fundamental, gap.direct)]
    cited += [value for formation in FORMATION.values() for value in formation.published]
    assert {value.source for value in cited} == set(SOURCES)
    names = [task.name for task in tasks()]
    assert len(set(names)) == len(names)
    assert set(EQUATIONS_OF_STATE) <= set(SOLIDS)
    assert len(SOLIDS) >= published_table.LATTICE_CRYSTALS
    for formula, formation in FORMATION.items():
        needed = {task.name.split("-")[0] for task in tasks() if formula in task.formulas}
        assert needed >= {formula, *formation.elements}, "what `--only` calculates fills the row"


def test_the_first_calculations_fill_the_rows_with_a_bar() -> None:
    places = {task.name: number for number, task in enumerate(tasks())}
    wanted = [places[f"{formula}-eos"] for formula in EQUATIONS_OF_STATE] + [places[f"{f}-gap"] for f in GAPS]
    assert max(wanted) < min(places[f"{formula}-eos"] for formula in ("Cu", "SiC", "GaAs"))


def _write(record: Record, task: str, values: dict[str, float], key: str = "k", failure: str = "") -> None:
    record.write("gpaw", task, key, values=values, failure=failure, method="PBE", core_s=60.0)


def _answers_as_published(record: Record) -> None:
    """A record of values that no code gave."""
    energies = dict.fromkeys([*SOLIDS, "Mg", "AlN", *BONDS], 0.0)
    energies |= {formula: formation.published[0].value for formula, formation in FORMATION.items()}
    for formula, solid in SOLIDS.items():
        volume = solid.a.value**3 / ATOMS_IN_CUBE[solid.structure]
        modulus = solid.bulk_modulus.value if solid.bulk_modulus else 1.0
        _write(
            record,
            f"{formula}-eos",
            {"equilibrium_volume_per_atom": volume, "bulk_modulus": modulus, "energy_per_atom": energies[formula]},
        )
    for formula, gap in GAPS.items():
        _write(record, f"{formula}-gap", {"band_gap": gap.fundamental.value, "band_gap_direct": gap.direct.value})
    for name in ("Mg", "AlN"):
        _write(record, f"{name}-energy", {"energy_per_atom": energies[name]})
    for molecule, start in BONDS.items():
        for number in range(3):
            off = (number - 1) * BOND_STEP - 0.01  # the minimum lies 0.01 Å above the start
            _write(record, f"{molecule}-{number}", {"energy_per_atom": 10.0 * off**2})
        assert published_table._molecule(record, molecule) == pytest.approx((start + 0.01, 0.0), abs=1e-9)


def test_the_table_is_content_with_published_values_and_not_with_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.jsonl"
    record = Record(path, "gpaw", "moderate")
    _answers_as_published(record)
    shown = ["--record", str(path), "--table-only"]
    assert main(shown) == 0
    text = capsys.readouterr().out
    assert "**no**" not in text
    assert "not calculated" not in text
    assert f"{len(SOLIDS)} within the bar, 0 outside" in text
    _write(record, "MgO-gap", {"band_gap": GAPS["MgO"].fundamental.value + 0.11})
    assert main(shown) == 1
    assert "| +0.110 | **no** |" in capsys.readouterr().out
    _write(record, "MgO-gap", {}, failure="SCF not converged in 200 iterations")
    assert main(shown) == 1
    assert "SCF not converged in 200 iterations | not calculated" in capsys.readouterr().out
    assert main([*shown, "--protocol", "fast"]) == 1, "values of another protocol are no values of this one"


def test_a_record_outlives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    _write(Record(path, "gpaw", "fast"), "Si-eos", {"bulk_modulus": 88.0}, key="a")
    with path.open("a") as file:
        file.write('{"task": "Al-eos", "eng')
    record = Record(path, "gpaw", "fast")
    assert record.has("gpaw", "Si-eos", "a")
    assert not record.has("gpaw", "Si-eos", "b"), "other settings are another calculation"
    _write(record, "Al-eos", {"bulk_modulus": 77.0})
    assert Record(path, "gpaw", "fast").values("gpaw", "Al-eos") == ({"bulk_modulus": 77.0}, "")


@needs_gpaw
def test_aluminium_is_that_of_all_electron_pbe_and_is_paid_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.jsonl"
    asked = ["--record", str(path), "--protocol", "fast", "--only", "Al", "--potentials"]
    assert main(asked) == 1, "the other rows are lacking"
    (line,) = path.read_text().splitlines()
    values = json.loads(line)["values"]
    assert json.loads(line)["failure"] == ""
    volume = SOLIDS["Al"].a.value ** 3 / 4
    assert values["equilibrium_volume_per_atom"] == pytest.approx(volume, rel=0.01)
    assert values["bulk_modulus"] == pytest.approx(SOLIDS["Al"].bulk_modulus.value, rel=0.05)  # type: ignore[union-attr]

    def not_again(*_: Any) -> Any:
        raise AssertionError("it was paid for already")

    evaluator: Callable[..., Any] = published.create_evaluator

    def without_work(*arguments: Any) -> Any:
        made = evaluator(*arguments)
        made.submit = not_again
        return made

    monkeypatch.setattr(published, "create_evaluator", without_work)
    main(asked)
    assert path.read_text().splitlines() == [line]


def test_a_crystal_without_published_values_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("gpaw") is None:
        pytest.skip("GPAW is not installed")
    with pytest.raises(SystemExit):
        main(["--record", str(tmp_path / "r.jsonl"), "--only", "Po"])
    assert "no published values of Po" in capsys.readouterr().err
