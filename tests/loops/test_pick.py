"""`lodestone pick`: a table in, the next measurements out, or plain words about what is wrong with it."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lodestone.loops.cli import main
from lodestone.loops.pick import pick_rows
from lodestone.loops.pick_several import aims_of
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


SEVERAL = "T,flux,yield,cost per g,purity\n" + "".join(
    f"{600 + 20 * i},{'KCl' if i % 2 else 'NaCl'},{'' if i % 3 else 1 - (i - 12) ** 2 / 200},{6 + i / 5 + 3 * (i % 2)},"
    f"{'' if i % 3 or i == 12 else 99.5 - i / 4}\n"
    for i in range(25)
)
WISHES = ["--target", "yield", "--maximise", "--also", "cost per g=minimise", "--also", "purity >= 95"]


def test_several_targets_are_picked_for_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "t.csv", tmp_path / "next.csv"
    path.write_text(SEVERAL)
    code, shown, err = run(capsys, str(path), *WISHES, "-n", "3", "--why", "--json", "--out", str(out))
    assert (code, err) == (0, "")
    found = json.loads(shown)
    # Costs stand in every row; those without a yield can be picked, and those with one are not picked again.
    assert found["measured"] == {"yield": 9, "cost per g": 25, "purity": 8}
    assert len({p["line"] for p in found["picks"]}) == 3
    for p in found["picks"]:
        assert p["row"]["yield"] == ""
        assert set(p["expected"]) == {"yield", "cost per g", "purity"}
        assert all(e["low"] < e["mean"] < e["high"] for e in p["expected"].values())
        assert abs(p["expected"]["cost per g"]["mean"] - float(p["row"]["cost per g"])) < 0.5
        assert 0 <= p["chance"] <= 1
        assert "chance to keep the limits and be beaten by no measured row" in p["reason"]
        assert set(p["adds"]) == {"yield", "cost per g", "purity"}
    assert set(found["matters"]["purity"]) == {"T", "flux"}
    lines = path.read_text().splitlines()
    assert found["front"]
    for best in found["front"]:
        cells = dict(zip(lines[0].split(","), lines[best["lines"][0] - 1].split(","), strict=True))
        assert {name: float(cells[name]) for name in best["values"]} == pytest.approx(best["values"])
        assert best["values"]["purity"] >= 95
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["line"]) for r in rows] == [p["line"] for p in found["picks"]]
    assert all(float(r["purity low"]) <= float(r["purity expected"]) <= float(r["purity high"]) for r in rows)


def test_several_targets_are_shown_with_the_best_compromises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(SEVERAL)
    code, shown, _ = run(capsys, str(path), *WISHES, "-n", "2", "--why")
    assert code == 0
    words = " ".join(shown.split())
    assert "Measured: yield 9, cost per g 25, purity 8." in words
    assert "The best compromises measured so far: line" in words
    assert "What matters for cost per g" in words
    path.write_text("T,yield,purity\n700,,\n800,,\n900,,\n")
    code, shown, _ = run(capsys, str(path), "--target", "yield", "--maximise", "--also", "purity>=95", "-n", "2")
    assert code == 0
    assert "No row has every target measured and keeps the limits yet." in " ".join(shown.split())
    assert "yield is not measured yet" in " ".join(shown.split())


def test_a_former_table_is_learned_from_and_its_part_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def outcome(t: float, r: float) -> float:
        return math.sin(t / 100) + r**2

    cells = [(300 + 37 * i % 500, (17 * i % 40) / 40) for i in range(40)]
    now, earlier, empty = tmp_path / "now.csv", tmp_path / "earlier.csv", tmp_path / "other.csv"
    lines = [f"{t},{r},{outcome(t, r) if i < 8 else ''}" for i, (t, r) in enumerate(cells)]
    now.write_text("T,r,y\n" + "\n".join(lines))
    earlier.write_text("remark,y,r,T\n" + "\n".join(f"x,{5 - 3 * outcome(t, r)},{r},{t}" for t, r in cells))
    empty.write_text("p,y\n1,2\n")
    words = (str(now), "--target", "y", "--maximise", "-n", "2")
    code, shown, _ = run(capsys, *words, "--former", str(earlier))
    assert code == 0
    assert "learned from 40 measured rows" in " ".join(shown.split())
    part = re.search(r"its part in the predictions is (\d+) %", " ".join(shown.split()))
    assert part is not None
    assert int(part[1]) > 50
    now.write_text("T,r,y\n" + "\n".join(f"{t},{r}," for t, r in cells))
    code, shown, _ = run(capsys, *words, "--former", str(earlier))
    assert code == 0
    assert "promises" in " ".join(shown.split())
    code, _, err = run(capsys, *words, "--former", str(empty))
    assert code == ToolError.exit_code
    assert "no column that is a setting" in err
    code, _, err = run(capsys, *words, "--former", str(tmp_path / "none.csv"))
    assert code == ToolError.exit_code
    assert "There is no file" in err


def test_wishes_are_read_as_they_are_written() -> None:
    main = Aim("maximise")
    assert aims_of("yield", main, ["pH = 7,5", "cost per g=minimize", "A=>B<=-2"]) == {
        "yield": main,
        "pH": Aim("target", value=7.5),
        "cost per g": Aim("minimise"),
        "A=>B": Aim("within", upper=-2.0),
    }
    both = aims_of("yield", main, ["purity<=99", "purity>=95"])
    assert both["purity"] == Aim("within", lower=95.0, upper=99.0)
    assert list(both) == ["yield", "purity"]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (["purity>95"], "cannot be read"),
        (["purity=>95"], "cannot be read"),
        (["=3"], "cannot be read"),
        (["purity"], "cannot be read"),
        (["purity="], "cannot be read"),
        (["cost=low"], "no direction"),
        (["purity>=high"], "no direction"),
        (["yield>=3"], "named twice"),
        (["cost=minimise", "cost=3"], "named twice"),
        (["purity>=3", "purity>=4"], "named twice"),
        (["purity>=4", "purity<=3"], "Nothing lies between"),
        (["colour=3"], "no column 'colour'"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_in_plain_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wishes: list[str], words: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,yield,cost,purity\n1,2,3,4\n2,,,\n")
    also = [part for wish in wishes for part in ("--also", wish)]
    code, out, err = run(capsys, str(path), "--target", "yield", "--maximise", *also)
    assert (code, out) == (ToolError.exit_code, "")
    assert words in err
    code, _, err = run(capsys, str(path), "--target", "yield", "--map", "--also", "cost=minimise")
    assert code == ToolError.exit_code
    assert "does not go with other targets" in err


def test_a_long_line_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "1" * 1_100_000 + ",2\n")
    with pytest.raises(ToolError, match="characters"):
        list(TableFile.open(path).rows())
