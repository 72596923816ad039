"""The relaxation loop by itself, on toy models whose answer is known exactly."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import from_ase, volume
from lodestone.tools.core.types import Crystal, PotentialRecord
from lodestone.tools.relax.batched import relax_batched
from lodestone.tools.relax.models import GraphModel, ModelOutput, pieces
from lodestone.tools.relax.settings import RelaxationSettings

TOY = PotentialRecord(name="toy", package="none", sha256="", licence="not stated", elements=None)


@dataclass
class EmtModel:
    """ASE's effective-medium theory as a batch model; remembers how full its calls were."""

    record: PotentialRecord = TOY
    sizes: list[int] = field(default_factory=list)
    atoms: list[int] = field(default_factory=list)

    def evaluate(self, atoms):
        self.sizes.append(len(atoms))
        self.atoms.append(sum(map(len, atoms)))
        outputs = []
        for one in atoms:
            copy = one.copy()
            copy.calc = EMT()
            outputs.append(
                ModelOutput(
                    energy=float(copy.get_potential_energy()),
                    forces=copy.get_forces(),
                    stress=copy.get_stress(voigt=False),
                    min_distance=2.0,
                )
            )
        return outputs


@dataclass
class Scripted:
    """Gives the same output at every step, changed by the test."""

    output: ModelOutput
    record: PotentialRecord = TOY

    def evaluate(self, atoms):
        return [self.output for _ in atoms]


def copper(scale: float = 1.0, seed: int | None = None) -> Crystal:
    atoms = bulk("Cu", "fcc", 3.6 * scale, cubic=True)
    if seed is not None:
        atoms.rattle(0.1, seed=seed)
    return from_ase(atoms)


def output(**changes) -> ModelOutput:
    base = {"energy": -4.0, "forces": np.zeros((4, 3)), "stress": np.zeros((3, 3)), "min_distance": 2.0}
    return ModelOutput(**{**base, **changes})


def test_strained_and_rattled_copper_returns_to_its_emt_lattice():
    settings = RelaxationSettings(fmax=0.005)
    for result in relax_batched(
        EmtModel(), [("a", copper(1.08)), ("b", copper(0.95, 1)), ("c", copper(1, 2))], settings
    ):
        assert result.converged
        assert volume(result.crystal) ** (1 / 3) == pytest.approx(3.5917, abs=0.005)  # EMT's own minimum
        assert result.energy_per_atom == pytest.approx(-0.0057, abs=0.002)


def test_finished_crystals_leave_and_the_next_take_their_place():
    model = EmtModel()
    crystals = [(str(i), copper(1.0 + 0.01 * i, i)) for i in range(6)]
    results = relax_batched(model, crystals, RelaxationSettings(batch_size=3))
    assert max(model.sizes) == 3
    assert sum(model.sizes) == sum(result.steps + 1 for result in results)
    assert [size for size in model.sizes if size < 3] == sorted((s for s in model.sizes if s < 3), reverse=True)


def test_results_do_not_depend_on_batch_size():
    crystals = [(str(i), copper(1.02, i)) for i in range(4)]
    one, four = (relax_batched(EmtModel(), crystals, RelaxationSettings(batch_size=size)) for size in (1, 4))
    for a, b in zip(one, four, strict=True):
        assert a.crystal == b.crystal
        assert a.steps == b.steps


def test_a_call_is_bounded_in_atoms_and_a_larger_crystal_goes_alone():
    model = EmtModel()
    large = from_ase(bulk("Cu", "fcc", 3.65, cubic=True).repeat((2, 2, 1)))  # 16 atoms
    crystals = [(str(i), copper(1.02, i)) for i in range(5)] + [("large", large)]
    results = relax_batched(model, crystals, RelaxationSettings(batch_size=4, max_batch_atoms=10))
    assert all(result.converged for result in results)
    assert [result.candidate_id for result in results] == [identity for identity, _ in crystals]
    assert max(model.atoms) == 16
    assert {size for size, atoms in zip(model.sizes, model.atoms, strict=True) if atoms > 10} == {1}
    assert max(model.sizes) == 2


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([50], [1]),
        ([1, 1, 1, 1], [3, 1]),
        ([4, 4, 4], [2, 1]),
        ([50, 1, 50, 5, 5], [1, 1, 1, 2]),
        ([10, 1], [1, 1]),
    ],
)
def test_pieces_keep_order_and_bounds(sizes, expected):
    found = list(pieces(sizes, max_count=3, max_atoms=10))
    assert [piece.stop - piece.start for piece in found] == expected
    assert [size for piece in found for size in sizes[piece]] == sizes


class Cramped(GraphModel):
    """A fake: a model whose device holds the graphs of three atoms."""

    record = TOY
    device = "a small device"

    def __init__(self):
        self.calls = []

    def graph(self, atoms):
        return "is odd" if len(atoms) == 9 else atoms

    def predict(self, graphs):
        self.calls.append(sum(len(graph) for graph in graphs))
        if self.calls[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nsecond line")
        return [ModelOutput(float(len(g)), np.zeros((len(g), 3)), np.zeros((3, 3)), 2.0) for g in graphs]


def test_a_batch_that_does_not_fit_the_memory_is_halved_and_one_crystal_that_does_not_says_so():
    model = Cramped()
    outputs = model.evaluate([Atoms(["Cu"] * n) for n in (1, 2, 9, 1, 3, 7)])
    assert [o if isinstance(o, str) else o.energy for o in outputs[:5]] == [1.0, 2.0, "is odd", 1.0, 3.0]
    assert "does not fit the memory of a small device: CUDA out of memory" in outputs[5]
    assert "second line" not in outputs[5]
    assert model.calls[0] == 14


def test_elements_that_a_model_never_saw_are_refused_by_name_before_it_is_asked():
    model = EmtModel(record=TOY.model_copy(update={"elements": ("Cu", "Au")}))
    strange = from_ase(bulk("Po", "sc", 3.4))
    mixed = from_ase(bulk("RnAt", "rocksalt", 6.0))
    results = relax_batched(model, [("a", strange), ("b", copper(1.02)), ("c", mixed)], RelaxationSettings())
    assert [result.converged for result in results] == [False, True, False]
    assert results[0].failure.reason == "toy never saw Po in its training"
    assert results[2].failure.reason == "toy never saw At, Rn in its training"
    assert results[0].failure.stage == "relax"
    assert results[0].crystal == strange
    assert max(model.sizes) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"energy": float("nan")}, "not finite"),
        ({"energy": -4000.0}, "eV/atom is outside"),
        ({"energy": 4000.0}, "eV/atom is outside"),
        ({"forces": np.full((4, 3), np.inf)}, "not finite"),
        ({"forces": np.full((4, 3), 5e3)}, "diverges"),
        ({"min_distance": 0.3}, "collided"),
    ],
)
def test_senseless_model_answers_end_with_a_reason(changes, words):
    (result,) = relax_batched(Scripted(output(**changes)), [("x", copper())], RelaxationSettings())
    assert result.failure is not None
    assert words in result.failure.reason
    assert result.crystal == copper()
    assert result.steps == 0


def test_a_cell_that_blows_up_ends_with_its_last_sane_crystal():
    settings = RelaxationSettings(max_volume_change=1.5)
    pushing = Scripted(output(stress=-0.5 * np.eye(3)))
    (result,) = relax_batched(pushing, [("x", copper())], settings)
    assert result.failure is not None
    assert "volume changed" in result.failure.reason
    assert volume(copper()) < volume(result.crystal) <= 1.5 * volume(copper())


def test_the_way_of_a_relaxation_is_kept_where_it_is_asked_for():
    start = copper(1.05, 1)
    kept, plain = (
        relax_batched(EmtModel(), [("a", start)], RelaxationSettings(fmax=0.01, path_every=every))[0]
        for every in (4, 0)
    )
    assert kept.path[0] == start
    assert len(kept.path) == 1 + kept.steps // 4
    assert kept.crystal == plain.crystal  # looking on changes nothing
    assert plain.path == ()
    assert "path" not in plain.model_dump(mode="json")


def test_a_relaxation_that_does_not_end_says_so():
    wobbling = Scripted(output(forces=np.array([[0.2, 0, 0], [-0.2, 0, 0], [0, 0, 0], [0, 0, 0]])))
    (result,) = relax_batched(wobbling, [("x", copper())], RelaxationSettings(max_steps=4))
    assert result.failure is not None
    assert "not converged in 4 steps" in result.failure.reason
    assert result.steps == 4
    assert result.fmax == pytest.approx(0.2)


def test_a_rattle_leaves_a_saddle_and_repeats_itself():
    # Copper in a simple cubic cell is stationary by symmetry alone, far above its fcc ground state.
    saddle = from_ase(bulk("Cu", "sc", 2.4).repeat(2))
    still, moved, again = (
        relax_batched(EmtModel(), [("x", saddle)], RelaxationSettings(rattle=amount))[0] for amount in (0, 0.05, 0.05)
    )
    assert moved.energy_per_atom < still.energy_per_atom - 0.05
    assert moved.crystal == again.crystal


@pytest.mark.parametrize(
    "bad", [{"rattle": -0.1}, {"fmax": 0.0}, {"batch_size": 0}, {"max_volume_change": 1.0}, {"max_steps": -1}]
)
def test_senseless_settings_are_refused(bad):
    with pytest.raises(ToolError):
        RelaxationSettings(**bad)
