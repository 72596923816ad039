"""What a planner may look at and try: read-only views of the newest knowledge, and cheap trials that change nothing.

Nothing here spends an evaluation, writes to the ledger or moves anything. What the model is told about each tool, and
which arguments it takes, stands in `agent/toolbox.py`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tools.core.elements import ELEMENT_CLASSES, SYMBOLS
from ..tools.core.errors import LedgerError, ToolError
from ..tools.core.types import Candidate, ChemicalSpace, Quantity
from .briefing import NEAR_HULL, yields
from .files import write_bytes
from .geometry import amounts
from .judgement import Judgement, calibration_of, calibrations
from .knowledge import Knowledge, PoolMember
from .retrieval import Retrieval

if TYPE_CHECKING:
    from ..agent.conversations import Conversation
    from ..tools.core.protocols import Generator, Potential, Recogniser, Screen
    from .head import HeadKeeper

SHOWN = 5
"""Crystals in one answer."""

TRIALS = 4
"""Crystals that one plan may have relaxed for a look."""

TRIAL_ATOMS = 24
"""Atoms in the cell of the largest of them."""

_UNIT = re.compile(r"[A-Za-zÅµ]{1,12}(\^-?[1-4])?([/* ][A-Za-zÅµ]{1,12}(\^-?[1-4])?){0,4}")


class Toolbox:
    """The callables of the planner's tools; `watch` gives them something to look at.

    Each returns plain data, and raises ToolError or GoalError with words that a model can act on.
    """

    def __init__(self) -> None:
        self.tell: Callable[[str], None] = lambda _: None
        """Told what is out of the ordinary; the campaign's view, once there is one."""
        self.conversations: Path | None = None
        """Where conversations with models are kept; None: nowhere."""
        self._look: Look | None = None

    def keep(self, conversation: Conversation) -> None:
        """Keep what was said. A disk that refuses costs the record of a conversation, not the round."""
        if self.conversations is None:
            return
        try:
            text = conversation.model_dump_json(indent=1)
            write_bytes(self.conversations / conversation.file_name, text.encode("utf-8", "replace"))
        except LedgerError as error:
            self.tell(f"The conversation of round {conversation.round} is not kept: {error}")

    def watch(
        self,
        knowledge: Knowledge,
        head: HeadKeeper,
        generators: dict[str, Generator],
        screens: list[Screen],
        potential: Potential,
        recogniser: Recogniser,
    ) -> None:
        """Look at this state of knowledge from now on."""
        self._look = Look(knowledge, head, generators, screens, potential, recogniser)

    def rest(self) -> None:
        """Look at nothing: the round has its plan, and a model that answers late gets nothing to see."""
        self._look = None

    def callables(self) -> dict[str, Callable[..., Any]]:
        """Tool to callable; before there is knowledge each answers that."""
        return {name: self._of(name) for name in LOOKS}

    def _of(self, name: str) -> Callable[..., Any]:
        def answer(**arguments: Any) -> Any:
            look = self._look
            return "nothing is known now" if look is None else getattr(look, name)(**arguments)

        return answer


LOOKS = (
    "best_so_far", "failures", "generator_yields", "hull", "budget", "predict", "calibration", "uncertain", "dry_run",
    "recognise", "relax", "find", "chemistry", "convert",
)  # fmt: skip
"""Tools that `Look` answers."""


class Look:
    """Answers about one state of knowledge; what takes long is computed once, when asked for."""

    def __init__(
        self,
        knowledge: Knowledge,
        head: HeadKeeper,
        generators: dict[str, Generator],
        screens: list[Screen],
        potential: Potential,
        recogniser: Recogniser,
    ) -> None:
        self._knowledge = knowledge
        self._head = head
        self._generators = generators
        self._screens = screens
        self._potential = potential
        self._recogniser = recogniser
        self._lock = threading.Lock()
        self._trials = 0

    @cached_property
    def _judgement(self) -> Judgement:
        return Judgement(self._knowledge, self._head, self._knowledge.ledger)

    @cached_property
    def _retrieval(self) -> Retrieval:
        return Retrieval(self._knowledge)

    # --- the ledger ----------------------------------------------------------------------------

    def best_so_far(self) -> list[dict[str, Any]]:
        """The best evaluated crystals with their measured properties."""
        return [
            {
                "formula": m.entry.formula,
                "space_group": m.member.recognition.space_group_symbol,
                "generator": m.member.candidate.provenance.generator,
                **{k: round(q.value, 4) for k, q in m.values.items()},
            }
            for m in self._knowledge.ranked(SHOWN)
        ]

    def failures(self) -> dict[str, int]:
        """Reasons for which crystals were lost, with counts, the ten most frequent."""
        from .ledger import counts

        found = sorted(counts.failures(self._knowledge.ledger), key=lambda row: -row[-1])
        return {f"{stage}: {reason[:60]}": n for _, stage, _, reason, n in found[:10]}

    def generator_yields(self) -> dict[str, dict[str, Any]]:
        """How each generator has done so far."""
        return {name: y.model_dump() for name, y in yields(self._knowledge).items()}

    def budget(self) -> dict[str, dict[str, int | None]]:
        """Every account: cap, spent, reserved, left."""
        return {
            name: {"cap": a.cap, "spent": a.spent, "reserved": a.reserved, "left": a.left}
            for name, a in self._knowledge.ledger.accounts().items()
        }

    def hull(self) -> list[dict[str, Any]]:
        """Crystals near the hull on the relaxation potential, at most twenty."""
        knowledge = self._knowledge
        near = [m for m in knowledge.nearest(20) if m.candidate.id in knowledge.cheap]
        return [
            {
                "formula": m.candidate.formula,
                "space_group": m.recognition.space_group_symbol,
                "energy_above_hull": round(knowledge.cheap[m.candidate.id]["energy_above_hull"], 4),
                "evaluated": m.candidate.id in knowledge.evaluated_ids,
            }
            for m in near
            if knowledge.cheap[m.candidate.id]["energy_above_hull"] <= NEAR_HULL
        ]

    # --- the surrogate -------------------------------------------------------------------------

    def predict(self, formula: str) -> dict[str, Any]:
        """What the surrogate expects of the crystals of a composition, with one standard deviation."""
        reduced, parts = _composition(formula)
        members = [m for m in self._knowledge.pool if m.candidate.formula == reduced]
        hull = self._knowledge.cheap_hull
        found: dict[str, Any] = {"formula": reduced}
        if hull.covers(parts):
            found["formation_energy_of_the_hull"] = round(hull.hull_formation_energy(parts), 4)
        if not members:
            return found | {"crystals": "none of this composition was relaxed yet"}
        expected = self._judgement.predictions
        members.sort(key=lambda m: m.relaxation.energy_per_atom)
        found["crystals"] = [self._expected(m, expected[m.candidate.id]) for m in members[:SHOWN]]
        return found

    def calibration(self) -> dict[str, Any]:
        """How predictions compared with what was measured afterwards."""
        found = calibrations(self._knowledge.ledger, self._knowledge)
        shown = {
            name: {
                "compared": c.n,
                "inside_90_percent": None if c.coverage_90 is None else round(c.coverage_90, 3),
                "scale": round(c.scale, 3),
            }
            for name, c in found.items()
        }
        return {"first_objective_inside_90_percent": calibration_of(self._knowledge), "properties": shown}

    def uncertain(self) -> list[dict[str, Any]]:
        """The crystals that wait of whose formation energy least is known."""
        knowledge = self._knowledge
        expected = self._judgement.predictions
        waiting = [m for m in knowledge.pool if m.candidate.id not in knowledge.evaluated_ids]
        waiting.sort(key=lambda m: -(expected[m.candidate.id]["formation_energy"].std or 0.0))
        return [self._expected(m, expected[m.candidate.id]) for m in waiting[:SHOWN]]

    def _expected(self, member: PoolMember, expected: dict[str, Quantity]) -> dict[str, Any]:
        return {
            "formula": member.candidate.formula,
            "space_group": member.recognition.space_group_symbol,
            "evaluated": member.candidate.id in self._knowledge.evaluated_ids,
            **{k: [round(q.value, 4), round(q.std or 0.0, 4)] for k, q in expected.items()},
        }

    # --- trials --------------------------------------------------------------------------------

    def dry_run(self, generator: str) -> dict[str, Any]:
        """What a generator would propose now, and what the screens say of it; nothing is kept."""
        offered = self._offer(generator, self._knowledge.goal.space, 2 * SHOWN)
        refused: list[str] = []
        passed: list[str] = []
        for candidate in offered:
            verdicts = [screen.check(candidate) for screen in self._screens]
            reasons = [v.reason for v in verdicts if not v.passed]
            (refused if reasons else passed).append(candidate.formula)
        known = self._knowledge.ledger.known_ids([c.id for c in offered])
        return {"offered": len(offered), "known_already": len(known), "pass": passed, "refused": refused}

    def relax(self, formula: str) -> list[dict[str, Any]]:
        """Known structure types of a composition, relaxed on the potential for a look; nothing is kept."""
        reduced, parts = _composition(formula)
        with self._lock:
            room = TRIALS - self._trials
            self._trials += min(room, 2)
        if room < 1:
            raise ToolError(f"The {TRIALS} trials of this round are used up.", "Plan with what is known.")
        elements = tuple(sorted(parts))
        if outside := sorted(set(elements) - set(self._knowledge.goal.space.allowed)):
            raise ToolError(f"The goal does not allow {', '.join(outside)}.", "Try another composition.")
        space = ChemicalSpace(
            required=elements, allowed=elements, formula=reduced, n_elements=(len(elements), len(elements)),
            max_atoms=min(TRIAL_ATOMS, self._knowledge.goal.space.max_atoms),
        )  # fmt: skip
        name = "prototypes" if "prototypes" in self._generators else sorted(self._generators)[0]
        offered = self._offer(name, space, min(room, 2))
        results = self._potential.relax([(c.id, c.crystal) for c in offered])
        good = [r for r in results if r.failure is None]
        seen = self._recogniser.recognise([(r.candidate_id, r.crystal) for r in good])
        hull = self._knowledge.cheap_hull
        return [
            {
                "formula": reduced,
                "space_group": s.space_group_symbol,
                "converged": r.converged,
                "energy_above_hull": round(hull.distance(amounts(r.crystal), r.energy_per_atom), 4),
            }
            for r, s in zip(good, seen, strict=True)
        ]

    def _offer(self, generator: str, space: ChemicalSpace, count: int) -> list[Candidate]:
        if generator not in self._generators:
            known = ", ".join(sorted(self._generators))
            raise ToolError(f"No generator is called '{generator[:40]}'.", f"There are: {known}.")
        rng = np.random.default_rng([self._knowledge.goal.seed, 10**6])
        return self._generators[generator].propose(space, count, rng)

    # --- what things are -----------------------------------------------------------------------

    def recognise(self, formula: str) -> list[dict[str, Any]]:
        """What the crystals of a composition are: symmetry, structure type, layers, and whether they are known."""
        reduced, _ = _composition(formula)
        members = [m for m in self._knowledge.pool if m.candidate.formula == reduced]
        members.sort(key=lambda m: m.relaxation.energy_per_atom)
        return [self._retrieval.facts(m) for m in members[:SHOWN]]

    def find(self, words: str) -> list[dict[str, Any]]:
        """The crystals that words describe best, e.g. `layered sulfide with Li`."""
        return [self._retrieval.facts(m) for m in self._retrieval.find(words, SHOWN)]

    def chemistry(self, formula: str) -> dict[str, Any]:
        """Charge balance and classes of the elements of a composition."""
        from ..tools.generate.compositions import is_charge_balanced

        reduced, parts = _composition(formula)
        return {
            "formula": reduced,
            "charge_balanced": is_charge_balanced(reduced),
            "in_the_goal": self._knowledge.in_space(reduced),
            "elements": {s: [name for name, members in ELEMENT_CLASSES.items() if s in members] for s in sorted(parts)},
        }

    def convert(self, value: float, unit: str, to: str) -> dict[str, Any]:
        """A value in another unit."""
        from ..tools.core.units import convert

        if not _UNIT.fullmatch(unit) or not _UNIT.fullmatch(to):
            raise ToolError("That is no unit.", "Write it as in eV/atom, GPa or g/cm^3.")
        return {"value": convert(value, unit, to), "unit": to}


def _composition(formula: str) -> tuple[str, dict[str, float]]:
    """Reduced formula and amounts. Raises ToolError for what is no formula."""
    from pymatgen.core import Composition

    pieces = re.findall(r"([A-Z][a-z]?)(\d{0,3})", formula)
    if "".join(a + b for a, b in pieces) != formula or not pieces or any(s not in SYMBOLS for s, _ in pieces):
        raise ToolError(f"'{formula[:40]}' is no formula.", "Write it as in Li3PS4.")
    composition = Composition(formula)
    if not composition.num_atoms:
        raise ToolError(f"'{formula[:40]}' holds no atoms.", "Write it as in Li3PS4.")
    return composition.reduced_formula, {str(e): float(n) for e, n in composition.items()}
