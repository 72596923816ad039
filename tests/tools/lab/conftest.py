"""A laboratory on a clock that tests turn by hand; no process outlives its test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.lab_scene import Scene


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: twins in processes of their own, which are killed, wait for it."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "scene")
    yield made
    made.close()
