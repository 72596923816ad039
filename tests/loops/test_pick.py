"""`lodestone pick`: a table in, the next measurements out, or plain words about what is wrong with it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lodestone.loops.cli import main
from lodestone.loops.pick import pick_rows
from lodestone.loops.tablefile import TableFile, number
from lodestone.surrogate.tables import Aim
from lodestone.tools.core.errors import LodestoneError, ToolError

HEAD = "temperature,flux,remark,yield\n"
ROWS = (
    "700,NaCl,first try,0.31\n800,NaCl,,0.45\n900,KCl,cracked,0.40\n800,NaCl,again,0.47\n"
    "850,NaCl,,\n900,NaCl,,\n700,KCl,,\n1000,NaCl,,\n850,NaCl,the same,\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(HEAD + ROWS)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["pick", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_blank_rows_are_ranked_with_expectation_interval_and_reason(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(
        capsys, str(table), "--target", "yield", "--maximise", "-n", "3", "--ignore", "remark", "--json"
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert (found["measured"], found["best"]) == (4, 0.47)
    assert len(found["picks"]) == 3
    assert len({tuple(sorted(p["row"].items())) for p in found["picks"]}) == 3
    for p in found["picks"]:
        assert p["row"]["yield"] == ""
        assert p["low"] < p["mean"] < p["high"]
        assert 0 <= p["chance"] <= 1
        assert "chance to pass 0.47" in p["reason"]
        assert 6 <= p["line"] <= 10


def test_the_written_file_holds_the_rows_as_they_stood(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = table.parent / "next.csv"
    code, shown, _ = run(
        capsys, str(table), "--target", "yield", "--minimise", "-n", "2", "--ignore", "remark", "--out", str(out)
    )  # fmt: skip
    assert code == 0
    assert "90 % interval" in shown
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = table.read_text().splitlines()
    for row in rows:
        assert lines[int(row["line"]) - 1].startswith(f"{row['temperature']},{row['flux']},")
        assert float(row["yield low"]) <= float(row["yield expected"]) <= float(row["yield high"])
    assert [p.name for p in table.parent.iterdir() if p.name.startswith(".")] == []


def test_why_adds_what_matters_and_what_speaks_for_each_pick(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(table), "--target", "yield", "--maximise", "-n", "2", "--ignore", "remark", "--why"]
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0
    found = json.loads(out)
    assert set(found["matters"]) == {"temperature", "flux"}
    assert all(set(p["adds"]) == {"temperature", "flux"} for p in found["picks"])
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert "What matters" in out
    assert "against the average" in out


def test_candidates_may_come_from_another_file(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = table.parent / "pool.csv"
    pool.write_text("flux;temperature\n" + "".join(f"{f};{t}\n" for t in range(600, 1100, 10) for f in ("KCl", "NaCl")))
    code, out, _ = run(
        capsys, str(table), "--target", "yield", "--maximise", "-n", "4", "--ignore", "remark", "--pool", str(pool),
        "--json",
    )  # fmt: skip
    assert code == 0
    assert all(set(p["row"]) == {"flux", "temperature"} for p in json.loads(out)["picks"])


def test_nothing_measured_yet_still_gives_a_start(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(HEAD + "".join(f"{t},NaCl,,\n" for t in range(600, 1000, 50)))
    code, out, _ = run(capsys, str(table), "--target", "yield", "--map", "-n", "3", "--ignore", "remark", "--json")
    assert code == 0
    found = json.loads(out)
    temperatures = sorted(float(p["row"]["temperature"]) for p in found["picks"])
    assert (temperatures[0], temperatures[-1]) == (600.0, 950.0)
    assert all(p["mean"] is None for p in found["picks"])
    assert any("flux is the same" in note for note in found["notes"])


FORMULAS = [f"{a}{x:g}{b}{1 - x:g}O3" for a in ("Ba", "Sr", "Ca", "Na") for b in ("Ti", "Zr", "Nb") for x in (0.2, 0.7)]


def test_a_column_of_formulas_needs_no_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    cells = [f"{f},{800 + 7 * i},{(i * i) % 11 if i % 3 else ''}\n" for i, f in enumerate(FORMULAS)]
    path.write_text("composition,T,y\n" + "".join(cells))
    code, out, _ = run(capsys, str(path), "--target", "y", "--maximise", "-n", "3", "--why", "--json")
    assert code == 0
    found = json.loads(out)
    assert "composition: formulas of 8 elements are read as compositions" in found["notes"]
    assert set(found["matters"]) == {"composition", "T"}
    assert all(p["row"]["composition"] in FORMULAS for p in found["picks"])


def test_a_pool_may_hold_more_formulas_than_texts_but_no_slip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, pool = tmp_path / "t.csv", tmp_path / "pool.csv"
    table.write_text("composition,y\n" + "".join(f"{f},{len(f)}\n" for f in FORMULAS))
    pool.write_text("composition\n" + "".join(f"Ba{i / 500:g}Sr{1 - i / 500:g}TiO3\n" for i in range(1, 400)))
    arguments = [str(table), "--target", "y", "--maximise", "--pool", str(pool), "--json"]
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert json.loads(out)["picks"][0]["row"]["composition"].startswith("Ba")
    with pool.open("a") as file:
        file.write("BaxSr1-xTiO3\n")
    code, _, err = run(capsys, *arguments)
    assert code == ToolError.exit_code
    assert "'BaxSr1-xTiO3' is none" in err


def test_columns_that_are_said_to_be_text_are_neither_formulas_nor_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sample,batch,y\n" + "".join(f"{f},{i % 4 or 'x'},{i or ''}\n" for i, f in enumerate(FORMULAS)))
    with pytest.raises(ToolError, match="'x' in line"):
        pick_rows(path, "y", Aim("maximise"), 1)
    found = pick_rows(path, "y", Aim("maximise"), 1, text=("sample", "batch"))
    assert found.notes == ()
    assert found.picks[0][0].row == (FORMULAS[0], "x")
    with pytest.raises(ToolError, match="no column 'code'"):
        pick_rows(path, "y", Aim("maximise"), 1, text=("code",))


def test_sodium_is_no_missing_value_among_formulas_and_is_one_among_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [("Li", "1", "3"), ("Na", "2", ""), ("Cu", "Na", "5"), ("Ag", "4", "6"), ("NA", "5", "7")]
    path.write_text("dopant,T,y\n" + "".join(",".join(r) + "\n" for r in rows))
    found = pick_rows(path, "y", Aim("maximise"), 1)
    assert found.picks[0][0].row == ("Na", 2.0)
    assert "dopant: formulas of 4 elements are read as compositions" in found.notes
    assert any("dopant is missing in 1 rows" in note for note in found.notes)
    assert any("T is missing in 1 rows" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("a,y\n1,2\n", ["--target", "y", "--maximise"], "No row is left to pick"),
        ("a,y\n1,\n", ["--target", "z", "--maximise"], "no column 'z'"),
        ("a,y\n1,high\n2,\n", ["--target", "y", "--maximise"], "Line 2"),
        ("a,y\n1,inf\n2,\n", ["--target", "y", "--maximise"], "Line 2"),
        ("a,y\n1,1e308\n2,\n", ["--target", "y", "--maximise"], "Line 2"),
        ("a,y\n1,2\nx,3\n2,\n", ["--target", "y", "--maximise"], "'x' in line 3"),
        ("a,y\n1,2,3\n2,\n", ["--target", "y", "--maximise"], "Line 2"),
        ("a,a,y\n1,2,3\n", ["--target", "y", "--maximise"], "two columns"),
        ("y\n1\n\n", ["--target", "y", "--maximise"], "no column besides"),
        ("", ["--target", "y", "--maximise"], "no header"),
        ("a,y\n1,2\n2,\n", ["--target", "y"], "No aim"),
        ("a,y\n1,2\n2,\n", ["--target", "y", "--maximise", "--map"], "More than one aim"),
        ("a,y\n1,2\n2,\n", ["--target", "y", "--above", "3", "--below", "2"], "Nothing lies between"),
        ("a,y\n1,2\n2,\n", ["--target", "y", "--maximise", "-n", "0"], "at least 1"),
        ("a,y\n1,2\n2,\n", ["--target", "y", "--maximise", "--ignore", "b"], "no column 'b'"),
        ("a,y\n1,2\n2,\n", ["--target", "y", "--maximise", "--pool", "none.csv"], "no file"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, arguments: list[str], words: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    code, out, err = run(capsys, str(path), *arguments)
    assert code == ToolError.exit_code
    assert words in err
    assert out == ""


@pytest.mark.parametrize("content", [b"\xff\xfe\x00a", b"a,y\n1,\xe9\n", b"\x00\x00"])
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert run(capsys, str(path), "--target", "y", "--maximise")[0] == ToolError.exit_code


def test_a_mark_of_the_byte_order_and_windows_lines_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\ufeffa;y\r\n1,5;2\r\n2,5;\r\n3,5;\r\n".encode())
    code, out, _ = run(capsys, str(path), "--target", "y", "--maximise", "--json")
    assert code == 0
    assert json.loads(out)["picks"][0]["row"]["a"] in ("2,5", "3,5")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.5", 1.5), ("1,5", 1.5), ("1e3", 1000.0), ("1_0", None), ("nan", None), ("inf", None), ("x", None),
        ("1,000.5", None), ("1e308", None), ("1e-320", None),
    ],
)  # fmt: skip
def test_numbers_in_cells(cell: str, value: float | None) -> None:
    assert number(cell) == value


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_picked_from_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.csv"
    path.write_text("a,y\n1,2\n2,3\n3,\n" + text, encoding="utf-8", newline="")
    try:
        said = str(len(pick_rows(path, "y", Aim("maximise"), 1).picks))
    except LodestoneError as error:
        said = error.remedy
    assert said not in ("", "0")


def test_a_long_line_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "1" * 1_100_000 + ",2\n")
    with pytest.raises(ToolError, match="characters"):
        list(TableFile.open(path).rows())
