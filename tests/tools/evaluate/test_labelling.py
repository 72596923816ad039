"""What an evaluation leaves for a potential to learn from, and what it does where it cannot leave it."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from lodestone.tools.core.labels import LABELS_FILE, read_labels
from lodestone.tools.core.structure import to_ase
from lodestone.tools.evaluate import labelling
from lodestone.tools.evaluate.elastic import relax_cell
from lodestone.tools.evaluate.labelling import Labels


def strained() -> tuple[Labels, object]:
    atoms = bulk("Cu", cubic=True, a=3.75)
    atoms.positions += np.random.default_rng(0).normal(0.0, 0.1, atoms.positions.shape)
    atoms.calc = EMT()
    return Labels("job"), atoms


def test_a_relaxation_leaves_each_step_as_its_code_sees_it(tmp_path: Path) -> None:
    labels, atoms = strained()
    steps = relax_cell(atoms, 0.05, 100, seen=labels.see)
    assert labels.keep(tmp_path) == {"labels": LABELS_FILE}
    kept = read_labels(tmp_path / LABELS_FILE)
    assert len(kept) == steps + 1
    assert kept[-1].energy < kept[0].energy
    for label in (kept[0], kept[-1]):
        again = to_ase(label.crystal)
        again.calc = EMT()
        assert label.energy == pytest.approx(again.get_potential_energy(), abs=1e-6)
        assert np.array(label.forces) == pytest.approx(again.get_forces(), abs=1e-5)
        assert np.array(label.stress) == pytest.approx(again.get_stress(voigt=False), abs=1e-6)


def test_what_is_not_finite_is_no_label(tmp_path: Path) -> None:
    labels, atoms = strained()
    atoms.get_potential_energy = lambda: float("nan")  # type: ignore[attr-defined]
    labels.see(atoms)
    assert labels.keep(tmp_path) == {}


def test_a_full_disk_costs_the_labels_and_not_the_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _labels: object) -> None:
        path.write_text("half of")
        raise OSError(errno.ENOSPC, "No space left on device")

    labels, atoms = strained()
    labels.see(atoms)
    monkeypatch.setattr(labelling, "write_labels", full)
    assert labels.keep(tmp_path) == {}
    assert not (tmp_path / LABELS_FILE).exists()
