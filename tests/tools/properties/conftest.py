"""Calculators: EMT, exact derivatives in milliseconds (K. Jacobsen et al., Surf. Sci. 366, 394 (1996)), and CHGNet."""

from __future__ import annotations

from typing import Any

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal


@pytest.fixture
def emt() -> EMT:
    return EMT()


@pytest.fixture(scope="session")
def chgnet() -> Any:
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu")


@pytest.fixture(scope="session")
def copper() -> Crystal:
    return from_ase(bulk("Cu"))
