from collections.abc import Iterator
from pathlib import Path

import pytest
from raylets import CONFIG, HOW
from tiny_runs import recipe_for, write_bert

from dna_ray.verbs.mine import MineResult, mine


@pytest.fixture(scope="session", autouse=True)
def _offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("networks") / "bert")


@pytest.fixture(scope="session")
def undisturbed(network: Path, tmp_path_factory: pytest.TempPathFactory) -> MineResult:
    """What all others are compared with: mined by two workers of a local Ray, in one go."""
    return mine(recipe_for(network, tmp_path_factory.mktemp("undisturbed"), workers=2, how=HOW, **CONFIG))
