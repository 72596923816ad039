"""Materials Project phases over a mock transport: what is asked, what is believed, and how failures are told."""

from __future__ import annotations

import json

import httpx
import pytest

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import reduced_formula, volume
from lodestone.tools.evaluate import materials_project
from lodestone.tools.evaluate.materials_project import fetch_phases


def row(identity="mp-22862", above=0.0, species=("Na", "Cl"), a=3.99, **changes):
    """A row as the API gives it: a primitive rock-salt cell with fields that are not asked about."""
    sites = [
        {"species": [{"element": s, "occu": 1}], "abc": [i / 2] * 3, "xyz": [0, 0, 0], "label": s, "properties": {}}
        for i, s in enumerate(species)
    ]
    matrix = [[0, a / 1.414, a / 1.414], [a / 1.414, 0, a / 1.414], [a / 1.414, a / 1.414, 0]]
    structure = {"@module": "os", "@class": "system", "charge": 0, "lattice": {"matrix": matrix}, "sites": sites}
    return {"material_id": identity, "energy_above_hull": above, "structure": structure, **changes}


def serving(*rows, seen=None, status=200, total=None):
    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        skip = int(request.url.params["_skip"])
        data = list(rows[skip : skip + int(request.url.params["_limit"])])
        return httpx.Response(status, json={"data": data, "meta": {"total_doc": total or len(rows)}})

    return httpx.MockTransport(answer)


def test_phases_come_back_as_crystals_most_stable_first():
    transport = serving(row("mp-2", 0.03, a=4.2), row("mp-1", 0.0))
    answer = fetch_phases(["Na", "Cl"], "key", transport=transport)
    assert [phase.id for phase in answer.phases] == ["mp-1", "mp-2"]
    assert reduced_formula(answer.phases[0].crystal) == "NaCl"
    assert volume(answer.phases[0].crystal) == pytest.approx(2 * (3.99 / 1.414) ** 3)
    assert "2 phases of Cl-Na" in answer.notes[0]


def test_the_question_covers_every_subsystem_and_carries_the_key_in_a_header_only():
    seen: list[httpx.Request] = []
    fetch_phases(["P", "Li", "S"], "secret", max_above_hull=0.1, transport=serving(row(), seen=seen))
    (request,) = seen
    assert request.url.host == "api.materialsproject.org"
    assert request.url.params["chemsys"] == "Li,P,S,Li-P,Li-S,P-S,Li-P-S"
    assert request.url.params["energy_above_hull_max"] == "0.1"
    assert request.headers["X-API-KEY"] == "secret"
    assert "secret" not in str(request.url)


def test_pages_are_read_to_the_end():
    seen: list[httpx.Request] = []
    rows = [row(f"mp-{i}", i / 10_000) for i in range(150)]
    answer = fetch_phases(["Na", "Cl"], "key", max_phases=140, transport=serving(*rows, seen=seen))
    assert len(seen) == 2
    assert [phase.id for phase in answer.phases] == [f"mp-{i}" for i in range(140)]
    assert "10 less stable" in answer.notes[-1]


@pytest.mark.parametrize(
    "bad",
    [
        row(species=("Na", "K")),
        row(species=("Na",) * 41),
        row(identity="mp-1; rm"),
        row(energy_above_hull="nan"),
        row(energy_above_hull=None),
        row(structure=None),
        row(structure={"lattice": {"matrix": [[1, 0, 0], [0, 1, 0]]}, "sites": []}),
        row(a=0.01),
        {**row(), "structure": {**row()["structure"], "sites": [{"species": [{"element": "Na", "occu": 0.5}]}]}},
        {},
        None,
        "text",
    ],
    ids=range(12),
)
def test_rows_that_are_no_small_ordered_crystal_of_the_system_are_left_out_and_counted(bad):
    answer = fetch_phases(["Na", "Cl"], "key", transport=serving(row(), bad))
    assert [phase.id for phase in answer.phases] == ["mp-22862"]
    assert "1 left out" in answer.notes[-1]


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (httpx.Response(403), "key was refused"),
        (httpx.Response(500), "HTTP 500"),
        (httpx.Response(302, headers={"location": "http://elsewhere"}), "HTTP 302"),
        (httpx.Response(200, text="<html>"), "not JSON"),
        (httpx.Response(200, text="[" * 100_000), "not JSON"),
        (httpx.Response(200, json=[1]), "no list of data"),
        (httpx.Response(200, json={"data": 3}), "no list of data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_useless_answer_is_a_note(response, words):
    answer = fetch_phases(["Na"], "secret", transport=httpx.MockTransport(lambda _: response))
    assert answer.phases == ()
    assert words in answer.notes[0]
    assert "secret" not in answer.notes[0]


@pytest.mark.parametrize("error", [httpx.ConnectError("no route"), httpx.ReadTimeout("slow"), httpx.ReadError("cut")])
def test_no_network_is_a_note(error):
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    answer = fetch_phases(["Na"], "key", transport=httpx.MockTransport(fail))
    assert answer.phases == ()
    assert str(error) in answer.notes[0]


def test_a_flood_is_cut_off(monkeypatch):
    monkeypatch.setattr(materials_project, "MAX_BYTES", 1000)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=json.dumps({"data": ["x" * 5000]})))
    answer = fetch_phases(["Na"], "key", transport=transport)
    assert "larger than" in answer.notes[0]


def test_no_time_left_is_a_note():
    assert "in time" in fetch_phases(["Na"], "key", timeout_s=0.0, transport=serving(row())).notes[0]


def test_without_a_key_nothing_is_asked(monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    seen: list[httpx.Request] = []
    answer = fetch_phases(["Na"], transport=serving(row(), seen=seen))
    assert seen == []
    assert "MP_API_KEY" in answer.notes[0]
    monkeypatch.setenv("MP_API_KEY", "from-environment")
    fetch_phases(["Na"], transport=serving(row(), seen=seen))
    assert seen[0].headers["X-API-KEY"] == "from-environment"


def test_a_key_that_is_no_header_is_a_note_without_the_key():
    answer = fetch_phases(["Na"], "schlüssel\nx", transport=serving(row()))
    assert answer.phases == ()
    assert "schl" not in answer.notes[0]


@pytest.mark.parametrize("elements", [[], ["Na,Cl"], ["na"], list("HBCNOFS")])
def test_unusable_systems_are_refused(elements):
    with pytest.raises(ToolError):
        fetch_phases(elements, "key", transport=serving(row()))
