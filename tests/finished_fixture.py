"""The fixture `finished`, for the folders whose conftest imports it."""

import shutil
from dataclasses import replace
from pathlib import Path

import finished_run
import pytest
from finished_run import Finished

from dna_ray.verbs import runs


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_run.make(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def finished(finished_once: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """A finished run of one's own, in the home of all runs."""
    home = tmp_path / "runs"
    shutil.copytree(finished_once.home, home)
    monkeypatch.setenv("DNA_RAY_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return replace(finished_once, home=home, run=runs.read_run(home / finished_once.run.name))
