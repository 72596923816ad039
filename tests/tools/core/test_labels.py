"""What labels promise: a file gives back what was written, and a bad line is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.labels import Label, read_labels, write_labels
from lodestone.tools.core.types import Crystal

number = st.floats(-1e3, 1e3, allow_nan=False)
vector = st.tuples(number, number, number)
CUBE = ((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0))


def label(energy: float, forces, stress=None, source="job") -> Label:
    crystal = Crystal(lattice=CUBE, species=("Cu",) * len(forces), frac_coords=((0.0, 0.0, 0.0),) * len(forces))
    return Label(crystal=crystal, energy=energy, forces=tuple(forces), stress=stress, source=source)


@given(
    labels=st.lists(
        st.builds(
            label, number, st.lists(vector, min_size=1, max_size=4), st.none() | st.tuples(vector, vector, vector)
        ),
        max_size=4,
    )
)
def test_a_file_gives_back_what_was_written(labels, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    write_labels(path, labels)
    assert read_labels(path) == labels


def test_a_line_that_is_no_label_is_named(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    write_labels(path, [label(-1.0, [(0.0, 0.0, 0.0)])])
    path.write_text(path.read_text() + '{"energy": 1}\n')
    with pytest.raises(ToolError, match="line 2"):
        read_labels(path)


def test_there_is_one_force_an_atom():
    with pytest.raises(ValidationError, match="1 forces for 2 atoms"):
        Label(
            crystal=Crystal(lattice=CUBE, species=("Cu", "Cu"), frac_coords=((0.0, 0.0, 0.0), (0.5, 0.5, 0.5))),
            energy=0.0,
            forces=((0.0, 0.0, 0.0),),
        )


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValidationError):
        label(float("nan"), [(0.0, 0.0, 0.0)])
