"""Phase identification from powder patterns, beside a search-match: `python -m benchmarks.identification`.

Mixtures of one to three of some 370 known phases, with noise, texture, cells up to 1 % off on each axis, shifts, Kα2
and glass; all phases are candidates, or those of the elements that are in the sample. Phases that no powder pattern
tells apart (`equivalents`) count as one in the column "right", and as two in "exact". Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from lodestone.tools.core.synthesis import Identification, Pattern, Phase
from lodestone.tools.lab.diffraction import judgement
from lodestone.tools.lab.diffraction.equivalents import equivalents
from lodestone.tools.lab.diffraction.identify import identify, search
from lodestone.tools.lab.diffraction.measured import prepare
from lodestone.tools.lab.known_phases import elements_of, library

from .identification_world import Sample, SearchMatch, draw

Floats = NDArray[np.float64]

KINDS = (("one phase", 1, False), ("two phases", 2, False), ("three phases", 3, False), ("one and 5 %", 2, True))
"""Name, number of phases, whether the last is an impurity of 5 % by weight."""
CANDIDATES = ("all", "of the elements")
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0001)


@dataclass(frozen=True)
class Same:
    """Which phases are the same to a powder pattern."""

    of: dict[str, frozenset[str]]

    @classmethod
    def among(cls, phases: Sequence[Phase]) -> Same:
        """Each with itself and its equivalents."""
        groups = {p.id: {p.id} for p in phases}
        for i, j in equivalents(phases):
            groups[phases[i].id].add(phases[j].id)
            groups[phases[j].id].add(phases[i].id)
        return cls({k: frozenset(v) for k, v in groups.items()})

    def match(self, truth: Sequence[str], found: Sequence[str]) -> dict[str, str]:
        """Found ids by true id: the phase itself where it was found, else an equivalent."""
        pairs = {t: t for t in truth if t in found}
        for t in truth:
            free = [f for f in found if f not in pairs.values() and f in self.of[t]]
            if t not in pairs and free:
                pairs[t] = free[0]
        return pairs


@dataclass
class Tally:
    """Results of one kind of sample and one set of candidates."""

    n: int = 0
    exact: int = 0
    right: int = 0
    rival_right: int = 0
    seconds: float = 0.0
    unknown: int = 0


class Errors:
    """Weight fractions, probabilities, glass: gathered over all samples."""

    def __init__(self) -> None:
        self.weights: list[tuple[float, float]] = []
        self.rival_weights: list[float] = []
        self.probabilities: list[tuple[float, bool]] = []
        self.glass: list[tuple[float, float | None]] = []

    def add(self, sample: Sample, result: Identification, pairs: dict[str, str]) -> None:
        """One identification."""
        found = {f.phase_id: f for f in result.phases}
        for phase, fraction in zip(sample.truth, sample.fractions, strict=True):
            if phase.id in pairs and pairs[phase.id] == phase.id:
                f = found[phase.id]
                self.weights.append((f.weight_fraction - fraction, f.uncertainty))
        truth = {p.id for p in sample.truth}
        self.probabilities += [(f.probability, f.phase_id in truth) for f in result.phases]
        self.glass.append((sample.amorphous, result.amorphous_fraction))


def compare(samples: int, seed: int, minutes: float) -> None:
    """Tables of what was found; mixtures of each kind in turn until there are enough of them or time is over."""
    phases = library()
    same = Same.among(phases)
    rival = SearchMatch(phases)
    pairs = sum(len(v) - 1 for v in same.of.values()) // 2
    lonely = [p for p in phases if len(same.of[p.id]) == 1]
    print(f"{len(phases)} phases; {pairs} pairs of them are indistinguishable, {len(lonely)} have no equivalent.\n")
    # So that no pattern pays for the reflections, which are computed once a campaign.
    identify(_blank(), phases)
    errors, within = Errors(), Errors()
    print("| sample | n | candidates | exact | right | search-match right | false unknown | s a pattern |")
    print("|---|---|---|---|---|---|---|---|")
    generators = [np.random.default_rng([seed, n, int(impurity)]) for _, n, impurity in KINDS]
    tallies = {(name, label): Tally() for name, _, _ in KINDS for label in CANDIDATES}
    started = time.monotonic()
    for _ in range(samples):
        if time.monotonic() - started > 60.0 * minutes:
            break
        for (name, n, impurity), rng in zip(KINDS, generators, strict=True):
            sample = draw(phases, n, rng, impurity)
            for label in CANDIDATES:
                elements = None if label == "all" else sample.elements
                gathered = errors if label == "all" else within
                _one(sample, elements, phases, same, rival, tallies[name, label], gathered)
    for (name, label), t in tallies.items():
        print(
            f"| {name} | {t.n} | {label} | {t.exact / t.n:.0%} | {t.right / t.n:.0%} | {t.rival_right / t.n:.0%} "
            f"| {t.unknown / t.n:.0%} | {t.seconds / t.n:.2f} |",
            flush=True,
        )
    _print_errors(errors, within)
    _print_unknown(phases, lonely, samples, seed, minutes)


def _blank() -> Pattern:
    return Pattern(two_theta_deg=tuple(10.0 + 0.1 * i for i in range(801)), counts=(100.0,) * 801)


def _one(
    sample: Sample,
    elements: frozenset[str] | None,
    phases: Sequence[Phase],
    same: Same,
    rival: SearchMatch,
    tally: Tally,
    errors: Errors,
) -> None:
    started = time.process_time()
    result = identify(sample.pattern, phases, elements)
    tally.seconds += time.process_time() - started
    truth, found = [p.id for p in sample.truth], [f.phase_id for f in result.phases]
    pairs = same.match(truth, found)
    tally.n += 1
    tally.exact += set(truth) == set(found)
    tally.right += len(pairs) == len(truth) == len(found)
    tally.unknown += result.unknown_probability > 0.5
    errors.add(sample, result, pairs)
    allowed = [i for i, p in enumerate(phases) if elements is None or elements_of(p) <= elements]
    theirs = rival.identify(sample.pattern, allowed)
    matched = same.match(truth, list(theirs))
    tally.rival_right += len(matched) == len(truth) == len(theirs)
    errors.rival_weights += [theirs[t] - f for t, f in zip(truth, sample.fractions, strict=True) if matched.get(t) == t]


def _print_errors(everything: Errors, within: Errors) -> None:
    print("\n| weight fractions of right phases | n | mean error | within 5 points | within 1 σ | 2 σ | search-match |")
    print("|---|---|---|---|---|---|---|")
    for name, e in (("all candidates", everything), ("of the elements", within)):
        mixed = np.array([(d, s) for d, s in e.weights if s > 0.0])
        off, sigma = np.abs(mixed[:, 0]), mixed[:, 1]
        theirs = np.abs([d for d in e.rival_weights if d != 0.0])
        print(
            f"| {name} | {len(off)} | {off.mean():.3f} | {(off < 0.05).mean():.0%} | {(off < sigma).mean():.0%} "
            f"| {(off < 2 * sigma).mean():.0%} | {theirs.mean():.3f} |"
        )
    pairs = np.array(everything.probabilities + within.probabilities, dtype=float)
    print("\n| probability | phases | mean probability | share that is there |\n|---|---|---|---|")
    gap = 0.0
    for low, high in pairwise(BINS):
        rows = pairs[(pairs[:, 0] >= low) & (pairs[:, 0] < high)]
        if len(rows):
            gap += len(rows) / len(pairs) * abs(rows[:, 0].mean() - rows[:, 1].mean())
            print(
                f"| {low:.2f} to {min(high, 1):.2f} | {len(rows)} | {rows[:, 0].mean():.2f} | {rows[:, 1].mean():.2f} |"
            )
    print(f"\nExpected calibration error {gap:.3f}.")
    glass = [(t, f) for t, f in everything.glass if t > 0.0]
    told = [abs(t - f) for t, f in glass if f is not None]
    false = sum(f is not None for t, f in everything.glass if t == 0.0)
    if told:
        print(
            f"Glass seen in {len(told)} of {len(glass)} samples with 10 to 30 %, mean error {np.mean(told):.3f}; "
            f"in {false} of {len(everything.glass) - len(glass)} without."
        )


def _print_unknown(phases: Sequence[Phase], lonely: Sequence[Phase], samples: int, seed: int, minutes: float) -> None:
    """A phase without equivalent is withheld from the candidates."""
    print("\n| withheld | n | flagged, all candidates | flagged, of the elements |\n|---|---|---|---|")
    names = {p.id for p in lonely}
    for name, n in (("the only phase", 1), ("one of two", 2)):
        rng = np.random.default_rng([seed, 7, n])
        flagged = {"all": 0, "elements": 0}
        done = 0
        started = time.monotonic()
        while done < samples and time.monotonic() - started < 30.0 * minutes:
            sample = draw(phases, n, rng)
            if sample.truth[0].id not in names:
                continue
            done += 1
            rest = [p for p in phases if p.id != sample.truth[0].id]
            flagged["all"] += identify(sample.pattern, rest).unknown_probability > 0.5
            flagged["elements"] += identify(sample.pattern, rest, sample.elements).unknown_probability > 0.5
        print(f"| {name} | {done} | {flagged['all'] / done:.0%} | {flagged['elements'] / done:.0%} |", flush=True)


def calibrate(samples: int, seed: int, minutes: float) -> None:
    """Fit the logistic models of `judgement` to patterns of their own seed; prints numbers to be entered there."""
    started = time.monotonic()
    phases = library()
    same = Same.among(phases)
    rng = np.random.default_rng([seed, 99])
    presence, unknown, rivals = [], [], []
    for k in range(samples):
        if time.monotonic() - started > 60.0 * minutes:
            break
        sample = draw(phases, 1 + k % 3, rng, impurity=k % 4 == 3)
        withheld = sample.truth[0].id if k % 2 else None
        if withheld is not None and len(same.of[withheld]) > 1:
            withheld = None
        allowed = [p for p in phases if p.id != withheld]
        if k % 10:
            allowed = [p for p in allowed if elements_of(p) <= sample.elements]
        data = prepare(sample.pattern)
        found = search(data, allowed)
        left = judgement.unexplained(data, found.fit)
        unknown.append((*judgement.unknown_features(left), withheld is not None))
        truth = {p.id for p in sample.truth}
        alike = frozenset().union(*(same.of[t] for t in truth))
        ids = [allowed[t.index].id for t in found.fit.trials]
        features = judgement.presence_features(np.array(found.gains), judgement.coherence(data, found.fit), left)
        presence += [(*f, i in alike) for f, i in zip(features, ids, strict=True)]
        for i, group in zip(ids, found.rivals, strict=True):
            if i in alike and group:
                worse = np.array([max(r.objective - found.fit.objective, 0.0) for r in group])
                rivals.append((worse, i in truth))
    for name, rows in (("PRESENCE", presence), ("UNKNOWN", unknown)):
        table = np.array(rows, dtype=float)
        weights = _logistic(table[:, :-1], table[:, -1])
        print(
            f"{name} = ({', '.join(f'{w:.2f}' for w in weights)})  # {len(table)} cases, {table[:, -1].mean():.0%} true"
        )
        for row in table[:: max(len(table) // 60, 1)]:
            print("   ", np.round(row, 2).tolist())

    def loss(log_temperature: Floats) -> float:
        total = 0.0
        for worse, true in rivals:
            p = 1.0 / (1.0 + np.exp(-worse / 2.0 / np.exp(log_temperature[0])).sum())
            total -= np.log(max(p if true else 1.0 - p, 1e-9))
        return total

    best = minimize(loss, [0.5], method="Nelder-Mead")
    print(f"RIVAL_TEMPERATURE = {np.exp(best.x[0]):.2f}  # {len(rivals)} phases")


def _logistic(x: Floats, y: Floats) -> Floats:
    """Weights by penalised maximum likelihood."""

    def loss(w: Floats) -> float:
        z = x @ w
        return float((np.logaddexp(0.0, z) - y * z).sum() + 0.02 * (w**2).sum())

    return np.asarray(minimize(loss, np.zeros(x.shape[1]), method="BFGS").x)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.identification", description=__doc__)
    parser.add_argument("--samples", type=int, default=40, help="mixtures of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="of wall time for each table, at most")
    parser.add_argument("--quick", action="store_true", help="six mixtures of each kind")
    parser.add_argument("--calibrate", type=int, metavar="N", help="fit the probabilities to N patterns instead")
    given = parser.parse_args(arguments)
    if given.calibrate:
        calibrate(given.calibrate, given.seed, given.minutes)
    else:
        compare(6 if given.quick else given.samples, given.seed, given.minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
