"""Keeps the network's property head across rounds: one file a round, chosen by held-out error.

The head predicts the difference between measured and cheap formation energy (eV/atom) from the embedding and
the composition. What is not here: the head itself (`tools/recognise/head.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import write_bytes

if TYPE_CHECKING:
    import torch

    from ..tools.recognise.head import PropertyHead
    from .knowledge import Knowledge, PoolMember


class HeadKeeper:
    """Loads the newest kept head and writes a better one beside it."""

    def __init__(self, directory: Path, enabled: bool) -> None:
        self._directory = directory
        self._enabled = enabled

    def predict(self, members: list[PoolMember]) -> dict[str, float]:
        """Candidate id to the predicted difference, held out from its own measurement; empty before a head was kept."""
        head = self._load(10**9)
        if head is None or not members:
            return {}
        values = head.predict_held_out(_features(members))
        return {m.candidate.id: float(v) for m, v in zip(members, values, strict=True)}

    def retrain(self, knowledge: Knowledge, round_number: int) -> dict[str, Any]:
        """Fit on what was measured so far; write `head-ROUND.safetensors` only if the held-out error fell."""
        from ..tools.recognise.head import PropertyHead

        done = [m for m in knowledge.training if "formation_energy" in m.values]
        if not self._enabled or not done:
            return {"trained": False, "why": "nothing measured yet" if self._enabled else "switched off"}
        import torch

        head = self._load(round_number - 1) or PropertyHead()
        targets = torch.tensor(
            [m.values["formation_energy"].value - knowledge.cheap[m.id]["formation_energy"] for m in done],
            dtype=torch.float32,
        )
        report = head.fit(_features([m.member for m in done]), targets, seed=knowledge.goal.seed + round_number)
        if report.accepted:
            write_bytes(self._path(round_number), head.to_bytes())
        return {
            "trained": report.trained,
            "accepted": report.accepted,
            "points": len(done),
            "held_out_rmse_before": _rounded(report.held_out_rmse_before),
            "held_out_rmse_after": _rounded(report.held_out_rmse_after),
        }

    def _path(self, round_number: int) -> Path:
        return self._directory / f"head-{round_number:05d}.safetensors"

    def _load(self, last: int) -> PropertyHead | None:
        """The newest kept head of round `last` or earlier."""
        from ..tools.recognise.head import PropertyHead

        kept = sorted(p for p in self._directory.glob("head-*.safetensors") if int(p.stem[5:]) <= last)
        return PropertyHead.from_bytes(kept[-1].read_bytes()) if kept else None


def _features(members: list[PoolMember]) -> torch.Tensor:
    """`n x (e + k)`: embedding beside composition statistics."""
    import torch

    from ..surrogate.features import composition_features

    embeddings = torch.tensor([m.recognition.embedding for m in members], dtype=torch.float32)
    return torch.cat([embeddings, composition_features([m.amounts for m in members]).float()], dim=1)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
