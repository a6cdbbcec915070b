import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from raylets import alive, children, open_to_others, wait_until

from dna_ray.distributed.cluster import ray_cluster
from dna_ray.errors import ResourceError, UnreachableError


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that only this test uses; short, as Ray has its sockets there."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.mark.ray
def test_local_clusters_listen_on_loopback_only_and_leave_nothing_one_after_the_other(temporary: Path):
    environment = dict(os.environ)
    for _ in range(2):
        with ray_cluster(None, workers=2):
            import ray

            assert ray.cluster_resources()["CPU"] >= 2
            assert os.environ["RAY_AUTH_MODE"] == "token"
            assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
            processes = children()
            assert any("raylet" in process.name() for process in processes)
            assert not open_to_others(processes)
            with ray_cluster(None, workers=1):
                pass
            assert ray.is_initialized()
        assert not ray.is_initialized()
        assert dict(os.environ) == environment
        assert not list(temporary.iterdir())
        wait_until(lambda before=processes: not alive(before), seconds=10)


@pytest.mark.ray
def test_more_workers_than_a_cluster_has_processors_are_refused_and_ray_ends():
    with pytest.raises(ResourceError, match="fewer"), ray_cluster(None, workers=10_000):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nowhere.invalid:6379", "nonsense"])
def test_an_address_where_nobody_answers_is_said_soon(address: str):
    began, environment = time.monotonic(), dict(os.environ)
    with pytest.raises(UnreachableError, match="does not answer"), ray_cluster(address, workers=1):
        pass
    assert time.monotonic() - began < 30
    assert dict(os.environ) == environment
