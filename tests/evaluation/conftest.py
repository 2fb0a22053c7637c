from pathlib import Path

import pytest
import rebuilt

from afterimage.evaluation.metrics import Lpips


@pytest.fixture(scope="session")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained trunk of the default row."""
    return rebuilt.trunk(tmp_path_factory.mktemp("weights") / "lpips.safetensors")


@pytest.fixture(scope="session")
def lpips(trunk: Path) -> Lpips:
    return Lpips(trunk)
