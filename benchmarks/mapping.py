"""Maps of annealed stripes: how many measurements until a film is known, on simulated reflectance.

`python -m benchmarks.mapping [--seeds 20] [--jobs 1] [--only stripe]`

Two maps, as in SARA's two loops (Ament et al., Sci. Adv. 7, eabg4930 (2021)). `stripe`: one stripe, 151 positions 10 µm
apart. `map`: 17 peaks (400 to 1200 °C) times 9 dwells (0.25 to 10 ms), 151 positions on each.

The world of a seed, all of it hidden from the methods but the temperature profile:

- Across a stripe T(x) = 25 °C + (peak - 25 °C) exp(-(2x/w)²), w(peak, dwell) as fitted for Bi2O3 films and published
  with SARA (SARA.jl, `get_temperature_profile_Bi2O3_2021`): 0.45 to 0.9 mm.
- Two transformations one after the other, amorphous -> A -> B: X = 1 - exp(-(k t)^n) (Avrami, J. Chem. Phys. 8, 212
  (1940)) with k by Arrhenius, t the dwell, at the local peak temperature. Half transformed at 1 ms: 450 to 650 and 800
  to 1000 °C; 1.5 to 3 and 2.5 to 4.5 eV; n 1.5 to 3. Boundaries are 20 to 80 °C wide and move with the dwell.
- Refractive indices: Cauchy's n = a + b / wavelength², and an absorption edge; phases mixed as by Bruggeman (Ann. Phys.
  416, 636 (1935)); the film of 120 to 220 nm shrinks by 1 to 5 % at each transformation.
- Reflectance at normal incidence of film on silicon (Airy's sum; Si: Green, Sol. Energ. Mat. Sol. Cells 92, 1305
  (2008)) at 41 wavelengths from 400 to 800 nm. The signature: 8 coefficients over orthonormal polynomials of these.
- Errors: noise of 0.01 at each wavelength and 1 % of the whole spectrum; each stripe's peak is off by 10 °C, its middle
  by 10 µm, its thickness by 0.5 % (deviations of normal distributions).

Methods. `lodestone`: `StripeMapper`, three positions on each stripe it asks for. `random, same model`: positions drawn
evenly from those not yet measured of the stripe; stripes likewise, three positions on each, or one (every measurement
on a fresh stripe, which nobody can afford); what is learned from them, and how, is the same `StripeMapper`. `random,
plain`: the same draws, but the same process over (peak, logarithm of dwell, position) as they stand, as one would
without the profile. `uncertainty, plain`: that process, measuring wherever its total variance is largest, on any
stripe. `evenly spaced`: n positions from end to end, straight lines between them (one stripe only).

R² = 1 - sum |truth - mean|² / sum |truth - mean truth|², over all coefficients, and all positions of the stripe as it
was annealed, or every fifth of all stripes annealed without errors. A map is known when R² first reaches 0.9; looked at
after every measurement up to 30, then at every 10 %; given up at 100 (one stripe) or 120 measurements (map). `ratio`:
of the medians, over lodestone's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch

from lodestone.surrogate.mapping import GaussianProfile, Stripe, StripeMapper
from lodestone.surrogate.mapping_process import SignatureProcess, fit_signatures

ENOUGH, PER_STRIPE, WITHIN = 0.9, 3, 15
CAPS = {"stripe": 100, "map": 120}
POSITIONS = np.linspace(-0.75, 0.75, 151)
STRIPES = [Stripe(peak, 10**dwell) for peak in np.arange(400.0, 1201.0, 50.0) for dwell in np.linspace(2.4, 4.0, 9)]
HELD_OUT = slice(None, None, 5)

WAVELENGTHS = np.linspace(0.4, 0.8, 41)
SILICON = np.array([  # micrometres, n, k
    [0.40, 5.613, 0.296], [0.42, 5.119, 0.176], [0.44, 4.812, 0.107], [0.46, 4.587, 0.0714], [0.48, 4.419, 0.0550],
    [0.50, 4.294, 0.0442], [0.55, 4.077, 0.0280], [0.60, 3.940, 0.0199], [0.65, 3.844, 0.0144], [0.70, 3.772, 0.0105],
    [0.75, 3.717, 0.0078], [0.80, 3.675, 0.0054],
])  # fmt: skip
SUBSTRATE = np.interp(WAVELENGTHS, SILICON[:, 0], SILICON[:, 1]) + 1j * np.interp(
    WAVELENGTHS, SILICON[:, 0], SILICON[:, 2]
)
BASIS = np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1, 1, len(WAVELENGTHS)), 7))[0]
BOLTZMANN = 8.617333e-5

Told = list[tuple[Stripe, float, np.ndarray]]
Recall = Callable[[Told, list[Stripe], np.ndarray], np.ndarray]
"""What a method believes of positions on stripes, after what it was told."""


def width(stripe: Stripe) -> float:
    """Of the temperature profile, in mm."""
    t, d = stripe.peak, np.log10(stripe.dwell)
    micrometres = 1607.42002 - 1.46900821 * t - 206.060111 * d + 0.305703021 * d * t + 329.193895 * d**4 / t
    micrometres += (
        -1.23361265e13 / d**8 / t**3 + 10.9165256 * t / d**3 - 16954.7934 / d**4 - 1.42207444e-4 * t**3 / d**8
    )
    return float(micrometres) / 1000


PROFILE = GaussianProfile(width)


@dataclass(frozen=True)
class Film:
    """What a seed decides of a film's nature."""

    half: tuple[float, float]
    """Temperatures (K) at which 1 ms transforms one half."""
    energies: tuple[float, float]
    orders: tuple[float, float]
    indices: tuple[np.ndarray, ...]
    """Of amorphous, A and B at the wavelengths."""
    thickness: float
    shrinks: tuple[float, float]

    @staticmethod
    def drawn(rng: np.random.Generator) -> Film:
        """One of many that could be."""

        def pair(*limits: float) -> tuple[float, float]:
            return float(rng.uniform(limits[0], limits[1])), float(rng.uniform(limits[-2], limits[-1]))

        def index(low: float, high: float) -> np.ndarray:
            edge = 1 + np.exp(-(1.23984 / WAVELENGTHS - rng.uniform(2.6, 3.4)) / rng.uniform(0.08, 0.2))
            n = rng.uniform(low, high) + rng.uniform(0.01, 0.04) / WAVELENGTHS**2
            return n + 1j * rng.uniform(0.05, 0.3) / edge

        return Film(
            half=pair(723.15, 923.15, 1073.15, 1273.15), energies=pair(1.5, 3.0, 2.5, 4.5), orders=pair(1.5, 3.0),
            indices=(index(1.9, 2.2), index(2.15, 2.45), index(2.4, 2.7)), thickness=float(rng.uniform(0.12, 0.22)),
            shrinks=pair(0.01, 0.05),
        )  # fmt: skip

    def shares(self, temperatures: np.ndarray, dwell: float) -> np.ndarray:
        """Volume shares `n x 3` of amorphous, A and B."""
        done = []
        for half, energy, order in zip(self.half, self.energies, self.orders, strict=True):
            rate = -energy / BOLTZMANN * (1 / (temperatures + 273.15) - 1 / half) + np.log(dwell / 1000)
            done.append(1 - np.exp(-np.log(2) * np.exp(np.clip(order * rate, -50, 10))))
        first, second = done
        return np.stack([1 - first, first * (1 - second), first * second], -1)

    def signature(self, stripe: Stripe, positions: np.ndarray, off: np.ndarray | None = None) -> np.ndarray:
        """Without noise; `n x 8`.

        Args:
            stripe: as meant.
            positions: `n`, in mm.
            off: errors of peak (°C), of the middle (mm), and of the thickness (a part of it).
        """
        peak, middle, thicker = np.zeros(3) if off is None else off
        temperatures = PROFILE(stripe, positions - middle)
        temperatures += peak * (temperatures - PROFILE.room) / (stripe.peak - PROFILE.room)
        shares = self.shares(temperatures, stripe.dwell)
        epsilons = [(shares[:, i, None], self.indices[i] ** 2) for i in range(3)]
        mixed = sum(share * epsilon for share, epsilon in epsilons)
        for _ in range(30):
            # Bruggeman's equation sum of share (e - mixed) / (e + 2 mixed) = 0, solved for the mixed in its numerator.
            weights = [share / (epsilon + 2 * mixed) for share, epsilon in epsilons]
            mixed = sum(w * epsilon for w, (_, epsilon) in zip(weights, epsilons, strict=True)) / sum(weights)
        n = np.sqrt(mixed)
        a, b = shares[:, 1:2], shares[:, 2:]
        thickness = self.thickness * (1 + thicker) * (1 - self.shrinks[0] * (a + b) - self.shrinks[1] * b)
        turn = np.exp(4j * np.pi * n * thickness / WAVELENGTHS)
        top, bottom = (1 - n) / (1 + n), (n - SUBSTRATE) / (n + SUBSTRATE)
        return np.abs((top + bottom * turn) / (1 + top * bottom * turn)) ** 2 @ BASIS


class Laboratory:
    """Anneals stripes, each with errors of its own, and measures positions."""

    def __init__(self, seed: int) -> None:
        self.film = Film.drawn(np.random.default_rng([seed, 1]))
        self._seed = seed
        self._rng = np.random.default_rng([seed, 2])

    def annealed(self, stripe: Stripe) -> np.ndarray:
        """Signatures along it, without noise; `151 x 8`. The same for all methods."""
        rng = np.random.default_rng([self._seed, 3, round(stripe.peak), round(stripe.dwell)])
        return self.film.signature(stripe, POSITIONS, rng.normal(0, [10.0, 0.01, 0.005]))

    def measure(self, stripe: Stripe, at: int) -> np.ndarray:
        """One measurement with noise."""
        clean = self.annealed(stripe)[at] * (1 + self._rng.normal(0, 0.01))
        return clean + self._rng.normal(0, 0.01, len(WAVELENGTHS)) @ BASIS


def mapper(stripes: list[Stripe], told: Told) -> StripeMapper:
    """With everything told."""
    made = StripeMapper(PROFILE, stripes, POSITIONS.tolist())
    for stripe, position, signature in told:
        made.tell(stripe, [position], [signature.tolist()])
    return made


def plain(stripe: Stripe, positions: np.ndarray) -> np.ndarray:
    """Peak, dwell and position, each scaled over the map; `n x 3`."""
    peak, dwell = (stripe.peak - 400) / 800, (np.log10(stripe.dwell) - 2.4) / 1.6
    return np.column_stack([np.full(len(positions), peak), np.full(len(positions), dwell), positions / 1.5 + 0.5])


def plain_process(told: Told) -> SignatureProcess:
    """The same process, without physics."""
    x = np.concatenate([plain(stripe, np.array([position])) for stripe, position, _ in told])
    return fit_signatures(x, np.stack([signature for *_, signature in told]), 0)


def recall_by_mapper(told: Told, stripes: list[Stripe], positions: np.ndarray) -> np.ndarray:
    made = mapper(stripes, told)
    return np.concatenate([made.predict(s, positions.tolist()).mean for s in stripes])


def recall_plain(told: Told, stripes: list[Stripe], positions: np.ndarray) -> np.ndarray:
    return plain_process(told).moments(np.concatenate([plain(s, positions) for s in stripes]))[0]


def recall_by_lines(told: Told, _stripes: list[Stripe], positions: np.ndarray) -> np.ndarray:
    at, y = np.array([p for _, p, _ in told]), np.stack([signature for *_, signature in told])
    return np.column_stack([np.interp(positions, at, column) for column in y.T])


def by_lodestone(laboratory: Laboratory, stripes: list[Stripe]) -> Iterator[Told]:
    made, told = StripeMapper(PROFILE, stripes, POSITIONS.tolist()), []
    while True:
        # A single stripe is annealed once and measured on.
        (stripe,) = stripes if len(stripes) == 1 else made.ask_stripes()
        for _ in range(PER_STRIPE):
            (position,) = made.ask_positions(stripe)
            signature = laboratory.measure(stripe, int(np.abs(POSITIONS - position).argmin()))
            made.tell(stripe, [position], [signature.tolist()])
            told.append((stripe, position, signature))
            yield told


def by_chance(laboratory: Laboratory, stripes: list[Stripe], each: int, seed: int) -> Iterator[Told]:
    rng, told = np.random.default_rng([seed, 4]), []
    while True:
        for s in rng.permutation(len(stripes)):
            for at in rng.permutation(len(POSITIONS))[: each if len(stripes) > 1 else None]:
                told.append((stripes[s], float(POSITIONS[at]), laboratory.measure(stripes[s], int(at))))
                yield told


def by_plain_uncertainty(laboratory: Laboratory, stripes: list[Stripe]) -> Iterator[Told]:
    """Begins in the middle; every fifth position of a map is looked at, every one of a single stripe. Fitted anew after
    as many measurements as lodestone does on a stripe (after each on a single one), each believed meanwhile."""
    looked = np.arange(len(POSITIONS)) if len(stripes) == 1 else np.arange(len(POSITIONS))[HELD_OUT]
    places = [(s, int(at)) for s in stripes for at in looked]
    x = np.concatenate([plain(s, POSITIONS[looked]) for s in stripes])
    told: Told = []
    best = int(np.square(x - 0.5).sum(1).argmin())
    process: SignatureProcess | None = None
    while True:
        stripe, at = places[best]
        told.append((stripe, float(POSITIONS[at]), laboratory.measure(stripe, at)))
        yield told
        if process is None or len(stripes) == 1 or len(told) % PER_STRIPE == 0:
            process = plain_process(told).scouts()
        else:
            process = process.believe(x[best : best + 1])
        best = int(process.moments(x)[1].sum(1).argmax())


def evenly(laboratory: Laboratory, stripes: list[Stripe]) -> Iterator[Told]:
    count = 1
    while True:
        count += 1
        places = np.linspace(0, len(POSITIONS) - 1, count).round().astype(int)
        yield [(stripes[0], float(POSITIONS[at]), laboratory.measure(stripes[0], int(at))) for at in places]


@dataclass(frozen=True)
class Run:
    """Of one method on one film."""

    measurements: float
    """Until R² reached 0.9; infinite where it did not."""
    stripes: float
    early: float
    """Best R² within 15 measurements."""


def follow(path: Iterator[Told], recall: Recall, stripes: list[Stripe], truth: np.ndarray, cap: int) -> Run:
    """One method until its map is known, or `cap` measurements were made."""
    positions = POSITIONS if len(stripes) == 1 else POSITIONS[HELD_OUT]
    scatter = np.square(truth - truth.mean(0)).sum()
    early, reached, following = -np.inf, (np.inf, np.inf), 2
    for told in path:
        count = len(told)
        if count < following:
            continue
        following = min(count + (count // 10 if count >= 30 else 1), max(cap, count + 1))
        score = 1 - np.square(truth - recall(told, stripes, positions)).sum() / scatter
        early = max(early, score) if count <= WITHIN else early
        if score >= ENOUGH and np.isinf(reached[0]):
            reached = (count, len({s for s, *_ in told}))
        if count >= cap or (count >= WITHIN and np.isfinite(reached[0])):
            break
    return Run(*reached, early)


def stripe_runs(seed: int) -> dict[str, Run]:
    """One stripe of one film."""
    rng = np.random.default_rng([seed, 5])
    stripes = [Stripe(round(float(rng.uniform(700, 1200))), round(float(10 ** rng.uniform(2.4, 4.0))))]

    def run(path: Callable[[Laboratory], Iterator[Told]], recall: Recall) -> Run:
        laboratory = Laboratory(seed)
        return follow(path(laboratory), recall, stripes, laboratory.annealed(stripes[0]), CAPS["stripe"])

    return {
        "lodestone": run(lambda lab: by_lodestone(lab, stripes), recall_by_mapper),
        "random, same model": run(lambda lab: by_chance(lab, stripes, 0, seed), recall_by_mapper),
        "random, plain": run(lambda lab: by_chance(lab, stripes, 0, seed), recall_plain),
        "uncertainty, plain": run(lambda lab: by_plain_uncertainty(lab, stripes), recall_plain),
        "evenly spaced": run(lambda lab: evenly(lab, stripes), recall_by_lines),
    }


def map_runs(seed: int) -> dict[str, Run]:
    """All stripes of one film."""
    film = Laboratory(seed).film
    truth = np.concatenate([film.signature(s, POSITIONS[HELD_OUT]) for s in STRIPES])

    def run(path: Callable[[Laboratory], Iterator[Told]], recall: Recall) -> Run:
        return follow(path(Laboratory(seed)), recall, STRIPES, truth, CAPS["map"])

    return {
        "lodestone": run(lambda lab: by_lodestone(lab, STRIPES), recall_by_mapper),
        "random, same model": run(lambda lab: by_chance(lab, STRIPES, PER_STRIPE, seed), recall_by_mapper),
        "random, same model, one a stripe": run(lambda lab: by_chance(lab, STRIPES, 1, seed), recall_by_mapper),
        "random, plain": run(lambda lab: by_chance(lab, STRIPES, PER_STRIPE, seed), recall_plain),
        "uncertainty, plain": run(lambda lab: by_plain_uncertainty(lab, STRIPES), recall_plain),
    }


def table(name: str, runs: list[dict[str, Run]]) -> None:
    """Print one row a method."""
    print(
        f"\n| {name}: method | R² ≥ 0.9 within 15 | measurements: median | 90th percentile | stripes: median "
        "| ratio to lodestone | R² by 15: median |\n|---|---|---|---|---|---|---|"
    )
    ours = float(np.quantile([r["lodestone"].measurements for r in runs], 0.5, method="higher"))
    for method in runs[0]:
        own = [r[method] for r in runs]
        counts = [r.measurements for r in own]
        middle, high = (float(np.quantile(counts, q, method="higher")) for q in (0.5, 0.9))
        stripes = float(np.quantile([r.stripes for r in own], 0.5, method="higher"))
        cells = [f"> {CAPS[name]}" if np.isinf(x) else f"{x:g}" for x in (middle, high)]
        cells.append("–" if np.isinf(stripes) else f"{stripes:g}")
        ratio = f"> {CAPS[name] / ours:.1f}" if np.isinf(middle) else f"{middle / ours:.1f}"
        within, early = sum(c <= WITHIN for c in counts), float(np.median([r.early for r in own]))
        print(f"| {method} | {within}/{len(own)} | {' | '.join(cells)} | {ratio} | {early:.2f} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--only", choices=("stripe", "map"), help="one of the two")
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for name, runs in (("stripe", stripe_runs), ("map", map_runs)):
            if args.only not in (None, name):
                continue
            table(name, list(pool.map(runs, range(args.seeds))))


if __name__ == "__main__":
    main()
