"""Relaxation by energies alone: where gradients end too, symmetry kept, and ends with reasons."""

from __future__ import annotations

import moyopy
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.spacegroup import crystal as spacegroup_crystal

from lodestone.tools.core.errors import ConfigError, ToolError
from lodestone.tools.core.protocols import Potential
from lodestone.tools.core.structure import from_ase, to_ase, volume
from lodestone.tools.core.types import Crystal, PotentialRecord, Relaxation
from lodestone.tools.core.units import GPA_PER_EV_A3
from lodestone.tools.relax.ase_calculator import AseModel
from lodestone.tools.relax.batched import BatchedPotential
from lodestone.tools.relax.bowsr import BowsrPotential
from lodestone.tools.relax.energy_models import AseEnergies, BatchEnergies, EnergyModel
from lodestone.tools.relax.registry import make_potential
from lodestone.tools.relax.search import SearchSettings
from lodestone.tools.relax.settings import RelaxationSettings

RECORD = PotentialRecord(name="emt", package="ase", sha256="", licence="LGPL", elements=("N", "Cu", "Pd", "Au"))
SAME = 5e-3
"""eV/atom between a search and a relaxation along forces."""


class Silent(Calculator):
    """A fake: effective-medium theory that knows energies and nothing else."""

    implemented_properties = ["energy"]

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        copy = atoms.copy()
        copy.calc = EMT()
        self.results = {"energy": copy.get_potential_energy()}

    def get_forces(self, atoms=None):
        raise AssertionError("a search asks for no forces")


def silent():
    """A factory, as `[relax] potential` names one."""
    return Silent()


class Scripted:
    """A fake: an energy model that answers by a function of the crystal, and remembers how full its calls were."""

    record = RECORD

    def __init__(self, answer) -> None:
        self.answer = answer
        self.sizes: list[int] = []

    def total_energies(self, atoms):
        self.sizes.append(len(atoms))
        return [self.answer(one) for one in atoms]


def emt(settings: RelaxationSettings | None = None, **search) -> BowsrPotential:
    return BowsrPotential("emt", lambda: AseEnergies(Silent(), RECORD), settings, SearchSettings(**search))


def scripted(answer, **settings) -> BowsrPotential:
    model = Scripted(answer)
    return BowsrPotential("emt", lambda: model, RelaxationSettings(**settings))


def one(potential: Potential, crystal: Crystal) -> Relaxation:
    (result,) = potential.relax([("x", crystal)])
    return result


def gradient(crystal: Crystal, **settings) -> Relaxation:
    kept = RelaxationSettings(keep_symmetry=True, fmax=0.005, **settings)
    return one(BatchedPotential("emt", lambda: AseModel(EMT(), RECORD), kept), crystal)


def antiperovskite(edge: float = 3.95) -> Crystal:
    """Cu3PdN, cubic."""
    places = {"Pd": (0, 0, 0), "N": (0.5, 0.5, 0.5), "Cu": (0.5, 0.5, 0)}
    atoms = spacegroup_crystal(list(places), list(places.values()), spacegroup=221, cellpar=[edge] * 3 + [90] * 3)
    return from_ase(atoms)


def tetragonal() -> Crystal:
    """CuAu of group 129 with free z of both kinds, 5 % away from its minimum."""
    places = [(0.0, 0.5, 0.13), (0.0, 0.5, 0.63)]
    return from_ase(spacegroup_crystal(["Cu", "Au"], places, spacegroup=129, cellpar=[2.95, 2.95, 6.8, 90, 90, 90]))


def symmetry(crystal: Crystal) -> tuple[int, list[str]]:
    atoms: Atoms = to_ase(crystal)
    cell = moyopy.Cell(
        basis=np.asarray(atoms.cell).tolist(),
        positions=atoms.get_scaled_positions().tolist(),
        numbers=atoms.numbers.tolist(),
    )
    data = moyopy.MoyoDataset(cell, symprec=1e-4)
    return data.number, list(data.wyckoffs)


def test_is_a_potential_with_the_record_of_its_model() -> None:
    potential = emt()
    assert isinstance(potential, Potential)
    assert isinstance(potential.model, EnergyModel)
    assert potential.name == potential.record.name == "emt"
    assert potential.record.elements == RECORD.elements


@pytest.mark.parametrize("crystal", [antiperovskite(), tetragonal()], ids=["cubic antiperovskite", "tetragonal CuAu"])
def test_a_model_without_forces_ends_where_its_forces_would_lead_with_the_same_symmetry(crystal: Crystal) -> None:
    result = one(emt(), crystal)
    assert result.converged
    assert result.energy_per_atom == pytest.approx(gradient(crystal).energy_per_atom, abs=SAME)
    assert symmetry(result.crystal) == symmetry(crystal)
    assert result.crystal.species == crystal.species
    assert emt().energies([result.crystal]) == pytest.approx([result.energy_per_atom], abs=1e-9)
    assert (result.fmax, result.stress_max_gpa) == (None, None)
    assert result.wall_s > 0


def test_rutile_and_wurtzite_on_chgnet_end_within_five_millielectronvolts_of_its_gradients() -> None:
    rutile = spacegroup_crystal(
        ["Ti", "O"], [(0, 0, 0), (0.315, 0.315, 0)], spacegroup=136, cellpar=[4.75, 4.75, 2.90, 90, 90, 90]
    )
    crystals = [("rutile", from_ase(rutile)), ("wurtzite", from_ase(bulk("ZnO", "wurtzite", 3.35, c=5.1)))]
    found = make_potential("chgnet", device="cpu", method="bowsr").relax(crystals)
    kept = RelaxationSettings(keep_symmetry=True, fmax=0.01)
    expected = make_potential("chgnet", kept, device="cpu").relax(crystals)
    for result, other, (_, start) in zip(found, expected, crystals, strict=True):
        assert result.converged, result.failure
        assert result.energy_per_atom == pytest.approx(other.energy_per_atom, abs=SAME)
        assert symmetry(result.crystal) == symmetry(start)
        assert volume(result.crystal) == pytest.approx(volume(other.crystal), rel=0.02)
        assert result.potential == other.potential == "chgnet-0.3.0"


def test_results_depend_on_neither_neighbours_nor_batch_size() -> None:
    crystals = [("a", antiperovskite()), ("b", from_ase(bulk("Cu", "fcc", 3.7))), ("c", antiperovskite(3.7))]
    together = emt().relax(crystals)
    alone = emt(RelaxationSettings(batch_size=1)).relax(crystals)
    for here, there in zip(together, alone, strict=True):
        assert here.crystal == there.crystal
        assert here.steps == there.steps


def test_crystals_share_calls_which_are_bounded_and_progress_is_told() -> None:
    potential = scripted(lambda atoms: AseEnergies(Silent(), RECORD).total_energies([atoms])[0], batch_size=2)
    told: list[tuple[int, int]] = []
    crystals = [(str(i), from_ase(bulk("Cu", "fcc", 3.55 + 0.05 * i))) for i in range(4)]
    results = potential.relax(crystals, lambda done, total: told.append((done, total)))
    assert [result.candidate_id for result in results] == [identity for identity, _ in crystals]
    assert max(potential.model.sizes) == 2
    assert sum(potential.model.sizes) == sum(result.steps + 1 for result in results)
    assert told == [(i + 1, 4) for i in range(4)]


def test_a_conventional_cell_is_evaluated_in_its_primitive_one_and_given_back_whole() -> None:
    sizes: list[int] = []

    def answer(atoms: Atoms) -> float:
        sizes.append(len(atoms))
        return AseEnergies(Silent(), RECORD).total_energies([atoms])[0]

    result = one(scripted(answer), from_ase(bulk("Cu", "fcc", 3.7, cubic=True)))
    assert set(sizes) == {1}
    assert len(result.crystal) == 4
    assert volume(result.crystal) ** (1 / 3) == pytest.approx(3.5917, abs=0.005)  # EMT's own minimum


def test_at_the_end_the_crystal_bears_the_pressure() -> None:
    result = one(emt(RelaxationSettings(pressure_gpa=10.0)), from_ase(bulk("Cu", "fcc", 3.6)))
    atoms = to_ase(result.crystal)
    atoms.calc = EMT()
    assert -np.trace(atoms.get_stress(voigt=False)) / 3 * GPA_PER_EV_A3 == pytest.approx(10.0, abs=0.5)
    assert result.energy_per_atom == pytest.approx(atoms.get_potential_energy())


def test_a_held_cell_is_held() -> None:
    start = tetragonal()
    fixed = one(emt(RelaxationSettings(cell="fixed")), start)
    assert np.array(fixed.crystal.lattice) == pytest.approx(np.array(start.lattice), abs=1e-9)
    assert fixed.energy_per_atom == pytest.approx(gradient(start, cell="fixed").energy_per_atom, abs=SAME)
    shape = one(emt(RelaxationSettings(cell="fixed_volume")), start)
    assert volume(shape.crystal) == pytest.approx(volume(start), rel=1e-9)
    still = one(emt(RelaxationSettings(cell="fixed")), antiperovskite())
    assert (still.converged, still.steps) == (True, 0)


def test_a_model_that_answers_nan_ends_with_a_reason() -> None:
    result = one(scripted(lambda _: float("nan")), tetragonal())
    assert not result.converged
    assert result.failure is not None
    assert result.failure.stage == "relax"
    assert "none of the first 6 crystals can be evaluated: the model's energy is not finite" in result.failure.reason
    assert result.crystal == tetragonal()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda atoms: -0.05 * atoms.get_volume(), "lies on the bounds: volume changed by +0.20"),
        (lambda atoms: 0.05 * atoms.get_volume(), "lies on the bounds: volume changed by -0.20"),
        (lambda atoms: -1e5 * len(atoms), "eV/atom is outside -20 to 20"),
        (lambda _: "is odd", "can be evaluated: is odd"),
    ],
)
def test_a_model_that_explodes_ends_with_a_reason(answer, words) -> None:
    result = one(scripted(answer), from_ase(bulk("Cu", "fcc", 3.6)))
    assert result.failure is not None
    assert words in result.failure.reason


def test_a_crystal_on_the_way_that_the_model_cannot_take_is_one_bad_point() -> None:
    def answer(atoms: Atoms) -> float | str:
        if atoms.get_volume() > 12.6:
            return "too large for me"
        return AseEnergies(Silent(), RECORD).total_energies([atoms])[0]

    result = one(scripted(answer), from_ase(bulk("Cu", "fcc", 3.66)))
    assert result.converged
    assert (4 * volume(result.crystal)) ** (1 / 3) == pytest.approx(3.5917, abs=0.01)


def test_atoms_that_collide_never_reach_the_model() -> None:
    asked: list[float] = []

    def greedy(atoms: Atoms) -> float:
        """The nearer the atoms the lower, as networks may answer far from what they were trained on."""
        distances = atoms.repeat(3).get_all_distances()
        asked.append(float(distances[distances > 0].min()))
        return 0.1 * asked[-1] * len(atoms)

    places = {"Cu": (0.0, 0.0, 0.0), "Au": (0.0, 0.0, 0.12)}
    atoms = spacegroup_crystal(list(places), list(places.values()), spacegroup=99, cellpar=[4, 4, 6, 90, 90, 90])
    result = one(scripted(greedy), from_ase(atoms))
    assert min(asked) >= RelaxationSettings().min_distance
    assert len(asked) < result.steps + 1
    lengths = to_ase(result.crystal).repeat(3).get_all_distances()
    assert lengths[lengths > 0].min() >= RelaxationSettings().min_distance


def test_a_search_that_does_not_end_says_so() -> None:
    result = one(emt(RelaxationSettings(max_steps=25)), tetragonal())
    assert result.failure is not None
    assert "not converged in" in result.failure.reason
    assert result.steps <= 25


def test_too_many_free_parameters_are_refused_before_the_model_is_asked() -> None:
    shaken = bulk("Cu", "fcc", 3.6, cubic=True).repeat((2, 2, 1))
    shaken.rattle(0.1, seed=1)
    potential = scripted(lambda _: -1.0)
    result = one(potential, from_ase(shaken))
    assert result.failure is not None
    assert "51 free parameters are too many for 201 evaluations" in result.failure.reason
    assert potential.model.sizes == []


def test_elements_that_a_model_never_saw_are_refused_by_name() -> None:
    result = one(emt(), from_ase(bulk("Po", "sc", 3.4)))
    assert result.failure is not None
    assert "emt never saw Po in its training" in result.failure.reason
    with pytest.raises(ToolError, match="Crystal 1: emt never saw Po"):
        emt().energies([antiperovskite(), from_ase(bulk("Po", "sc", 3.4))])


def test_a_batch_model_is_driven_by_its_energies_alone() -> None:
    model = BatchEnergies(AseModel(EMT(), RECORD))
    atoms = [to_ase(antiperovskite()), bulk("Po", "sc", 3.4)]
    energy, reason = model.total_energies(atoms)
    assert energy == pytest.approx(5 * emt().energies([antiperovskite()])[0])
    assert "never saw Po" in str(reason)


def test_the_registry_makes_a_search_of_any_potential() -> None:
    here = __name__
    import sys

    sys.modules.setdefault(here, sys.modules[__name__])
    potential = make_potential(f"{here}:silent", RelaxationSettings(max_steps=90), method="bowsr")
    assert isinstance(potential, BowsrPotential)
    assert one(potential, from_ase(bulk("Cu", "fcc", 3.7))).converged
    assert make_potential("ase.calculators.emt:EMT", method="bowsr").name.startswith("EMT-")
    assert make_potential("sevennet-0", method="bowsr").name == "sevennet-0-11jul2024"
    with pytest.raises(ToolError, match="'bowsr' energies alone"):
        make_potential(f"{here}:silent")
    with pytest.raises(ConfigError, match="gives a"):
        make_potential("builtins:int", method="bowsr")


def test_settings_that_break_the_symmetry_are_refused() -> None:
    with pytest.raises(ToolError, match="rattle breaks"):
        emt(RelaxationSettings(rattle=0.03))
