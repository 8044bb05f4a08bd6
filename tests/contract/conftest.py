"""What several modules of this folder share because it is slow to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubebox import KubeBox, kubebox


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[KubeBox]:
    """One control plane; whoever uses it leaves it as it was."""
    with kubebox() as made:
        yield made
