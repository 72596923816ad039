"""Are the planner's decisions any good? Six planners beside each other, in one run.

    python -m benchmarks.decisions --data ../shared/data [--seeds 3] [--pool-seeds 8] [--planners policy,…] [--out FILE]

Problems: the ten systems of `benchmarks.ground_states` (CHGNet and SevenNet, the product's own generators), and two
pools of crystals with known DFT energies (`benchmarks.pool_world`) in which a crystal of the lowest 1 % has to be
evaluated. Everything but the planner is the same: parts, seeds, budgets. Relaxations and evaluations that two campaigns
share are done once, and counted in both.

Planners: `policy`, the deterministic one; `equal shares`, every generator the same part of full rounds, or of rounds
as large as the policy makes them (`our sizes`); `random tools`, one generator a round by lot; `good model` and `poor
model`, scripted chat models that go through the same agent and the same checks: the good one knows which generator is
right, the poor one asks for the worst, for the largest batch, and for blind exploration.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from benchmarks import ground_states
from benchmarks.pool_world import Pool, pool_parts, read_pool
from benchmarks.textbook import SYSTEMS
from lodestone.agent.messages import GeneratorShare, RoundPlanProposal, read_brief
from lodestone.agent.planner import AgentPlanner
from lodestone.agent.policy import PlanLimits, decide, stop_reason
from lodestone.loops.campaign import Campaign
from lodestone.loops.knowledge import Knowledge
from lodestone.loops.settings import Settings, load_settings
from lodestone.loops.view import View
from lodestone.loops.wiring import Parts, potential_for
from lodestone.tools.core.plans import Brief, RoundPlan
from lodestone.tools.core.protocols import Potential
from lodestone.tools.core.types import (
    Budget,
    ChemicalSpace,
    Crystal,
    GoalSpec,
    Objective,
    Relaxation,
    StopRule,
    Understanding,
)

PLANNERS = ("policy", "equal shares", "equal shares (our sizes)", "random tools", "good model", "poor model")
POOL_EVALUATIONS = 60
"""Crystals that a campaign over a pool may evaluate, besides the elements."""

GOOD = {"perov_5": "O3", "carbon_24": "6 atoms"}
POOR = {"perov_5": "N3", "carbon_24": "more atoms"}
"""Generators that hold most, and none, of what is looked for; of the ground states: prototypes, and random crystals."""


class Fixed:
    """The same round every time: equal shares, or all to one generator by lot; full rounds, or of the policy's size."""

    name = "fixed"

    def __init__(self, settings: Settings, kind: str) -> None:
        self._campaign = settings.campaign
        self._by_lot = kind == "random tools"
        self._limits = _limits(settings) if kind.endswith("(our sizes)") else None

    def specify(self, words: str, defaults: dict[str, Any]) -> Understanding:
        """Not asked."""
        raise NotImplementedError(words, defaults)

    def plan(self, brief: Brief) -> RoundPlan:
        """See `Planner.plan`."""
        names = sorted(brief.generators)
        if self._by_lot:
            names = [str(np.random.default_rng([brief.goal.seed, brief.round, 7]).choice(names))]
        reason = stop_reason(brief)
        sizes = (self._campaign.proposals, min(self._campaign.batch, brief.evaluations_left))
        if self._limits is not None:
            own = decide(brief, self._limits)
            sizes = (own.proposals, own.batch)
        return RoundPlan(
            round=brief.round,
            shares={} if reason else dict.fromkeys(names, 1 / len(names)),
            proposals=0 if reason else sizes[0],
            batch=0 if reason else sizes[1],
            exploration=0.3,
            stop=reason is not None,
            reason=reason or "as always",
        )


class Scripted(BaseChatModel):
    """A chat model that always wants the same."""

    generator: str
    poor: bool

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Any tools will do."""
        return self.bind(tools=list(tools), **kwargs)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        brief = read_brief(str(next(m for m in messages if isinstance(m, HumanMessage)).content))
        wish = RoundPlanProposal(
            shares=[GeneratorShare(generator=self.generator, share=1.0)],
            proposals=10_000 if self.poor else 8,
            batch=1_000 if self.poor else 1,
            exploration=1.0 if self.poor else 0.0,
            stop=self.poor,
            reason="scripted",
        )
        call = {"name": "RoundPlanProposal", "args": wish.model_dump(), "id": f"{brief.round}", "type": "tool_call"}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content="", tool_calls=[call]))])


class Remembering:
    """A potential that does each relaxation once in the whole benchmark."""

    def __init__(self, inner: Potential) -> None:
        self._inner = inner
        self.name = inner.name
        self._relaxed: dict[str, Relaxation] = {}
        self._energies: dict[str, float] = {}

    def relax(self, crystals: Sequence[tuple[str, Crystal]], progress: Any = None) -> list[Relaxation]:
        """See `Potential.relax`."""
        keys = [f"{identity} {crystal.digest()}" for identity, crystal in crystals]
        new = {k: pair for k, pair in zip(keys, crystals, strict=True) if k not in self._relaxed}
        if new:
            self._relaxed.update(zip(new, self._inner.relax(list(new.values()), progress), strict=True))
        return [self._relaxed[k] for k in keys]

    def energies(self, crystals: Sequence[Crystal]) -> list[float]:
        """See `Potential.energies`."""
        keys = [c.digest() for c in crystals]
        new = {k: c for k, c in zip(keys, crystals, strict=True) if k not in self._energies}
        if new:
            self._energies.update(zip(new, self._inner.energies(list(new.values())), strict=True))
        return [self._energies[k] for k in keys]


@dataclass(frozen=True)
class Run:
    """One campaign of one planner. None: not within the caps."""

    problem: str
    planner: str
    seed: int
    relaxations: int | None
    evaluations: int | None
    plan_s: float
    """Seconds that a plan took in the middle."""
    wall_s: float


class Timed:
    """A planner whose plans are timed."""

    name = "timed"

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.seconds: list[float] = []

    def specify(self, words: str, defaults: dict[str, Any]) -> Understanding:
        """See `Planner.specify`."""
        found: Understanding = self._inner.specify(words, defaults)
        return found

    def plan(self, brief: Brief) -> RoundPlan:
        """See `Planner.plan`."""
        began = time.perf_counter()
        plan: RoundPlan = self._inner.plan(brief)
        self.seconds.append(time.perf_counter() - began)
        return plan


def _limits(settings: Settings) -> PlanLimits:
    campaign = settings.campaign
    return PlanLimits(
        max_proposals=campaign.proposals, min_proposals=min(8, campaign.proposals), max_batch=campaign.batch
    )


def planner(name: str, parts: Parts, settings: Settings, good: str, poor: str) -> Timed:
    """One of `PLANNERS`."""
    if name == "policy":
        return Timed(parts.planner)
    if not name.endswith("model"):
        return Timed(Fixed(settings, name))
    model = Scripted(generator=poor if name == "poor model" else good, poor=name == "poor model")
    return Timed(AgentPlanner([(name, model)], {}, _limits(settings)))


def run_system(row: tuple[Any, ...], truth: float, name: str, seed: int, memory: Remembering, jobs: Path) -> Run:
    """One planner on one system of `ground_states`."""
    system, formula, _, _ = row
    timed: list[Timed] = []

    def adapt(parts: Parts, settings: Settings) -> None:
        parts.potential = memory
        timed.append(planner(name, parts, settings, "prototypes", "random"))
        parts.planner = timed[0]

    found = ground_states.run_campaign(system, formula, truth, seed, name, adapt, jobs)
    return Run(system, name, seed, found.relaxations, found.evaluations, median(timed[0].seconds), found.wall_s)


class PoolWatch(View):
    """Ends a campaign that has evaluated a crystal of the lowest part."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def known(self, knowledge: Knowledge) -> None:
        """Raise Found when there is one."""
        done = [e for e in knowledge.evaluations if e.purpose == "candidate" and e.finished]
        if any(self._pool.energies[e.candidate_id] <= self._pool.threshold for e in done):
            raise ground_states.Found
        if len(done) >= POOL_EVALUATIONS:
            raise ground_states.Found


def run_pool(pool: Pool, name: str, seed: int) -> Run:
    """One planner on one pool."""
    settings = load_settings(None, {}, {"prefect.enabled": False, "surrogate.retrain_head": False})
    elements = pool.elements
    goal = GoalSpec(
        text=f"lowest energy of {pool.name}",
        objectives=(Objective(property="formation_energy", direction="minimise"),),
        space=ChemicalSpace(allowed=elements, n_elements=(1, min(6, len(elements))), max_atoms=24),
        budget=Budget(evaluations=POOL_EVALUATIONS + len(elements), wall_hours=1000.0),
        stop=StopRule(patience=10_000),
        evaluator="pool",
        seed=seed,
    )
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        parts = pool_parts(pool, goal, settings)
        timed = planner(name, parts, settings, GOOD[pool.name], POOR[pool.name])
        parts.planner = timed
        campaign = Campaign.create(Path(folder) / "campaign", Understanding(goal=goal), settings, parts)
        try:
            campaign.run(parts, PoolWatch(pool))
        except ground_states.Found:
            pass
        finally:
            campaign.close()
        knowledge = Knowledge.read(campaign.ledger)
        relaxed = [r.round for r in campaign.ledger.candidates() if r.relaxation is not None]
        order = [e for e in knowledge.evaluations if e.purpose == "candidate"]
        hit = next((i for i, e in enumerate(order) if pool.energies[e.candidate_id] <= pool.threshold), None)
        count = None if hit is None else sum(r <= order[hit].round for r in relaxed)
        evaluations = None if hit is None else hit + 1
    return Run(pool.name, name, seed, count, evaluations, median(timed.seconds), time.perf_counter() - began)


def table(runs: list[Run]) -> str:
    """The result as markdown: means a problem, and ratios to the policy."""
    problems = list(dict.fromkeys(r.problem for r in runs))
    names = [n for n in PLANNERS if any(r.planner == n for r in runs)]
    lines = [
        "| problem | " + " | ".join(f"{n}: relaxations / evaluations (found)" for n in names) + " |",
        "|---|" + "---|" * len(names),
    ]
    means: dict[tuple[str, str], tuple[float, float]] = {}
    for problem in problems:
        cells = []
        for name in names:
            mine = [r for r in runs if r.problem == problem and r.planner == name]
            means[problem, name] = _mean(mine, "relaxations", problem), _mean(mine, "evaluations", problem)
            found = sum(r.evaluations is not None for r in mine)
            cells.append(f"{means[problem, name][0]:.1f} / {means[problem, name][1]:.1f} ({found}/{len(mine)})")
        lines.append(f"| {problem} | " + " | ".join(cells) + " |")
    lines.append("")
    for name in names[1:]:
        ratios = []
        for index, what in enumerate(("relaxations", "evaluations")):
            logs = [math.log(means[p, name][index] / means[p, "policy"][index]) for p in problems]
            ratios.append(f"{math.exp(fmean(logs)):.2f} × the {what}")
        lines.append(f"{name}: {' and '.join(ratios)} of the policy, geometric mean over {len(problems)} problems")
    plans = [r.plan_s for r in runs if r.planner == "policy"]
    lines.append(
        f"\nSeconds a plan of the policy, through the agent: median {median(plans):.3f}, most {max(plans):.3f}"
    )
    return "\n".join(lines)


def _mean(runs: list[Run], what: str, problem: str) -> float:
    """A run that found nothing counts as twice its cap."""
    caps = {"relaxations": ground_states.MAX_RELAXATIONS, "evaluations": ground_states.MAX_EVALUATIONS}
    if problem in GOOD:
        caps = {"relaxations": 8 * POOL_EVALUATIONS, "evaluations": POOL_EVALUATIONS}
    return fmean(v if (v := getattr(r, what)) is not None else 2 * caps[what] for r in runs)


def main() -> None:
    """Run, print as results come, print the table."""
    warnings.filterwarnings("ignore")
    logging.getLogger("moyo").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="folder with perov_5 and carbon_24; without it no pools")
    parser.add_argument("--cache", type=Path, help="folder for CHGNet's energies of the pools")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pool-seeds", type=int, default=8)
    parser.add_argument("--systems", default=",".join(s[0] for s in SYSTEMS))
    parser.add_argument("--pools", default="perov_5,carbon_24")
    parser.add_argument("--planners", default=",".join(PLANNERS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    names = options.planners.split(",")
    runs: list[Run] = []

    def keep(run: Run) -> None:
        runs.append(run)
        print(f"  {run}", flush=True)
        if options.out:
            options.out.write_text(json.dumps([asdict(r) for r in runs], indent=1))

    potential = potential_for(load_settings(None, {}, {}))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cache = options.cache or Path(folder)
        for name in filter(None, options.pools.split(",") if options.data else ()):
            pool = read_pool(name, options.data, cache, potential)
            print(
                f"{pool.name}: {len(pool.crystals)} crystals, found is below {pool.threshold:.4f} eV/atom", flush=True
            )
            _each(names, options.pool_seeds, lambda n, s, p=pool: keep(run_pool(p, n, s)))
        for row in [s for s in SYSTEMS if s[0] in options.systems.split(",")]:
            memory = Remembering(potential)
            _, truth = ground_states.truth_of(memory, row[2], row[3])
            jobs = Path(folder) / row[0]
            _each(
                names,
                options.seeds,
                lambda n, s, facts=(row, truth), place=(memory, jobs): keep(run_system(*facts, n, s, *place)),
            )
    print("\n" + table(runs))


def _each(names: list[str], seeds: int, do: Callable[[str, int], None]) -> None:
    for seed in range(seeds):
        for name in names:
            do(name, seed)


if __name__ == "__main__":
    main()
