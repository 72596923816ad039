"""Supervisors that are shut down when their test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lodestone.loops.service.settings import ServiceSettings
from tests.loops.service.watching import QUICK, Watched


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def make(settings: ServiceSettings = QUICK) -> Watched:
        made.append(Watched(tmp_path, settings))
        return made[-1]

    yield make
    for one in made:
        one.supervisor.shut_down()
