"""What fine-tuning promises: it learns what a teacher says, forgets little else, and claims nothing that it has not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from hypothesis import given
from hypothesis import strategies as st

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.labels import Label
from lodestone.tools.core.structure import from_ase, lattice_rows, site_rows
from lodestone.tools.core.types import Crystal
from lodestone.tools.relax.chgnet import ChgnetModel
from lodestone.tools.relax.learning import (
    FineTuning,
    TuningSettings,
    errors_of,
    fit_shifts,
    outputs_of,
    shifted,
    split_sources,
)

CUBE = ((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0))


@pytest.fixture(scope="module")
def base() -> ChgnetModel:
    return ChgnetModel("cpu")


STIFFER = 1.5
"""Factor on the teacher's energies, so that it disagrees with the DFT behind CHGNet, which it otherwise resembles."""


def taught(count: int, seed: int) -> list[Label]:
    """Strained and rattled copper as a stiffer effective-medium theory sees it."""
    rng = np.random.default_rng(seed)
    labels = []
    for number in range(count):
        atoms = bulk("Cu", cubic=True, a=3.6 * (1 + rng.normal(0.0, 0.03)))
        atoms.positions += rng.normal(0.0, 0.12, atoms.positions.shape)
        atoms.calc = EMT()
        labels.append(
            Label(
                crystal=from_ase(atoms),
                energy=STIFFER * atoms.get_potential_energy() + 7.0 * len(atoms),
                forces=site_rows(STIFFER * atoms.get_forces()),
                stress=lattice_rows(STIFFER * atoms.get_stress(voigt=False)),
                source=f"{seed}-{number}",
            )
        )
    return labels


def plain(species: tuple[str, ...], energy: float, source: str = "") -> Label:
    sites = tuple((i / 10, 0.0, 0.0) for i in range(len(species)))
    crystal = Crystal(lattice=CUBE, species=species, frac_coords=sites)
    return Label(crystal=crystal, energy=energy, forces=((0.0, 0.0, 0.0),) * len(species), source=source)


def test_shifts_between_two_scales_of_energy_are_found_element_by_element():
    rows = [("Na", "Cl"), ("Na",), ("Cl", "Cl"), ("Na", "Na", "Cl")]
    labels = [plain(row, sum({"Na": 2.0, "Cl": -5.0}[s] for s in row)) for row in rows]
    shifts = fit_shifts(labels, [0.0] * len(labels))
    assert shifts == pytest.approx({"Na": 2.0, "Cl": -5.0}, abs=0.02)
    assert [shifted(label, shifts) for label in labels] == pytest.approx([0.0] * 4, abs=0.05)


def test_elements_that_only_occur_together_share_their_shift():
    labels = [plain(("Na", "Cl"), 3.0), plain(("Na", "Cl") * 2, 6.0)]
    assert fit_shifts(labels, [0.0, 0.0]) == pytest.approx({"Na": 1.5, "Cl": 1.5})


@given(first=st.integers(2, 30), more=st.integers(0, 30), share=st.floats(0.05, 0.5))
def test_what_was_learned_once_is_never_held_out_later(first, more, share):
    labels = [plain(("Cu",), 0.0, f"job-{i // 2}") for i in range(2 * (first + more))]
    trained, held = split_sources(labels[: 2 * first], share)
    later, out = split_sources(labels, share)
    assert sorted(trained + held) == list(range(2 * first))
    assert sorted(later + out) == list(range(2 * (first + more)))
    assert trained
    assert held
    assert not {labels[i].source for i in trained} & {labels[i].source for i in held}
    assert set(trained) <= set(later)


def test_it_learns_its_teacher_and_keeps_what_it_knew_of_others(base, tmp_path: Path):
    others = [from_ase(bulk("MgO", "rocksalt", 4.2)), from_ase(bulk("Si", "diamond", 5.4))]
    settings = TuningSettings(epochs=8, max_seconds=300, batch_atoms=16, held_out=0.2)
    tuned, report = FineTuning(base, taught(14, 0), others, settings).run()
    assert report.accepted
    assert report.before is not None
    assert report.after is not None
    assert report.after.score < 0.7 * report.before.score
    unseen = taught(6, 1)
    shifts = report.shifts
    assert errors_of(tuned, unseen, shifts).score < 0.7 * errors_of(base, unseen, shifts).score
    before, after = ([o.energy / 2 for o in outputs_of(m, others)] for m in (base, tuned))
    assert after == pytest.approx(before, abs=0.05)

    path = tmp_path / "version.safetensors"
    path.write_bytes(tuned.save())
    again = ChgnetModel("cpu", path)
    crystals = [label.crystal for label in unseen[:2]]
    for one, two in zip(outputs_of(tuned, crystals), outputs_of(again, crystals), strict=True):
        assert one.energy == pytest.approx(two.energy, abs=1e-5)
        assert one.forces == pytest.approx(two.forces, abs=1e-4)


def test_with_nothing_to_learn_nothing_is_accepted_and_the_potential_stays(base):
    crystals = [label.crystal for label in taught(4, 2)]
    labels = [
        Label(crystal=c, energy=o.energy, forces=site_rows(o.forces), source=str(i))
        for i, (c, o) in enumerate(zip(crystals, outputs_of(base, crystals), strict=True))
    ]
    tuned, report = FineTuning(base, labels, (), TuningSettings(epochs=1, max_seconds=60)).run()
    assert not report.accepted
    assert report.reason == "the held-out error did not fall"
    same = zip(outputs_of(base, crystals), outputs_of(tuned, crystals), strict=True)
    assert all(a.energy == pytest.approx(b.energy, abs=1e-6) for a, b in same)


def test_what_gives_the_verdict_has_no_say_in_when_to_stop(base):
    labels = taught(14, 0)
    tuning = FineTuning(base, labels, (), TuningSettings(held_out=0.2))
    parts = [{label.source for label in part} for part in (tuning._learned, tuning._stopping, tuning._held)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == 14


def test_the_base_stays_as_it_is(base):
    crystals = [label.crystal for label in taught(2, 3)]
    before = [o.energy for o in outputs_of(base, crystals)]
    FineTuning(base, taught(4, 3), (), TuningSettings(epochs=1, max_seconds=60)).run()
    assert [o.energy for o in outputs_of(base, crystals)] == before


def test_labels_of_one_source_are_refused(base):
    with pytest.raises(ToolError, match="one source"):
        FineTuning(base, [plain(("Cu",), 0.0, "job")] * 3)


def test_a_file_of_other_weights_is_refused(tmp_path: Path):
    from safetensors.torch import save_file
    from torch import zeros

    path = tmp_path / "other.safetensors"
    save_file({"weight": zeros(2)}, path)
    with pytest.raises(ToolError, match="holds no weights of CHGNet"):
        ChgnetModel("cpu", path)
    path.write_bytes(b"\x00" * 10)
    with pytest.raises(ToolError, match="holds no weights of CHGNet"):
        ChgnetModel("cpu", path)
