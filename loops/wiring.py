"""The composition root: names from the settings become objects here, and nowhere else.

A third-party package adds an implementation through an entry point of the group in `GROUPS`; the agent's toolbox
gets read-only callables, so that a planner can look, and only the loop spends money.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tools.core.errors import ConfigError, ToolError
from ..tools.core.protocols import Evaluator, Generator, Planner, Potential, Recogniser, Screen
from ..tools.core.types import Candidate, Crystal, Failure, GoalSpec, Provenance, Relaxation
from .planner_tools import Toolbox
from .settings import RelaxSettings, Settings

if TYPE_CHECKING:
    from ..tools.screen.duplicates import DuplicateIndex
    from .compute.cluster import Engine
    from .head import HeadKeeper
    from .knowledge import Knowledge
    from .ledger import Ledger

GROUPS = {
    "generators": "lodestone.generators",
    "evaluators": "lodestone.evaluators",
    "potentials": "lodestone.potentials",
}
"""What can be added from outside, and by which entry-point group."""

MAX_PROJECT_ELEMENTS = 6
"""Phases are fetched for a chemical system, not for half of the periodic table."""

PATH_EVERY = 15
"""Steps of a relaxation between the configurations that the flywheel looks at."""

PARENTS = 20
"""Best crystals that ionic substitution starts from, besides its own parents."""


@dataclass
class Parts:
    """Everything a campaign works with."""

    settings: Settings
    generators: dict[str, Generator]
    screens: list[Screen]
    potential: Potential
    recogniser: Recogniser
    evaluator: Evaluator
    planner: Planner
    new_duplicate_index: Callable[[], DuplicateIndex]
    relaxed_screens: list[Screen]
    toolbox: Toolbox = field(default_factory=lambda: Toolbox())
    scout: Evaluator | None = None
    """Gives second opinions before the evaluator is paid; None: nobody does."""
    engine: Engine | None = None
    """The cluster, where there is one."""

    def close(self) -> None:
        """Give the connection to the cluster back."""
        if self.engine is not None:
            self.engine.close()

    def opinions_allowed(self, goal: GoalSpec) -> tuple[str, int] | None:
        """Fidelity of the second opinions, and how many there may be: a bounded number for each evaluation."""
        if self.scout is None:
            return None
        return self.scout.fidelity, self.settings.evaluators.opinions_per_evaluation * goal.budget.evaluations

    def inform(self, generator: str, knowledge: Knowledge) -> None:
        """Tell a generator, where it can use it, what was proposed already and which crystals are the best so far."""
        target = self.generators[generator]
        if hasattr(target, "known"):
            target.known = KnownIds(knowledge.ledger)
        if hasattr(target, "parents"):
            target.parents = tuple(m.candidate for m in knowledge.nearest(PARENTS))
        if hasattr(target, "wish"):
            target.wish = knowledge.goal.structure

    def known_phases(self, goal: GoalSpec) -> tuple[list[Candidate], list[str]]:
        """Phases of Materials Project in the goal's system, as candidates, and what went wrong; none without a key."""
        key = os.environ.get("MP_API_KEY")
        if not key or len(goal.space.allowed) > MAX_PROJECT_ELEMENTS:
            return [], []
        from ..tools.core.structure import make_candidate
        from ..tools.evaluate.materials_project import fetch_phases
        from .standing import PROJECT

        answer = fetch_phases(list(goal.space.allowed), key)
        found = [
            make_candidate(p.crystal, Provenance(generator=PROJECT, parameters={"id": p.id})) for p in answer.phases
        ]
        return [c for c in found if len(set(c.crystal.species)) > 1], list(answer.notes)

    def watch(self, knowledge: Knowledge, head: HeadKeeper) -> None:
        """Give the planner's tools something to look at."""
        self.toolbox.watch(knowledge, head, self.generators, self.screens, self.potential, self.recogniser)

    def exchange(self, weights: Path | None) -> None:
        """Relax with other weights of the same potential from now on; None: with those of the settings."""
        relax = self.settings.relax
        if weights is not None:
            relax = relax.model_copy(update={"model": str(weights)})
        self.potential = _potential(self.settings.model_copy(update={"relax": relax}), self.engine)

    def unrelaxed_energies(self, candidates: list[Candidate]) -> list[float]:
        """eV/atom on the potential as proposed; infinite for one that it cannot take, whose relaxation says why."""
        try:
            return self.potential.energies([c.crystal for c in candidates])
        except ToolError:
            if len(candidates) == 1:
                return [float("inf")]
            return [e for c in candidates for e in self.unrelaxed_energies([c])]

    def check_relaxed(self, result: Relaxation) -> Failure | None:
        """Whether a relaxed crystal is still a solid, and a new one where known crystals were named."""
        from ..tools.core.structure import reduced_formula

        candidate = Candidate(
            id=result.candidate_id,
            crystal=result.crystal,
            formula=reduced_formula(result.crystal),
            provenance=Provenance(generator="relaxation"),
        )
        verdicts = [screen.check(candidate) for screen in self.relaxed_screens]
        reasons = [v.reason for v in verdicts if not v.passed]
        return Failure(stage="screen", reason=f"after relaxation: {'; '.join(reasons)}") if reasons else None

    def extra_properties(self, crystal: Crystal, properties: tuple[str, ...]) -> dict[str, float]:
        """What the potential says of properties that cost it more than one relaxation, where the goal asks."""
        if "bulk_modulus" not in properties:
            return {}
        from ..tools.relax.elastic import bulk_modulus

        value = bulk_modulus(self.potential, crystal)
        return {} if value is None else {"bulk_modulus": value}

    def reference(self, symbol: str) -> tuple[Crystal, float]:
        """The element's lowest crystal on the potential: shipped, remembered, or relaxed now."""
        from platformdirs import user_cache_path

        from ..tools.evaluate.references import lowest_reference

        return lowest_reference(symbol, self.potential, user_cache_path("lodestone") / "references")


class KnownIds:
    """The candidates that a campaign has proposed, looked up in its ledger: there may be a million of them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __contains__(self, candidate_id: object) -> bool:
        return isinstance(candidate_id, str) and bool(self._ledger.known_ids([candidate_id]))


def build_parts(goal: GoalSpec, settings: Settings, evaluator: Evaluator, scout: Evaluator | None = None) -> Parts:
    """All parts of a campaign. Raises ConfigError for an unknown name, GoalError for an impossible composition."""
    from ..tools.generate.compositions import compositions
    from ..tools.recognise.recogniser import CrystalRecogniser
    from ..tools.screen.chemistry import ChemistryScreen
    from ..tools.screen.duplicates import DuplicateIndex
    from ..tools.screen.geometry import GeometryScreen

    if goal.laboratory is not None:
        raise ConfigError(
            "A search computes crystals; a laboratory makes one of them afterwards.",
            "Leave the laboratory out of the request; then `lodestone make DIR` makes what the campaign in DIR found.",
        )
    if settings.learning.when != "never" and (settings.relax.potential, settings.relax.method) != (
        "chgnet",
        "gradient",
    ):
        raise ConfigError(
            f"[learning] when is '{settings.learning.when}', and only chgnet along forces can learn; [relax] has "
            f"potential '{settings.relax.potential[:80]}' and method '{settings.relax.method}'.",
            "Set potential = 'chgnet' and method = 'gradient', or when = 'never'.",
        )
    compositions(goal.space)  # an impossible composition is refused before anything is written
    s = settings.screen
    geometry = GeometryScreen(s.min_distance_factor, s.min_volume_factor, s.max_volume_factor, s.max_aspect_ratio)
    toolbox = Toolbox()
    engine = None
    if settings.compute.engine != "local":
        from .compute.cluster import Engine

        engine = Engine.connect(settings.compute, toolbox.tell)
    return Parts(
        settings=settings,
        generators=_generators(settings, engine),
        screens=[geometry, ChemistryScreen(goal.space, neutral=goal.synthesizable)],
        potential=_potential(settings, engine),
        recogniser=CrystalRecogniser(symprec=settings.recognise.symprec),
        evaluator=_spread(evaluator, engine),
        scout=None if scout is None else _spread(scout, engine),
        planner=planner_for(settings, toolbox),
        new_duplicate_index=lambda: DuplicateIndex(s.ltol, s.stol, s.angle_tol),
        relaxed_screens=[geometry, *_novelty(s.known_crystals)],
        toolbox=toolbox,
        engine=engine,
    )


def _potential(settings: Settings, engine: Engine | None) -> Potential:
    local = potential_for(settings)
    if engine is None:
        return local
    from .compute.relaxing import DistributedPotential

    return DistributedPotential(local, f"{__name__}:potential_from", settings.relax.model_dump(mode="json"), engine)


def _spread(evaluator: Evaluator, engine: Engine | None) -> Evaluator:
    from ..tools.evaluate.base import ProcessEvaluator

    if engine is None or not isinstance(evaluator, ProcessEvaluator):
        return evaluator
    from .compute.evaluating import DistributedEvaluator

    return DistributedEvaluator(evaluator, engine)


def potential_from(**relax: Any) -> Potential:
    """The relaxation potential from the fields of `[relax]`, on a worker of a cluster."""
    return _potential_of(RelaxSettings.model_validate(relax))


def potential_for(settings: Settings) -> Potential:
    """The relaxation potential by name."""
    return _potential_of(settings.relax)


def _potential_of(relax: RelaxSettings) -> Potential:
    from ..tools.relax.registry import make_potential
    from ..tools.relax.settings import RelaxationSettings

    chosen = RelaxationSettings(
        fmax=relax.fmax,
        max_steps=relax.max_steps,
        batch_size=relax.batch_size,
        max_batch_atoms=relax.max_batch_atoms,
        keep_symmetry=relax.keep_symmetry,
        path_every=PATH_EVERY,
    )
    return make_potential(relax.potential, chosen, relax.model, relax.device, relax.method)


def planner_for(settings: Settings, toolbox: Toolbox) -> Planner:
    """The planner with its chain of models: primary, fallback, and always the built-in one behind them."""
    from ..agent.asking import Bounds
    from ..agent.planner import AgentPlanner
    from ..agent.policy import PlanLimits
    from ..agent.providers import ModelSettings, load_model

    planner, campaign = settings.planner, settings.campaign
    models = []
    for name, address in {planner.fallback: planner.fallback_base_url, planner.model: planner.base_url}.items():
        model = load_model(ModelSettings(name=name, base_url=address, timeout_s=planner.timeout_s))
        if model is not None:
            models.append((name, model))
    return AgentPlanner(
        models,
        toolbox.callables(),
        PlanLimits(
            max_proposals=campaign.proposals,
            min_proposals=min(8, campaign.proposals),
            max_batch=campaign.batch,
            parallel=settings.compute.jobs if settings.compute.engine in ("slurm", "pbs") else 1,
        ),
        Bounds(model_calls=planner.max_calls, timeout_s=planner.timeout_s, failures=planner.max_failures),
        planner.allowance(),
        toolbox.keep,
    )


def evaluator_by_name(name: str, settings: Settings, directory: Path) -> Evaluator:
    """One evaluator, with its jobs inside the campaign directory. Raises ConfigError."""
    from ..tools.evaluate.registry import create_evaluator

    tables = settings.evaluators.model_dump(mode="json")
    table = tables.get(name)
    return create_evaluator(name, directory / "jobs", table if isinstance(table, dict) else None)


def choose_evaluator(goal: GoalSpec, settings: Settings, directory: Path) -> Evaluator:
    """The goal's evaluator, or for `auto` the best installed one. Raises ConfigError, EvaluationError."""
    from ..tools.evaluate.registry import evaluator_names, pick_best

    names = evaluator_names() if goal.evaluator in ("auto", "dft") else (goal.evaluator,)
    found = [evaluator_by_name(n, settings, directory) for n in names]
    if goal.evaluator == "dft":
        # A request that says DFT must not be served by a potential, however good.
        found = [e for e in found if e.fidelity == "dft"]
    return pick_best(found, goal.properties)


def choose_scout(evaluator: Evaluator, settings: Settings, directory: Path) -> Evaluator | None:
    """Who gives second opinions: for `auto` the best installed evaluator of a lower fidelity, for a DFT evaluator only.

    Raises:
        ConfigError: for a name that is unknown, cannot run here, or is not of a lower fidelity.
    """
    from ..tools.evaluate.registry import evaluator_names

    wanted = settings.evaluators.second_opinion
    if wanted == "none" or (wanted == "auto" and evaluator.fidelity != "dft"):
        return None
    for name in evaluator_names() if wanted == "auto" else (wanted,):
        found = evaluator_by_name(name, settings, directory)
        lower = found.fidelity == "potential" and evaluator.fidelity != "potential"
        lacks = found.available() if lower else f"{name} does not rank below {evaluator.name}."
        if lacks is None:
            return found
        if wanted != "auto":
            raise ConfigError(f"[evaluators] second_opinion '{name}' cannot be used: {lacks}", "Set 'auto' or 'none'.")
    return None


def _novelty(folder: str) -> list[Screen]:
    if not folder:
        return []
    from ..tools.screen.novelty import NoveltyScreen, known_crystals

    if not Path(folder).is_dir():
        raise ConfigError(f"[screen] known_crystals is '{folder}', which is no folder.", "Name a folder of CIF files.")
    return [NoveltyScreen(known_crystals(Path(folder)))]


def _generators(settings: Settings, engine: Engine | None = None) -> dict[str, Generator]:
    table = _generator_table()
    found: dict[str, Generator] = {}
    for name in settings.generators.enabled:
        if name not in table:
            raise ConfigError(f"Unknown generator '{name}' in [generators].", f"Known: {', '.join(sorted(table))}.")
        found[name] = table[name]()
    if engine is not None:
        from .compute.relaxing import DistributedGenerator

        maker = f"{__name__}:generator_from"
        found = {n: DistributedGenerator(g, maker, {"name": n}, engine) for n, g in found.items()}
    if not found:
        raise ConfigError("No generator is enabled in [generators].", f"Enable some of: {', '.join(sorted(table))}.")
    return found


def _generator_table() -> dict[str, Callable[[], Generator]]:
    from ..tools.generate.prototypes import PrototypeGenerator
    from ..tools.generate.random_symmetric import RandomSymmetricGenerator
    from ..tools.generate.substitution import SubstitutionGenerator

    table: dict[str, Callable[[], Generator]] = {
        "random": RandomSymmetricGenerator,
        "prototypes": PrototypeGenerator,
        "substitution": SubstitutionGenerator,
    }
    table |= {point.name: _loader(point) for point in entry_points(group=GROUPS["generators"])}
    return table


def generator_from(name: str) -> Generator:
    """One generator by name, on a worker of a cluster."""
    return _generator_table()[name]()


def _loader(point: Any) -> Callable[[], Generator]:
    def make() -> Generator:
        made = point.load()()
        if not isinstance(made, Generator):
            raise ToolError(f"Entry point '{point.name}' does not give a Generator.", "Fix its package.")
        return made

    return make
