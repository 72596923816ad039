"""A small property head on the embedding, trained on what a campaign measured, and kept only when it is better.

What is not here: the embedding (`network.py`), and when to retrain (`loops/`).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import ToolError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MIN_POINTS = 6
FOLDS = 5
HIDDEN = 16
STEPS = 200
PENALTY = 1.0
"""On the square of every weight, beside the sum of squared errors of standardised targets: strong, for there are
more features than points."""

MAX_BYTES = 4_000_000

_KEYS = ("centre", "scale", "target", "w1", "b1", "w2", "b2")


@dataclass(frozen=True)
class HeadReport:
    """What came of a fit. Errors in the unit of the targets; None where there were too few points."""

    trained: bool
    accepted: bool
    points: int
    held_out_rmse_before: float | None
    held_out_rmse_after: float | None
    reason: str


class PropertyHead:
    """Five members, each one hidden layer from `d` features to a number; they predict by their mean.

    A point's fold is a hash of its features, and member k never learns from fold k. So the member of a point's
    own fold gives a truly held-out prediction of it: in this head, in any later one, whatever was measured between.
    Before the first accepted fit the head predicts zero.
    """

    def __init__(self) -> None:
        self._parameters: dict[str, Tensor] | None = None

    def fit(self, features: Tensor, targets: Tensor, seed: int) -> HeadReport:
        """Train on `n x d` features and `n` targets; keep the result only if its held-out error is lower.

        The error to beat, `held_out_rmse_before`, is that of the present head on the same points, or of
        predicting each point by the mean of the other folds, whichever is smaller. The same points (in any order)
        and seed give the same head, up to rounding.

        Raises ToolError when the shapes do not fit or a number is not finite.
        """
        import torch

        x, y = features.detach().double(), targets.detach().double()
        _check(x, y)
        n = len(y)
        if n < MIN_POINTS:
            return HeadReport(False, False, n, None, None, f"{n} points, at least {MIN_POINTS} are needed")
        folds = _folds(x)
        learn = (folds[None] != torch.arange(FOLDS)[:, None]).double()
        if float(learn.sum(1).min()) < 3:
            return HeadReport(False, False, n, None, None, f"{n} points, too many of them in one fold")
        means = (learn @ y) / learn.sum(1)
        before = _rmse(means[folds], y)
        if self._parameters is not None and self._parameters["centre"].shape[1] == x.shape[1]:
            before = min(before, _rmse(_held_out(self._parameters, x, folds), y))
        new = _train(x, y, learn, seed)
        after = _rmse(_held_out(new, x, folds), y)
        accepted = after < before
        if accepted:
            self._parameters = new
        verdict = "kept" if accepted else "not kept"
        return HeadReport(True, accepted, n, before, after, f"held-out error {before:.4g} to {after:.4g}: {verdict}")

    def predict(self, features: Tensor) -> Tensor:
        """`n x d` features to `n` predictions in the unit of the targets, float64."""
        import torch

        if self._parameters is None:
            return torch.zeros(len(features), dtype=torch.float64)
        width = self._parameters["centre"].shape[1]
        if features.ndim != 2 or features.shape[1] != width:
            raise ToolError(f"Features of shape {tuple(features.shape)}; this head takes n x {width}.", "Fit it anew.")
        return _members(self._parameters, features.detach().double()).mean(0)

    def predict_held_out(self, features: Tensor) -> Tensor:
        """Like `predict`, but each point by the one member that has never seen its fold.

        For a model that learns from the same measurements: the mean of all members would leak them to it.
        """
        import torch

        if self._parameters is None:
            return torch.zeros(len(features), dtype=torch.float64)
        x = features.detach().double()
        return _held_out(self._parameters, x, _folds(x))

    def state(self) -> dict[str, Tensor]:
        """Every parameter by name; empty before the first accepted fit."""
        return {k: v.clone() for k, v in (self._parameters or {}).items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave. Raises ToolError when it is not the state of a head."""
        if state and not _consistent(state):
            raise ToolError("These tensors are not the state of a property head.", "Pass what `state()` gave.")
        self._parameters = {k: v.clone().double() for k, v in state.items()} or None

    def to_bytes(self) -> bytes:
        """The state as safetensors; the same head gives the same bytes."""
        from safetensors.torch import save

        return save({k: v.contiguous() for k, v in self.state().items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> PropertyHead:
        """The head that `to_bytes` wrote. Raises ToolError for anything else."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        if len(data) > MAX_BYTES:
            raise ToolError(f"A property head of {len(data)} bytes; at most {MAX_BYTES} are read.", "Fit it anew.")
        try:
            state = load(data)
        except (SafetensorError, ValueError) as error:
            raise ToolError(f"Not a property head: {error}", "Remove the file; the head is fitted anew.") from error
        head = cls()
        head.load_state(state)
        return head


def _check(x: Tensor, y: Tensor) -> None:
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ToolError(f"Features {tuple(x.shape)} with targets {tuple(y.shape)}.", "n x d and n are expected.")
    if not (bool(x.isfinite().all()) and bool(y.isfinite().all())):
        raise ToolError("A feature or target is not finite.", "Leave out failed measurements before fitting.")


def _folds(x: Tensor) -> Tensor:
    """Each point's fold, from its features alone (rounded, so that the last bits do not matter)."""
    import torch

    rows = [",".join(f"{v:.3f}" for v in row) for row in x.tolist()]
    return torch.tensor([int(hashlib.sha256(r.encode()).hexdigest()[:8], 16) % FOLDS for r in rows])


def _train(x: Tensor, y: Tensor, learn: Tensor, seed: int) -> dict[str, Tensor]:
    """All members at once by full-batch Adam on data standardised for each; `learn` is folds x n, 1 or 0."""
    import torch

    counts = learn.sum(1, keepdim=True)
    centre = learn @ x / counts
    scale = ((learn @ x**2 / counts) - centre**2).clamp(min=0).sqrt()
    scale = torch.where(scale > 1e-6, scale, torch.ones_like(scale))
    middle = learn @ y / counts[:, 0]
    spread = ((learn @ y**2 / counts[:, 0]) - middle**2).clamp(min=1e-18).sqrt()
    generator = torch.Generator().manual_seed(seed)
    d = x.shape[1]
    first = torch.randn(1, d, HIDDEN, generator=generator, dtype=x.dtype).expand(FOLDS, d, HIDDEN) / math.sqrt(d)
    weights = [first.clone(), *(torch.zeros(FOLDS, size, dtype=x.dtype) for size in (HIDDEN, HIDDEN, 1))]
    for w in weights:
        w.requires_grad_(True)
    optimizer = torch.optim.Adam(weights, lr=0.02)
    inputs = (x[None] - centre[:, None]) / scale[:, None]
    wanted = (y[None] - middle[:, None]) / spread[:, None]
    with torch.enable_grad():
        for _ in range(STEPS):
            optimizer.zero_grad()
            misfit = torch.sum(learn * (_layers(inputs, weights) - wanted) ** 2 / counts)
            size = sum((w**2).sum((-2, -1)) if w.ndim == 3 else (w**2).sum(-1) for w in weights)
            (misfit + PENALTY * torch.sum(size / counts[:, 0])).backward()
            optimizer.step()
    values = [centre, scale, torch.stack([middle, spread], dim=1), *(w.detach() for w in weights)]
    return dict(zip(_KEYS, values, strict=True))


def _members(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """`n x d` features to the predictions of every member, folds x n."""
    inputs = (x[None] - parameters["centre"][:, None]) / parameters["scale"][:, None]
    middle, spread = parameters["target"][:, :1], parameters["target"][:, 1:]
    return middle + spread * _layers(inputs, [parameters[k] for k in ("w1", "b1", "w2", "b2")])


def _held_out(parameters: dict[str, Tensor], x: Tensor, folds: Tensor) -> Tensor:
    """Each point as the member predicts it that has never seen its fold."""
    return _members(parameters, x).gather(0, folds[None])[0]


def _layers(x: Tensor, weights: list[Tensor]) -> Tensor:
    import torch

    w1, b1, w2, b2 = weights
    hidden = torch.tanh(x @ w1 + b1[:, None])
    return (hidden * w2[:, None]).sum(-1) + b2


def _rmse(a: Tensor, b: Tensor) -> float:
    return float(((a - b) ** 2).mean().sqrt())


def _consistent(state: dict[str, torch.Tensor]) -> bool:
    if set(state) != set(_KEYS) or state["centre"].ndim != 2:
        return False
    d = state["centre"].shape[1]
    shapes = {"w1": (d, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN,), "b2": (1,), "target": (2,)}
    expected = {k: (FOLDS, *shapes.get(k, (d,))) for k in _KEYS}
    return all(tuple(state[k].shape) == s and bool(state[k].isfinite().all()) for k, s in expected.items())
