"""The compose file and the Dockerfile, read as text: there is no container engine here to run them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from locked import LOCKED, ROOT

import dna_ray

CLUSTER = ROOT / "cluster"
COMPOSE = yaml.safe_load((CLUSTER / "compose.yaml").read_text())
DOCKERFILE = (CLUSTER / "Dockerfile").read_text()
SERVICES = COMPOSE["services"]


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = SERVICES[request.param]
    return found


def instructions(name: str) -> list[list[str]]:
    joined = re.sub(r"\\\n\s*(#.*\n\s*)*", "", DOCKERFILE)
    return [line.split()[1:] for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_no_port_is_open_beyond_loopback(service: dict[str, Any]):
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_every_service_says_when_it_is_well_and_what_it_waits_for(service: dict[str, Any]):
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert set(service.get("depends_on", {})) <= SERVICES.keys()
    assert all(each == {"condition": "service_healthy"} for each in service.get("depends_on", {}).values())


def test_secrets_are_files_that_git_does_not_keep(service: dict[str, Any]):
    assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
    for name, value in service.get("environment", {}).items():
        assert not re.search("PASSWORD|TOKEN|SECRET", name) or value.startswith("/run/secrets/"), name
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    assert "secrets/" in (CLUSTER / ".gitignore").read_text().splitlines()
    assert "@" not in re.sub(r"postgresql://mlflow@postgres/mlflow", "", (CLUSTER / "compose.yaml").read_text())


def test_every_folder_and_volume_that_is_mounted_exists(service: dict[str, Any]):
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        assert (CLUSTER / source).is_dir() if source.startswith(".") else source in COMPOSE["volumes"]


def test_images_have_versions_and_ours_is_that_of_the_package(service: dict[str, Any]):
    name, _, tag = service["image"].partition(":")
    assert tag not in ("", "latest")
    assert name != "dna-ray" or tag == dna_ray.__version__


def test_nodes_run_with_a_token_and_without_privileges():
    for name in ("head", "worker", "worker-gpu"):
        assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert "ray_token" in SERVICES[name]["secrets"]
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert instructions("USER")[-1] == ["${UID}:${UID}"]


def test_prometheus_reads_the_file_that_the_head_writes():
    scraped = yaml.safe_load((ROOT / "dashboards" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = scraped[0]["file_sd_configs"][0]["files"]
    for name in ("head", "prometheus"):
        mounts = {volume.split(":")[1] for volume in SERVICES[name]["volumes"]}
        assert str(Path(found).parent) in mounts


def test_the_image_has_the_versions_of_the_lock_and_nothing_is_copied_that_is_not_there():
    assert [
        pair.partition("=")[2] for line in instructions("ENV") for pair in line if pair.startswith("PIP_CONSTRAINT=")
    ] == ["/build/requirements.lock"]
    sources = [source for line in instructions("COPY") for source in line[:-1] if not line[0].startswith("--from")]
    let_in = {line[1:] for line in (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    assert set(sources) == let_in
    assert not [name for name in re.findall(r'"([\w-]+)==', DOCKERFILE) if name in LOCKED], "the lock has its version"


def test_the_image_holds_no_secret():
    assert not re.search(r"(?i)(password|secret|token)=(?!token)", DOCKERFILE)
