"""The parts of a campaign in the fast world."""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lodestone.loops.planner_tools import Toolbox
from lodestone.loops.settings import Settings, load_settings
from lodestone.loops.wiring import Parts, planner_for
from lodestone.tools.core.structure import make_candidate, to_ase
from lodestone.tools.core.types import (
    Candidate,
    ChemicalSpace,
    Crystal,
    GoalSpec,
    PotentialRecord,
    Provenance,
    Recognition,
    Relaxation,
    Understanding,
)
from lodestone.tools.evaluate.base import EvaluatorSettings
from lodestone.tools.recognise.symmetry import symmetry
from lodestone.tools.relax.batched import relax_batched
from lodestone.tools.relax.models import ModelOutput
from lodestone.tools.relax.settings import RelaxationSettings
from lodestone.tools.screen.chemistry import ChemistryScreen
from lodestone.tools.screen.duplicates import DuplicateIndex
from lodestone.tools.screen.geometry import GeometryScreen

from .evaluators import EVALUATORS, NAME, EmtForFaults, EmtJudge, EmtScout

RARE = 0.15
"""How often the large cell is proposed beside the small ones: new crystals keep coming, and most rounds are quick."""

METALS = ("Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt")
LATTICES = {
    "fcc4": (((0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)), 4),
    "bcc2": (((0, 0, 0), (0.5, 0.5, 0.5)), 2),
    "sc1": (((0, 0, 0),), 1),
    "fcc8": (
        (
            (0, 0, 0),
            (0.5, 0.25, 0),
            (0.5, 0, 0.5),
            (0, 0.25, 0.5),
            (0, 0.5, 0),
            (0.5, 0.75, 0),
            (0.5, 0.5, 0.5),
            (0, 0.75, 0.5),
        ),
        8,
    ),
}
"""Sites in fractional coordinates, and their number; `fcc8` is two cells long, so that orders abound."""


class DecoratedLattices:
    """Metals on cubic lattices with strained cells and shaken atoms; stands in for the real generators."""

    name = "lattices"

    def __init__(self) -> None:
        self.known: Container[str] = frozenset()

    def propose(self, space: ChemicalSpace, n: int, rng: np.random.Generator) -> list[Candidate]:
        """See `Generator.propose`."""
        found: dict[str, Candidate] = {}
        for _ in range(4 * n):
            fitting = [name for name, (_, n) in LATTICES.items() if n <= space.max_atoms]
            weights = np.array([RARE if name == "fcc8" else 1.0 for name in fitting])
            sites, count = LATTICES[str(rng.choice(fitting, p=weights / weights.sum()))]
            species = tuple(sorted(str(s) for s in rng.choice(space.allowed, size=count)))
            if not set(space.required) <= set(species):
                continue
            cells = 2 if count == 8 else 1
            edge = float(rng.uniform(0.95, 1.05)) * (16.0 * count / cells) ** (1 / 3)
            strain = np.eye(3) + rng.uniform(-0.03, 0.03, size=(3, 3))
            strain[1] *= cells
            shaken = np.array(sites) + rng.normal(0.0, 0.01, size=(count, 3))
            crystal = Crystal(
                lattice=tuple(tuple(float(x) for x in row) for row in edge * strain),  # type: ignore[arg-type]
                species=species,
                frac_coords=tuple(tuple(float(x) for x in row) for row in shaken),  # type: ignore[arg-type]
            )
            candidate = make_candidate(crystal, Provenance(generator=self.name))
            if candidate.id not in self.known:
                found.setdefault(candidate.id, candidate)
            if len(found) == n:
                break
        return list(found.values())


class EmtModel:
    """ASE's EMT as a `BatchModel`."""

    record = PotentialRecord(name="emt", package="ase", sha256="", licence="LGPL-2.1-or-later", elements=None)

    def evaluate(self, atoms: Sequence[Any]) -> list[ModelOutput | str]:
        """See `BatchModel.evaluate`."""
        from ase.calculators.emt import EMT

        outputs: list[ModelOutput | str] = []
        for one in atoms:
            copy = one.copy()
            copy.calc = EMT()
            outputs.append(
                ModelOutput(
                    energy=float(copy.get_potential_energy()),
                    forces=np.asarray(copy.get_forces()),
                    stress=np.asarray(copy.get_stress(voigt=False)),
                    min_distance=float("inf"),
                )
            )
        return outputs


class EmtPotential:
    """EMT as a `Potential`, with the product's own batched relaxer."""

    name = "emt"
    record = EmtModel.record

    def __init__(self, max_steps: int = 60) -> None:
        self._settings = RelaxationSettings(fmax=0.1, max_steps=max_steps)

    def relax(self, crystals: Sequence[tuple[str, Crystal]], progress: Any = None) -> list[Relaxation]:
        """See `Potential.relax`."""
        return relax_batched(EmtModel(), crystals, self._settings, progress)

    def energies(self, crystals: Sequence[Crystal]) -> list[float]:
        """See `Potential.energies`."""
        outputs = EmtModel().evaluate([to_ase(c) for c in crystals])
        return [o.energy / len(c) for o, c in zip(outputs, crystals, strict=True) if not isinstance(o, str)]


class PlainRecogniser:
    """Symmetry and the composition alone; stands in for the network."""

    name = "plain"

    def recognise(self, crystals: Sequence[tuple[str, Crystal]]) -> list[Recognition]:
        """See `Recogniser.recognise`."""
        found = []
        for identity, crystal in crystals:
            group = symmetry(crystal, 0.1)
            shares = tuple(crystal.species.count(m) / len(crystal) for m in METALS)
            found.append(
                Recognition(
                    candidate_id=identity,
                    space_group=group.number,
                    space_group_symbol=group.symbol,
                    symprec=0.1,
                    crystal_system=group.crystal_system,
                    prototype="",
                    dimensionality=3,
                    embedding=(*shares, group.number / 230),
                    model="plain",
                )
            )
        return found


class FastParts(Parts):
    """Parts whose elemental references are relaxed by EMT."""

    def reference(self, symbol: str) -> tuple[Crystal, float]:
        """The fcc metal."""
        half = (16.0 * 4) ** (1 / 3) / 2
        cell = Crystal(
            lattice=((0, half, half), (half, 0, half), (half, half, 0)), species=(symbol,), frac_coords=((0, 0, 0),)
        )
        (relaxed,) = self.potential.relax([(symbol, cell)])
        return relaxed.crystal, relaxed.energy_per_atom


def install(site: Path) -> None:
    """Make the evaluators known to this process and, through PYTHONPATH, to its workers, as a package would."""
    info = site / "emt_for_faults-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: emt-for-faults\nVersion: 1.0\n")
    rows = "".join(f"{e.name} = {e.__module__}:{e.__name__}\n" for e in EVALUATORS)
    (info / "entry_points.txt").write_text(f"[lodestone.evaluators]\n{rows}")
    sys.path.insert(0, str(site))


def environment(site: Path) -> dict[str, str]:
    """What workers need in their environment to find the evaluator."""
    root = Path(__file__).resolve().parents[2]
    path = [str(site), str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}


def settings(**overrides: Any) -> Settings:
    """Small rounds, no Prefect."""
    return load_settings(
        None,
        {},
        {
            "prefect.enabled": False,
            "campaign.proposals": 6,
            "campaign.batch": 2,
            "generators.oversample": 1.0,
            "surrogate.retrain_head": False,
            "relax.chunk_size": 2,
            **overrides,
        },
    )


def goal(words: str, seed: int = 0) -> Understanding:
    """A goal in the words that a user would say."""
    from lodestone.agent.goal import GoalDefaults, parse_goal

    return parse_goal(
        words,
        GoalDefaults(
            evaluations=8, wall_hours=1000.0, rounds=3, max_atoms=4, evaluator=NAME, seed=seed, patience=10_000
        ),
    )


def parts(spec: GoalSpec, chosen: Settings, directory: Path, **options: Any) -> FastParts:
    """All parts of a campaign in the fast world; `options` go to the evaluator.

    With `[evaluators] second_opinion = "emt-scout"` the evaluator has the rank of DFT, and the scout looks first.
    """
    toolbox = Toolbox()
    screen = GeometryScreen(0.6, 0.3, 4.0, 8.0)
    told = EvaluatorSettings(threads=1, wall_limit_s=60.0, **options)
    scouted = chosen.evaluators.second_opinion == EmtScout.name
    evaluator = (EmtJudge if scouted else EmtForFaults)(directory / "jobs", told)
    return FastParts(
        settings=chosen,
        generators={"lattices": DecoratedLattices()},
        screens=[screen, ChemistryScreen(spec.space)],
        potential=EmtPotential(),
        recogniser=PlainRecogniser(),
        evaluator=evaluator,
        scout=EmtScout(directory / "jobs", told) if scouted else None,
        planner=planner_for(chosen, toolbox),
        new_duplicate_index=lambda: DuplicateIndex(0.2, 0.3, 5.0),
        relaxed_screens=[screen],
        toolbox=toolbox,
    )
