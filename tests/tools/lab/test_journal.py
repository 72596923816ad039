"""The journal keeps what was written, and notices what was changed."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.core.errors import LabError
from lodestone.tools.lab.twin.journal import Journal, read


def written(path: Path, count: int = 4) -> list[dict]:
    journal = Journal(path)
    for n in range(count):
        journal.append("boot", float(n), {"boots": n, "note": "°C and K"})
    journal.close()
    return read(path)


def test_events_come_back_in_order_after_closing(tmp_path: Path) -> None:
    events = written(tmp_path / "journal")
    again = Journal(tmp_path / "journal")
    assert again.replay() == events
    again.append("boot", 9.0, {})
    again.close()
    assert [event["n"] for event in read(tmp_path / "journal")] == [0, 1, 2, 3, 4]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_power_loss_at_any_byte_leaves_the_whole_lines_before_it(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        events = written(path)
        raw = path.read_bytes()
        cut = data.draw(st.integers(0, len(raw)))
        path.write_bytes(raw[:cut])
        whole = raw[:cut].count(b"\n")
        journal = Journal(path)
        assert journal.replay() == events[:whole]
        journal.append("boot", 50.0, {})
        journal.close()
        assert len(read(path)) == whole + 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_byte_before_the_last_line_is_noticed(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        written(path)
        raw = bytearray(path.read_bytes())
        last = raw[:-1].rindex(b"\n")
        position = data.draw(st.integers(0, last - 1))
        new = data.draw(st.integers(32, 126).filter(lambda byte: byte != raw[position]))
        raw[position] = new
        path.write_bytes(bytes(raw))
        with pytest.raises(LabError, match="journal"):
            Journal(path)


def test_half_a_line_is_cut_off_and_the_chain_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append("boot", 0.0, {})
    journal.tear()
    journal.close()
    again = Journal(tmp_path / "journal")
    assert len(again.replay()) == 1
    again.append("boot", 1.0, {})
    again.close()
    assert len(read(tmp_path / "journal")) == 2
