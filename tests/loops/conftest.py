"""One PostgreSQL server for all tests that want one, and a search path that each module leaves as it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from benchmarks.postgres import PostgresServer, binaries


@pytest.fixture(scope="module", autouse=True)
def _path_as_it_was() -> Iterator[None]:
    """The evaluator of the fast world is known to the modules that install it, and to no test after them."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real server with an empty cluster; skipped where Debian's package is not installed."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """The address of a ledger: each test that takes it runs on both kinds of database."""
    if request.param == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url
