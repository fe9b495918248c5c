"""What all tests share: where the measured and simulated captures lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure; tests that write files ask for fewer examples themselves.
settings.register_profile("fieldscope", deadline=None)
settings.load_profile("fieldscope")

SHARED_DATA = Path(os.environ.get("FIELDSCOPE_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for the shared captures bears their mark."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.shared_data)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the measured and simulated captures; without it the test is skipped (the only reason to skip one)."""
    missing = [name for name in ("algae/algae_left.h5", "cases/cells.h5") if not (SHARED_DATA / name).is_file()]
    if missing:
        pytest.skip(f"no {', '.join(missing)} in {SHARED_DATA}; FIELDSCOPE_SHARED_DATA names the folder they are in")
    return SHARED_DATA
