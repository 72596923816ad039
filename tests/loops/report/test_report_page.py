"""The report: one file, no network, nothing in it executed, and the same crystals out of every export."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import ase.db
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.loops.record import CampaignRecord
from lodestone.loops.report.discovery import discover, random_best
from lodestone.loops.report.export import export
from lodestone.loops.report.page import write_report
from lodestone.loops.report.text import summary_lines
from lodestone.tools.core.errors import LodestoneError
from lodestone.tools.core.structure import fingerprint, from_ase, read_structure


class Page(HTMLParser):
    """Tags that load or execute something, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts = 0
        self.handlers: list[str] = []
        self.text: list[str] = []
        self._skip = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skip += tag in ("script", "style")
        self.scripts += tag == "script"
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(f"{tag} {name}")
            loads = name in ("src", "srcset", "poster", "data") or (name == "href" and tag in ("link", "use", "image"))
            if loads and value and not value.startswith(("data:", "#")):
                self.loads.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        self._skip -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.text.append(data)


def page_of(record: CampaignRecord, folder: Path) -> tuple[str, Page]:
    html = write_report(record, folder).read_text()
    return html, Page(html)


@pytest.mark.parametrize("name", ["binary", "ternary", "hostile", "empty", "all_failed", "one_composition"])
def test_the_page_loads_nothing_from_anywhere(name: str, folder: Path, request: pytest.FixtureRequest) -> None:
    html, page = page_of(request.getfixturevalue(name), folder)
    assert page.loads == []
    assert page.handlers == []
    assert "@import" not in html
    assert re.findall(r"url\((?!['\"]?(?:data:|#))", html) == []
    assert len(" ".join(page.text)) > 300


def test_what_a_request_says_is_text_and_never_code(
    binary: CampaignRecord, hostile: CampaignRecord, folder: Path
) -> None:
    _, harmless = page_of(binary, folder / "a")
    html, page = page_of(hostile, folder / "b")
    assert page.scripts == harmless.scripts
    assert "<script>alert" not in html


def test_the_page_says_what_was_measured_and_by_what(binary: CampaignRecord, folder: Path) -> None:
    _, page = page_of(binary, folder)
    text = " ".join(" ".join(page.text).split())
    assert "not DFT" in text
    for words in ("energy above hull", "Convex hull", "random choice", "Predicted against measured", "Budget"):
        assert words in text
    for row in binary.failures:
        assert row.reason in text
    for plan in binary.plans:
        assert plan.reason.split(";")[0] in text


def test_results_json_holds_every_crystal_best_first(binary: CampaignRecord, folder: Path) -> None:
    page_of(binary, folder)
    data = json.loads((folder / "results.json").read_text())
    assert data["schema_name"] == "lodestone-results"
    assert [c["rank"] for c in data["crystals"]] == list(range(1, len(data["crystals"]) + 1))
    done = [e for e in binary.evaluated if not e.failure]
    assert {c["candidate_id"] for c in data["crystals"]} == {e.candidate_id for e in done}


def test_cifs_read_back_to_the_same_crystals(binary: CampaignRecord, folder: Path) -> None:
    page_of(binary, folder)
    written = {fingerprint(read_structure(p)) for p in (folder / "cifs").glob("*.cif")}
    assert written
    assert written <= {fingerprint(e.crystal) for e in binary.evaluated}


@pytest.mark.parametrize("fmt", ["cif", "poscar", "extxyz"])
def test_exported_files_read_back_to_the_same_crystals(fmt: str, ternary: CampaignRecord, folder: Path) -> None:
    paths = export(ternary, fmt, folder)
    crystals = [read_structure(p) for p in paths] if fmt != "extxyz" or len(paths) > 1 else None
    if crystals is None:
        from ase.io import read

        crystals = [from_ase(a) for a in read(paths[0], index=":", format="extxyz")]
    done = [e for e in ternary.evaluated if not e.failure]
    assert sorted(fingerprint(c) for c in crystals) == sorted(fingerprint(e.crystal) for e in done)


def test_the_ase_database_carries_the_properties(ternary: CampaignRecord, folder: Path) -> None:
    (path,) = export(ternary, "db", folder)
    rows = list(ase.db.connect(path).select())
    done = [e for e in ternary.evaluated if not e.failure]
    assert len(rows) == len(done)
    best = min(done, key=lambda e: e.values["energy_above_hull"].value)
    found = {row.data.candidate_id: row for row in rows}[best.candidate_id]
    assert found.energy_above_hull == pytest.approx(best.values["energy_above_hull"].value)


def test_an_unknown_format_is_refused(ternary: CampaignRecord, folder: Path) -> None:
    with pytest.raises(LodestoneError, match="docx"):
        export(ternary, "docx", folder)


def test_the_terminal_summary_leads_with_what_was_found(binary: CampaignRecord, empty: CampaignRecord) -> None:
    assert "NaCl" in summary_lines(binary)[0]
    assert summary_lines(empty)[0]


@settings(max_examples=20, deadline=None)
@given(losses=st.lists(st.floats(-5, 5), min_size=2, max_size=12), seed=st.integers(0, 100))
def test_expected_best_of_random_choice_is_what_simulation_gives(losses: list[float], seed: int) -> None:
    draws = min(5, len(losses))
    mean, low, high = random_best(losses, draws)
    rng = np.random.default_rng(seed)
    best = np.minimum.accumulate(np.array([rng.permutation(losses)[:draws] for _ in range(4000)]), axis=1)
    assert mean == pytest.approx(best.mean(axis=0).tolist(), abs=0.3)
    assert all(a <= b + 1e-9 for a, b in zip(mean[1:], mean, strict=False))
    for n in range(draws):
        assert (best[:, n] <= low[n] + 1e-9).mean() > 0.07
        assert (best[:, n] <= high[n] + 1e-9).mean() > 0.87


def test_the_first_draw_is_the_mean_of_the_pool_and_the_last_its_best() -> None:
    mean, _, _ = random_best([3.0, 1.0, 2.0], 3)
    assert mean[0] == pytest.approx(2.0)
    assert mean[-1] == pytest.approx(1.0)


def test_acceleration_counts_the_draws_that_chance_would_need(binary: CampaignRecord) -> None:
    found = discover(binary)
    assert found is not None
    assert found.pool_measured + found.pool_predicted + found.pool_cheap == found.pool_size
    assert found.acceleration is not None
    assert found.acceleration > 0
    # With one best in a pool of N, chance needs (N + 1) / 2 draws on average.
    best = [v for v in found.best if v is not None]
    reached = found.best.index(min(best)) + 1
    assert found.acceleration <= (found.pool_size + 1) / 2 / reached + 1e-9
