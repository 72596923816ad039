"""A real Dask scheduler and three real worker processes on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("distributed")

from benchmarks.world.cluster import Cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One scheduler, three workers."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), 3)
    yield made
    made.stop()
