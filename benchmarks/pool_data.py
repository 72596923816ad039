"""Tables of real experiments as pools: designs, their measurements, and which end of the scale is wanted."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

MAXIMISE = ("crossed", "p3ht", "autoam", "alkox", "fullerene", "hplc", "suzuki", "dye", "buchwald", "benzene")
"""Parts of the names of files whose target is wanted high; the others are wanted low. A file called `….max.csv` or
`….min.csv` says it itself."""


@dataclass(frozen=True)
class Pool:
    """Designs with one or more measurements each."""

    name: str
    columns: tuple[str, ...]
    designs: np.ndarray
    """`n x d`; float, or object where a column holds text."""
    measurements: tuple[tuple[float, ...], ...]
    maximise: bool

    @cached_property
    def means(self) -> np.ndarray:
        """Mean measurement of each design, `n`."""
        return np.array([math.fsum(m) / len(m) for m in self.measurements])

    @cached_property
    def merit(self) -> np.ndarray:
        """Means with the sign that makes high good, `n`."""
        return self.means if self.maximise else -self.means

    def top(self, share: float) -> frozenset[int]:
        """Rows of the best designs: `share n` rounded down, at least one."""
        count = max(1, int(share * len(self.designs) + 1e-9))
        return frozenset(int(i) for i in np.argsort(-self.merit, kind="stable")[:count])

    def measure(self, row: int, rng: np.random.Generator, noisy: bool) -> float:
        """The mean of a design's measurements, or one of them."""
        return float(rng.choice(self.measurements[row])) if noisy else float(self.means[row])


def load_pools(path: Path) -> list[Pool]:
    """Every CSV file of a folder (or one file); the last column is the target. A first line without a number in the
    last column is a header."""
    files = [path] if path.is_file() else sorted(path.rglob("*.csv"))
    if not files:
        raise SystemExit(f"No CSV file under {path}. Give the folder of the pools with --data.")
    return [_load(file) for file in files]


def _load(file: Path) -> Pool:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = [row for row in csv.reader(lines) if row]
    header = None if _is_number(rows[0][-1]) else rows.pop(0)
    columns = tuple(header[:-1]) if header else tuple(f"x{i + 1}" for i in range(len(rows[0]) - 1))
    texts = [any(not _is_number(row[i]) for row in rows) for i in range(len(columns))]
    measured: dict[tuple[object, ...], list[float]] = {}
    for row in rows:
        design = tuple(value if text else float(value) for value, text in zip(row[:-1], texts, strict=True))
        measured.setdefault(design, []).append(float(row[-1]))
    name = file.stem.removesuffix("_dataset") if file.stem != "data" else file.parent.name.removeprefix("dataset_")
    designs = np.array(list(measured), dtype=object if any(texts) else float)
    name, said, direction = name.rpartition(".") if name.endswith((".max", ".min")) else (name, "", "")
    maximise = direction == "max" if said else any(part in name.lower() for part in MAXIMISE)
    return Pool(name, columns, designs, tuple(tuple(v) for v in measured.values()), maximise)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
