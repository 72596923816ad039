"""VASP's inputs tag by tag, and what becomes of its outputs; these are stand-ins of `vasp_stand_in.py`, not VASP's."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from lodestone.tools.core.errors import ConfigError, EvaluationError
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal, EvaluationRequest, JobStatus, Observation
from lodestone.tools.evaluate.base import CalculationFailed, Outcome
from lodestone.tools.evaluate.electrons import idealise
from lodestone.tools.evaluate.ladder import Ladder
from lodestone.tools.evaluate.registry import create_evaluator
from lodestone.tools.evaluate.vasp import VaspEvaluator, grouped
from lodestone.tools.evaluate.vasp_output import MAX_XML_BYTES, check_run, read_run
from tests.tools.evaluate.vasp_stand_in import program, vasprun, write_potcar

SILICON = from_ase(bulk("Si", "diamond", a=5.47))
OXIDE = from_ase(bulk("NiO", "rocksalt", a=4.17))


@pytest.fixture
def data_sets(tmp_path: Path) -> Path:
    folder = tmp_path / "potcars"
    for name, element, zval in (("Si", "Si", 4.0), ("O", "O", 6.0), ("Ni_pv", "Ni", 16.0)):
        write_potcar(folder, name, element, zval)
    return folder


def _request(crystal: Crystal, *properties: str) -> EvaluationRequest:
    return EvaluationRequest(candidate_id="x", crystal=crystal, properties=properties)


def _stand_in_answer(crystal: Crystal, **more: object) -> str:
    ideal = idealise(crystal, 0.01)
    return vasprun(ideal.species, ideal.lattice, ideal.frac_coords, **more)  # type: ignore[arg-type]


def _evaluator(tmp_path: Path, command: str, **settings: object) -> VaspEvaluator:
    table = {"command": [command], "potcar_dir": str(tmp_path / "potcars"), **settings}
    evaluator = create_evaluator("vasp", tmp_path / "jobs", table)
    assert isinstance(evaluator, VaspEvaluator)
    assert evaluator.available() is None
    return evaluator


def _calculate(tmp_path: Path, crystal: Crystal, command: str, *properties: str, **settings: object) -> Outcome:
    """In this process, as the worker does it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return _evaluator(tmp_path, command, **settings).calculate(_request(crystal, *properties), scratch)


def _evaluate(tmp_path: Path, crystal: Crystal, command: str, *properties: str, **settings: object) -> Observation:
    """Through a worker."""
    evaluator = _evaluator(tmp_path, command, **settings)
    request = _request(crystal, *properties)
    key = evaluator.key(request)
    evaluator.submit([(key, request)])
    deadline = time.monotonic() + 120
    while evaluator.lookup(key) is JobStatus.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return evaluator.harvest(key)


def _tags(deck: str) -> dict[str, str]:
    incar = deck.split("\n\nKPOINTS")[0].splitlines()[1:]
    return {name.strip(): value.strip() for name, value in (line.split("=") for line in incar)}


# --- inputs -----------------------------------------------------------------------------------------


def test_the_input_is_a_converged_single_point_with_stress(tmp_path: Path, data_sets: Path) -> None:
    evaluator = create_evaluator("vasp", tmp_path, {"potcar_dir": str(data_sets), "protocol": "moderate"})
    deck = evaluator.deck(_request(SILICON))
    tags = _tags(deck)
    assert float(tags["ENCUT"]) == 520.0
    assert float(tags["SIGMA"]) == 0.05
    assert float(tags["EDIFF"]) == pytest.approx(1e-6)
    assert (tags["NSW"], tags["IBRION"], tags["ISIF"], tags["ISMEAR"], tags["NELM"]) == ("0", "-1", "2", "0", "200")
    assert (tags["ISPIN"], tags["LREAL"], tags["LASPH"]) == ("1", "False", "True")
    assert "LDAU" not in tags
    assert "MAGMOM" not in tags
    assert "Gamma" in deck
    assert "8 8 8" in deck, "2π √3 / 5.47 Å over 0.25 1/Å is 7.96"
    assert deck.rstrip().endswith("POTCAR\nSi"), "data sets are licensed: named, not shown"


def test_u_moments_and_data_sets_stand_in_the_order_of_poscar(tmp_path: Path, data_sets: Path) -> None:
    evaluator = create_evaluator("vasp", tmp_path, {"potcar_dir": str(data_sets), "hubbard": "mp"})
    deck = evaluator.deck(_request(OXIDE))
    tags = _tags(deck)
    symbols = deck.split("\n\nPOSCAR\n")[1].splitlines()[5].split()
    assert tags["ISPIN"] == "2"
    at = symbols.index("Ni")
    assert [float(x) for x in tags["LDAUU"].split()][at] == 6.2
    assert [float(x) for x in tags["LDAUU"].split()][1 - at] == 0.0
    assert [int(x) for x in tags["LDAUL"].split()][at] == 2
    assert [int(x) for x in tags["LDAUL"].split()][1 - at] == -1
    assert (tags["LDAUTYPE"], tags["LMAXMIX"]) == ("2", "4")
    assert "2.0" in tags["MAGMOM"]
    assert deck.rstrip().splitlines()[-1].split() == ["Ni_pv" if el == "Ni" else el for el in symbols]


def test_each_step_of_the_ladder_says_something_to_vasp(tmp_path: Path, data_sets: Path) -> None:
    evaluator = VaspEvaluator(tmp_path, VaspEvaluator.settings_type(potcar_dir=str(data_sets)))
    request = _request(SILICON)
    plain = evaluator.deck(request)
    seen = {plain}
    for kind in ("scf", "memory", "symmetry"):
        evaluator.ladder = Ladder(tmp_path / f"{kind}.json")
        while evaluator.ladder.climb(kind, "on purpose"):  # type: ignore[arg-type]
            deck = evaluator.deck(request)
            assert deck not in seen, evaluator.ladder.steps[-1].change
            seen.add(deck)
    assert "AMIX" not in plain


def test_atoms_of_one_element_stand_together_and_forces_come_back_to_their_atoms(
    tmp_path: Path, data_sets: Path
) -> None:
    del data_sets
    atoms = Atoms("SiOSi", positions=[(0, 0, 0), (1.7, 0, 0), (3.4, 0, 0)], cell=[6, 5, 5], pbc=True)
    assert grouped(atoms) == [0, 2, 1]
    together = atoms[grouped(atoms)]
    text = vasprun(
        together.get_chemical_symbols(),
        np.asarray(together.cell).tolist(),
        together.get_scaled_positions().tolist(),
        forces=[(1.0, 0, 0), (3.0, 0, 0), (2.0, 0, 0)],
    )
    (tmp_path / "vasprun.xml").write_text(text)
    found = VaspEvaluator(tmp_path).read(tmp_path, atoms, 0)
    assert found.get_chemical_symbols() == ["Si", "O", "Si"]
    assert found.get_forces()[:, 0].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("name", "element", "lexch", "words"),
    [
        ("Si", "Ge", "PE", "Si/POTCAR is of Ge, not of Si"),
        ("Si", "Si", "CA", "made with LEXCH CA, not with PBE"),
        ("Si_GW", "Si", "PE", "no data set Si/POTCAR for Si"),
    ],
)
def test_a_missing_or_foreign_data_set_is_told_before_the_run(
    tmp_path: Path, name: str, element: str, lexch: str, words: str
) -> None:
    write_potcar(tmp_path / "potcars", name, element, lexch=lexch)
    with pytest.raises(CalculationFailed, match=words) as caught:
        _calculate(tmp_path, SILICON, program(tmp_path, {}))
    assert caught.value.kind == "pseudopotential"
    assert not (tmp_path / "potcar-seen").exists()


def test_another_data_set_can_be_named_and_is_another_key(tmp_path: Path) -> None:
    write_potcar(tmp_path, "Si", "Si")
    write_potcar(tmp_path, "Si_sv", "Si", 12.0)
    request = _request(SILICON)
    usual = create_evaluator("vasp", tmp_path, {"potcar_dir": str(tmp_path)})
    other = create_evaluator("vasp", tmp_path, {"potcar_dir": str(tmp_path), "potcars": {"Si": "Si_sv"}})
    assert usual.key(request) != other.key(request)
    assert other.deck(request).rstrip().endswith("Si_sv")


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path, data_sets: Path) -> None:
    nothing = create_evaluator("vasp", tmp_path)
    assert "command" in (nothing.available() or "")
    assert "licence" in (nothing.available() or "")
    with pytest.raises(EvaluationError, match="command"):
        nothing.submit([(nothing.key(_request(SILICON)), _request(SILICON))])
    command = program(tmp_path, {})
    assert "potcar_dir" in (create_evaluator("vasp", tmp_path, {"command": [command]}).available() or "")
    ready = create_evaluator("vasp", tmp_path, {"command": [command], "potcar_dir": str(data_sets)})
    assert ready.available() is None
    assert ready.version == "0.0.0"


# --- outputs ----------------------------------------------------------------------------------------


def test_a_whole_answer_gives_energy_gap_and_labels_and_leaves_no_data_set(tmp_path: Path, data_sets: Path) -> None:
    del data_sets
    command = program(tmp_path, {"vasprun.xml": _stand_in_answer(SILICON, energy=-10.84)})
    found = _evaluate(tmp_path, SILICON, command, "band_gap")
    assert found.failure is None
    assert found.values["energy_per_atom"].value == pytest.approx(-5.42)
    assert found.values["band_gap"].value == pytest.approx(2.5)
    assert found.values["band_gap_direct"].value == pytest.approx(2.5)
    assert "labels" in found.artefacts
    assert "VRHFIN =Si" in (tmp_path / "potcar-seen").read_text()
    assert list((tmp_path / "jobs").rglob("POTCAR")) == [], "licensed data do not stay in the campaign"


def test_moments_are_those_of_oszicar_and_outcar(tmp_path: Path, data_sets: Path) -> None:
    del data_sets
    ideal = idealise(OXIDE, 0.01)
    order = grouped(Atoms(list(ideal.species)))
    rows = "".join(
        f"    {n + 1}        0.010   0.020   {1.5 if ideal.species[i] == 'Ni' else 0.1:.3f}   "
        f"{1.53 if ideal.species[i] == 'Ni' else 0.13:.3f}\n"
        for n, i in enumerate(order)
    )
    answers = {
        "vasprun.xml": vasprun(
            [ideal.species[i] for i in order], ideal.lattice, [ideal.frac_coords[i] for i in order],
            levels=((-2.0, -1.0, 1.0), (-2.0, 1.0, 2.0)),
        ),
        "OSZICAR": "DAV: 1 -0.1E+02\n   1 F= -.1E+02 E0= -.1E+02  d E =0.0  mag=     2.0000\n",
        "OUTCAR": f" magnetization (x)\n\n# of ion       s       p       d       tot\n-----\n{rows}-----\n",
    }  # fmt: skip
    found = _calculate(tmp_path, OXIDE, program(tmp_path, answers), "magnetization")
    assert found.failure == ""
    assert found.values["magnetization"].value == 2.0
    assert found.values["magnetic_moment_max"].value == pytest.approx(1.53)
    (tmp_path / "answers" / "OUTCAR").unlink()
    (tmp_path / "scratch").rename(tmp_path / "first")
    with pytest.raises(CalculationFailed, match="no magnetisation") as caught:
        _calculate(tmp_path, OXIDE, program(tmp_path, {}), "magnetization")
    assert caught.value.kind == "output"


@pytest.mark.parametrize(
    ("change", "printed", "code", "kind", "words"),
    [
        ("steps", "", 0, "scf", "SCF not converged in 200 iterations"),
        ("cut", "", 0, "output", "vasprun.xml is cut off"),
        ("garbage", "", 0, "output", "vasprun.xml is cut off"),
        ("broken", "", 0, "output", "cannot be read"),
        ("nan", "", 0, "output", "not finite"),
        ("foreign", "", 0, "output", "is of Ge2, not of Si2"),
        ("entities", "", 0, "output", "defines entities"),
        ("none", "", 0, "output", "there is no vasprun.xml"),
        ("none", "Error EDDDAV: Call to ZHEGV failed. Returncode = 7\n", 1, "scf", "ZHEGV failed"),
        ("none", "ERROR: number of potentials on File POTCAR incompatible\n", 1, "pseudopotential", "POTCAR"),
        ("none", "inverse of rotation matrix was not found (increase SYMPREC)\n", 1, "symmetry", "rotation matrix"),
        ("none", "forrtl: severe (41): insufficient virtual memory\n", 1, "memory", "insufficient virtual memory"),
        ("none", "", 1, "crash", "ended with status 1"),
    ],
)
def test_each_way_to_fail_has_its_kind_and_gives_no_number(
    tmp_path: Path, data_sets: Path, change: str, printed: str, code: int, kind: str, words: str
) -> None:
    del data_sets
    whole = _stand_in_answer(SILICON)
    text = {
        "steps": _stand_in_answer(SILICON, steps=200),
        "cut": whole[: len(whole) // 2],
        "garbage": "\x00\x01 all is well",
        "broken": whole.replace("<calculation>", "<calculation><oops>"),
        "nan": _stand_in_answer(SILICON, energy="NaN"),
        "foreign": whole.replace("<c>Si</c>", "<c>Ge</c>"),
        "entities": whole.replace("<modeling>", '<!DOCTYPE m [<!ENTITY a "b">]><modeling>'),
        "none": "",
    }[change]
    command = program(tmp_path, {"vasprun.xml": text} if text else {}, printed, code)
    with pytest.raises(CalculationFailed, match=words) as caught:
        _calculate(tmp_path, SILICON, command)
    assert caught.value.kind == kind


def test_a_cycle_that_does_not_converge_climbs_the_ladder(tmp_path: Path, data_sets: Path) -> None:
    del data_sets
    found = _evaluate(tmp_path, SILICON, program(tmp_path, {"vasprun.xml": _stand_in_answer(SILICON, steps=200)}))
    assert found.failure is not None
    assert found.failure.kind == "scf"
    assert found.failure.reason.startswith("SCF not converged in 200 iterations; tried: density mixed")
    assert len(found.ladder) == 4
    assert found.values == {}


def test_a_killed_program_was_out_of_memory(tmp_path: Path) -> None:
    with pytest.raises(CalculationFailed, match="killed by signal 9") as caught:
        check_run(tmp_path, -9, 100)
    assert caught.value.kind == "memory"


def test_a_document_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "vasprun.xml").open("wb") as stream:
        stream.truncate(MAX_XML_BYTES + 1)
    with pytest.raises(CalculationFailed, match="more than") as caught:
        check_run(tmp_path, 0, 100)
    assert caught.value.kind == "output"


def test_no_part_of_an_answer_is_a_result(tmp_path: Path) -> None:
    whole = _stand_in_answer(SILICON)
    atoms = bulk("Si", "diamond", a=5.47)
    for length in range(0, len(whole) - len("</modeling>"), 37):
        (tmp_path / "vasprun.xml").write_text(whole[:length])
        with pytest.raises(CalculationFailed):
            check_run(tmp_path, 0, 100)
    (tmp_path / "vasprun.xml").write_text(whole)
    check_run(tmp_path, 0, 100)
    assert read_run(tmp_path, atoms).get_potential_energy() == -10.0


# --- corrections ------------------------------------------------------------------------------------


def test_corrections_make_energies_with_u_compare_and_say_so(tmp_path: Path, data_sets: Path) -> None:
    plain = create_evaluator("vasp", tmp_path, {"potcar_dir": str(data_sets), "hubbard": "mp"})
    chosen = {"potcar_dir": str(data_sets), "hubbard": "mp", "corrections": "mp2020"}
    corrected = create_evaluator("vasp", tmp_path, chosen)
    assert "formation_energy" not in plain.properties
    assert {"formation_energy", "energy_above_hull"} <= corrected.properties
    assert "MaterialsProject2020Compatibility" in corrected.method
    request = _request(OXIDE)
    assert plain.key(request) != corrected.key(request)
    with pytest.raises(ConfigError, match="fitted to energies with the U"):
        create_evaluator("vasp", tmp_path, {"corrections": "mp2020"})


def test_a_corrected_energy_is_kept_apart_from_its_correction(tmp_path: Path, data_sets: Path) -> None:
    del data_sets
    dioxide = from_ase(bulk("NiO", "rocksalt", a=4.17)).model_copy(update={"species": ("Si", "O")})
    ideal = idealise(dioxide, 0.01)
    order = grouped(Atoms(list(ideal.species)))
    answer = vasprun([ideal.species[i] for i in order], ideal.lattice, [ideal.frac_coords[i] for i in order])
    command = program(tmp_path, {"vasprun.xml": answer})
    found = _calculate(tmp_path, dioxide, command, hubbard="mp", corrections="mp2020")
    assert found.failure == ""
    assert found.values["energy_correction_per_atom"].value == pytest.approx(-0.687 / 2)
    assert found.values["energy_per_atom"].value == pytest.approx(-10.0 / 2 - 0.687 / 2)
    assert found.values["energy_correction_per_atom"].std == pytest.approx(0.002 / 2)
