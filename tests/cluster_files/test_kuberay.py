"""The manifests of cluster/kuberay are what KubeRay v1.6.2 takes; there is no Kubernetes here to ask."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from locked import LOCKED, ROOT

from dna_ray.recipe import read_recipe

SCHEMA = json.loads(Path(__file__).with_name("kuberay-1.6.schema.json").read_text())
FILES = sorted((ROOT / "cluster" / "kuberay").glob("*.yaml"))

Manifest = dict[str, Any]


def manifests(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


def of_kind(kind: str) -> Manifest:
    return next(each for path in FILES for each in manifests(path) if each["kind"] == kind)


def valid(manifest: Manifest) -> bool:
    return Draft202012Validator(SCHEMA).is_valid(manifest)


def cluster_of(manifest: Manifest) -> Manifest:
    spec: Manifest = manifest["spec"]
    return spec.get("rayClusterSpec", spec)


def pods(manifest: Manifest) -> Iterator[Manifest]:
    cluster = cluster_of(manifest)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield group["template"]["spec"]


@pytest.fixture(params=["RayCluster", "RayJob"])
def manifest(request: pytest.FixtureRequest) -> Manifest:
    return deepcopy(of_kind(request.param))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_document_of_a_manifest_fits_its_resource(path: Path):
    for document in manifests(path):
        validator = Draft202012Validator({"$ref": f"#/$defs/{document['kind']}", "$defs": SCHEMA["$defs"]})
        assert not [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def a_field_that_kuberay_does_not_know(job: Manifest) -> None:
    cluster_of(job)["enableInTreeAutoscalling"] = True


def an_authentication_that_there_is_not(job: Manifest) -> None:
    cluster_of(job)["authOptions"]["mode"] = "password"


def a_token_with_a_ray_that_knows_none(job: Manifest) -> None:
    cluster_of(job)["rayVersion"] = "2.51.1"


def pods_that_restart_under_the_second_autoscaler(job: Manifest) -> None:
    next(pods(job))["restartPolicy"] = "Always"


def a_number_among_the_parameters_of_ray_start(job: Manifest) -> None:
    cluster_of(job)["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def a_negative_number_of_workers(job: Manifest) -> None:
    cluster_of(job)["workerGroupSpecs"][0]["minReplicas"] = -1


def a_head_without_containers(job: Manifest) -> None:
    next(pods(job))["containers"] = []


def memory_in_a_unit_that_there_is_not(job: Manifest) -> None:
    next(pods(job))["containers"][0]["resources"]["limits"]["memory"] = "16GB"


def a_secret_in_place_of_a_reference(job: Manifest) -> None:
    variable = {
        "name": "MLFLOW_TRACKING_PASSWORD",
        "value": "x",
        "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}},
    }
    next(pods(job))["containers"][0]["env"].append(variable)


def a_version_of_the_interface_before_the_first(job: Manifest) -> None:
    job["apiVersion"] = "ray.io/v1alpha1"


def neither_a_cluster_nor_a_selector_of_one(job: Manifest) -> None:
    del job["spec"]["rayClusterSpec"]


def a_cluster_that_is_deleted_later_but_does_not_end(job: Manifest) -> None:
    job["spec"]["shutdownAfterJobFinishes"] = False


def a_way_to_submit_that_there_is_not(job: Manifest) -> None:
    job["spec"]["submissionMode"] = "Http"


@pytest.mark.parametrize(
    "broken",
    [
        a_field_that_kuberay_does_not_know,
        an_authentication_that_there_is_not,
        a_token_with_a_ray_that_knows_none,
        pods_that_restart_under_the_second_autoscaler,
        a_number_among_the_parameters_of_ray_start,
        a_negative_number_of_workers,
        a_head_without_containers,
        memory_in_a_unit_that_there_is_not,
        a_secret_in_place_of_a_reference,
        a_version_of_the_interface_before_the_first,
        neither_a_cluster_nor_a_selector_of_one,
        a_cluster_that_is_deleted_later_but_does_not_end,
        a_way_to_submit_that_there_is_not,
    ],
)
def test_refused_is(broken: Callable[[Manifest], None]):
    job = deepcopy(of_kind("RayJob"))
    assert valid(job)
    broken(job)
    assert not valid(job)


def test_the_cluster_asks_for_a_token_from_a_secret_and_runs_the_locked_ray(manifest: Manifest):
    cluster = cluster_of(manifest)
    assert cluster["authOptions"] == {"mode": "token", "secretName": "dna-ray-token"}
    assert cluster["enableInTreeAutoscaling"]
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["rayVersion"] == LOCKED["ray"]


def test_no_pod_runs_as_root_or_may_become_it(manifest: Manifest):
    for pod in pods(manifest):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"]
        for container in (*pod["containers"], cluster_of(manifest)["autoscalerOptions"]):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_every_pod_has_the_volume_of_the_runs_where_its_environment_says(manifest: Manifest):
    claims = {each["metadata"]["name"] for path in FILES for each in manifests(path) if each["kind"][0] == "P"}
    for pod in pods(manifest):
        volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
            environment = {each["name"]: each.get("value") for each in container["env"]}
            for name in ("DNA_RAY_HOME", "HF_HOME"):
                assert str(Path(environment[name]).parent) in mounts
            assert set(mounts.values()) <= claims


def test_secrets_are_references_and_the_tracking_server_is_named(manifest: Manifest):
    for pod in pods(manifest):
        for each in pod["containers"][0]["env"]:
            secret = each["name"].endswith(("PASSWORD", "USERNAME", "TOKEN"))
            assert ("secretKeyRef" in each.get("valueFrom", {})) == secret, each["name"]
        assert any(each["name"] == "MLFLOW_TRACKING_URI" for each in pod["containers"][0]["env"])


def test_workers_have_a_gpu_each_and_no_pod_takes_more_than_it_asked_for(manifest: Manifest):
    for group in cluster_of(manifest)["workerGroupSpecs"]:
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"]
        assert int(resources["limits"]["nvidia.com/gpu"]) == 1


@pytest.mark.parametrize("name", ["bert-base-uncased", "roberta-base"])
def test_the_recipes_that_are_named_find_their_workers_and_their_storage_there(manifest: Manifest, name: str):
    recipe = read_recipe(ROOT / "jobs" / "recipes" / f"{name}.yaml")
    for group in cluster_of(manifest)["workerGroupSpecs"]:
        assert recipe.how.workers <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    mounted = {mount["mountPath"] for pod in pods(manifest) for mount in pod["containers"][0]["volumeMounts"]}
    assert str(Path(recipe.how.home).parent) in mounted


def test_the_job_runs_a_recipe_that_the_image_has():
    command, verb, recipe = of_kind("RayJob")["spec"]["entrypoint"].split()
    assert (command, verb) == ("dna-ray", "run")
    assert (ROOT / Path(recipe).relative_to("/app")).is_file()
