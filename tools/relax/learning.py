"""Teaching CHGNet what a better code said: fine-tuning on labels, with replay, kept only where held-out errors fall.

Three things keep a small number of labels from ruining a universal potential (for what befalls one without them see
Focassio et al., ACS Appl. Mater. Interfaces 17, 13111 (2024); Deng et al., npj Comput. Mater. 11, 9 (2025)):

* Labels are moved onto the potential's own scale of energies first, by one shift an element (ridge regression). What
  is left is what the potential gets wrong, and energies of former crystals stay comparable.
* Replay: in each step some crystals are shown with the energies, forces and stresses that the potential gave before,
  so that what it knew of others stays (rehearsal with pseudo-labels: Robins, Connect. Sci. 7, 123 (1995)).
* Labels of some sources are held out for the verdict and looked at once, before and after. Others, of the sources that
  are learned from, say when to stop: the weights of their lowest error are the result. One set for both would make
  the best of many epochs look like a gain where there is none.

What is not here: which configurations deserve a label (`doubt.py`), and which version a campaign uses (`loops/`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ToolError
from ..core.labels import Label
from ..core.structure import to_ase
from ..core.types import Crystal, Frozen, sha256
from .chgnet import ChgnetModel
from .models import ModelOutput, ask

if TYPE_CHECKING:
    import torch

SHIFT_RIDGE = 1e-3
"""Of the ridge regression for the shifts: elements that occur only together share a shift between them."""


@dataclass(frozen=True)
class TuningSettings:
    """How long, how fast, and what counts."""

    max_seconds: float = 1500.0
    """Wall time; the best weights so far are the result when it is over."""
    epochs: int = 100
    patience: int = 12
    """Epochs without a lower error on the stopping labels after which it ends."""
    batch_atoms: int = 160
    """Atoms of the labels in one step."""
    learning_rate: float = 1e-3
    """Of Adam, at the start; it falls by a cosine over time."""
    energy_weight: float = 1.0
    """Of an error of 10 meV/atom, against one of `force_weight` times 0.1 eV/Å."""
    force_weight: float = 1.0
    stress_weight: float = 0.1
    """Of an error of 1 GPa."""
    averaging: float = 0.99
    """Part of the running mean of the weights that a step leaves in place; the mean is what is judged and kept. 0: the
    weights themselves. It takes out the noise of small batches (Polyak & Juditsky, SIAM J. Control Optim. 30, 838
    (1992))."""
    replay_share: float = 0.3
    """Atoms of replay for each atom of labels in a step."""
    held_out: float = 0.15
    """Share of the sources that is held out for the verdict, at least one; and of the rest, that says when to stop."""
    seed: int = 0
    """Of the order in which labels are shown."""

    def __post_init__(self) -> None:
        for name in ("max_seconds", "epochs", "patience", "batch_atoms", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ToolError(f"Tuning setting {name} is {getattr(self, name)}.", "Give a positive number.")
        if not 0.0 <= self.averaging < 1.0:
            raise ToolError(f"averaging is {self.averaging}.", "Give a share from 0 on, below 1.")
        if not 0.0 < self.held_out < 1.0:
            raise ToolError(f"held_out is {self.held_out}.", "Give a share between 0 and 1.")


class Errors(Frozen):
    """Mean absolute errors of a model on labels, after their shifts."""

    energy: float
    """eV/atom."""
    force: float
    """eV/Å, of a component."""
    stress: float | None = None
    """GPa, of a component; None where no label has a stress."""

    @property
    def score(self) -> float:
        """One number to compare by: a meV/atom weighs as much as 10 meV/Å, the published ratio of the two errors
        (Zuo et al., J. Phys. Chem. A 124, 731 (2020))."""
        return self.energy + 0.1 * self.force


class TuningReport(Frozen):
    """What came of a fine-tuning."""

    accepted: bool
    """Whether the held-out error fell."""
    reason: str
    before: Errors | None = None
    """On the held-out labels."""
    after: Errors | None = None
    shifts: dict[str, float] = {}
    """Element to the shift in eV/atom between the labels' scale and that of the potential, after it."""
    trained: int = 0
    stopping: int = 0
    held_out: int = 0
    """Labels of each kind."""
    epochs: int = 0
    seconds: float = 0.0


def fit_shifts(labels: Sequence[Label], energies: Sequence[float]) -> dict[str, float]:
    """Shift of each element, eV/atom, between the labels' energies and a model's (eV for the cells).

    The labels' energies minus `sum(shift * count)` are on the model's scale as well as a sum over elements can bring
    them there. Each label counts by its number of atoms once.
    """
    elements = sorted({s for label in labels for s in label.crystal.species})
    counts = np.array([[label.crystal.species.count(e) for e in elements] for label in labels], dtype=float)
    sizes = counts.sum(axis=1, keepdims=True)
    rows = counts / sizes
    target = np.array([label.energy for label in labels]) / sizes[:, 0] - np.asarray(energies, float) / sizes[:, 0]
    mean = float(target.mean())
    gram = rows.T @ rows + SHIFT_RIDGE * np.eye(len(elements))
    found = np.linalg.solve(gram, rows.T @ (target - mean)) + mean
    return dict(zip(elements, found.tolist(), strict=True))


def shifted(label: Label, shifts: dict[str, float]) -> float:
    """The label's energy, eV for the cell, on the model's scale. An element without a shift has none."""
    return label.energy - sum(shifts.get(s, 0.0) for s in label.crystal.species)


def errors_of(model: ChgnetModel, labels: Sequence[Label], shifts: dict[str, float]) -> Errors:
    """Mean absolute errors of a model on some labels. Raises ToolError where it cannot take one of them."""
    outputs = outputs_of(model, [label.crystal for label in labels])
    return _errors(outputs, labels, shifts)


def outputs_of(model: ChgnetModel, crystals: Sequence[Crystal], at_once: int = 8) -> list[ModelOutput]:
    """What the model says of each crystal. Raises ToolError where it cannot take one of them."""
    found: list[ModelOutput] = []
    for start in range(0, len(crystals), at_once):
        for output in ask(model, [to_ase(c) for c in crystals[start : start + at_once]]):
            if isinstance(output, str):
                raise ToolError(f"Configuration {len(found)}: {output}.", "Leave it out.")
            found.append(output)
    return found


def _errors(outputs: Sequence[ModelOutput], labels: Sequence[Label], shifts: dict[str, float]) -> Errors:
    from ..core.units import GPA_PER_EV_A3

    energy = [abs(o.energy - shifted(la, shifts)) / len(la.crystal) for o, la in zip(outputs, labels, strict=True)]
    force = [np.abs(o.forces - np.array(la.forces)).ravel() for o, la in zip(outputs, labels, strict=True)]
    stress = [
        np.abs(o.stress - np.array(la.stress)).ravel() * GPA_PER_EV_A3
        for o, la in zip(outputs, labels, strict=True)
        if la.stress is not None
    ]
    return Errors(
        energy=float(np.mean(energy)),
        force=float(np.concatenate(force).mean()),
        stress=float(np.concatenate(stress).mean()) if stress else None,
    )


def split_sources(labels: Sequence[Label], share: float, salt: str = "") -> tuple[list[int], list[int]]:
    """Indices of the labels to learn from and of those held out; a source goes to one side as a whole.

    Another `salt` gives another, independent split.

    The digest of its name decides, so that a source which one version learned from is never held out from a later one.
    There is at least one of each where there are two sources; the one of the lowest digest is held out then.
    """
    places = {source: int(sha256(salt + source)[:12], 16) / 16**12 for source in {label.source for label in labels}}
    lowest = min(places, key=lambda source: (places[source], source))
    out = {source for source, place in places.items() if place < share or source == lowest}
    if len(out) == len(places):
        out = {lowest}
    held = [i for i, label in enumerate(labels) if label.source in out]
    return [i for i, label in enumerate(labels) if label.source not in out], held


def _sources(labels: Sequence[Label]) -> int:
    return len({label.source for label in labels})


@dataclass
class _Sample:
    """A configuration ready for the network."""

    graph: Any
    energy: float
    forces: torch.Tensor
    stress: torch.Tensor | None

    @property
    def atoms(self) -> int:
        return len(self.forces)


class FineTuning:
    """One fine-tuning of one potential.

    Args:
        base: the potential to start from; it stays as it is.
        labels: what it is to learn.
        replay: crystals of which it must not change its mind.
        rival: the version in use, where that is not `base`: its held-out error is the one to beat.
        settings: how long and how fast.

    Raises:
        ToolError: fewer than two sources, or a configuration that the potential cannot take.
    """

    def __init__(
        self,
        base: ChgnetModel,
        labels: Sequence[Label],
        replay: Sequence[Crystal] = (),
        settings: TuningSettings | None = None,
        rival: ChgnetModel | None = None,
    ) -> None:
        self.settings = settings or TuningSettings()
        if _sources(labels) < 2:
            raise ToolError(
                f"{len(labels)} labels of one source cannot be learned: none could be held out.",
                "Give labels of two sources at least.",
            )
        self._base = base
        self._rival = rival
        train, held = split_sources(labels, self.settings.held_out)
        known = [labels[i] for i in train]
        learned, stopping = split_sources(known, self.settings.held_out, "stop") if _sources(known) > 1 else (train, [])
        self._learned = [known[i] for i in learned] if stopping else known
        self._stopping = [known[i] for i in stopping] or known
        self._held = [labels[i] for i in held]
        outputs = outputs_of(base, [label.crystal for label in self._learned])
        self.shifts = fit_shifts(self._learned, [o.energy for o in outputs])
        self._replay = list(replay)

    def run(self, told: Callable[[int, Errors], None] | None = None) -> tuple[ChgnetModel, TuningReport]:
        """The tuned potential and the report; where nothing was gained, `base` as it was.

        Args:
            told: called after each epoch with its number and the errors that say when to stop.
        """
        import torch

        settings, began = self.settings, time.monotonic()
        model = self._base.copy()
        before = self._errors_before()
        samples = [self._sample(la.crystal, shifted(la, self.shifts), la.forces, la.stress) for la in self._learned]
        replay = [
            self._sample(c, o.energy, o.forces, o.stress)
            for c, o in zip(self._replay, outputs_of(self._base, self._replay), strict=True)
        ]
        rng = np.random.default_rng(settings.seed)
        optimizer = torch.optim.Adam(model.trainable(), lr=settings.learning_rate)
        mean = _RunningMean(model, settings.averaging)
        best, lowest, since, epoch = model.weights(), errors_of(model, self._stopping, self.shifts), 0, 0
        while epoch < settings.epochs and since < settings.patience and self._share_of_time(began) < 1.0:
            done = max(epoch / settings.epochs, self._share_of_time(began))
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * done)))
            for batch in _batches(samples, settings.batch_atoms, rng):
                again = _some(replay, settings.replay_share * sum(s.atoms for s in batch), rng)
                self._step(model, optimizer, [*batch, *again])
                mean.follow()
                if self._share_of_time(began) >= 1.0:
                    break
            epoch += 1
            with mean.in_place():
                now = errors_of(model, self._stopping, self.shifts)
                if np.isfinite(now.score) and now.score < lowest.score:
                    best, lowest, since = model.weights(), now, -1
            if told is not None:
                told(epoch, now)
            since += 1
        model.restore(best)
        energies = [o.energy for o in outputs_of(model, [la.crystal for la in self._learned])]
        shifts = fit_shifts(self._learned, energies)
        after = errors_of(model, self._held, shifts)
        accepted = after.score < before.score
        reason = "the held-out error fell" if accepted else "the held-out error did not fall"
        return model, TuningReport(
            accepted=accepted,
            reason=reason,
            before=before,
            after=after,
            shifts=shifts,
            trained=len(self._learned),
            stopping=len(self._stopping) if self._stopping is not self._learned else 0,
            held_out=len(self._held),
            epochs=epoch,
            seconds=time.monotonic() - began,
        )

    def _errors_before(self) -> Errors:
        """Held-out errors of the version in use, with shifts of its own, which is the best that can be said for it."""
        if self._rival is None:
            return errors_of(self._base, self._held, self.shifts)
        energies = [o.energy for o in outputs_of(self._rival, [label.crystal for label in self._learned])]
        return errors_of(self._rival, self._held, fit_shifts(self._learned, energies))

    def _share_of_time(self, began: float) -> float:
        return (time.monotonic() - began) / self.settings.max_seconds

    def _sample(self, crystal: Crystal, energy: float, forces: Any, stress: Any) -> _Sample:
        import torch

        from ..core.units import GPA_PER_EV_A3

        graph = self._base.graph(to_ase(crystal))
        if isinstance(graph, str):
            raise ToolError(f"A label cannot be learned: {graph}.", "Leave it out.")
        return _Sample(
            graph=graph,
            energy=energy / len(crystal),
            forces=torch.tensor(np.array(forces), dtype=torch.float32),
            stress=None if stress is None else torch.tensor(np.array(stress) * GPA_PER_EV_A3, dtype=torch.float32),
        )

    def _step(self, model: ChgnetModel, optimizer: Any, batch: list[_Sample]) -> None:
        """One step of the optimiser. Huber losses, as CHGNet was trained with: a bad label pulls no harder than its
        size."""
        import torch
        from torch.nn.functional import huber_loss

        settings = self.settings
        with_stress = settings.stress_weight > 0 and any(s.stress is not None for s in batch)
        energies, forces, stresses = model.differentiable([s.graph for s in batch], with_stress)
        target = torch.tensor([s.energy for s in batch], dtype=torch.float32, device=energies.device)
        loss = settings.energy_weight * huber_loss(energies / 0.01, target / 0.01)
        wanted = torch.cat([s.forces for s in batch]).to(energies.device)
        loss = loss + settings.force_weight * huber_loss(torch.cat(forces) / 0.1, wanted / 0.1)
        pairs = [(p, s.stress.to(p.device)) for p, s in zip(stresses, batch, strict=False) if s.stress is not None]
        if pairs:
            loss = loss + settings.stress_weight * huber_loss(
                torch.stack([p for p, _ in pairs]), torch.stack([t for _, t in pairs])
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.trainable(), 10.0)
        optimizer.step()


class _RunningMean:
    """The running mean of the weights of a model that is being fitted."""

    def __init__(self, model: ChgnetModel, kept: float) -> None:
        self._weights = model.trainable()
        self._mean = [w.detach().clone() for w in self._weights]
        self._kept = kept
        self._steps = 0

    def follow(self) -> None:
        """Take in the weights after a step; the first steps count more, so that the start is soon forgotten."""
        import torch

        self._steps += 1
        kept = min(self._kept, self._steps / (10 + self._steps)) if self._kept else 0.0
        with torch.no_grad():
            for mean, weight in zip(self._mean, self._weights, strict=True):
                mean.lerp_(weight, 1.0 - kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the mean as its weights."""
        import torch

        own = [w.detach().clone() for w in self._weights]
        with torch.no_grad():
            for weight, mean in zip(self._weights, self._mean, strict=True):
                weight.copy_(mean)
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, value in zip(self._weights, own, strict=True):
                    weight.copy_(value)


def _batches(samples: list[_Sample], atoms: int, rng: np.random.Generator) -> list[list[_Sample]]:
    """All samples in a new order, in batches of about so many atoms."""
    found: list[list[_Sample]] = [[]]
    for i in rng.permutation(len(samples)):
        if found[-1] and sum(s.atoms for s in found[-1]) + samples[i].atoms > atoms:
            found.append([])
        found[-1].append(samples[i])
    return found


def _some(samples: list[_Sample], atoms: float, rng: np.random.Generator) -> list[_Sample]:
    """Drawn at random until there are so many atoms."""
    found: list[_Sample] = []
    while samples and sum(s.atoms for s in found) < atoms:
        found.append(samples[rng.integers(len(samples))])
    return found
