"""Competing phases from the Materials Project, when the user has an API key.

Structures only: their energies there are by another method, so the loop relaxes them with its own potential before
they enter a hull. Answers are foreign data: limited in size and time, and read by hand as plain JSON.

API: https://api.materialsproject.org/docs, collection `materials/summary`. Jain et al., APL Materials 1, 011002 (2013).
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from ..core.errors import ToolError
from ..core.types import MAX_SITES, Crystal

if TYPE_CHECKING:
    import httpx

KEY_VARIABLE = "MP_API_KEY"
ENDPOINT = "https://api.materialsproject.org/materials/summary/"
MAX_BYTES = 8_000_000
MAX_ELEMENTS = 6
"""63 chemical subsystems; more would be a data dump, not a phase diagram."""
PAGE = 100
_ID = re.compile(r"^[a-z]{1,8}-[A-Za-z0-9]{1,16}$")


@dataclass(frozen=True)
class ProjectPhase:
    """One structure from the Materials Project."""

    id: str
    """e.g. `mp-22862`."""
    crystal: Crystal
    energy_above_hull: float
    """eV/atom on the Materials Project's own hull; only for ranking."""


@dataclass(frozen=True)
class ProjectAnswer:
    """Phases found, and what the user should know about how."""

    phases: tuple[ProjectPhase, ...]
    notes: tuple[str, ...]


def fetch_phases(
    elements: Iterable[str],
    api_key: str | None = None,
    max_above_hull: float = 0.05,
    max_phases: int = 60,
    max_atoms: int = 40,
    timeout_s: float = 20.0,
    transport: httpx.BaseTransport | None = None,
) -> ProjectAnswer:
    """Stable and nearly stable phases in a chemical system and all its subsystems.

    Args:
        elements: symbols of the chemical system, at most `MAX_ELEMENTS`.
        api_key: of the Materials Project; by default the environment variable `MP_API_KEY`.
        max_above_hull: eV/atom on the Materials Project's hull.
        max_phases: keep at most so many, the most stable first.
        max_atoms: leave out larger cells.
        timeout_s: for the whole exchange.
        transport: replaces the network (tests).

    Returns:
        Phases and notes. No key, no network, or an answer that cannot be read is a note and no phases.

    Raises:
        ToolError: for no or too many elements.
    """
    import httpx

    symbols = sorted(set(elements))
    if not 1 <= len(symbols) <= MAX_ELEMENTS or not all(re.fullmatch(r"[A-Z][a-z]?", s) for s in symbols):
        raise ToolError(f"Cannot ask for the system {'-'.join(symbols)}.", f"Give 1 to {MAX_ELEMENTS} symbols.")
    key = api_key if api_key is not None else os.environ.get(KEY_VARIABLE, "")
    if not key.strip():
        return ProjectAnswer((), (f"Materials Project not asked: {KEY_VARIABLE} is not set.",))
    if not re.fullmatch(r"[!-~]+", key.strip()):
        return ProjectAnswer((), (f"Materials Project not asked: {KEY_VARIABLE} holds characters that no key has.",))
    systems = ["-".join(c) for n in range(1, len(symbols) + 1) for c in combinations(symbols, n)]
    notes: list[str] = []
    rows: list[Any] = []
    deadline = time.monotonic() + timeout_s
    try:
        with httpx.Client(transport=transport, headers={"X-API-KEY": key.strip(), "Accept": "application/json"}) as web:
            while len(rows) < 10 * max_phases:
                page, total = _read_page(web, systems, max_above_hull, len(rows), deadline)
                rows += page
                if len(page) < PAGE or len(rows) >= total:
                    break
    except (httpx.HTTPError, httpx.InvalidURL, _UnusableAnswerError) as error:
        # The key travels in a header of plain characters: no message of httpx repeats it.
        return ProjectAnswer((), (f"Materials Project gave no phases: {error or type(error).__name__}.",))
    phases, skipped = [], 0
    for row in rows:
        phase = _read_phase(row, set(symbols), max_atoms)
        if phase is None:
            skipped += 1
        else:
            phases.append(phase)
    phases.sort(key=lambda phase: (phase.energy_above_hull, phase.id))
    notes.append(f"Materials Project: {len(phases[:max_phases])} phases of {'-'.join(symbols)} and its subsystems.")
    if skipped:
        notes.append(f"Materials Project: {skipped} left out (more than {max_atoms} atoms, disordered or unreadable).")
    if len(phases) > max_phases:
        notes.append(f"Materials Project: {len(phases) - max_phases} less stable phases left out.")
    return ProjectAnswer(tuple(phases[:max_phases]), tuple(notes))


class _UnusableAnswerError(Exception):
    """The server's answer is too large, too slow, refused, or not what its documentation says."""


def _read_page(
    web: httpx.Client, systems: list[str], max_above_hull: float, skip: int, deadline: float
) -> tuple[list[Any], int]:
    """One page of rows, and how many there are in all."""
    parameters: dict[str, str | int | float] = {
        "chemsys": ",".join(systems),
        "energy_above_hull_max": max_above_hull,
        "deprecated": "false",
        "_fields": "material_id,energy_above_hull,structure",
        "_limit": PAGE,
        "_skip": skip,
    }
    left = deadline - time.monotonic()
    if left <= 0:
        raise _UnusableAnswerError("no answer in time")
    body = bytearray()
    with web.stream("GET", ENDPOINT, params=parameters, timeout=left) as response:
        if response.status_code in {401, 403}:
            raise _UnusableAnswerError(f"the API key was refused (HTTP {response.status_code}); check {KEY_VARIABLE}")
        if response.status_code != 200:
            raise _UnusableAnswerError(f"HTTP {response.status_code}")
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise _UnusableAnswerError(f"the answer is larger than {MAX_BYTES // 1_000_000} MB")
            if time.monotonic() > deadline:
                raise _UnusableAnswerError("the answer took too long")
    try:
        answer = json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise _UnusableAnswerError("the answer is not JSON") from None
    if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list):
        raise _UnusableAnswerError("the answer has no list of data")
    meta = answer.get("meta")
    total = meta.get("total_doc") if isinstance(meta, Mapping) else None
    return answer["data"], total if isinstance(total, int) else skip + len(answer["data"])


def _read_phase(row: Any, symbols: set[str], max_atoms: int) -> ProjectPhase | None:
    """A row as a phase, or None where it is not a small, ordered crystal of these elements."""
    try:
        identity, above = str(row["material_id"]), float(row["energy_above_hull"])
        lattice = np.array(row["structure"]["lattice"]["matrix"], dtype=float)
        sites = row["structure"]["sites"]
        if not 1 <= len(sites) <= min(max_atoms, MAX_SITES) or not _ID.fullmatch(identity):
            return None
        species = [_element(site) for site in sites]
        frac = np.mod(np.array([site["abc"] for site in sites], dtype=float), 1.0)
        if lattice.shape != (3, 3) or frac.shape != (len(sites), 3) or not set(species) <= symbols:
            return None
        if not (np.isfinite(above) and abs(np.linalg.det(lattice)) > 1.0):
            return None
        crystal = Crystal(lattice=lattice.tolist(), species=tuple(species), frac_coords=frac.tolist())
    except (KeyError, TypeError, ValueError, IndexError, ValidationError):
        return None
    return ProjectPhase(identity, crystal, above)


def _element(site: Any) -> str:
    """The one element of a fully occupied site. Raises ValueError otherwise."""
    (species,) = site["species"]
    if float(species["occu"]) != 1.0:
        raise ValueError("partial occupancy")
    return str(species["element"])
