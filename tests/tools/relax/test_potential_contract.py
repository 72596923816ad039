"""What every `Potential` promises, whatever leads it down: on effective-medium theory, along forces and by energies."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.protocols import Potential
from lodestone.tools.core.structure import from_ase, to_ase, volume
from lodestone.tools.core.types import Crystal, PotentialRecord
from lodestone.tools.relax.ase_calculator import AseModel
from lodestone.tools.relax.batched import BatchedPotential
from lodestone.tools.relax.bowsr import BowsrPotential
from lodestone.tools.relax.energy_models import AseEnergies
from lodestone.tools.relax.settings import RelaxationSettings

RECORD = PotentialRecord(name="emt-1", package="ase", sha256="", licence="LGPL", elements=("Cu", "Ag", "Au"))
SETTINGS = RelaxationSettings(fmax=0.005, batch_size=3)
ROUND_OFF = 1e-8

POTENTIALS = {
    "along forces": BatchedPotential("emt-1", lambda: AseModel(EMT(), RECORD), SETTINGS),
    "by energies": BowsrPotential("emt-1", lambda: AseEnergies(EMT(), RECORD), SETTINGS),
}


@pytest.fixture(params=POTENTIALS)
def potential(request: pytest.FixtureRequest) -> Potential:
    return POTENTIALS[request.param]


def crystals() -> list[Crystal]:
    """Of one, two and four atoms, all of one or two free parameters."""
    return [
        from_ase(bulk("Cu", "fcc", 3.7)),
        from_ase(bulk("CuAu", "cesiumchloride", 3.0)),
        from_ase(bulk("Ag", "fcc", 4.0, cubic=True)),
        from_ase(bulk("Au", "fcc", 4.15, cubic=True)),
    ]


def test_is_named_as_its_record(potential: Potential) -> None:
    assert isinstance(potential, Potential)
    assert potential.name == potential.record.name == "emt-1"


def test_results_come_in_order_with_the_name_and_the_sites_of_the_start(potential: Potential) -> None:
    told: list[tuple[int, int]] = []
    results = potential.relax(
        [(str(i), c) for i, c in enumerate(crystals())], lambda done, total: told.append((done, total))
    )
    assert [r.candidate_id for r in results] == ["0", "1", "2", "3"]
    assert {r.potential for r in results} == {"emt-1"}
    assert [r.crystal.species for r in results] == [c.species for c in crystals()]
    assert all(r.converged and r.failure is None for r in results)
    assert told == [(i + 1, 4) for i in range(4)]


def test_the_energy_of_a_result_is_that_of_its_crystal_and_below_that_of_its_start(potential: Potential) -> None:
    results = potential.relax([(str(i), c) for i, c in enumerate(crystals())])
    assert potential.energies([r.crystal for r in results]) == pytest.approx(
        [r.energy_per_atom for r in results], abs=ROUND_OFF
    )
    for result, start in zip(results, potential.energies(crystals()), strict=True):
        assert result.energy_per_atom < start


def test_known_lattice_constants(potential: Potential) -> None:
    # EMT's own (Jacobsen, Stoltze and Norskov, Surf. Sci. 366, 394 (1996)), as its forces find them.
    (result,) = potential.relax([("x", crystals()[0])])
    assert (4 * volume(result.crystal)) ** (1 / 3) == pytest.approx(3.5917, abs=0.005)


def test_batch_equals_single(potential: Potential) -> None:
    together = potential.relax([(str(i), c) for i, c in enumerate(crystals()[:2])])
    alone = [potential.relax([(str(i), c)])[0] for i, c in enumerate(crystals()[:2])]
    assert [r.crystal for r in together] == [r.crystal for r in alone]
    singles = [potential.energies([c])[0] for c in crystals()]
    assert potential.energies(crystals()) == pytest.approx(singles, abs=ROUND_OFF)


def test_energy_is_blind_to_translation_rotation_permutation_and_choice_of_cell(potential: Potential) -> None:
    atoms = to_ase(crystals()[1])
    translated, rotated = atoms.copy(), atoms.copy()
    translated.positions += [0.3, -1.1, 7.7]
    rotated.rotate(33.0, (1, 2, 3), rotate_cell=True)
    variants = [translated, rotated, atoms[[1, 0]], atoms.repeat((2, 1, 1))]
    energies = potential.energies([from_ase(one) for one in (atoms, *variants)])
    assert energies[1:] == pytest.approx([energies[0]] * 4, abs=ROUND_OFF)


def test_what_it_cannot_take_fails_alone_and_keeps_its_start(potential: Potential) -> None:
    thin = Crystal(lattice=((0.3, 0, 0), (0, 9.0, 0), (0, 0, 9.0)), species=("Cu",), frac_coords=((0, 0, 0),))
    strange, good = from_ase(bulk("Po", "sc", 3.4)), crystals()[0]
    results = potential.relax([("thin", thin), ("strange", strange), ("good", good)])
    assert [r.converged for r in results] == [False, False, True]
    assert "collapsed" in results[0].failure.reason
    assert "emt-1 never saw Po in its training" in results[1].failure.reason
    assert {r.failure.stage for r in results[:2]} == {"relax"}
    assert [r.crystal for r in results[:2]] == [thin, strange]
    with pytest.raises(ToolError, match="Crystal 1: emt-1 never saw Po"):
        potential.energies([good, strange])


def test_nothing_gives_nothing(potential: Potential) -> None:
    assert potential.relax([]) == []
    assert potential.energies([]) == []


def test_one_atom_relaxes_its_cell(potential: Potential) -> None:
    (result,) = potential.relax([("x", from_ase(bulk("Au", "fcc", 3.9)))])
    assert result.converged
    assert np.ptp([np.linalg.norm(row) for row in result.crystal.lattice]) < 1e-6
