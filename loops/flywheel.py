"""The flywheel: where the potential is not to be trusted DFT is asked, and the potential learns what it says.

Each round, of every configuration that relaxation went through: how far may its forces be wrong (`tools/relax/doubt`)?
Those beyond the threshold are put to the evaluator as labels, within the budget. After the round's evaluations, which
leave labels of their own, the potential is tuned on all of them; the new version is used from the next round on if its
error on labels that no version has seen fell, and every crystal of the pool is looked at again with it. The threshold
follows from the record of doubts and true errors.

What the ledger holds: `doubt` (a chunk's doubts and the doubtful configurations), `learned` (what came of the tuning),
`potential` (a change of version). Weights and error records lie in `models/`, named by round and checksum.
What is not here: going back to an earlier version by hand (`versions.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tools.core.errors import ToolError
from ..tools.core.labels import Label, read_labels
from ..tools.core.structure import reduced_formula, to_ase
from ..tools.core.types import Crystal, EvaluationRequest, Quantity, Relaxation
from .files import write_bytes
from .ledger import Ledger
from .replay import replay_crystals
from .versions import FIRST, ORIGINAL, Version, active, change_over, error_record, held, weights_of

if TYPE_CHECKING:
    from ..tools.relax.chgnet import ChgnetModel
    from ..tools.relax.doubt import Doubt, Doubter, ErrorRecord
    from ..tools.relax.models import BatchModel, ModelOutput
    from .settings import LearningSettings
    from .wiring import Parts

MOST_DOUBTFUL = 8
"""Configurations of one chunk that are remembered as candidates for a label."""

WORTH_A_LABEL = 0.5
"""eV/atom above the end of its relaxation, by the potential in force. A configuration higher up, such as the start from
a random cell, is passed through in a few steps, whatever its forces are; what it costs DFT teaches nothing of crystals.
(DP-GEN has an upper bound for the same reason: Zhang et al., Comput. Phys. Commun. 253, 107206 (2020).)"""

LEARNED_OF_EACH = 6
"""Labels of one evaluation that are learned from."""

JUDGED_OF_EACH = 3
"""Labels of one evaluation that enter the error record."""

Wanted = tuple[EvaluationRequest, str, Mapping[str, Quantity], str]
"""A request, its formula, what is expected, and why."""


@dataclass(frozen=True)
class _Looked:
    """A configuration and what is thought of it."""

    candidate_id: str
    formula: str
    crystal: Crystal
    energy: float
    """eV/atom, by the potential in force."""
    doubt: Doubt
    features: np.ndarray
    """Of the atom that is doubted most."""


class Flywheel:
    """Doubt, labels and versions of one campaign.

    Args:
        directory: of the campaign.
        ledger: of the campaign.
        parts: whose potential is exchanged.
        settings: `[learning]`.
    """

    def __init__(self, directory: Path, ledger: Ledger, parts: Parts, settings: LearningSettings) -> None:
        self._directory = directory
        self._ledger = ledger
        self._parts = parts
        self._settings = settings
        self._judge: tuple[tuple[str, int], Doubter, float] | None = None
        self._models: dict[str, ChgnetModel] = {}

    @property
    def on(self) -> bool:
        """Whether this campaign teaches its potential."""
        wanted = self._settings.when
        return wanted == "always" or (wanted == "dft" and self._parts.evaluator.fidelity == "dft")

    # --- doubt ---------------------------------------------------------------------------------

    def look(self, round_number: int, relaxations: Sequence[Relaxation]) -> None:
        """Note how far each relaxed crystal, and what it went through, is to be doubted."""
        looked = self._looked(round_number, [(r.candidate_id, c) for r in relaxations for c in (*r.path, r.crystal)])
        limit = self._doubter(round_number)[1]
        last = {(r.candidate_id, r.crystal.digest()) for r in relaxations}
        ends = {one.candidate_id: one for one in looked if (one.candidate_id, one.crystal.digest()) in last}
        doubts = {
            identity: {"force": _short(one.doubt.score), "energy": _short(one.doubt.energy)}
            for identity, one in ends.items()
        }
        beyond = sorted(
            (one for one in looked if one.doubt.score > limit and _near_its_end(one, ends.get(one.candidate_id))),
            key=lambda one: -one.doubt.score,
        )
        kept: dict[str, _Looked] = {}
        for one in beyond:
            kept.setdefault(one.candidate_id, one)
        self._ledger.note(
            "doubt",
            round_number,
            {
                "threshold": _short(limit),
                "crystals": doubts,
                "doubtful": [
                    {
                        "id": one.candidate_id,
                        "formula": one.formula,
                        "force": _short(one.doubt.score),
                        "atom": f"{one.crystal.species[one.doubt.worst]} {one.doubt.worst + 1}",
                        "crystal": one.crystal.model_dump(mode="json"),
                        "features": [round(float(x), 4) for x in one.features],
                    }
                    for one in list(kept.values())[:MOST_DOUBTFUL]
                ],
            },
        )

    def _looked(self, round_number: int, configurations: Sequence[tuple[str, Crystal]]) -> list[_Looked]:
        """What is thought of each; one that a potential cannot take, or that is no crystal any more, is left out."""
        doubter, _ = self._doubter(round_number)
        found = []
        pairs = self._pairs([crystal for _, crystal in configurations])
        for (identity, crystal), (output, other) in zip(configurations, pairs, strict=True):
            if isinstance(output, str) or isinstance(other, str) or output.features is None:
                continue
            doubt = doubter.judge(output, other)
            if np.isfinite(doubt.score):
                features = output.features[doubt.worst]
                energy = output.energy / len(crystal)
                found.append(_Looked(identity, reduced_formula(crystal), crystal, energy, doubt, features))
        return found

    # --- labels --------------------------------------------------------------------------------

    def wanted(self, round_number: int, left: int) -> list[Wanted]:
        """Requests for labels: the most doubtful configurations of a round that do not look alike.

        Args:
            round_number: whose.
            left: evaluations that may still be booked. At most half of them become labels: a label is worth what the
                evaluations after it gain by it.
        """
        from ..tools.relax.doubt import spread_out

        rows: dict[str, dict[str, Any]] = {}
        limit = 0.0
        for event in self._ledger.events("doubt"):
            if event["round"] == round_number:
                limit = float(event["threshold"])
                rows |= {row["id"]: row for row in event["doubtful"]}
        found = list(rows.values())
        count = min(max(0, left // 2), self._settings.labels_per_round)
        chosen = spread_out([np.array(row["features"]) for row in found], [row["force"] for row in found], count)
        return [self._request(found[i], limit) for i in chosen]

    @staticmethod
    def _request(row: Mapping[str, Any], limit: float) -> Wanted:
        crystal = Crystal.model_validate(row["crystal"])
        request = EvaluationRequest(
            candidate_id=f"label-{row['id']}-{crystal.digest()[:8]}", crystal=crystal, properties=(), purpose="label"
        )
        why = (
            f"the force on {row['atom']} may be wrong by {row['force']:.2f} eV/Å; labels are asked for from {limit:.2f}"
        )
        return request, row["formula"], {}, why

    # --- learning ------------------------------------------------------------------------------

    def learn(self, round_number: int) -> None:
        """Tune the potential on every label so far; change over to the new version if its held-out error fell.

        A round that was cut off here learns again, unless it came as far as changing over.
        """
        if any(e["round"] == round_number for e in self._ledger.events("learned")):
            return
        outcome = self._outcome(round_number)
        self._ledger.note("learned", round_number, outcome)

    def _outcome(self, round_number: int) -> dict[str, Any]:
        version = active(self._ledger)
        if version.round == round_number:
            return {"version": version.name, "why": "changed over before it was interrupted"}
        if held(self._ledger):
            return {"version": version.name, "why": "a person has fixed the version"}
        labels, fresh = self._labels(round_number)
        outcome: dict[str, Any] = {"labels": len(labels), "new": len(fresh)}
        if not fresh:
            return outcome | {"why": "nothing new to learn from"}
        record = self._judged(round_number, fresh)
        self._keep_record(round_number, record, version)
        sources = {label.source for label in labels}
        if len(sources) < self._settings.min_sources:
            return outcome | {"why": f"labels of {len(sources)} calculations; it takes {self._settings.min_sources}"}
        from ..tools.relax.learning import FineTuning, TuningSettings

        settings = TuningSettings(
            max_seconds=self._settings.max_seconds,
            epochs=self._settings.epochs,
            seed=self._parts.settings.campaign.seed,
        )
        replay = replay_crystals(self._settings.replay, {s for label in labels for s in label.crystal.species})
        rival = self._model(version) if version.file else None
        try:
            tuned, report = FineTuning(self._model(FIRST), labels, replay, settings, rival).run()
        except ToolError as error:
            return outcome | {"why": str(error)}
        outcome |= report.model_dump(mode="json")
        if not report.accepted or report.before is None or report.after is None:
            return outcome
        weights = tuned.save()
        new = Version.made(round_number, weights)
        write_bytes(self._directory / new.file, weights)
        ratio = min(1.0, report.after.force / max(report.before.force, 1e-9))
        self._keep_record(round_number, record.rescaled(ratio), new)
        self._parts.exchange(weights_of(self._directory, new, self._parts.settings.relax.model))
        looked = change_over(self._ledger, self._parts.potential, new, round_number)
        return outcome | {"version": new.name, "looked_at_again": looked}

    def _labels(self, round_number: int) -> tuple[list[Label], list[Label]]:
        """Labels of the campaign up to a round to learn from, and of that round to judge by; what cannot be read is
        noted."""
        labels: list[Label] = []
        fresh: list[Label] = []
        for row in self._ledger.evaluations(states=("DONE", "FAILED_CHARGED")):
            observation = row.observation
            if observation is None or row.request.purpose == "opinion" or row.round > round_number:
                continue
            file = observation.artefacts.get("labels")
            if file is None:
                continue
            try:
                found = read_labels(self._directory / "jobs" / file)
            except ToolError as error:
                self._ledger.note("labels lost", round_number, {"key": row.key, "why": str(error)})
                continue
            labels += _spread(found, LEARNED_OF_EACH)
            if row.round == round_number:
                fresh += _spread(found, JUDGED_OF_EACH)
        return labels, fresh

    def _judged(self, round_number: int, fresh: Sequence[Label]) -> ErrorRecord:
        """The record with what the new labels say of the version in use, which has not seen them."""
        from ..tools.relax.doubt import disagreement

        record = self._doubter(round_number)[0].record
        for label, (output, other) in zip(fresh, self._pairs([label.crystal for label in fresh]), strict=True):
            if not isinstance(output, str) and not isinstance(other, str):
                record.add(output, disagreement(output, other), np.array(label.forces))
        self._judge = None
        return record

    def _keep_record(self, round_number: int, record: ErrorRecord, version: Version) -> None:
        data = record.to_bytes()
        file = f"models/errors-{round_number:05d}-{version.name}.safetensors"
        write_bytes(self._directory / file, data)
        checksum = hashlib.sha256(data).hexdigest()
        noted = {"version": version.name, "file": file, "sha256": checksum, "configurations": record.configurations}
        self._ledger.note("error record", round_number, noted)

    # --- models --------------------------------------------------------------------------------

    def _doubter(self, round_number: int) -> tuple[Doubter, float]:
        """The judge of the version in force, and the threshold (eV/Å) that its record gives."""
        from ..tools.relax.doubt import Doubter

        version = active(self._ledger)
        key = (version.name, round_number)
        if self._judge is None or self._judge[0] != key:
            record = error_record(self._directory, self._ledger, version, round_number)
            doubter = Doubter(record, self._parts.settings.campaign.seed)
            self._judge = (key, doubter, doubter.threshold(self._settings.force_tolerance))
        return self._judge[1], self._judge[2]

    def _model(self, version: Version) -> ChgnetModel:
        from ..tools.relax.chgnet import ChgnetModel

        if version.name not in self._models:
            relax = self._parts.settings.relax
            # Only the newest two are asked for: the original, to tune, and the one in force.
            self._models = {name: model for name, model in self._models.items() if name == ORIGINAL}
            weights = weights_of(self._directory, version, relax.model)
            self._models[version.name] = ChgnetModel(relax.device, weights)
        return self._models[version.name]

    def _pairs(self, crystals: Sequence[Crystal]) -> list[tuple[ModelOutput | str, ModelOutput | str]]:
        """What the version in force and the other member of the committee say of each."""
        from ..tools.relax.models import ask, pieces

        relax = self._parts.settings.relax
        atoms = [to_ase(crystal) for crystal in crystals]
        found: list[tuple[ModelOutput | str, ModelOutput | str]] = []
        for piece in pieces(map(len, crystals), relax.batch_size, relax.max_batch_atoms):
            mine, theirs = (ask(m, atoms[piece]) for m in (self._model(active(self._ledger)), self._committee))
            found += zip(mine, theirs, strict=True)
        return found

    @cached_property
    def _committee(self) -> BatchModel:
        from ..tools.relax.sevennet import SevenNetModel

        return SevenNetModel(self._settings.committee, self._parts.settings.relax.device)


def _near_its_end(one: _Looked, end: _Looked | None) -> bool:
    """Whether a configuration is not far above what its relaxation came to; one without an end is judged by itself."""
    return end is None or one.energy - end.energy <= WORTH_A_LABEL


def _spread(labels: Sequence[Label], count: int) -> list[Label]:
    """So many labels at most, evenly from the first to the last: the steps of a relaxation are alike."""
    places = np.linspace(0, len(labels) - 1, min(count, len(labels)))
    return [labels[round(place)] for place in places]


def _short(value: float) -> float:
    return round(float(value), 5)
