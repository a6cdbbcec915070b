import os
import shutil
from pathlib import Path

import pytest

from dna_ray.tracking.store import DATABASE


@pytest.fixture(scope="session")
def prepared_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow; preparing one takes about 10 s, copying it none."""
    from dna_ray.tracking.mlflow_server import connect

    database = tmp_path_factory.mktemp("prepared") / DATABASE
    connect(f"sqlite:///{database}")
    return database


@pytest.fixture
def store(tmp_path: Path, prepared_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run store with an empty MLflow database."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in [name for name in os.environ if name.startswith("MLFLOW_HTTP")]:
        monkeypatch.delenv(name)
    runs = tmp_path / "runs"
    runs.mkdir()
    shutil.copy(prepared_database, runs / DATABASE)
    return runs
